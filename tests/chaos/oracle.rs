//! What must be true when everything has come to rest, computed from the logs, the receiver and the scripts.

use crate::events::all;
use crate::house::{House, SHARDS};
use bus::{Message, SharedBus, Stream};
use engine::{AuditOptions, audit};
use serde_json::Value;
use stages::batch::Batch;
use stages::log::LogId;
use stages::subject::Subjects;
use stages::time::{Span, Time};
use stages::wire::{LedgerRecord, LedgerState};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Everything must have come to rest this long after the last fault: what was in the hands of a dead agent or notifier
/// comes again after 12 s at most, and may do so twice.
const REST_MAX: Duration = Duration::from_secs(150);
/// Nothing was said for this long: rest.
const QUIET: Duration = Duration::from_secs(4);

/// What a scenario came to.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub kills: u64,
    pub samples: u64,
    pub events: u64,
    pub incidents: u64,
    pub rollbacks: u64,
    /// Deliveries that came again, under the same key.
    pub told_again: u64,
    pub lost: u64,
    pub repeated: u64,
    /// The longest time in which nothing was said while services ran.
    pub gap: Span,
}

impl AddAssign<&Counts> for Counts {
    fn add_assign(&mut self, other: &Counts) {
        self.kills += other.kills;
        self.samples += other.samples;
        self.events += other.events;
        self.incidents += other.incidents;
        self.rollbacks += other.rollbacks;
        self.told_again += other.told_again;
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.gap = self.gap.max(other.gap);
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kills, samples, events, incidents, rollbacks, told_again, lost, repeated, gap } =
            self;
        let gap = gap.as_std().as_secs_f64();
        write!(
            f,
            "kills {kills}, samples {samples}, events {events}, incidents {incidents}, rollbacks {rollbacks}, \
             told again {told_again}, lost {lost}, repeated {repeated}, longest gap {gap:.1} s"
        )
    }
}

/// Everything the streams hold that a verdict needs.
struct Logs {
    events: Vec<Message>,
    outcomes: Vec<Message>,
    desk: Vec<Message>,
    log: Vec<Message>,
}

/// Waits for rest, stops everybody, and judges. `acknowledged` are the samples, `began` is when services began.
pub async fn judge(
    house: &mut House,
    acknowledged: &[String],
    (began, ended): (Time, Time),
) -> (Counts, Vec<String>) {
    let bus = house.bus().await;
    rest(&bus, house).await;
    house.stop().await;
    let logs = Logs {
        events: all(&bus, Stream::Events).await,
        outcomes: all(&bus, Stream::Outcomes).await,
        desk: all(&bus, Stream::Desk).await,
        log: all(&bus, Stream::Log).await,
    };
    let mut verdict = Verdict::default();
    verdict.audited(&bus, &logs).await;
    verdict.happened_once(&logs, house);
    verdict.relayed(&logs);
    verdict.stored(&logs, acknowledged);
    let spoken: Vec<&Message> = logs.events.iter().filter(|message| is_word(message)).collect();
    let within = spoken.iter().map(|message| message.time).filter(|at| (began..ended).contains(at));
    let times: Vec<Time> = [began].into_iter().chain(within).chain([ended]).collect();
    let gaps = times.windows(2).map(|pair| pair[1].since(pair[0]));
    verdict.counts.gap = gaps.max().unwrap_or_default();
    verdict.counts.events = spoken.len() as u64;
    verdict.counts.samples = acknowledged.len() as u64;
    verdict.counts.kills = house.kills.load(std::sync::atomic::Ordering::Relaxed);
    (verdict.counts, verdict.faults)
}

/// Something that was said, not the bookkeeping.
fn is_word(message: &Message) -> bool {
    !message.subject.starts_with(b"ops.commit.") && !message.subject.starts_with(b"ops.own.")
}

