//! What somebody can do to a shard who puts ids into names: nothing that lasts, and people hear of it once.

mod shard_script;

use bytes::Bytes;
use serde_json::json;
use shard_script::{Bench, START, place, rule, settings};
use stages::batch::{Kind, Sample};
use stages::decode::parse_samples;
use stages::log::EntryKind;
use stages::output::{Output, Target};
use stages::settings::Settings;
use stages::shard::{SLICES, Said, Shard};
use stages::time::{Span, Time};

fn second(seconds: i64) -> Time {
    START.plus(Span::from_secs(seconds))
}

/// Three series a slice.
fn tight() -> Settings {
    let mut settings = settings(vec![rule("slow", &json!({}))]);
    settings.limits.series_per_shard = 3 * SLICES as u32;
    settings
}

/// One sample of a metric nobody has heard of.
fn newcomer(bench: &mut Bench, at: Time, number: i64) {
    let name = format!("request_{number}_ms");
    let body = json!({ "name": name, "val": 1 }).to_string();
    bench.push(at, EntryKind::Metric(Bytes::from(name)), Bytes::from(body));
}

/// So many of them within these seconds, and a rule that goes on meanwhile.
fn flood(bench: &mut Bench, seconds: std::ops::Range<i64>, each: i64) {
    for at in seconds {
        bench.sample(second(at), 1_500.0, &json!({}));
        (0..each).for_each(|n| newcomer(bench, second(at), at * each + n));
    }
}

#[test]
fn ids_in_names_leave_nothing_behind_and_are_told_once_a_slice() {
    let mut bench = Bench::new();
    bench.settings(START, &tight());
    bench.sample(second(1), 1_500.0, &json!({}));
    // Every slice fills up, the sweep comes by, and it goes on.
    flood(&mut bench, 2..50, 20);
    let before = bench.shard.snapshot().iter().map(Bytes::len).sum::<usize>();
    flood(&mut bench, 50..55, 1_000);
    let after = bench.shard.snapshot().iter().map(Bytes::len).sum::<usize>();
    assert!(after < before + 500, "{before} bytes became {after}");
    flood(&mut bench, 55..200, 20);
    assert_eq!(bench.notices(), vec![("series_limit".into(), "shard 0".into()); SLICES]);
    assert_eq!(bench.shard.take_counters().series, 3 * SLICES as u64);
    assert_eq!(bench.lines()[0], "1.1s unknown -> firing breach fresh");
    bench.ticks_before(second(800));
    assert!(bench.lines().last().unwrap().contains("no_data"), "the alert lived on");
}

#[test]
fn people_are_told_again_once_there_was_room_for_an_hour() {
    let mut bench = Bench::new();
    bench.settings(START, &tight());
    flood(&mut bench, 1..10, 20);
    assert_eq!(bench.notices().len(), SLICES);
    // The series are idle after an hour, and there is room for an hour after that; the known one goes on.
    for at in (10..6_000).step_by(5) {
        bench.sample(second(at), 1.0, &json!({}));
    }
    flood(&mut bench, 6_000..6_010, 20);
    assert_eq!(bench.notices().len(), SLICES, "room for less than an hour");
    for at in (6_010..14_000).step_by(5) {
        bench.sample(second(at), 1.0, &json!({}));
    }
    flood(&mut bench, 14_000..14_010, 20);
    assert_eq!(bench.notices().len(), 2 * SLICES);
}

#[test]
fn what_is_said_of_limits_depends_neither_on_workers_nor_on_restarts() {
    let mut bench = Bench::new();
    bench.settings(START, &tight());
    flood(&mut bench, 1..70, 10);
    flood(&mut bench, 3_900..3_910, 10);
    let mut workers = [0, 1, 2].map(|index| Shard::new(place(index, 3), Time(0)));
    for (number, (step, said)) in bench.steps.iter().zip(&bench.outputs).enumerate() {
        let mut all: Vec<Said> = workers.iter_mut().flat_map(|worker| worker.step(step)).collect();
        all.sort_by(|one, other| one.turn.cmp(&other.turn));
        // Rollups come in packs by worker.
        let told = |output: &Output| output.target != Target::Rollup;
        let all: Vec<_> = all.into_iter().map(|said| said.output).filter(told).collect();
        let said: Vec<_> = said.iter().filter(|output| told(output)).cloned().collect();
        assert_eq!(all, said, "step {number}");
        if number % 100 == 50 {
            let chunks: Vec<Bytes> = workers.iter().flat_map(Shard::snapshot).collect();
            workers = [0, 1, 2].map(|index| Shard::restore(place(index, 3), &chunks).unwrap());
        }
    }
}

