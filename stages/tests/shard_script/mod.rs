//! A shard under a script: entries at given times, ticks where an owner would append them.
#![allow(dead_code, reason = "each test uses a part of it")]

use bytes::Bytes;
use serde_json::{Value, json};
use stages::batch::{BatchBuilder, Sample};
use stages::dataflow::Seat;
use stages::log::{Entry, EntryKind, LogId, Step, Stepper};
use stages::output::{Output, Target};
use stages::settings::{Rule, Settings};
use stages::shard::{Place, Shard};
use stages::subject::Subjects;
use stages::time::{Span, Time};
use stages::wire::{Evidence, ShardEvent};
use std::sync::Arc;

/// Scripts begin here: a round number of every pane width.
pub const START: Time = Time::from_millis(1_699_920_000_000);

/// The owner ticks a quiet log this often.
const QUIET: Span = Span::from_secs(5);

/// The brief's rule, with `changes` to its fields.
pub fn rule(name: &str, changes: &Value) -> Rule {
    let mut fields = json!({
        "name": name, "metric": "county_api_ms", "group_by": [], "stat": "mean", "compare": ">",
        "threshold": 1000.0, "share": null, "window": "3m", "for": "0s", "recover": null,
        "keep_firing_for": "0s", "reopen_within": "0s", "min_samples": 1, "fresh_for": null,
        "gap_tolerance": null, "no_data": "keep", "keep_max": null, "absent": null,
        "flap_window": null, "severity": "critical", "unit": "ms", "action": null,
        "action_min_samples": 10, "guards": { "changed_within": null, "unless": null,
        "approve": false, "dry_run": false }, "runbook": null, "notify": [], "repeat": "4h",
        "labels": {}, "annotations": {}
    });
    for (field, value) in changes.as_object().into_iter().flatten() {
        fields[field] = value.clone();
    }
    let window = Span::parse(fields["window"].as_str().unwrap()).unwrap();
    let mut fill = |field: &str, span: Span| {
        if fields[field].is_null() {
            fields[field] = json!(span);
        }
    };
    fill("fresh_for", Span((window.0 / 3).max(10_000_000_000)));
    fill("gap_tolerance", Span(window.0 / 3));
    fill("keep_max", Span(window.0 * 5));
    fill("flap_window", Span((window.0 * 20).max(3_600_000_000_000)));
    serde_json::from_value(fields).unwrap()
}

/// Settings of these rules.
pub fn settings(rules: Vec<Rule>) -> Settings {
    let mut rules: Vec<_> = rules.into_iter().map(Arc::new).collect();
    rules.sort_by(|one, other| one.name.cmp(&other.name));
    Settings { rules, ..Settings::default() }
}

/// Worker `index` of `of` on shard 0 of 1.
pub fn place(index: usize, of: usize) -> Place {
    Place {
        shard: 0,
        shards: 1,
        created: START,
        subjects: Subjects::default(),
        seat: Seat { index, of },
    }
}

/// A small generator of numbers, so that a log is named by its seed.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// One shard, its log, and what it said.
pub struct Bench {
    pub shard: Shard,
    pub stepper: Stepper,
    pub steps: Vec<Step>,
    pub outputs: Vec<Vec<Output>>,
    sequence: u64,
    last: Time,
}

impl Bench {
    pub fn new() -> Self {
        Self {
            shard: Shard::new(place(0, 1), Time(0)),
            stepper: Stepper::new(LogId::Shard(0), Time(0)),
            steps: Vec::new(),
            outputs: Vec::new(),
            sequence: 0,
            last: START,
        }
    }

    /// Appends an entry at `time`, after the ticks an owner would have appended before it.
    pub fn push(&mut self, time: Time, kind: EntryKind, payload: Bytes) {
        self.ticks_before(time);
        self.append(time, kind, payload);
    }

    /// Lets time pass up to `time`.
    pub fn ticks_before(&mut self, time: Time) {
        while self.sequence > 0 {
            let open = self.stepper.is_open().then(|| self.stepper.boundary());
            let due = [open, self.shard.due(), Some(self.last.plus(QUIET))];
            let Some(next) = due.into_iter().flatten().min().filter(|next| *next < time) else {
                break;
            };
            self.append(next.max(self.last), EntryKind::Tick, Bytes::new());
        }
    }

    /// Appends an entry without any tick before it.
    pub fn append(&mut self, time: Time, kind: EntryKind, payload: Bytes) {
        self.sequence += 1;
        self.last = self.last.max(time);
        let mut ended = Vec::new();
        self.stepper.push(Entry { sequence: self.sequence, time, kind, payload }, &mut ended);
        for step in ended {
            let said = self.shard.step(&step);
            self.outputs.push(said.into_iter().map(|said| said.output).collect());
            self.steps.push(step);
        }
    }

