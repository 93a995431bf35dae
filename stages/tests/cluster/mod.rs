//! Several shards and the desk under a script: what they say is relayed a little later, ticks come where owners append them.
#![allow(dead_code, reason = "each test uses a part of it")]

use bytes::Bytes;
use serde_json::{Value, json};
use stages::dataflow::Seat;
use stages::desk::Desk;
use stages::log::{DeskKind, Entry, EntryKind, LogId, Step, Stepper};
use stages::output::{Output, Target};
use stages::settings::Settings;
use stages::shard::{Place, Shard};
use stages::subject::Subjects;
use stages::time::{Span, Time};
use stages::wire::{AlertEvent, ShardEvent, Transition};
use std::collections::VecDeque;

/// Scripts begin here: a round number of every pane width.
pub const START: Time = Time::from_millis(1_699_920_000_000);
/// What relays and commits take.
const ON_ITS_WAY: Span = Span::from_millis(20);
const QUIET: Span = Span::from_secs(5);

/// A moment so many milliseconds into a script.
pub fn at(millis: i64) -> Time {
    START.plus(Span::from_millis(millis))
}

enum Stage {
    Shard(Box<Shard>),
    Desk(Box<Desk>),
}

/// One log and its stage.
pub struct Log {
    id: LogId,
    stage: Stage,
    stepper: Stepper,
    pub steps: Vec<Step>,
    pub said: Vec<Vec<Output>>,
    sequence: u64,
    last: Time,
    /// Nobody owns it: it is not read.
    stopped: bool,
    unread: VecDeque<Entry>,
}

impl Log {
    fn new(id: LogId, stage: Stage) -> Self {
        Self {
            id,
            stage,
            stepper: Stepper::new(id, START),
            steps: Vec::new(),
            said: Vec::new(),
            sequence: 0,
            last: START,
            stopped: false,
            unread: VecDeque::new(),
        }
    }

    fn owed(&self) -> Option<Time> {
        if self.stopped {
            return None;
        }
        let open = self.stepper.is_open().then(|| self.stepper.boundary());
        let due = match &self.stage {
            Stage::Shard(shard) => shard.due(),
            Stage::Desk(desk) => desk.due(),
        };
        let owed = [open, due, Some(self.last.plus(QUIET))].into_iter().flatten().min();
        owed.map(|owed| owed.max(self.last))
    }

    fn append(&mut self, time: Time, kind: EntryKind, payload: Bytes) -> Vec<(Time, Output)> {
        self.sequence += 1;
        self.last = self.last.max(time);
        let entry = Entry { sequence: self.sequence, time: self.last, kind, payload };
        self.unread.push_back(entry);
        if self.stopped { Vec::new() } else { self.read() }
    }

    fn read(&mut self) -> Vec<(Time, Output)> {
        let (mut ended, mut said) = (Vec::new(), Vec::new());
        for entry in self.unread.drain(..) {
            self.stepper.push(entry, &mut ended);
        }
        for step in ended {
            let outputs: Vec<Output> = match &mut self.stage {
                Stage::Shard(shard) => {
                    shard.step(&step).into_iter().map(|one| one.output).collect()
                }
                Stage::Desk(desk) => desk.step(&step),
            };
            let outputs: Vec<Output> =
                outputs.into_iter().filter(|one| one.target == Target::Commit).collect();
            said.extend(outputs.iter().map(|output| (self.last, output.clone())));
            self.said.push(outputs);
            self.steps.push(step);
        }
        said
    }
}

/// See the top of this file.
pub struct Cluster {
    pub shards: Vec<Log>,
    pub desk: Log,
    subjects: Subjects,
    /// On their way: when they arrive, where, and what.
    mail: VecDeque<(Time, LogId, EntryKind, Bytes)>,
    sources: u64,
    /// This shard gets no settings.
    pub deaf: Option<u32>,
}

impl Cluster {
    pub fn new(shards: u32) -> Self {
        let subjects = Subjects::default();
        let shard = |shard| {
            let stage = Stage::Shard(Box::new(Shard::new(place(shard, shards), START)));
            Log::new(LogId::Shard(shard), stage)
        };
        let desk = Desk::new(subjects.clone(), shards, START);
        Self {
            shards: (0..shards).map(shard).collect(),
            desk: Log::new(LogId::Desk, Stage::Desk(Box::new(desk))),
            subjects,
            mail: VecDeque::new(),
            sources: 0,
            deaf: None,
        }
    }

