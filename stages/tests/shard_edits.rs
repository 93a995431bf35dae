//! Edits that part or join rules which looked through one window.

mod shard_script;

use serde_json::json;
use shard_script::{Bench, START, rule, settings};
use stages::settings::Rule;
use stages::time::{Span, Time};
use stages::wire::ShardEvent;

fn second(seconds: i64) -> Time {
    START.plus(Span::from_secs(seconds))
}

/// Breaches where more than half of the calls of half a minute took longer than `threshold`.
fn share(name: &str, threshold: f64) -> Rule {
    let fields = json!({ "stat": "above", "threshold": threshold, "share": 0.5, "window": "30s" });
    rule(name, &fields)
}

/// Slow calls under both rules, then rules of these thresholds; what alerts do afterwards, with samples in the window.
fn edited(one: f64, other: f64) -> Vec<(String, Option<f64>, u64)> {
    let mut bench = Bench::new();
    bench.settings(START, &settings(vec![share("one", 1_000.0), share("other", 1_000.0)]));
    (0..20).for_each(|at| bench.sample(second(at), 2_000.0, &json!({})));
    bench.settings(second(20), &settings(vec![share("one", one), share("other", other)]));
    bench.ticks_before(second(22));
    let moved = |event| match event {
        ShardEvent::Transition(moved) if moved.time >= second(20) => Some(moved),
        ShardEvent::Transition(_)
        | ShardEvent::Verified(_)
        | ShardEvent::DataGap(_)
        | ShardEvent::Notice(_)
        | ShardEvent::Glimpses(_) => None,
    };
    let moved = bench.events().into_iter().filter_map(moved);
    moved.map(|moved| (moved.rule, moved.evidence.value, moved.evidence.count)).collect()
}

#[test]
fn rules_that_part_keep_their_panes() {
    // Said under the rule as it was, and no more: what fires goes on.
    for (one, other) in [(1_000.0, 500.0), (500.0, 1_000.0), (500.0, 800.0)] {
        let said = edited(one, other);
        let changed = usize::from(one != 1_000.0) + usize::from(other != 1_000.0);
        assert_eq!(said.len(), changed, "{said:?}");
        assert!(said.iter().all(|(_, value, count)| (*value, *count) == (Some(1.0), 20)));
    }
}

#[test]
fn rules_that_part_judge_by_what_they_kept() {
    let said = edited(1_000.0, 5_000.0);
    let rules: Vec<&str> = said.iter().map(|(rule, ..)| rule.as_str()).collect();
    assert_eq!(rules, ["other", "other"], "changed and recovered: {said:?}");
    assert_eq!((said[1].1, said[1].2), (Some(0.0), 20));
}