/// Until nothing is said any more, everybody was told and every command has its end; or until patience is at its end,
/// for the verdict to say what is missing.
async fn rest(bus: &SharedBus, house: &House) {
    let until = Instant::now() + REST_MAX;
    let mut last = (0, 0);
    while Instant::now() < until {
        let (events, outcomes) = (all(bus, Stream::Events).await, all(bus, Stream::Outcomes).await);
        let words = events.iter().filter(|message| is_word(message)).count();
        let now = (words, outcomes.len());
        if now == last
            && untold(&events, house).is_empty()
            && unended(&events, &outcomes).is_empty()
        {
            return;
        }
        last = now;
        sleep(QUIET).await;
    }
}

fn texts(messages: &[Message], (begin, end): (&str, &str), field: &str) -> Vec<String> {
    let wanted = messages.iter().filter(|message| {
        message.subject.starts_with(begin.as_bytes()) && message.subject.ends_with(end.as_bytes())
    });
    let read = |message: &Message| {
        let body: Value = serde_json::from_slice(&message.payload).unwrap();
        body[field].as_str().unwrap_or_default().to_owned()
    };
    wanted.map(read).collect()
}

/// Intents that reached nobody.
fn untold(events: &[Message], house: &House) -> Vec<String> {
    let posts = house.site.hook.posts("hook");
    let told: BTreeSet<&str> = posts.iter().filter_map(|post| post["opsKey"].as_str()).collect();
    let mut intents = texts(events, ("ops.notify.", ""), "key");
    intents.retain(|key| !told.contains(key.as_str()));
    intents
}

/// Commands without an end.
fn unended(events: &[Message], outcomes: &[Message]) -> Vec<String> {
    let mut open: BTreeSet<String> =
        texts(events, ("ops.rollback.", ".command"), "incident").into_iter().collect();
    let records = outcomes.iter().filter(|message| message.subject.starts_with(b"ops.exec."));
    for record in records {
        let record: LedgerRecord = serde_json::from_slice(&record.payload).unwrap();
        if !matches!(record.state, LedgerState::Claimed | LedgerState::Started { .. }) {
            open.remove(&record.incident);
        }
    }
    open.into_iter().collect()
}

#[derive(Default)]
struct Verdict {
    counts: Counts,
    faults: Vec<String>,
}

impl Verdict {
    fn lost(&mut self, what: &str, names: &[String]) {
        if let Some(first) = names.first() {
            self.counts.lost += names.len() as u64;
            self.faults.push(format!("lost: {} {what}, the first is {first}", names.len()));
        }
    }

    fn repeated(&mut self, what: &str, names: &[String]) {
        let mut seen = BTreeSet::new();
        let twice: Vec<&String> = names.iter().filter(|name| !seen.insert(*name)).collect();
        if let Some(first) = twice.first() {
            self.counts.repeated += twice.len() as u64;
            self.faults.push(format!("repeated: {} {what}, the first is {first}", twice.len()));
        }
    }

    /// Everything a log said is what an undisturbed run over it says, from its beginning to its end.
    async fn audited(&mut self, bus: &SharedBus, logs: &Logs) {
        let options = AuditOptions {
            bus: bus.clone(),
            subjects: Subjects::default(),
            shards: SHARDS,
            since: Time(0),
            stages: Default::default(),
        };
        for log in (0..SHARDS).map(LogId::Shard).chain([LogId::Desk]) {
            let audit = audit(&options, log, &mut |_, _| ()).await.unwrap();
            if let Some(difference) = &audit.difference {
                let said = |(subject, body): &(String, String)| {
                    logs.events.iter().any(|message| {
                        message.subject == subject.as_bytes() && message.payload == body.as_bytes()
                    })
                };
                let missing = difference.recomputed.as_ref().is_some_and(|words| !said(words));
                self.counts.lost += u64::from(missing);
                self.counts.repeated += u64::from(!missing);
                self.faults.push(format!("log {log} is not what it says: {difference:#?}"));
            }
            if !audit.unproven.is_empty() || audit.from.map(|(_, position)| position) != Some(0) {
                self.faults.push(format!("log {log}: not proven from its beginning: {audit:#?}"));
            }
            if audit.by_owner > 0 {
                self.lost(&format!("stretches of log {log}"), &[format!("{audit:?}")]);
            }
        }
    }

