//! The level on a line is everybody's: one clock that is ahead does not take it over.

mod shard_script;

use bytes::Bytes;
use serde_json::json;
use shard_script::{Bench, START, rule, settings};
use stages::batch::{Kind, Sample};
use stages::log::EntryKind;
use stages::time::{Span, Time};
use stages::wire::ShardEvent;

fn second(seconds: i64) -> Time {
    START.plus(Span::from_secs(seconds))
}

/// Nine hosts are slow, a tenth is well and four minutes ahead: a second of all of them.
fn one_second(bench: &mut Bench, at: Time) {
    let sample = |time, value| {
        let (key, kind, time) = ("county_api_ms", Kind::Gauge, Some(time));
        Sample { key, kind, time, value, id: None }
    };
    let ahead = at.plus(Span::from_secs(240));
    let samples: Vec<_> =
        (0..9).map(|_| sample(at, 4_000.0)).chain([sample(ahead, 112.0)]).collect();
    bench.batch(at, ("", 0), &samples);
}

/// What nine hosts in ten say.
const MEAN: f64 = (9.0 * 4_000.0 + 112.0) / 10.0;

#[test]
fn a_fast_clock_is_one_of_many_to_the_level() {
    for stat in [json!("mean"), json!({ "percentile": 99.0 })] {
        let mut bench = Bench::new();
        let fields = json!({ "stat": stat, "for": "20s" });
        bench.settings(START, &settings(vec![rule("slow", &fields)]));
        (1..40).for_each(|at| one_second(&mut bench, second(at)));
        let events = bench.events();
        let Some(ShardEvent::Transition(fired)) = events.last() else { panic!("{events:?}") };
        assert_eq!(
            (fired.evidence.level, fired.evidence.value > Some(3_900.0)),
            (Some(MEAN), true)
        );
    }
}

#[test]
fn a_fast_clock_is_one_of_many_to_a_verification() {
    let mut bench = Bench::new();
    bench.settings(START, &settings(vec![rule("slow", &json!({}))]));
    let request = json!({
        "schema": 1, "source": { "stream": "events", "sequence": 1, "time": START },
        "subject": "ops.request.0", "body": {
            "schema": 1, "incident": "i", "plan": "P", "rule": "slow", "group": {},
            "from": second(1), "for": "10s", "until": second(30), "min_samples": 10
        }
    });
    bench.push(START, EntryKind::Verify, Bytes::from(request.to_string()));
    (1..40).for_each(|at| one_second(&mut bench, second(at)));
    let level = bench.events().into_iter().find_map(|event| match event {
        ShardEvent::Verified(verified) => verified.evidence.level,
        ShardEvent::Transition(_)
        | ShardEvent::DataGap(_)
        | ShardEvent::Notice(_)
        | ShardEvent::Glimpses(_) => None,
    });
    assert_eq!(level, Some(MEAN));
}