    /// Lets time pass up to `time`.
    pub fn pass(&mut self, time: Time) {
        loop {
            let logs = self.shards.iter().chain([&self.desk]);
            let tick = logs.filter_map(|log| log.owed().map(|owed| (owed, log.id))).min();
            let arrives = self.mail.iter().map(|(at, ..)| *at).min();
            let next = tick.map(|(at, _)| at).into_iter().chain(arrives).min();
            if next.is_none_or(|next| next >= time) {
                return;
            }
            if arrives.is_some_and(|at| tick.is_none_or(|(tick, _)| at <= tick)) {
                let first = self.mail.iter().enumerate().min_by_key(|(at, it)| (it.0, *at));
                let first = first.map(|(at, _)| at).unwrap();
                let (at, log, kind, payload) = self.mail.remove(first).unwrap();
                self.append(log, at, kind, payload);
            } else if let Some((at, log)) = tick {
                self.append(log, at, EntryKind::Tick, Bytes::new());
            }
        }
    }

    fn log(&mut self, log: LogId) -> &mut Log {
        match log {
            LogId::Shard(shard) => &mut self.shards[shard as usize],
            LogId::Desk => &mut self.desk,
        }
    }

    fn append(&mut self, log: LogId, time: Time, kind: EntryKind, payload: Bytes) {
        let said = self.log(log).append(time, kind, payload);
        self.post(said);
    }

    fn post(&mut self, said: Vec<(Time, Output)>) {
        for (time, output) in said {
            self.sources += 1;
            let rest = output.subject.strip_prefix("ops.").unwrap();
            let (to, kind) = match rest.split('.').collect::<Vec<_>>()[..] {
                ["transition", _] => (LogId::Desk, EntryKind::Desk(DeskKind::Transition)),
                ["request", shard] => (LogId::Shard(shard.parse().unwrap()), EntryKind::Verify),
                _ => continue,
            };
            let body: Value = serde_json::from_slice(&output.payload).unwrap();
            let relayed = json!({
                "schema": 1, "subject": output.subject, "body": body,
                "source": { "stream": "events", "sequence": self.sources, "time": time },
            });
            self.mail.push_back((time.plus(ON_ITS_WAY), to, kind, relayed.to_string().into()));
        }
    }

    /// Stores something in the desk's log.
    pub fn say(&mut self, time: Time, kind: DeskKind, body: &Value) {
        self.pass(time);
        self.append(LogId::Desk, time, EntryKind::Desk(kind), body.to_string().into());
    }

    /// Stores what a shard is to have said.
    pub fn forge(&mut self, time: Time, shard: u32, body: &Value) {
        self.pass(time);
        self.sources += 1;
        let relayed = json!({
            "schema": 1, "subject": format!("ops.transition.{shard}"), "body": body,
            "source": { "stream": "events", "sequence": self.sources, "time": time },
        });
        self.say(time, DeskKind::Transition, &relayed);
    }

    /// Stores what an edge reports under this subject.
    pub fn report(&mut self, time: Time, subject: &str, body: &Value) {
        self.pass(time);
        self.sources += 1;
        let relayed = json!({
            "schema": 1, "subject": subject, "body": body,
            "source": { "stream": "outcomes", "sequence": self.sources, "time": time },
        });
        self.say(time, DeskKind::Outcome, &relayed);
    }

    /// All that was said under this subject.
    pub fn said_on(&self, subject: &str) -> Vec<Value> {
        let said = self.outputs().filter(|output| output.subject == subject);
        said.map(|output| serde_json::from_slice(&output.payload).unwrap()).collect()
    }

    /// Puts settings in force: at the desk first, a little later in the shards.
    pub fn settings(&mut self, time: Time, settings: &Settings) {
        self.pass(time);
        let payload = Bytes::from(serde_json::to_vec(settings).unwrap());
        self.append(LogId::Desk, time, EntryKind::Settings, payload.clone());
        for shard in (0..self.shards.len() as u32).filter(|shard| Some(*shard) != self.deaf) {
            let at = time.plus(Span::from_millis(10 * i64::from(shard) + 10));
            self.mail.push_back((at, LogId::Shard(shard), EntryKind::Settings, payload.clone()));
        }
    }

