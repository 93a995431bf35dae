//! What a shard takes, what it refuses and says so, and what it forgets.

mod shard_script;

use bytes::Bytes;
use serde_json::json;
use shard_script::{Bench, START, place, rule, settings};
use stages::batch::{Kind, Sample};
use stages::log::EntryKind;
use stages::output::Target;
use stages::settings::Settings;
use stages::shard::Shard;
use stages::time::{Span, Time};

fn second(seconds: i64) -> Time {
    START.plus(Span::from_secs(seconds))
}

fn sample(key: &str, time: Option<Time>, value: f64) -> Sample<'_> {
    Sample { key, kind: Kind::Gauge, time, value, id: None }
}

/// A count rule over everything, so that transitions tell how much was counted.
fn counting(threshold: u32) -> Settings {
    settings(vec![rule("count", &json!({ "stat": "count", "threshold": threshold }))])
}

#[test]
fn known_series_go_on_when_a_limit_is_reached_and_people_are_told_once() {
    for shard_wide in [false, true] {
        let mut bench = Bench::new();
        let mut settings = counting(1_000_000);
        if shard_wide {
            // A shard's limit is shared out to its slices; a metric lies in one of them.
            settings.limits.series_per_shard = 24;
        } else {
            settings.limits.series_per_metric = 3;
        }
        bench.settings(START, &settings);
        for n in 0..50 {
            bench.sample(second(n), 1.0, &json!({ "pod": (n % 5).to_string() }));
        }
        bench.ticks_before(second(60));
        let counters = bench.shard.take_counters();
        assert_eq!((counters.series, counters.samples), (3, 30), "{counters:?}");
        assert_eq!(counters.refused.get("series_limit"), Some(&20), "{counters:?}");
        let about = if shard_wide { "shard 0" } else { "county_api_ms" };
        assert_eq!(bench.notices(), [("series_limit".into(), about.into())]);
        let put_aside = bench.outputs.iter().flatten();
        let put_aside = put_aside.filter(|output| output.target == Target::DeadLetter);
        assert_eq!(put_aside.count(), 20);
    }
}

#[test]
fn a_refused_revision_leaves_the_previous_in_force() {
    let mut bench = Bench::new();
    bench.settings(START, &settings(vec![rule("slow", &json!({}))]));
    let twice = Settings {
        rules: vec![rule("slow", &json!({})).into(), rule("slow", &json!({})).into()],
        ..Settings::default()
    };
    let bad = [
        Bytes::from_static(b"{"),
        Bytes::from_static(b"{\"schema\":1}"),
        Bytes::from(serde_json::to_vec(&Settings { schema: 9, ..Settings::default() }).unwrap()),
        Bytes::from(serde_json::to_vec(&twice).unwrap()),
    ];
    for (at, payload) in (1..).zip(bad.clone()) {
        bench.push(second(at), EntryKind::Settings, payload);
    }
    bench.sample(second(9), 1500.0, &json!({}));
    bench.ticks_before(second(10));
    let refused = ("settings_refused".to_owned(), "settings".to_owned());
    assert_eq!(bench.notices(), vec![refused; bad.len()]);
    assert_eq!(bench.lines().last().unwrap(), "9.1s unknown -> firing breach fresh");
}

/// Settings that need three messages: the rule that is slow is in the first.
fn in_three_parts(revision: &str) -> Vec<Bytes> {
    let long = json!({ "annotations": { "text": "x".repeat(300_000) } });
    let rules = ["a", "b", "c"].map(|name| rule(name, &long));
    let settings = Settings { revision: revision.to_owned(), ..settings(rules.into()) };
    let parts = stages::revision::parts(&settings).unwrap();
    assert_eq!(parts.len(), 3);
    parts
}

#[test]
fn a_revision_in_parts_is_in_force_at_its_last_part_whatever_lies_between() {
    let mut bench = Bench::new();
    for (at, part) in (1..).zip(in_three_parts("r1")) {
        bench.sample(second(at), 1500.0, &json!({}));
        assert!(bench.lines().is_empty(), "no rule is in force yet");
        // A snapshot here; what is restored from it goes on byte for byte.
        let mut restored = Shard::restore(place(0, 1), &bench.shard.snapshot()).unwrap();
        let before = bench.steps.len();
        bench.push(second(at), EntryKind::Settings, part);
        bench.ticks_before(second(at).plus(Span::from_millis(900)));
        let steps = bench.steps[before..].iter();
        let said = steps.map(|step| {
            restored.step(step).into_iter().map(|said| said.output).collect::<Vec<_>>()
        });
        assert_eq!(said.collect::<Vec<_>>(), bench.outputs[before..]);
        assert_eq!(restored.snapshot(), bench.shard.snapshot());
    }
    bench.sample(second(9), 1500.0, &json!({}));
    bench.ticks_before(second(10));
    assert_eq!(bench.lines().len(), 3, "{:?}", bench.lines());
    assert!(bench.notices().is_empty());
}

