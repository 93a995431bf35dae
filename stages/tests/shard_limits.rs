//! What somebody can do to a shard who puts ids into names: nothing that lasts, and people hear of it once.

mod shard_script;

use bytes::Bytes;
use serde_json::json;
use shard_script::{Bench, START, place, rule, settings};
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
