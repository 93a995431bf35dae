//! What must hold whatever happened: the logs say what the product should have said, and the truth what it should have done.

use crate::support::{said_by, subjects};
use crate::world::Truth;
use bus::memory::MemoryBus;
use bus::{Bus, Message, SharedBus, Stream};
use engine::{AuditOptions, audit};
use serde_json::Value;
use stages::dataflow::{Dataflow, Feed, LogState, Round};
use stages::log::{Entry, LogId, Step, Stepper};
use stages::output::Target;
use stages::time::Span;
use stages::wire::CommitRecord;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What a run came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub seeds: u64,
    pub kills: u64,
    pub takeovers: u64,
    pub hand_overs: u64,
    pub samples: u64,
    pub events: u64,
    pub rollbacks: u64,
    /// Moves of alerts that the desk judges.
    pub judged: u64,
    pub deliveries: u64,
}

/// Holds a run that has come to rest to what must be true of it.
pub async fn judge(bus: &MemoryBus, shards: u32, truth: &Truth) -> Result<Counts, String> {
    let events = bus.messages(Stream::Events);
    let stepped = truth.stepped.load(Ordering::Relaxed);
    for log in (0..shards).map(LogId::Shard).chain([LogId::Desk]) {
        let mut found = said_by(&events, log);
        // A word sent again after an unclear answer is known to the server for two minutes of its clock, which may have
        // been stepped. A glimpse said twice means what it means once; an audit names it all the same.
        let count = found.len();
        if stepped {
            found.dedup_by(|one, other| one == other && one.1.starts_with(GLIMPSES));
        }
        let repeated = found.len() < count;
        said_what_its_log_says(bus, (&events, found), log, shards).await?;
        if !repeated {
            from_a_snapshot_too(bus, log, shards).await?;
        }
    }
    let bodies = |subject: &str| -> Vec<Value> {
        let found = events.iter().filter(|message| {
            let text = std::str::from_utf8(&message.subject).unwrap();
            let rest = text.strip_prefix("ops.").unwrap();
            let mut kinds = subject.split(' ');
            rest.starts_with(kinds.next().unwrap())
                && rest.ends_with(kinds.next().unwrap_or_default())
        });
        found.map(|message| serde_json::from_slice(&message.payload).unwrap()).collect()
    };
    let texts = |bodies: &[Value], field: &str| -> Vec<String> {
        bodies.iter().map(|body| body[field].as_str().unwrap_or_default().to_owned()).collect()
    };
    once("fired", &texts(&bodies("alert. .fired"), "incident"))?;
    let commands = texts(&bodies("rollback. .command"), "incident");
    once("commands", &commands)?;
    let starts = truth.starts.lock().unwrap().clone();
    once("starts of a script", &starts)?;
    if let Some(stray) = starts.iter().find(|start| !commands.contains(start)) {
        return Err(format!("a script ran for {stray}, which nobody commanded"));
    }
    let intents = texts(&bodies("notify. "), "key");
    once("intents", &intents)?;
    let delivered: BTreeSet<String> = truth.delivered.lock().unwrap().iter().cloned().collect();
    if let Some(lost) = intents.iter().find(|key| !delivered.contains(*key)) {
        let intent = events
            .iter()
            .find(|message| String::from_utf8_lossy(&message.payload).contains(lost.as_str()));
        return Err(format!(
            "the run ended at {}; an intent reached nobody: {intent:?}",
            bus.now()
        ));
    }
    relayed_once(bus, &events, shards)?;
    let samples = samples_are_there(bus, truth)?;
    let own = bodies("own. ");
    let takeovers = own.iter().filter(|record| record["released"] == false).count() as u64;
    Ok(Counts {
        seeds: 1,
        kills: truth.kills.load(Ordering::Relaxed),
        takeovers,
        hand_overs: hand_overs(&events),
        samples,
        events: events.len() as u64,
        rollbacks: starts.len() as u64,
        judged: bodies("transition.desk.judged").len() as u64,
        deliveries: truth.delivered.lock().unwrap().len() as u64,
    })
}

