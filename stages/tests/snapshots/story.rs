//! The log that snapshots are taken in the middle of: rules of every form, and samples that keep them speaking.

use crate::kept::{self, Played};
use crate::shard_script::{Bench, Dice, START, rule, settings};
use bytes::Bytes;
use serde_json::{Value, json};
use stages::log::EntryKind;
use stages::settings::Rule;
use stages::time::{Span, Time};

/// Tenths of a second: the log's end, the moment of the snapshot, and edits of the rules shortly before and well after it.
const END: i64 = 1_400;
const CUT: i64 = 860;
const EDIT: i64 = 840;
const LATER_EDIT: i64 = 1_250;

pub fn play() -> Played {
    let fields = single().into_iter().chain(joined());
    let mut rules: Vec<Rule> = fields.map(|(name, fields)| rule(name, &fields)).collect();
    let (mut bench, mut dice) = (Bench::new(), Dice(7));
    let (mut chunks, mut before) = (Vec::new(), 0);
    bench.settings(START, &settings(rules.clone()));
    for tenth in 1..END {
        samples(&mut bench, &mut dice, tenth);
        let time = moment(tenth);
        if tenth == CUT - 50 {
            bench.push(time, EntryKind::Verify, verify(time).to_string().into());
        }
        if tenth == EDIT {
            rules = edited(rules);
            bench.settings(time, &settings(rules.clone()));
        }
        if tenth == LATER_EDIT {
            rules = edited_later(rules);
            bench.settings(time, &settings(rules.clone()));
        }
        if tenth == CUT {
            bench.ticks_before(time);
            bench.append(time, EntryKind::Tick, Bytes::new());
            (chunks, before) = (bench.shard.snapshot(), bench.steps.len());
        }
    }
    let said = bench.outputs.iter().map(kept::said);
    let steps = bench.steps.iter().cloned().zip(said).skip(before).collect();
    Played { version: stages::VERSION.into(), chunks, steps }
}

fn moment(tenth: i64) -> Time {
    START.plus(Span::from_millis(tenth * 100))
}

/// Latencies in waves of three pods, one of which is away for a minute; a gauge, a counter, and a beat that stops.
fn samples(bench: &mut Bench, dice: &mut Dice, tenth: i64) {
    let mut push = |name: &str, body: Value| {
        let kind = EntryKind::Metric(Bytes::from(name.to_owned()));
        bench.push(moment(tenth), kind, body.to_string().into());
    };
    let wave = if tenth / 170 % 2 == 0 { 20 } else { 55 };
    if tenth % 4 == 0 {
        let (pod, value) = (dice.roll(3), wave + dice.roll(50));
        // Every second one repeats the id before it.
        let body = json!({"name": "county_api_ms", "val": value, "labels": {"pod": pod.to_string()},
            "id": (tenth / 8).to_string()});
        if pod != 2 || !(700..1_200).contains(&tenth) {
            push("county_api_ms", body);
        }
    }
    if [870, 880, 890].contains(&tenth) {
        // Late, from before the edit: whether a rule counts it is in the snapshot.
        let seconds = moment(EDIT - 10).0 / 1_000_000_000;
        push(
            "county_api_ms",
            json!({"name": "county_api_ms", "val": 300, "ts": seconds,
            "labels": {"pod": "0"}}),
        );
    }
    if tenth % 7 == 0 {
        let labels = json!({"pod": dice.roll(3).to_string()});
        let calls = tenth * (8 + tenth / 300);
        for (name, value, kind) in
            [("other_ms", dice.roll(60) as i64, "gauge"), ("calls_total", calls, "counter")]
        {
            push(name, json!({"name": name, "val": value, "labels": labels, "kind": kind}));
        }
    }
    if tenth % 11 == 0 && !(600..1_150).contains(&tenth) {
        push("beat", json!({"name": "beat", "val": 1}));
    }
}

/// A verification that is waited for where the snapshot is taken.
fn verify(from: Time) -> Value {
    let source = json!({"stream": "events", "sequence": 1, "time": from});
    json!({"schema": 1, "source": source, "subject": "ops.request.0", "body": {
        "schema": 1, "incident": "slow", "plan": "P", "rule": "slow", "group": {}, "from": from,
        "for": "8s", "until": from.plus(Span::from_secs(20)), "min_samples": 10}})
}

