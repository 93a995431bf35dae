//! Edits that part or join rules which looked through one window, and rules that come to series which are known.

mod shard_script;

use bytes::Bytes;
use serde_json::{Value, json};
use shard_script::{Bench, START, place, rule, settings};
use stages::log::EntryKind;
use stages::output::Output;
use stages::settings::Rule;
use stages::shard::Shard;
use stages::time::{Span, Time};
use stages::wire::{Axis, ShardEvent};

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

/// Alerts of a rule that comes to `other_ms` at twenty seconds, after samples of before, some of them late.
fn come(before: Vec<Rule>, after: &Value) -> Vec<String> {
    let mut bench = Bench::new();
    bench.settings(START, &settings(before));
    let sent = |bench: &mut Bench, stored: i64, time: i64, value: f64| {
        let time = second(time).0 / 1_000_000;
        let body = json!({ "name": "other_ms", "ts": time, "val": value });
        let kind = EntryKind::Metric(Bytes::from("other_ms"));
        bench.push(second(stored), kind, Bytes::from(body.to_string()));
    };
    sent(&mut bench, 10, 10, 100.0);
    bench.settings(second(20), &settings(vec![rule("one", after)]));
    sent(&mut bench, 21, 15, 2_000.0);
    sent(&mut bench, 25, 25, 100.0);
    bench.ticks_before(second(27));
    bench.lines()
}

#[test]
fn a_rule_that_moves_to_another_metric_sees_what_comes_after() {
    let term = json!({ "metric": "other_ms", "stat": "max", "compare": ">", "threshold": 1_000.0,
        "window": "1m", "min_samples": 1, "fresh_for": "20s" });
    let one = json!({ "metric": "other_ms" });
    let joined = json!({ "metric": "other_ms", "any_of": [[term]] });
    for after in [one, joined] {
        let moved = come(vec![rule("one", &json!({}))], &after);
        assert!(moved.iter().all(|line| !line.contains("firing")), "{after}: {moved:?}");
        // A rule nobody had before takes what its window holds.
        let new = come(Vec::new(), &after);
        assert!(new.iter().any(|line| line.contains("firing")), "{after}: {new:?}");
    }
}

/// Hosts that report before a rule comes; of them only the first goes on.
const HOSTS: u32 = 6;

#[test]
fn hosts_that_are_silent_since_a_rule_came_are_missed_in_time() {
    let mut bench = Bench::new();
    bench.settings(START, &settings(Vec::new()));
    for host in 0..HOSTS {
        bench.sample(second(1), 100.0, &json!({ "host": host.to_string() }));
    }
    let fields = json!({ "group_by": ["host"], "window": "10s", "no_data": "alert" });
    bench.settings(second(5), &settings(vec![rule("silent", &fields)]));
    (6..40).for_each(|at| bench.sample(second(at), 100.0, &json!({ "host": "0" })));
    let fired = bench.events().into_iter().filter_map(|event| match event {
        ShardEvent::Transition(moved) if moved.to == Axis::Firing => {
            Some((moved.time, moved.group["host"].clone()))
        }
        _ => None,
    });
    // A window after the rule came.
    let silent: Vec<_> = (1..HOSTS).map(|host| (second(15), host.to_string())).collect();
    assert_eq!(fired.collect::<Vec<_>>(), silent);

    // What was never looked at by then is saved and restored as well as all else, after every step.
    let mut shard = Shard::new(place(0, 1), Time(0));
    for (step, said) in bench.steps.iter().zip(&bench.outputs) {
        shard = Shard::restore(place(0, 1), &shard.snapshot()).unwrap();
        let again: Vec<Output> = shard.step(step).into_iter().map(|said| said.output).collect();
        assert_eq!(again, *said);
    }
}