/// What was put aside of each dead letter so far: subject, and the samples as they read.
fn letters(bench: &Bench) -> Vec<(&str, Vec<String>)> {
    let letters = bench.outputs.iter().flatten();
    let letters = letters.filter(|output| output.target == Target::DeadLetter);
    let read = |output: &'_ Output| {
        let samples = parse_samples(&output.payload);
        let samples = samples.into_iter().map(|sample| {
            let sample = sample.unwrap();
            let at = sample.time.map(|time| time.since(START).as_secs_f64());
            format!("{} {:?} {at:?} {} {:?}", sample.name, sample.kind, sample.value, sample.id)
        });
        samples.collect()
    };
    letters.map(|output| (output.subject.as_str(), read(output))).collect()
}

#[test]
fn every_refused_sample_of_a_block_is_counted_and_some_are_kept_whole() {
    let mut bench = Bench::new();
    bench.settings(START, &settings(vec![rule("slow", &json!({}))]));
    let far = |n: i64| Sample {
        key: "county_api_ms",
        kind: Kind::Counter,
        time: Some(second(9_000 + n)),
        value: 4.5,
        id: Some("7f"),
    };
    let good = Sample { time: None, id: None, kind: Kind::Gauge, key: "other_ms", value: 1.0 };
    let samples: Vec<_> = (0..250).map(far).chain([good]).collect();
    bench.batch(second(1), ("", 0), &samples);
    bench.ticks_before(second(2));
    let counters = bench.shard.take_counters();
    assert_eq!(counters.refused.get("too_far_future"), Some(&250), "{counters:?}");
    assert_eq!(counters.samples, 1, "its neighbour");
    let letters = letters(&bench);
    let [(subject, kept)] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!((*subject, kept.len()), ("ops.deadletter.too_far_future", 100));
    assert_eq!(kept[99], "county_api_ms Counter Some(9099.0) 4.5 Some(\"7f\")");
}

#[test]
fn series_refused_in_a_batch_are_counted_told_once_and_kept() {
    let mut bench = Bench::new();
    let mut settings = settings(vec![rule("slow", &json!({}))]);
    settings.limits.series_per_metric = 2;
    bench.settings(START, &settings);
    let keys: Vec<String> = (0..5).map(|n| format!("county_api_ms\u{1f}pod\u{1e}{n}")).collect();
    let sample = |key| Sample { key, kind: Kind::Counter, time: None, value: 1.0, id: Some("7f") };
    let samples: Vec<_> = keys.iter().map(|key| sample(key)).collect();
    // The second time the table is known.
    for at in [1, 2] {
        bench.batch(second(at), ("", 0), &samples);
    }
    bench.ticks_before(second(3));
    let counters = bench.shard.take_counters();
    assert_eq!(counters.refused.get("series_limit"), Some(&6), "{counters:?}");
    assert_eq!(bench.notices(), [("series_limit".into(), "county_api_ms".into())]);
    let one = "county_api_ms Counter None 1 Some(\"7f\")".to_owned();
    let letter = ("ops.deadletter.series_limit", vec![one; 3]);
    assert_eq!(letters(&bench), [letter.clone(), letter]);
}

#[test]
fn a_batch_of_ids_for_names_costs_a_letter_a_slice() {
    let mut bench = Bench::new();
    bench.settings(START, &tight());
    let keys: Vec<String> = (0..3_000).map(|n| format!("request_{n}_ms")).collect();
    let sample = |key| Sample { key, kind: Kind::Gauge, time: None, value: 1.0, id: None };
    let samples: Vec<_> = keys.iter().map(|key| sample(key)).collect();
    bench.batch(second(1), ("", 0), &samples);
    bench.ticks_before(second(2));
    let known = 3 * SLICES as u64;
    let counters = bench.shard.take_counters();
    assert_eq!(counters.series, known);
    assert_eq!(counters.refused.get("series_limit"), Some(&(3_000 - known)));
    assert_eq!(bench.notices().len(), SLICES);
    let kept: Vec<usize> = letters(&bench).iter().map(|(_, samples)| samples.len()).collect();
    assert_eq!(kept, [100; SLICES]);
}
