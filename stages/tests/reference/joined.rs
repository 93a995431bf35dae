//! Rules over several metrics against the reference.

use crate::model::joints::Joints;
use crate::shard_script::{Bench, Dice, START, rule, settings};
use crate::{SEEDS, all_reached, all_same, rows, seeds};
use bytes::Bytes;
use serde_json::{Value, json};
use stages::log::EntryKind;
use stages::settings::Rule;
use stages::time::{Span, Time};
use std::collections::BTreeMap;

/// Ratios, joined conditions, earlier windows.
#[test]
fn every_transition_of_a_joined_rule_is_what_the_raw_samples_say() {
    let mut compared = BTreeMap::new();
    for seed in seeds(2 * SEEDS) {
        let (rules, bench) = joined_log(seed);
        let mut model = Joints::new(START);
        bench.steps.iter().for_each(|step| model.step(step));
        all_same(&rows(&bench), &model.rows, |of| {
            let rule = rules.iter().find(|rule| rule.name == of.0).unwrap();
            format!("seed {seed} {of:?} {rule:?}")
        });
        for ((name, _), rows) in &model.rows {
            let rule = rules.iter().find(|rule| rule.name == *name).unwrap();
            let baseline = rule.terms().any(|term| term.baseline.is_some());
            for row in rows {
                *compared.entry(format!("{:?}", row.cause)).or_insert(0) += 1;
                if row.evidence.terms.iter().all(|term| term.value.is_some()) {
                    *compared.entry(format!("all valued, baseline {baseline}")).or_insert(0) += 1;
                }
            }
        }
    }
    let wanted = [
        "FirstData",
        "Breach",
        "Held",
        "NoBreach",
        "Recovered",
        "BreachAgain",
        "StayedRecovered",
        "Gap",
        "Data",
        "NoData",
        "Retired",
        "Flapping",
        "Severity",
        "all valued, baseline true",
        "all valued, baseline false",
    ];
    all_reached(&compared, &wanted);
}

fn joined_log(seed: u64) -> (Vec<Rule>, Bench) {
    let mut dice = Dice(seed * 31 + 5);
    let grouped = seed % 2 == 1;
    let rule = |n| joined_rule(&mut dice, &format!("joined-{n}"), grouped);
    let rules: Vec<Rule> = (0..2).map(rule).collect();
    let mut bench = Bench::new();
    bench.settings(START, &settings(rules.clone()));
    let mut time = START;
    for n in 0..250 {
        time = later(&mut dice, (&mut bench, grouped), time);
        let (name, body) = sample(&mut dice, time, n);
        bench.push(time, EntryKind::Metric(Bytes::from(name)), Bytes::from(body));
    }
    end(&mut bench, grouped, time);
    (rules, bench)
}

/// When the next sample comes: mostly soon, sometimes after a silence.
pub fn later(dice: &mut Dice, (bench, grouped): (&mut Bench, bool), time: Time) -> Time {
    let tenths = match dice.roll(40) {
        0 => 60 + dice.roll(60),
        1 | 2 => dice.roll(40),
        _ => dice.roll(5),
    };
    let next = time.plus(Span::from_millis(tenths as i64 * 100));
    if grouped {
        siblings(bench, time, next);
    }
    next
}

/// Lets time pass after the last sample, until nothing more comes of it.
pub fn end(bench: &mut Bench, grouped: bool, time: Time) {
    let end = time.plus(Span::from_secs(40));
    if grouped {
        siblings(bench, time, end);
    }
    bench.ticks_before(end);
    bench.append(end, EntryKind::Tick, Bytes::new());
}

/// The `n`th sample of a log: its metric, and all of it.
pub fn sample(dice: &mut Dice, time: Time, n: u64) -> (String, String) {
    let name = format!("m{}", dice.roll(3));
    let mut body = json!({
        "name": name, "val": 1 + dice.roll(20) + 20 * (n / 60 % 2),
        "labels": { "pod": dice.roll(2).to_string(), "zone": dice.roll(2).to_string() },
    });
    match dice.roll(10) {
        0 => body["ts"] = json!(time.as_millis() - dice.roll(9_000) as i64),
        1 => body["ts"] = json!(time.as_millis() + dice.roll(3_000) as i64),
        2 => body["id"] = json!((n / 5).to_string()),
        _ => {}
    }
    (name, body.to_string())
}

/// A group that always reports: a silent one is looked at now and then only, so when it is seen to be missing would
/// depend on when the others went silent, too.
fn siblings(bench: &mut Bench, from: Time, to: Time) {
    let mut time = from;
    while time < to {
        for name in ["m0", "m1", "m2"] {
            let labels = json!({ "pod": "0", "zone": "9" });
            let body = json!({ "name": name, "val": 5, "labels": labels }).to_string();
            bench.push(time, EntryKind::Metric(Bytes::from(name)), Bytes::from(body));
        }
        time = time.plus(Span::from_millis(400));
    }
}

pub fn joined_rule(dice: &mut Dice, name: &str, grouped: bool) -> Rule {
    let lists = 1 + dice.roll(2) as usize;
    let mut any_of: Vec<Vec<Value>> = Vec::new();
    for _ in 0..lists {
        any_of.push((0..1 + dice.roll(2)).map(|_| joined_term(dice)).collect());
    }
    let mut fields = json!({
        "metric": any_of[0][0]["metric"], "any_of": any_of, "window": "5s",
        "threshold": any_of[0][0]["threshold"], "keep_max": "9s", "flap_window": "20s",
        "for": Span::from_millis(dice.roll(12) as i64 * 100),
        "keep_firing_for": Span::from_millis(dice.roll(12) as i64 * 100),
        "gap_tolerance": Span::from_millis(dice.roll(20) as i64 * 100),
        "no_data": (["keep", "alert", "ok"][dice.roll(3) as usize]),
        "group_by": if grouped { json!(["zone"]) } else { json!([]) },
    });
    if any_of.len() == 1 && any_of[0].len() == 1 {
        let first = fields["threshold"].as_f64().unwrap();
        let grade = |severity: &str, bound: f64| json!({ "severity": severity, "bound": bound });
        fields["severity"] = json!("info");
        fields["recover"] = any_of[0][0]["recover"].clone();
        fields["grades"] = json!([grade("info", first), grade("critical", first * 1.5)]);
    }
    rule(name, &fields)
}

pub fn joined_term(dice: &mut Dice) -> Value {
    let stats = ["mean", "sum", "count", "max", "min"];
    // Off every quotient of small numbers.
    let threshold = 0.3 + dice.roll(9) as f64 / 4.0 + 0.001_377;
    let mut term = json!({
        "metric": format!("m{}", dice.roll(3)), "stat": stats[dice.roll(5) as usize], "compare": ">",
        "threshold": threshold, "window": Span::from_millis(1_000 + dice.roll(40) as i64 * 100),
        "min_samples": 1 + dice.roll(3), "fresh_for": Span::from_millis(500 + dice.roll(30) as i64 * 100),
    });
    match dice.roll(3) {
        0 => term["per"] = json!(format!("m{}", dice.roll(3))),
        1 => term["baseline"] = json!(Span::from_millis(5_000 + dice.roll(50) as i64 * 100)),
        _ => term["threshold"] = json!(threshold * 12.0),
    }
    if dice.roll(3) == 0 {
        term["recover"] = json!(term["threshold"].as_f64().unwrap() * 0.9);
    }
    if dice.roll(3) == 0 {
        term["where"] = json!([{ "label": "pod", "op": "!=", "value": "1" }]);
    }
    term
}
