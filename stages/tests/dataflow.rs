//! The dataflow as a whole: the number of workers, restarts and panics of neighbours change nothing.

mod shard_script;

use bytes::Bytes;
use serde_json::{Value, json};
use shard_script::{Bench, Dice, START, rule, settings};
use stages::dataflow::{Dataflow, Feed, LogDone, LogState, Round};
use stages::log::{EntryKind, LogId, Step};
use stages::output::{Output, Target};
use stages::rollup::{RollupPack, RollupPane, Tier};
use stages::settings::Rule;
use stages::subject::Subjects;
use stages::time::{Span, Time};
use stages::wire::ShardEvent;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::channel;

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
            let mut rules: Vec<_> = rules.collect();
            rules.extend((0..6).map(|number| joined_rule(&mut dice, &format!("joined-{number}"))));
            bench.settings(time, &settings(rules));
        }
        if n % 200 == 199 {
            ask_to_verify(&mut bench, time, n);
        }
        time = time.plus(Span::from_millis(match dice.roll(200) {
            0 => 20_000,
            1 => 4_000,
            _ => dice.roll(90) as i64,
        }));
        let name = format!("m{}", dice.roll(6));
        let mut body = json!({ "name": name, "val": dice.roll(120), "labels": { "pod": dice.roll(3).to_string() } });
        if dice.roll(10) == 0 {
            // Some come twice.
            body["id"] = json!(dice.roll(100).to_string());
        }
        let kind = EntryKind::Metric(Bytes::from(name));
        bench.push(time, kind, Bytes::from(body.to_string()));
    }
    bench.steps
}

/// A rule over several metrics, which are several workers' own.
fn joined_rule(dice: &mut Dice, name: &str) -> Rule {
    let lists = 1 + dice.roll(2);
    let any_of: Vec<Vec<Value>> =
        (0..lists).map(|_| (0..1 + dice.roll(2)).map(|_| random_term(dice)).collect()).collect();
    let metric = any_of[0][0]["metric"].clone();
    let group_by = if dice.roll(2) == 0 { json!(["pod"]) } else { json!([]) };
    let mut fields = json!({
        "metric": metric, "any_of": any_of, "group_by": group_by, "window": "20s", "threshold": 1.0,
        "for": format!("{}s", dice.roll(3)), "keep_firing_for": format!("{}s", dice.roll(3)),
        "no_data": (["keep", "alert", "ok"][dice.roll(3) as usize]),
    });
    if lists == 1 && any_of[0].len() == 1 {
        fields["threshold"] = any_of[0][0]["threshold"].clone();
        let first = fields["threshold"].as_f64().unwrap();
        let grade = |severity: &str, bound: f64| json!({ "severity": severity, "bound": bound });
        fields["severity"] = json!("info");
        fields["grades"] = json!([grade("info", first), grade("critical", first + 0.3)]);
    }
    rule(name, &fields)
}

fn random_term(dice: &mut Dice) -> Value {
    let stats = ["mean", "sum", "count", "max", "min"];
    let mut term = json!({
        "metric": format!("m{}", dice.roll(6)), "stat": stats[dice.roll(5) as usize], "compare": ">",
        "threshold": 0.4 + dice.roll(10) as f64 / 5.0, "window": format!("{}s", 5 + dice.roll(15)),
        "min_samples": 1 + dice.roll(3), "fresh_for": format!("{}s", 3 + dice.roll(10)),
    });
    match dice.roll(3) {
        0 => term["per"] = json!(format!("m{}", dice.roll(6))),
        1 => term["baseline"] = json!(format!("{}s", 20 + dice.roll(20))),
        _ => {
            term["stat"] =
                [json!("rate"), json!({ "percentile": 90.0 })][dice.roll(2) as usize].clone();
            term["threshold"] = json!(dice.roll(90));
        }
    }
    if dice.roll(3) == 0 {
        term["where"] = json!([{ "label": "pod", "op": "!=", "value": "1" }]);
    }
    term
}

fn ask_to_verify(bench: &mut Bench, time: Time, number: u64) {
    let body = json!({
        "schema": 1, "source": { "stream": "events", "sequence": number, "time": time },
        "subject": "ops.request.0", "body": {
            "schema": 1, "incident": format!("i{number}"), "plan": "P",
            "rule": format!("joined-{}", number % 6), "group": { "pod": "2" }, "from": time,
            "for": "1s", "until": time.plus(Span::from_secs(8)), "min_samples": 2
        }
    });
    bench.push(time, EntryKind::Verify, Bytes::from(body.to_string()));
}

fn run(workers: usize, rounds: Vec<Vec<Feed>>) -> Vec<LogDone> {
    run_shards(workers, 1, rounds)
}