    pub fn settings(&mut self, time: Time, settings: &Settings) {
        let payload = Bytes::from(serde_json::to_vec(settings).unwrap());
        self.push(time, EntryKind::Settings, payload);
    }

    pub fn sample(&mut self, time: Time, value: f64, labels: &Value) {
        let mut labels = labels.clone();
        // Another metric than the brief's, where one is said.
        let name = labels.as_object_mut().and_then(|labels| labels.remove("__name__"));
        let name =
            name.map_or("county_api_ms".to_owned(), |name| name.as_str().unwrap().to_owned());
        let body = json!({ "name": name, "val": value, "labels": labels });
        self.push(time, EntryKind::Metric(Bytes::from(name)), Bytes::from(body.to_string()));
    }

    /// Stores samples of several series as one batch entry, numbered by a client where one is named.
    pub fn batch(&mut self, time: Time, client: (&str, u64), samples: &[Sample<'_>]) {
        let mut builder = BatchBuilder::new();
        builder.section(client.0, client.1);
        samples.iter().for_each(|sample| assert!(builder.push(sample)));
        self.push(time, EntryKind::Batch, Bytes::from(builder.finish()));
    }

    /// The notices said so far: kind and subject.
    pub fn notices(&self) -> Vec<(String, String)> {
        let notice = |event| match event {
            ShardEvent::Notice(notice) => Some((notice.kind, notice.subject)),
            ShardEvent::Transition(_)
            | ShardEvent::Verified(_)
            | ShardEvent::DataGap(_)
            | ShardEvent::Glimpses(_) => None,
        };
        self.events().into_iter().filter_map(notice).collect()
    }

    /// All transitions said so far, as lines.
    pub fn lines(&self) -> Vec<String> {
        self.events().iter().map(line).collect()
    }

    /// All events said so far.
    pub fn events(&self) -> Vec<ShardEvent> {
        events(self.outputs.iter().flatten())
    }
}

/// The committed events among outputs.
pub fn events<'a>(outputs: impl IntoIterator<Item = &'a Output>) -> Vec<ShardEvent> {
    let committed = outputs.into_iter().filter(|output| output.target == Target::Commit);
    committed.map(|output| serde_json::from_slice(&output.payload).unwrap()).collect()
}

/// An event as a line of a script: time, where to, why, data, level.
pub fn line(event: &ShardEvent) -> String {
    let word = |value: Value| value.as_str().unwrap_or("?").to_owned();
    let at = |time: Time| format!("{:.1}s", time.since(START).as_secs_f64());
    match event {
        ShardEvent::Transition(moved) => {
            let moved = &**moved;
            let group: Vec<_> = moved.group.values().map(String::as_str).collect();
            let words = [
                at(moved.time),
                group.join(","),
                word(json!(moved.from)),
                "->".to_owned(),
                word(json!(moved.to)),
                word(json!(moved.cause)),
                word(json!(moved.data)),
                if moved.flapping { "flapping".to_owned() } else { String::new() },
                if moved.evidence.terms.is_empty() { String::new() } else { seen(&moved.evidence) },
                if moved.severity == "critical" {
                    String::new()
                } else {
                    format!("[{}]", moved.severity)
                },
                if moved.shadow { "shadow".to_owned() } else { String::new() },
            ];
            words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
        }
        ShardEvent::Verified(verified) => {
            let level = verified.evidence.level.map_or("-".to_owned(), |level| level.to_string());
            format!(
                "{} verified {} level {level}",
                at(verified.time),
                word(json!(verified.verdict))
            )
        }
        ShardEvent::DataGap(gap) => format!("{} data_gap {}", at(gap.to), gap.length),
        ShardEvent::Notice(notice) => format!("{} notice {}", at(notice.time), notice.kind),
        ShardEvent::Glimpses(seen) => format!("{} glimpses {}", at(seen.time), seen.parts.len()),
    }
}

/// What the terms of a joined rule saw: `2.5/100!` is a value of 2.5 over 100 samples, in breach.
fn seen(evidence: &Evidence) -> String {
    let terms = evidence.terms.iter().map(|seen| {
        let value = seen.value.map_or("-".to_owned(), |value| value.to_string());
        format!("{value}/{}{}", seen.count, if seen.breach { "!" } else { "" })
    });
    format!("({})", terms.collect::<Vec<_>>().join(" "))
}
