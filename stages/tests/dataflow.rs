//! The dataflow as a whole: the number of workers, restarts and panics of neighbours change nothing.

mod shard_script;

use bytes::Bytes;
use serde_json::json;
use shard_script::{Bench, START, rule, settings};
use stages::dataflow::{Dataflow, Feed, LogDone, LogState, Round};
use stages::log::{EntryKind, LogId, Step};
use stages::output::{Output, Target};
use stages::subject::Subjects;
use stages::time::{Span, Time};
use std::sync::Arc;
use std::sync::mpsc::channel;

/// A small generator of numbers, so that a log is named by its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// A random log with many metrics, rules of every statistic, and edits half-way.
fn random_log(seed: u64) -> Vec<Step> {
    let (mut dice, mut bench) = (Dice(seed), Bench::new());
    let stats = ["mean", "max", "sum", "count", "rate", "last", "stddev", "min"];
    let mut time = START;
    for n in 0..2_000 {
        if n % 700 == 0 {
            let rules = (0..12).map(|number| {
                let name = format!("rule-{number}");
                let group_by = if dice.roll(2) == 0 { json!(["pod"]) } else { json!([]) };
                let stat = match dice.roll(10) {
                    8 => json!({ "percentile": 90.0 }),
                    9 => json!("max"),
                    at => json!(stats[at as usize]),
                };
                rule(&name, &json!({
                    "metric": format!("m{}", dice.roll(6)), "threshold": dice.roll(100),
                    "window": format!("{}s", 5 + dice.roll(20)), "for": format!("{}s", dice.roll(4)),
                    "keep_firing_for": format!("{}s", dice.roll(3)), "group_by": group_by, "stat": stat,
                    "no_data": (["keep", "alert", "ok"][dice.roll(3) as usize]),
                }))
            });
            bench.settings(time, &settings(rules.collect()));
        }
        time = time.plus(Span::from_millis(match dice.roll(200) {
            0 => 20_000,
            1 => 4_000,
            _ => dice.roll(90) as i64,
        }));
        let name = format!("m{}", dice.roll(6));
        let body = json!({ "name": name, "val": dice.roll(120), "labels": { "pod": dice.roll(3).to_string() } });
        let kind = EntryKind::Metric(Bytes::from(name));
        bench.push(time, kind, Bytes::from(body.to_string()));
    }
    bench.steps
}

fn run(workers: usize, rounds: Vec<Vec<Feed>>) -> Vec<LogDone> {
    let (say, hear) = channel();
    let done = move |done: stages::dataflow::Done| say.send(done).unwrap();
    let flow = Dataflow::start(workers, Subjects::default(), 1, done).unwrap();
    let count = rounds.len();
    for (number, feeds) in (1..).zip(rounds) {
        flow.feed(Round { number, feeds });
    }
    flow.stop();
    let all: Vec<_> = hear.iter().collect();
    assert_eq!(
        all.iter().map(|done| done.round).collect::<Vec<_>>(),
        (1..=count as u64).collect::<Vec<_>>()
    );
    all.into_iter().flat_map(|done| done.logs).collect()
}

fn adopt(snapshot: Option<Vec<Bytes>>) -> Vec<Feed> {
    let log = LogId::Shard(0);
    vec![Feed::Adopt(LogState { log, created: START, now: Time(0), snapshot })]
}

fn feed(step: &Step) -> Vec<Feed> {
    vec![Feed::Step { log: LogId::Shard(0), step: Arc::new(step.clone()) }]
}

fn committed(done: &[LogDone]) -> Vec<Output> {
    let outputs = done.iter().flat_map(|done| &done.outputs);
    outputs.filter(|output| output.target == Target::Commit).cloned().collect()
}

#[test]
fn the_number_of_workers_changes_nothing() {
    for seed in 1..4 {
        let steps = random_log(seed);
        let rounds = || std::iter::once(adopt(None)).chain(steps.iter().map(feed)).collect();
        let one = committed(&run(1, rounds()));
        assert!(one.len() > 50, "the log says something: {}", one.len());
        for workers in [2, 4] {
            assert_eq!(committed(&run(workers, rounds())), one, "{workers} workers, seed {seed}");
        }
    }
}

#[test]
fn a_restored_shard_goes_on_byte_for_byte() {
    let steps = random_log(7);
    let whole = run(1, std::iter::once(adopt(None)).chain(steps.iter().map(feed)).collect());
    for at in (1..steps.len()).step_by(steps.len() / 12) {
        let (before, after) = steps.split_at(at);
        let mut rounds: Vec<_> =
            std::iter::once(adopt(None)).chain(before.iter().map(feed)).collect();
        rounds.push(vec![Feed::Snapshot(LogId::Shard(0))]);
        let chunks = run(2, rounds).pop().and_then(|done| done.snapshot).expect("asked for");
        assert!(chunks.iter().all(|chunk| chunk.len() <= 512 << 10));
        let rounds = std::iter::once(adopt(Some(chunks))).chain(after.iter().map(feed));
        let again = run(4, rounds.collect());
        assert!(again.iter().all(|done| done.poisoned.is_none()), "{:?}", again[0].poisoned);
        assert_eq!(committed(&again), committed(&whole[at + 1..]), "after step {at}");
    }
}

#[test]
fn a_damaged_snapshot_poisons_its_log_alone() {
    let chunks = Some(vec![Bytes::from_static(b"OPSS")]);
    let bad = LogState { log: LogId::Shard(0), created: START, now: Time(0), snapshot: chunks };
    let good = LogState { log: LogId::Desk, created: START, now: Time(0), snapshot: None };
    let done = run(2, vec![vec![Feed::Adopt(bad), Feed::Adopt(good)], Vec::new()]);
    assert_eq!(done.len(), 2);
    assert!(done[0].poisoned.is_some() && done[1].poisoned.is_none());
}