fn run_shards(workers: usize, shards: u32, rounds: Vec<Vec<Feed>>) -> Vec<LogDone> {
    let (say, hear) = channel();
    let done = move |done: stages::dataflow::Done| say.send(done).unwrap();
    let flow = Dataflow::start(workers, Subjects::default(), shards, done).unwrap();
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

/// The first difference, if there is one, and not ten thousand lines of both.
#[track_caller]
fn same(found: &[Output], expected: &[Output], what: &str) {
    let differ = |at: &usize| found.get(*at) != expected.get(*at);
    if let Some(at) = (0..found.len().max(expected.len())).find(differ) {
        let text = |output: Option<&Output>| {
            output.map_or("nothing".into(), |it| String::from_utf8_lossy(&it.payload).into_owned())
        };
        panic!(
            "{what}, {at}:\nfound    {}\nexpected {}",
            text(found.get(at)),
            text(expected.get(at))
        );
    }
}

#[test]
fn the_number_of_workers_changes_nothing() {
    for seed in 1..4 {
        let steps = random_log(seed);
        let rounds = || std::iter::once(adopt(None)).chain(steps.iter().map(feed)).collect();
        let one = committed(&run(1, rounds()));
        assert!(one.len() > 50, "the log says something: {}", one.len());
        let of_joined = one.iter().filter(|output| {
            let text = String::from_utf8_lossy(&output.payload);
            text.contains("\"rule\":\"joined-") && text.contains("\"to\":\"firing\"")
        });
        let verified = one.iter().filter(|it| it.payload.starts_with(b"{\"type\":\"verified\""));
        assert!(of_joined.count() > 10 && verified.count() > 5, "joined rules say something");
        for workers in [2, 4] {
            same(
                &committed(&run(workers, rounds())),
                &one,
                &format!("{workers} workers, seed {seed}"),
            );
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
        assert!(again.iter().all(|done| done.stopped.is_none()), "{:?}", again[0].stopped);
        same(&committed(&again), &committed(&whole[at + 1..]), &format!("after step {at}"));
    }
}

/// Logs of three shards: each has the settings and the samples of its own metrics.
fn three_logs() -> Vec<Vec<Step>> {
    let (subjects, mut dice) = (Subjects::default(), Dice(11));
    let mut benches = [Bench::new(), Bench::new(), Bench::new()];
    let rules = (0..12).map(|n| {
        let metric = format!("m{n}");
        let by = if n % 2 == 0 { json!(["pod"]) } else { json!([]) };
        let window = format!("{}s", 3 + n);
        rule(
            &format!("rule-{n}"),
            &json!({ "metric": metric, "threshold": 60, "window": window, "group_by": by }),
        )
    });
    let settings = settings(rules.collect());
    benches.iter_mut().for_each(|bench| bench.settings(START, &settings));
    for n in 0..900 {
        let time = START.plus(Span::from_millis(n * 40));
        let name = format!("m{}", dice.roll(12));
        let body = json!({ "name": name, "val": dice.roll(120), "labels": { "pod": dice.roll(3).to_string() } });
        let bench = &mut benches[subjects.shard_of(&name, 3) as usize];
        bench.push(time, EntryKind::Metric(Bytes::from(name)), Bytes::from(body.to_string()));
    }
    benches.into_iter().map(|bench| bench.steps).collect()
}

#[test]
fn three_shards_say_the_same_on_any_number_of_workers() {
    let logs = three_logs();
    let log = |shard: usize| LogId::Shard(shard as u32);
    let rounds = || {
        let state =
            |shard| LogState { log: log(shard), created: START, now: Time(0), snapshot: None };
        let mut rounds = vec![(0..3).map(|shard| Feed::Adopt(state(shard))).collect::<Vec<_>>()];
        for at in 0..logs.iter().map(Vec::len).max().unwrap() {
            let feed = |shard: usize| {
                let step = Arc::new(logs[shard].get(at)?.clone());
                Some(Feed::Step { log: log(shard), step })
            };
            rounds.push((0..3).filter_map(feed).collect());
        }
        rounds
    };
    let of = |done: &[LogDone], shard| -> Vec<Output> {
        let done: Vec<LogDone> = done.iter().filter(|done| done.log == shard).cloned().collect();
        committed(&done)
    };
    let one = run_shards(1, 3, rounds());
    for workers in [2, 4] {
        let many = run_shards(workers, 3, rounds());
        for shard in 0..3 {
            let said = of(&one, log(shard));
            assert!(said.len() > 20, "shard {shard} says something: {}", said.len());
            assert_eq!(of(&many, log(shard)), said, "shard {shard}, {workers} workers");
        }
    }
}

/// What the board has after all packs: each part of a pane once, by the position of the step that said it.
fn merged(done: &[LogDone]) -> BTreeMap<(Tier, String, Time, u64), RollupPane> {
    let mut panes = BTreeMap::new();
    let outputs = done.iter().flat_map(|done| &done.outputs);
    for output in outputs.filter(|output| output.target == Target::Rollup) {
        let pack = RollupPack::decode(&output.payload).unwrap();
        for row in pack.rows {
            for pane in row.panes {
                panes.insert((pack.tier, row.key.clone(), pane.start, pack.position), pane);
            }
        }
    }
    panes
}

#[test]
fn rollups_hold_the_same_on_any_number_of_workers() {
    let steps = random_log(5);
    let rounds = || std::iter::once(adopt(None)).chain(steps.iter().map(feed)).collect();
    let one = merged(&run(1, rounds()));
    assert!(one.len() > 500, "{}", one.len());
    for workers in [2, 4] {
        assert!(merged(&run(workers, rounds())) == one, "{workers} workers");
    }
}

#[test]
fn rollups_lose_nothing_by_a_restart() {
    let steps = random_log(9);
    let whole = run(1, std::iter::once(adopt(None)).chain(steps.iter().map(feed)).collect());
    let expected = merged(&whole);
    for at in (1..steps.len()).step_by(steps.len() / 9) {
        let (before, after) = steps.split_at(at);
        let first = std::iter::once(adopt(None)).chain(before.iter().map(feed));
        let ask = std::iter::once(vec![Feed::Snapshot(LogId::Shard(0))]);
        let mut done = run(2, first.chain(ask).collect());
        let chunks = done.last().and_then(|done| done.snapshot.clone());
        let rest = std::iter::once(adopt(chunks)).chain(after.iter().map(feed));
        done.extend(run(2, rest.collect()));
        assert!(merged(&done) == expected, "after step {at}");
    }
}

#[test]
fn rollups_of_a_metric_somebody_looks_at_carry_histograms() {
    let mut bench = Bench::new();
    bench.settings(START, &settings(vec![rule("slow", &json!({}))]));
    let second = |n| START.plus(Span::from_secs(n));
    // Three each: of one or two samples there is always a histogram.
    let three = |bench: &mut Bench, n: i64| {
        (0..3).for_each(|_| bench.sample(second(n), n as f64, &json!({})));
    };
    (0..30).for_each(|n| three(&mut bench, n));
    let look = json!({ "schema": 1, "metric": "county_api_ms" }).to_string();
    bench.push(second(30), EntryKind::Look, Bytes::from(look));
    (30..700).for_each(|n| three(&mut bench, n));
    let rounds = std::iter::once(adopt(None)).chain(bench.steps.iter().map(feed));
    let panes = merged(&run(2, rounds.collect()));
    let has = |n: i64| {
        let key = |position| (Tier::Second, "county_api_ms".to_owned(), second(n), position);
        let (_, pane) = panes.range(key(0)..=key(u64::MAX)).next().expect("a pane");
        assert_eq!(pane.count, 3);
        pane.histogram.is_some()
    };
    // Before anybody looked, while it is kept up, and when nobody has for ten minutes.
    assert_eq!([29, 31, 625, 640].map(has), [false, true, true, false]);
}

#[test]
fn a_verification_survives_a_restart() {
    let mut bench = Bench::new();
    let second = |n| START.plus(Span::from_secs(n));
    bench.settings(START, &settings(vec![rule("slow", &json!({}))]));
    let sample = |bench: &mut Bench, n: i64, value| {
        bench.sample(START.plus(Span::from_millis(n * 500)), value, &json!({}));
    };
    (0..20).for_each(|n| sample(&mut bench, n, 1500.0));
    let request = json!({
        "schema": 1, "source": { "stream": "events", "sequence": 1, "time": START },
        "subject": "ops.request.0", "body": {
            "schema": 1, "incident": "i", "plan": "P", "rule": "slow", "group": {},
            "from": second(12), "for": "10s", "until": second(300), "min_samples": 10
        }
    });
    bench.push(second(10), EntryKind::Verify, Bytes::from(request.to_string()));
    (20..80).for_each(|n| sample(&mut bench, n, 110.0));
    let steps = &bench.steps;
    let whole = run(1, std::iter::once(adopt(None)).chain(steps.iter().map(feed)).collect());
    let verified = |done: &[LogDone]| {
        let said = shard_script::events(&committed(done));
        said.iter().filter(|event| matches!(event, ShardEvent::Verified(_))).count()
    };
    assert_eq!(verified(&whole), 1);
    let asked = steps.iter().position(|step| step.ended >= second(10)).unwrap();
    for at in (asked..steps.len()).step_by(7) {
        let (before, after) = steps.split_at(at);
        let before = std::iter::once(adopt(None)).chain(before.iter().map(feed));
        let ask = std::iter::once(vec![Feed::Snapshot(LogId::Shard(0))]);
        let chunks = run(2, before.chain(ask).collect()).pop().and_then(|done| done.snapshot);
        let after = std::iter::once(adopt(chunks)).chain(after.iter().map(feed));
        let again = run(4, after.collect());
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
    assert!(done[0].stopped.is_some() && done[1].stopped.is_none());
}