    fn happened_once(&mut self, logs: &Logs, house: &House) {
        let fired = texts(&logs.events, ("ops.alert.", ".fired"), "incident");
        let commands = texts(&logs.events, ("ops.rollback.", ".command"), "incident");
        let starts: Vec<String> = house.site.lines("starts");
        let starts: Vec<String> =
            starts.iter().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
        let intents = texts(&logs.events, ("ops.notify.", ""), "key");
        (self.counts.incidents, self.counts.rollbacks) = (fired.len() as u64, starts.len() as u64);
        self.repeated("incidents fired", &fired);
        self.repeated("commands", &commands);
        self.repeated("starts of a script", &starts);
        self.repeated("intents", &intents);
        self.lost("intents that reached nobody", &untold(&logs.events, house));
        self.lost("commands without an end", &unended(&logs.events, &logs.outcomes));
        let stray = |start: &&String| !commands.contains(start);
        if let Some(stray) = starts.iter().find(stray) {
            self.faults.push(format!("a script ran for {stray}, which nobody commanded"));
        }
        let known: BTreeSet<&String> = intents.iter().collect();
        let mut told: BTreeMap<String, Value> = BTreeMap::new();
        for post in house.site.hook.posts("hook") {
            let key = post["opsKey"].as_str().unwrap_or_default().to_owned();
            if !known.contains(&key) {
                self.faults.push(format!("told, and nobody wanted it: {post}"));
            }
            match told.get(&key) {
                None => drop(told.insert(key, post)),
                Some(before) if *before == post => self.counts.told_again += 1,
                Some(before) => self.faults.push(format!("one key, two texts: {before} {post}")),
            }
        }
    }

    /// Every transition and every outcome has reached the desk.
    fn relayed(&mut self, logs: &Logs) {
        let source = |message: &Message| {
            let body: Value = serde_json::from_slice(&message.payload).ok()?;
            let source = body.get("source")?;
            Some((source["stream"].as_str()?.to_owned(), source["sequence"].as_u64()?))
        };
        let arrived: BTreeSet<(String, u64)> = logs.desk.iter().filter_map(source).collect();
        let transitions =
            logs.events.iter().filter(|message| message.subject.starts_with(b"ops.transition."));
        let transitions = transitions.map(|message| ("events", message.sequence));
        let outcomes = logs.outcomes.iter().map(|message| ("outcomes", message.sequence));
        let missing: Vec<String> = transitions
            .chain(outcomes)
            .filter(|(stream, sequence)| !arrived.contains(&((*stream).to_owned(), *sequence)))
            .map(|(stream, sequence)| format!("{stream}, sequence {sequence}"))
            .collect();
        self.lost("words that never reached the desk", &missing);
    }

    /// Every sample that was acknowledged is in its log.
    fn stored(&mut self, logs: &Logs, acknowledged: &[String]) {
        let mut stored = BTreeSet::new();
        for message in &logs.log {
            if message.subject.ends_with(b".batch") {
                let batch = Batch::parse(&message.payload).unwrap();
                for block in batch.sections().flat_map(|section| section.blocks()) {
                    block.for_each(|_, _, id| stored.extend(id.map(str::to_owned))).unwrap();
                }
            } else if let Ok(body) = serde_json::from_slice::<Value>(&message.payload)
                && let Some(id) = body["id"].as_str()
            {
                stored.insert(id.to_owned());
            }
        }
        let gone: Vec<String> =
            acknowledged.iter().filter(|id| !stored.contains(*id)).cloned().collect();
        self.lost("samples that were acknowledged", &gone);
    }
}