/// A chunk of a stream that is one chunk, as version 3 of the stages made it: the stream is compressed.
fn as_version_3(chunk: &Bytes) -> Bytes {
    let (header, body) = chunk.split_at(18);
    let packed = zstd::bulk::compress(body, 1).unwrap();
    [b"OPSS\x04", &3_u32.to_be_bytes()[..], &header[9..], &packed].concat().into()
}

#[test]
fn a_snapshot_of_the_version_before_goes_on_the_same() {
    let mut bench = Bench::new();
    bench.settings(START, &counting(3));
    for at in 1..=3 {
        bench.sample(second(at), 7.0, &json!({}));
    }
    bench.ticks_before(second(4));
    let chunks = bench.shard.snapshot();
    let old: Vec<Bytes> = chunks.iter().map(as_version_3).collect();
    assert_eq!(Shard::restore(place(0, 1), &old).unwrap().snapshot(), chunks);
    let older: Vec<Bytes> = old
        .iter()
        .map(|chunk| [&chunk[..5], &2_u32.to_be_bytes(), &chunk[9..]].concat().into())
        .collect();
    assert!(Shard::restore(place(0, 1), &older).is_err());
}

#[test]
fn mixed_and_missing_parts_are_refused_with_a_notice_and_the_previous_revision_stays() {
    let mut bench = Bench::new();
    bench.settings(START, &settings(vec![rule("slow", &json!({}))]));
    let (one, other) = (in_three_parts("r1"), in_three_parts("r2"));
    let entries = [&one[0], &one[2], &other[1], &one[0], &other[1], &other[2]];
    for (at, part) in (1..).zip(entries) {
        bench.push(second(at), EntryKind::Settings, part.clone());
    }
    bench.sample(second(9), 1500.0, &json!({}));
    bench.ticks_before(second(10));
    let refused = ("settings_refused".to_owned(), "settings".to_owned());
    assert_eq!(bench.notices(), vec![refused; 4]);
    assert_eq!(bench.shard.take_counters().refused.get("settings"), Some(&4));
    assert_eq!(bench.lines().last().unwrap(), "9.1s unknown -> firing breach fresh");
}

#[test]
fn idle_series_free_their_place_unless_something_is_open() {
    let mut bench = Bench::new();
    bench.settings(START, &settings(vec![rule("slow", &json!({ "group_by": ["pod"] }))]));
    bench.sample(second(1), 1500.0, &json!({ "pod": "firing" }));
    for n in 0..40 {
        bench.sample(second(1), 100.0, &json!({ "pod": format!("calm-{n}") }));
    }
    bench.ticks_before(second(3_500));
    assert_eq!(bench.shard.take_counters().series, 41, "not idle for an hour yet");
    bench.ticks_before(second(3_800));
    let counters = bench.shard.take_counters();
    assert_eq!((counters.series, counters.alerts), (1, [0, 0, 0, 1, 0]));
    bench.sample(second(3_801), 100.0, &json!({ "pod": "calm-7" }));
    bench.ticks_before(second(3_810));
    assert_eq!(bench.shard.take_counters().series, 2, "it comes back as a new one");
}

#[test]
fn values_no_percentile_tells_apart_are_counted_once_whoever_takes_them() {
    let percentile = |name, threshold| {
        rule(name, &json!({ "stat": {"percentile": 99.0}, "threshold": threshold }))
    };
    let mut bench = Bench::new();
    bench.settings(START, &settings(vec![percentile("a", 1e13), percentile("b", 1e14)]));
    let samples = [1e12, 1.1e12, -1e300, 5.0].map(|value| sample("county_api_ms", None, value));
    bench.batch(second(1), ("", 0), &samples);
    bench.ticks_before(second(2));
    assert_eq!(bench.shard.take_counters().clamped, 2);
    assert_eq!(bench.shard.take_counters().clamped, 0);
}

#[test]
fn a_batch_carries_timed_and_untimed_samples() {
    let mut bench = Bench::new();
    bench.settings(START, &settings(vec![rule("slow", &json!({ "window": "10s" }))]));
    let samples = [
        sample("county_api_ms", None, 1_100.0),
        sample("county_api_ms", Some(second(97)), 1_500.0),
        sample("county_api_ms", Some(second(10)), 9e9),
        sample("other_ms", None, 1.0),
    ];
    bench.batch(second(100), ("", 0), &samples);
    bench.ticks_before(second(101));
    let counters = bench.shard.take_counters();
    assert_eq!((counters.samples, counters.late), (3, 1), "{counters:?}");
    let events = bench.events();
    let stages::wire::ShardEvent::Transition(fired) = &events[0] else { panic!("{events:?}") };
    assert_eq!((fired.evidence.count, fired.evidence.value), (2, Some(1_300.0)));
}