    pub fn sample(&mut self, time: Time, name: &str, value: f64, labels: &Value) {
        self.pass(time);
        let shard = self.subjects.shard_of(name, self.shards.len() as u32);
        let body = json!({ "name": name, "val": value, "labels": labels }).to_string();
        let kind = EntryKind::Metric(Bytes::from(name.to_owned()));
        self.append(LogId::Shard(shard), time, kind, body.into());
    }

    /// Nobody reads this shard's log from now on; entries are stored all the same.
    pub fn stop(&mut self, time: Time, shard: u32) {
        self.pass(time);
        self.shards[shard as usize].stopped = true;
    }

    /// Somebody reads it again.
    pub fn resume(&mut self, time: Time, shard: u32) {
        self.pass(time);
        let log = &mut self.shards[shard as usize];
        log.stopped = false;
        log.last = log.last.max(time);
        let said = log.read();
        self.post(said);
    }

    /// Nothing is stored anywhere until `time`: the bus is down.
    pub fn hole(&mut self, from: Time, to: Time) {
        self.pass(from);
        for log in self.shards.iter_mut().chain([&mut self.desk]) {
            log.last = log.last.max(to);
        }
        for mail in &mut self.mail {
            mail.0 = mail.0.max(to);
        }
    }

    /// Everything is taken up again from snapshots.
    pub fn restart(&mut self) {
        let shards = self.shards.len() as u32;
        for (number, log) in self.shards.iter_mut().enumerate() {
            let Stage::Shard(shard) = &log.stage else { continue };
            let place = place(number as u32, shards);
            let again = Shard::restore(place, &shard.snapshot()).unwrap();
            assert_eq!(again.snapshot(), shard.snapshot());
            log.stage = Stage::Shard(Box::new(again));
        }
        let Stage::Desk(desk) = &self.desk.stage else { return };
        let again = Desk::restore(self.subjects.clone(), shards, START, &desk.snapshot()).unwrap();
        assert_eq!(again.snapshot(), desk.snapshot());
        self.desk.stage = Stage::Desk(Box::new(again));
    }

    /// What the desk remembers.
    pub fn desk_snapshot(&self) -> Vec<Bytes> {
        let Stage::Desk(desk) = &self.desk.stage else { return Vec::new() };
        desk.snapshot()
    }

    fn outputs(&self) -> impl Iterator<Item = &Output> {
        self.shards.iter().chain([&self.desk]).flat_map(|log| log.said.iter().flatten())
    }

    /// Everything said, log by log.
    pub fn bytes(&self) -> Vec<Output> {
        self.outputs().cloned().collect()
    }

    /// All that alerts did, whoever judged.
    pub fn transitions(&self) -> Vec<Transition> {
        let said = self.outputs().filter(|output| output.subject.starts_with("ops.transition."));
        let event = |output: &Output| match serde_json::from_slice(&output.payload).unwrap() {
            ShardEvent::Transition(moved) => Some(*moved),
            _ => None,
        };
        let mut all: Vec<Transition> = said.filter_map(event).collect();
        all.sort_by_key(|moved| moved.time);
        all
    }

    /// The same as lines: `12.4 api critical ok -> firing breach fresh`, with the words of flags where they say something.
    pub fn lines(&self, rule: &str) -> Vec<String> {
        let word = |value: Value| value.as_str().unwrap_or("?").to_owned();
        let moved = self.transitions().into_iter().filter(|moved| moved.rule == rule);
        let line = |moved: Transition| {
            let group: Vec<_> = moved.group.values().map(String::as_str).collect();
            let words = [
                format!("{:.1}", moved.time.since(START).as_secs_f64()),
                group.join(","),
                format!("{} ->", word(json!(moved.from))),
                word(json!(moved.to)),
                word(json!(moved.cause)),
                word(json!(moved.data)),
            ];
            words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
        };
        moved.map(line).collect()
    }

    /// What people see of alerts, of one subject's tail or all: `fired`, `resolved`, `notice`.
    pub fn alerts(&self) -> Vec<AlertEvent> {
        let said = self.desk.said.iter().flatten();
        let said = said.filter(|output| output.subject.starts_with("ops.alert."));
        said.map(|output| serde_json::from_slice(&output.payload).unwrap()).collect()
    }
}

/// A lone worker's place.
pub fn place(shard: u32, shards: u32) -> Place {
    let (subjects, seat) = (Subjects::default(), Seat { index: 0, of: 1 });
    Place { shard, shards, created: START, subjects, seat }
}