/// The worst severity comes to `for` by its own clock, whatever the bounds and names beside it become.
#[test]
fn an_edit_of_severities_leaves_the_one_that_waits_its_clock() {
    let grades = |of: &[(&str, f64)]| {
        let grade =
            |(severity, bound): &(&str, f64)| json!({ "severity": severity, "bound": bound });
        let all: Vec<_> = of.iter().map(grade).collect();
        let fields = json!({
            "severity": of[0].0, "threshold": of[0].1, "grades": all, "window": "1s", "for": "10s",
        });
        rule("graded", &fields)
    };
    let before = [("warning", 100.0), ("critical", 200.0)];
    for after in [
        &[("warning", 100.0), ("critical", 250.0)][..],
        &[("warning", 150.0), ("critical", 200.0)],
        &[("info", 50.0), ("warning", 100.0), ("critical", 200.0)],
        &[("warning", 100.0), ("grave", 150.0), ("critical", 200.0), ("page", 900.0)],
    ] {
        let mut bench = Bench::new();
        bench.settings(START, &settings(vec![grades(&before)]));
        (0..8).for_each(|at| bench.sample(second(at), 300.0, &json!({})));
        bench.settings(second(8), &settings(vec![grades(after)]));
        (8..25).for_each(|at| bench.sample(second(at), 300.0, &json!({})));
        let moved = bench.events().into_iter().filter_map(|event| match event {
            ShardEvent::Transition(moved) => Some(moved),
            _ => None,
        });
        let said: Vec<_> = moved.map(|moved| (moved.time, moved.to, moved.severity)).collect();
        let worst = ("critical".to_owned(), second(10).plus(Span::from_millis(100)));
        let fired = said.iter().find(|(_, to, _)| *to == Axis::Firing).unwrap();
        assert_eq!((fired.2.clone(), fired.0), worst, "{after:?}: {said:?}");
    }
}

/// In breach where both metrics are above ten by host, of these hosts.
fn both(hosts: &str, window: &str) -> Rule {
    let term = |metric: &str| {
        json!({
            "metric": metric, "where": [{ "label": "host", "op": "=~", "value": hosts }],
            "stat": "mean", "compare": ">", "threshold": 10.0, "window": window,
            "min_samples": 1, "fresh_for": "5s",
        })
    };
    let fields = json!({
        "metric": "one", "any_of": [[term("one"), term("two")]], "threshold": 10.0,
        "window": window, "group_by": ["host"], "no_data": "alert",
    });
    rule("both", &fields)
}

/// Two hosts in breach of [`both`] for twenty seconds, another rule, and a second host that reports no more.
fn both_edited(after: Rule) -> Vec<String> {
    let mut bench = Bench::new();
    bench.settings(START, &settings(vec![both("a|b|c", "10s")]));
    let report = |bench: &mut Bench, at: i64, hosts: &[(&str, f64)]| {
        for metric in ["one", "two"] {
            for (host, value) in hosts {
                bench.sample(second(at), *value, &json!({ "__name__": metric, "host": host }));
            }
        }
    };
    (0..20).for_each(|at| report(&mut bench, at, &[("a", 20.0), ("b", 20.0), ("c", 1.0)]));
    bench.settings(second(20), &settings(vec![after]));
    (20..60).for_each(|at| report(&mut bench, at, &[("a", 20.0)]));
    let lines = bench.lines().into_iter();
    lines.skip_while(|line| !line.contains("rule_changed")).collect()
}

#[test]
fn label_sets_that_a_joined_rule_no_longer_looks_at_end() {
    let said = both_edited(both("a", "10s"));
    assert!(said[0].starts_with("20.0s a firing -> firing rule_changed"), "{said:?}");
    assert!(said[1].starts_with("20.0s b firing -> unknown rule_changed"), "{said:?}");
    assert!(said[2..].iter().all(|line| line.contains(" a firing -> firing ")), "{said:?}");
}

#[test]
fn an_edit_of_what_a_joined_rule_sees_is_no_absence() {
    let said = both_edited(both("a|b|c", "15s"));
    assert!(said[0].starts_with("20.0s a firing -> firing rule_changed"), "{said:?}");
    assert!(said[1].starts_with("20.0s b firing -> firing rule_changed"), "{said:?}");
    // What was calm is missed a window after the edit, not at once.
    let fired = said.iter().find(|line| line.contains(" c unknown -> firing no_data"));
    assert!(fired.is_some_and(|line| line.starts_with("35.0s")), "{said:?}");
}