/// How often a process gave a log away and went on with others: its start writes to the bus after that.
fn hand_overs(events: &[Message]) -> u64 {
    let boots: Vec<(String, bool)> = events
        .iter()
        .map(|message| {
            let body: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
            let attempt = body["attempt"].as_str().and_then(|attempt| attempt.split('-').next());
            let boot = body["boot"].as_str().or(attempt).unwrap_or_default();
            (boot.to_owned(), body["released"] == true && body["boot"] == boot)
        })
        .collect();
    let gave = boots.iter().enumerate().filter(|(_, (_, released))| *released);
    // Those that end release all they own, one after the other.
    let goes_on = |at: usize, boot: &String| {
        boots[at + 1..].iter().any(|(other, released)| other == boot && !released)
    };
    gave.filter(|(at, (boot, _))| goes_on(*at, boot)).count() as u64
}

fn once(what: &str, names: &[String]) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    match names.iter().find(|name| !seen.insert(*name)) {
        Some(twice) => Err(format!("{what}: {twice} twice")),
        None => Ok(()),
    }
}

/// Everything a log said is what the stages say over its entries, byte for byte, up to the committed position.
async fn said_what_its_log_says(
    bus: &MemoryBus,
    (events, found): (&[Message], Vec<(String, String)>),
    log: LogId,
    shards: u32,
) -> Result<(), String> {
    let stream = if log == LogId::Desk { Stream::Desk } else { Stream::Log };
    let created = bus.state(stream).await.unwrap().created;
    let subject = subjects().commit(log);
    let record = events.iter().rfind(|message| message.subject == subject.as_bytes());
    let record = record.ok_or_else(|| format!("log {log} has no position"))?;
    let record: CommitRecord = serde_json::from_slice(&record.payload).unwrap();
    let steps = steps_of(bus, log, created);
    let expected = recompute(&steps, log, created, shards);
    let expected: Vec<_> =
        expected.into_iter().filter(|(position, ..)| *position <= record.position).collect();
    for (index, (position, subject, payload)) in expected.iter().enumerate() {
        match found.get(index) {
            Some(found) if found.0 == *subject && found.1 == *payload => {}
            found => {
                return Err(format!(
                    "log {log}, output {index} of the step at {position}:\n  the log says {subject} {payload}\n  \
                     the bus has   {found:?}"
                ));
            }
        }
    }
    if let Some(more) = found.get(expected.len()) {
        return Err(format!("log {log} said more than its log does: {more:?}"));
    }
    // An engine that is told to end reads no further, so the last moments may be its successor's.
    let end = steps.last().map_or(created, |step| step.ended.minus(Span::from_secs(5)));
    let last = steps.iter().rfind(|step| step.ended <= end).map_or(0, Step::position);
    if record.position < last {
        return Err(format!(
            "log {log} stands at {}, its last step ends at {last}",
            record.position
        ));
    }
    Ok(())
}

/// The product's own audit, which begins at a snapshot in the middle, comes to the same verdict.
async fn from_a_snapshot_too(bus: &MemoryBus, log: LogId, shards: u32) -> Result<(), String> {
    let middle = bus.messages(Stream::Events);
    let since = middle[middle.len() / 2].time;
    let bus: SharedBus = Arc::new(bus.clone());
    let options =
        AuditOptions { bus, subjects: subjects(), shards, since, stages: Default::default() };
    let found = audit(&options, log, &mut |_, _| ()).await.map_err(|error| error.to_string())?;
    match found.difference {
        Some(difference) => Err(format!("the audit of log {log} finds {difference:#?}")),
        None if !found.unproven.is_empty() => Err(format!("not proven: {:#?}", found.unproven)),
        None => Ok(()),
    }
}

fn steps_of(bus: &MemoryBus, log: LogId, created: stages::time::Time) -> Vec<Step> {
    let (mut stepper, mut steps) = (Stepper::new(log, created), Vec::new());
    let (stream, prefix) = match log {
        LogId::Desk => (Stream::Desk, "ops.desk.".to_owned()),
        LogId::Shard(shard) => (Stream::Log, format!("ops.log.{shard}.")),
    };
    for message in bus.messages(stream) {
        if message.subject.starts_with(prefix.as_bytes()) {
            let kind = subjects().entry_kind(message.subject);
            let (sequence, time, payload) = (message.sequence, message.time, message.payload);
            stepper.push(Entry { sequence, time, kind, payload }, &mut steps);
        }
    }
    steps
}