/// Rules about one metric.
fn single() -> Vec<(&'static str, Value)> {
    vec![
        (
            "slow",
            json!({"threshold": 60.0, "window": "20s", "for": "3s", "keep_firing_for": "8s",
                "action": {"rollback": "P"}}),
        ),
        ("waits", json!({"threshold": 30.0, "window": "20s", "for": "95s"})),
        ("flaps", json!({"stat": "last", "threshold": 50.0, "window": "5s", "flap_window": "60s"})),
        (
            "tail",
            json!({"stat": {"percentile": 90.0}, "threshold": 80.0, "window": "30s",
                "group_by": ["pod"]}),
        ),
        (
            "share",
            json!({"stat": "above", "threshold": 50.0, "share": 0.4, "window": "30s",
                "group_by": ["pod"]}),
        ),
        (
            "rate",
            json!({"metric": "calls_total", "stat": "rate", "threshold": 12.0, "window": "20s",
                "group_by": ["pod"]}),
        ),
        (
            "spread",
            json!({"stat": "stddev", "threshold": 20.0, "window": "8s", "flap_window": "20s"}),
        ),
        ("moves", json!({"metric": "other_ms", "threshold": 60.0, "window": "15s"})),
        ("quiet", json!({"metric": "beat", "absent": "15s", "window": "10s"})),
        (
            "gone",
            json!({"metric": "beat", "threshold": 0.5, "window": "10s", "no_data": "alert",
                "for": "4s"}),
        ),
        ("kept", json!({"metric": "beat", "threshold": 0.5, "window": "6s", "keep_max": "20s"})),
        (
            "eases",
            json!({"threshold": 60.0, "recover": 50.0, "window": "8s", "keep_firing_for": "20s"}),
        ),
        (
            "graded",
            json!({"threshold": 30.0, "window": "12s", "for": "6s", "severity": "warning",
                "grades": [{"severity": "warning", "bound": 30.0},
                    {"severity": "critical", "bound": 60.0}]}),
        ),
        (
            "shadow",
            json!({"threshold": 50.0, "window": "10s", "mode": "shadow", "flap_window": "30s",
                "where": [{"label": "pod", "op": "!=", "value": "1"}]}),
        ),
    ]
}

/// Rules of several conditions, about a ratio, or against a window earlier.
fn joined() -> Vec<(&'static str, Value)> {
    let api = |more| term("county_api_ms", &more);
    let other = |more| term("other_ms", &more);
    let ratio = |window: &str| {
        other(json!({"per": "county_api_ms", "stat": "sum", "threshold": 0.45, "window": window}))
    };
    let all = json!([[api(json!({})), other(json!({"threshold": 20.0}))]]);
    let any = json!([[api(json!({"threshold": 70.0}))], [other(json!({"threshold": 35.0}))]]);
    let earlier = json!({"baseline": "30s", "window": "10s", "threshold": 1.4});
    let over = json!({"stat": "above", "threshold": 50.0, "share": 0.5, "recover": 0.3});
    let joined = |any_of: Value, more: Value| {
        let mut fields = json!({"metric": any_of[0][0]["metric"], "window": "15s"});
        fields["any_of"] = any_of;
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        fields
    };
    vec![
        ("all", joined(all, json!({"group_by": ["pod"]}))),
        ("any", joined(any, json!({"for": "1s", "keep_firing_for": "4s", "flap_window": "20s"}))),
        ("ratio", joined(json!([[ratio("15s")]]), json!({"for": "5s"}))),
        (
            "burns",
            joined(
                json!([[ratio("24s"), ratio("3s")], [ratio("60s"), ratio("6s")]]),
                json!({"severity": "warning", "for": "2s", "flap_window": "20s"}),
            ),
        ),
        ("earlier", joined(json!([[api(earlier)]]), json!({}))),
        ("over", joined(json!([[api(over), other(json!({"threshold": 5.0}))]]), json!({}))),
    ]
}

/// A condition on `metric`, with `changes` to its fields.
fn term(metric: &str, changes: &Value) -> Value {
    let mut fields = json!({"metric": metric, "stat": "mean", "compare": ">", "threshold": 50.0,
        "window": "15s", "min_samples": 1, "fresh_for": "5s"});
    fields.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    fields
}

/// What the snapshot holds in the making: a window that has just become shorter than its neighbours', a rule that looks
/// elsewhere, and a new one, one group of which is away.
fn edited(mut rules: Vec<Rule>) -> Vec<Rule> {
    for rule in &mut rules {
        match rule.name.as_str() {
            "share" => rule.window = Span::from_secs(25),
            "moves" => (rule.metric, rule.threshold) = ("county_api_ms".to_owned(), 90.0),
            _ => {}
        }
    }
    let fields = json!({"stat": "max", "threshold": 98.0, "window": "20s", "group_by": ["pod"]});
    rules.push(rule("newer", &fields));
    rules
}

fn edited_later(mut rules: Vec<Rule>) -> Vec<Rule> {
    for rule in &mut rules {
        rule.annotations.insert("summary".to_owned(), "edited".to_owned());
        match rule.name.as_str() {
            "waits" => rule.hold = Span::from_secs(20),
            "slow" => rule.threshold = 40.0,
            "flaps" => rule.threshold = 200.0,
            "moves" => rule.threshold = 50.0,
            _ => {}
        }
    }
    rules
}