#[test]
fn a_numbered_batch_is_applied_once() {
    let mut bench = Bench::new();
    bench.settings(START, &counting(2));
    let samples = [sample("county_api_ms", None, 1.0)];
    for number in [1, 1, 2, 1, 2] {
        bench.batch(second(number as i64), ("python-7", number), &samples);
    }
    bench.ticks_before(second(5));
    let counters = bench.shard.take_counters();
    assert_eq!((counters.samples, counters.repeated), (2, 3));
    // Another client's numbers are its own; without a number everything counts.
    bench.batch(second(6), ("python-8", 1), &samples);
    bench.batch(second(6), ("", 0), &samples);
    bench.batch(second(6), ("", 0), &samples);
    bench.ticks_before(second(7));
    assert_eq!(bench.shard.take_counters().samples, 3);
    assert_eq!(bench.lines().last().unwrap(), "6.1s ok -> firing breach fresh");
}

#[test]
fn a_samples_id_is_remembered_for_two_minutes() {
    let mut bench = Bench::new();
    bench.settings(START, &counting(1_000));
    let samples = [Sample { id: Some("a1"), ..sample("county_api_ms", None, 1.0) }];
    for at in [1, 60, 120, 121, 122] {
        bench.batch(second(at), ("", 0), &samples);
    }
    let body = json!({ "name": "county_api_ms", "val": 1, "id": "a1" }).to_string();
    let kind = EntryKind::Metric(Bytes::from_static(b"county_api_ms"));
    bench.push(second(123), kind, Bytes::from(body));
    bench.ticks_before(second(124));
    let counters = bench.shard.take_counters();
    assert_eq!((counters.samples, counters.repeated), (2, 4));
}

#[test]
fn shares_above_and_below_are_compared_with_the_share() {
    let above = json!({ "stat": "above", "threshold": 1000.0, "share": 0.5, "window": "10s" });
    let below = json!({ "stat": "below", "threshold": 1000.0, "share": 0.5, "window": "10s" });
    let mut bench = Bench::new();
    bench.settings(START, &settings(vec![rule("above", &above), rule("below", &below)]));
    for (at, value) in [(1, 2_000.0), (2, 10.0), (3, 3_000.0)] {
        bench.sample(second(at), value, &json!({}));
    }
    bench.ticks_before(second(4));
    let said: Vec<String> = bench
        .events()
        .iter()
        .map(|event| match event {
            stages::wire::ShardEvent::Transition(it) => {
                format!("{} {:?} {:?}", it.rule, it.to, it.evidence.value.unwrap())
            }
            other => panic!("{other:?}"),
        })
        .collect();
    // Half is not more than half.
    let expected =
        ["above Firing 1.0", "below Ok 0.0", "above Ok 0.5", "above Firing 0.6666666666666666"];
    assert_eq!(said, expected);
}

/// Notices after these blocks of one step: each is so many samples of one kind, `+` now, `>` far ahead, `<` long gone.
fn told_about(blocks: &[&str]) -> Vec<String> {
    let mut bench = Bench::new();
    bench.settings(START, &settings(vec![rule("slow", &json!({ "window": "10s" }))]));
    for block in blocks {
        let of = |kind: char| match kind {
            '+' => Some(second(100)),
            '>' => Some(second(10_000)),
            _ => Some(second(1)),
        };
        let samples: Vec<_> =
            block.chars().map(|kind| sample("county_api_ms", of(kind), 1.0)).collect();
        bench.batch(second(100), ("", 0), &samples);
    }
    bench.ticks_before(second(101));
    bench.notices().into_iter().map(|(kind, _)| kind).collect()
}

#[test]
fn a_source_is_told_off_only_if_every_sample_misses() {
    let (future, late) = (">".repeat(25), "<".repeat(25));
    assert_eq!(told_about(&[&future]), ["source_future"]);
    assert_eq!(told_about(&[&late]), ["source_late"]);
    assert_eq!(told_about(&[&future, &future]), ["source_future"], "once");
    // Good ones among them, before and after, and between too few on either side.
    assert!(told_about(&[&format!("+{future}")]).is_empty());
    assert!(told_about(&[&format!("{future}+")]).is_empty());
    assert!(told_about(&[&">".repeat(15), "+", &">".repeat(15)]).is_empty());
    assert_eq!(told_about(&["+", &future]), ["source_future"], "a row of its own");
}