/// (position of the step, subject, payload) of all that is committed.
fn recompute(
    steps: &[Step],
    log: LogId,
    created: stages::time::Time,
    shards: u32,
) -> Vec<(u64, String, String)> {
    let (sender, done) = std::sync::mpsc::channel();
    let dataflow =
        Dataflow::start(1, subjects(), shards, move |one| drop(sender.send(one))).unwrap();
    let adopt = Feed::Adopt(LogState { log, created, now: created, snapshot: None });
    let steps = steps.iter().map(|step| Feed::Step { log, step: Arc::new(step.clone()) });
    for (number, feed) in (1..).zip(std::iter::once(adopt).chain(steps)) {
        dataflow.feed(Round { number, feeds: vec![feed] });
    }
    dataflow.stop();
    let mut said = Vec::new();
    for log_done in done.into_iter().flat_map(|done| done.logs) {
        assert_eq!(log_done.stopped, None);
        let outputs = log_done.outputs.into_iter().filter(|output| output.target == Target::Commit);
        said.extend(outputs.map(|output| {
            let payload = String::from_utf8(output.payload.to_vec()).unwrap();
            (log_done.position, output.subject, payload)
        }));
    }
    said
}

/// What a shard shows for the desk begins so.
const GLIMPSES: &str = r#"{"type":"glimpses""#;

/// Whether a shard only shows what it sees.
pub fn is_glimpse(message: &Message) -> bool {
    message.payload.starts_with(GLIMPSES.as_bytes())
}

/// Every transition and every outcome has reached the desk.
fn relayed_once(bus: &MemoryBus, events: &[Message], shards: u32) -> Result<(), String> {
    let mut arrived: BTreeSet<(String, u64)> = BTreeSet::new();
    for message in bus.messages(Stream::Desk) {
        if let Ok(body) = serde_json::from_slice::<Value>(&message.payload)
            && let Some(source) = body.get("source")
        {
            let name = source["stream"].as_str().unwrap().to_owned();
            arrived.insert((name, source["sequence"].as_u64().unwrap()));
        }
    }
    let transitions: Vec<String> = (0..shards).map(|shard| subjects().transition(shard)).collect();
    // Glimpses come as long as samples do.
    let sent = events.iter().filter(|message| {
        transitions.iter().any(|subject| message.subject == subject.as_bytes())
            && !is_glimpse(message)
    });
    let outcomes = bus.messages(Stream::Outcomes);
    let sent = sent.map(|message| ("events", message.sequence));
    for (stream, sequence) in
        sent.chain(outcomes.iter().map(|message| ("outcomes", message.sequence)))
    {
        if !arrived.contains(&(stream.to_owned(), sequence)) {
            return Err(format!("{stream}, sequence {sequence}, never reached the desk"));
        }
    }
    Ok(())
}

/// Every sample that was acknowledged lies in its log once.
fn samples_are_there(bus: &MemoryBus, truth: &Truth) -> Result<u64, String> {
    let mut stored = Vec::new();
    for message in bus.messages(Stream::Log) {
        if let Ok(body) = serde_json::from_slice::<Value>(&message.payload)
            && let Some(id) = body["id"].as_str()
        {
            stored.push(id.parse::<u64>().unwrap());
        }
    }
    let count = stored.len();
    let stored: BTreeSet<u64> = stored.into_iter().collect();
    // The server knows a repeat for two minutes of its clock, which may have been stepped.
    if stored.len() < count && !truth.stepped.load(Ordering::Relaxed) {
        return Err("a sample was stored twice".to_owned());
    }
    match truth.accepted.lock().unwrap().iter().find(|id| !stored.contains(id)) {
        Some(lost) => Err(format!("sample {lost} was acknowledged and is gone")),
        None => Ok(count as u64),
    }
}
