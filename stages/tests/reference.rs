//! The shard against a reference that keeps every sample and works every window out anew.
//!
//! The reference is written from the rules' meaning, not from the code: it holds plain lists, adds up what lies in the
//! window at each instant, and follows one alert at a time. Logs are random: late, repeated, disordered, negative
//! and extreme samples under random rules. Transitions and their evidence must be the same.
//!
//! Everything in these logs happens at whole tenths of a second of log time, as panes, clocks and steps do. So the
//! reference walks from tenth to tenth and asks at each what has changed.

mod reference_model;
mod shard_script;

use bytes::Bytes;
use reference_model::joint::Joint;
use reference_model::{Model, Row};
use serde_json::{Value, json};
use shard_script::{Bench, Dice, START, rule, settings};
use stages::log::EntryKind;
use stages::settings::{Rule, Stat};
use stages::time::{Span, Time};
use stages::wire::ShardEvent;
use std::collections::BTreeMap;

/// What kind of numbers a log has.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Profile {
    /// Small whole ones of both signs.
    Plain,
    /// From the ends of the range, too.
    Extreme,
    /// Counters that only rise, in any order.
    Counter,
    /// Counters that start again, in order.
    Resets,
}

const EXTREMES: [&str; 10] =
    ["1e300", "-1e300", "1e-300", "3", "-0.0", "1e15", "-2e12", "0.5", "7e-7", "42"];

#[test]
fn every_transition_is_what_the_raw_samples_say() {
    let mut compared = BTreeMap::new();
    for seed in 0..SEEDS {
        for profile in [Profile::Plain, Profile::Extreme, Profile::Counter, Profile::Resets] {
            let (rules, bench) = random_log(seed, profile);
            let mut model = Model::new(&rules, START);
            bench.steps.iter().for_each(|step| model.step(step));
            let found = rows(&bench);
            for (of, expected) in &model.rows {
                let found = found.get(of).map_or(&[][..], Vec::as_slice);
                let rule = rules.iter().find(|rule| rule.name == of.0).unwrap();
                same(found, expected, &format!("seed {seed} {profile:?} {of:?} {rule:?}"));
                for row in expected {
                    *compared.entry(format!("{:?}", row.cause)).or_insert(0) += 1;
                }
            }
            for of in found.keys() {
                assert!(model.rows.contains_key(of), "seed {seed} {profile:?}: {of:?} says more");
            }
        }
    }
    // The logs must reach what they are there to test.
    for cause in [
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
        "NoDataOk",
        "Absent",
        "Present",
        "Retired",
        "Flapping",
        "Severity",
    ] {
        assert!(compared.contains_key(cause), "no log reaches {cause}: {compared:?}");
    }
}

/// The same where many rules look through one view: those that are calm are passed over, and nobody may notice.
#[test]
fn many_rules_of_one_view_say_what_the_raw_samples_say_of_each() {
    let mut rows_compared = 0;
    for seed in 0..2 * SEEDS {
        for profile in [Profile::Plain, Profile::Extreme, Profile::Resets] {
            let (rules, bench) = log_of(seed, profile, alike);
            let mut model = Model::new(&rules, START);
            bench.steps.iter().for_each(|step| model.step(step));
            let found = rows(&bench);
            for (of, expected) in &model.rows {
                let found = found.get(of).map_or(&[][..], Vec::as_slice);
                same(found, expected, &format!("seed {seed} {profile:?} {of:?}"));
                rows_compared += expected.len();
            }
            assert_eq!(found.len(), model.rows.len(), "seed {seed} {profile:?}");
        }
    }
    assert!(rows_compared > 5_000, "only {rows_compared} rows");
}

/// A dozen rules that share their windows and differ in all else. One alert each: when a silent group is looked at depends
/// on all rules of its view, so of groups the model would have to know them all.
fn alike(dice: &mut Dice, profile: Profile) -> Vec<Rule> {
    let first = random_rule(dice, "rule-00", profile);
    let mut rules = vec![first.clone()];
    while rules.len() < 12 {
        let rule = random_rule(dice, &format!("rule-{:02}", rules.len()), profile);
        let shares = matches!(rule.stat, Stat::Above | Stat::Below);
        if rule.stat == first.stat {
            let threshold = if shares { first.threshold } else { rule.threshold };
            let matchers = first.matchers.clone();
            rules.push(Rule { matchers, window: first.window, threshold, ..rule });
        }
    }
    rules.iter_mut().for_each(|rule| rule.group_by.clear());
    rules
}

/// The same for rules over several metrics: ratios, joined conditions, earlier windows.
#[test]
fn every_transition_of_a_joined_rule_is_what_the_raw_samples_say() {
    let mut compared = BTreeMap::new();
    for seed in 0..2 * SEEDS {
        let (rules, bench) = joined_log(seed);
        let found = rows(&bench);
        for rule in &rules {
            let mut joint = Joint::new(rule, START);
            bench.steps.iter().for_each(|step| joint.step(step));
            for ((name, group), found) in &found {
                let said = joint.rows.contains_key(group);
                assert!(*name != rule.name || said, "seed {seed}: {group} says {found:?}");
            }
            for (group, expected) in &joint.rows {
                let of = (rule.name.clone(), group.clone());
                let found = found.get(&of).map_or(&[][..], Vec::as_slice);
                same(found, expected, &format!("seed {seed} {of:?} {rule:?}"));
                for row in expected {
                    *compared.entry(format!("{:?}", row.cause)).or_insert(0) += 1;
                    let baseline = rule.terms().any(|term| term.baseline.is_some());
                    if row.evidence.terms.iter().all(|term| term.value.is_some()) {
                        *compared.entry(format!("all valued, baseline {baseline}")).or_insert(0) +=
                            1;
                    }
                }
            }
        }
    }
    for reached in [
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
    ] {
        assert!(compared.contains_key(reached), "no log reaches {reached}: {compared:?}");
    }
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
        let tenths = match dice.roll(40) {
            0 => 60 + dice.roll(60),
            1 | 2 => dice.roll(40),
            _ => dice.roll(5),
        };
        let next = time.plus(Span::from_millis(tenths as i64 * 100));
        if grouped {
            siblings(&mut bench, time, next);
        }
        time = next;
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
        bench.push(time, EntryKind::Metric(Bytes::from(name)), Bytes::from(body.to_string()));
    }
    let end = time.plus(Span::from_secs(40));
    if grouped {
        siblings(&mut bench, time, end);
    }
    bench.ticks_before(end);
    bench.append(end, EntryKind::Tick, Bytes::new());
    (rules, bench)
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

fn joined_rule(dice: &mut Dice, name: &str, grouped: bool) -> Rule {
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

fn joined_term(dice: &mut Dice) -> Value {
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

/// Enough for every cause to be met many times.
const SEEDS: u64 = 16;

fn rows(bench: &Bench) -> BTreeMap<(String, String), Vec<Row>> {
    let mut rows: BTreeMap<(String, String), Vec<Row>> = BTreeMap::new();
    for event in bench.events() {
        let ShardEvent::Transition(it) = event else { continue };
        let group = serde_json::to_string(&it.group).unwrap();
        rows.entry((it.rule.clone(), group)).or_default().push(Row {
            time: it.time,
            from: it.from,
            to: it.to,
            cause: it.cause,
            data: it.data,
            flapping: it.flapping,
            open: it.incident.is_some(),
            severity: it.severity.clone(),
            evidence: it.evidence.clone(),
        });
    }
    rows
}

fn same(found: &[Row], expected: &[Row], what: &str) {
    for at in 0..found.len().max(expected.len()) {
        let (one, other) = (found.get(at), expected.get(at));
        let alike = matches!((one, other), (Some(one), Some(other)) if one.agrees(other));
        let before = at.checked_sub(1).and_then(|at| expected.get(at));
        assert!(
            alike,
            "{what}\nrow {at}, after {before:?}\n found    {one:?}\n expected {other:?}"
        );
    }
}

fn random_log(seed: u64, profile: Profile) -> (Vec<Rule>, Bench) {
    log_of(seed, profile, |dice, profile| {
        let count = 1 + dice.roll(3);
        (0..count).map(|n| random_rule(dice, &format!("rule-{n}"), profile)).collect()
    })
}

fn log_of(
    seed: u64,
    profile: Profile,
    rules: impl Fn(&mut Dice, Profile) -> Vec<Rule>,
) -> (Vec<Rule>, Bench) {
    let mut dice = Dice(seed * 7 + profile as u64 + 1);
    let rules = rules(&mut dice, profile);
    let mut bench = Bench::new();
    bench.settings(START, &settings(rules.clone()));
    let mut time = START;
    let (mut counters, mut calm) = ([0_i64; 3], 0);
    for n in 0..120 + dice.roll(150) {
        let tenths = match dice.roll(30) {
            0 => 100 + dice.roll(200),
            1 | 2 => dice.roll(60),
            _ => dice.roll(5),
        };
        time = time.plus(Span::from_millis(tenths as i64 * 100));
        calm = if dice.roll(12) == 0 { dice.roll(3) } else { calm };
        let body = random_sample(&mut dice, profile, (time, n, calm), &mut counters);
        let kind = EntryKind::Metric(Bytes::from_static(b"county_api_ms"));
        bench.push(time, kind, Bytes::from(body));
    }
    let end = time.plus(Span::from_secs(90));
    bench.ticks_before(end);
    bench.append(end, EntryKind::Tick, Bytes::new());
    (rules, bench)
}

/// Statistics that mean something for numbers of this kind.
fn stats_of(profile: Profile) -> Vec<Value> {
    match profile {
        Profile::Plain => vec![
            json!("mean"),
            json!("min"),
            json!("max"),
            json!("sum"),
            json!("count"),
            json!("last"),
            json!("stddev"),
            json!("above"),
            json!("below"),
            json!({ "percentile": 50.0 }),
            json!({ "percentile": 99.0 }),
            json!({ "percentile": 12.5 }),
        ],
        Profile::Extreme => vec![
            json!("mean"),
            json!("min"),
            json!("max"),
            json!("sum"),
            json!("count"),
            json!("last"),
            json!("above"),
            json!("below"),
            json!({ "percentile": 90.0 }),
            json!({ "percentile": 10.0 }),
        ],
        Profile::Counter | Profile::Resets => vec![json!("rate"), json!("rate"), json!("count")],
    }
}

fn random_rule(dice: &mut Dice, name: &str, profile: Profile) -> Rule {
    let stats = stats_of(profile);
    let stat = stats[dice.roll(stats.len() as u64) as usize].clone();
    // Off every value that can be, so that no rounding decides.
    let threshold = match stat.as_str() {
        Some("count") => dice.roll(25) as f64,
        Some("sum") => dice.roll(900) as f64 - 200.0 + 0.377,
        Some("stddev") => dice.roll(40) as f64 + 0.377,
        Some("rate") => dice.roll(60) as f64 + 0.3771,
        _ => dice.roll(110) as f64 - 30.0 + 0.377,
    };
    let ordered = [">", ">=", "<", "<="];
    let mut compare = ordered[dice.roll(4) as usize];
    let mut recover = Value::Null;
    if stat == json!("count") && dice.roll(3) == 0 {
        compare = ["==", "!="][dice.roll(2) as usize];
    } else if dice.roll(2) == 0 && stat != json!("above") && stat != json!("below") {
        let by = dice.roll(20) as f64;
        recover = json!(if compare.starts_with('>') { threshold - by } else { threshold + by });
    }
    let mut tenths = |most: u64| json!(Span::from_millis(100 + dice.roll(most * 10) as i64 * 100));
    let (window, fresh, tolerance) = (tenths(25), tenths(12), tenths(10));
    let (hold, keep, keep_max, absent) = (tenths(4), tenths(4), tenths(60), tenths(20));
    // Half of it is a clock, too.
    let flap = Span::from_millis(400 + dice.roll(250) as i64 * 200);
    let mut fields = json!({
        "stat": stat, "threshold": threshold, "compare": compare, "recover": recover,
        "window": window, "fresh_for": fresh, "gap_tolerance": tolerance, "keep_max": keep_max,
        "share": 0.05 + dice.roll(9) as f64 / 10.0, "flap_window": json!(flap),
        "min_samples": 1 + dice.roll(4),
        "no_data": (["keep", "alert", "ok"][dice.roll(3) as usize]),
        "group_by": ([json!([]), json!(["pod"]), json!(["pod", "zone"])][dice.roll(3) as usize]),
    });
    let shares = stat == json!("above") || stat == json!("below");
    if dice.roll(3) == 0 && ordered.contains(&compare) && !shares {
        let side = if compare.starts_with('>') { 1.0 } else { -1.0 };
        let (one, two) = (1 + dice.roll(20), 21 + dice.roll(20));
        let grade = |severity: &str, by: f64| json!({ "severity": severity, "bound": threshold + side * by });
        let above = [grade("warning", one as f64), grade("critical", two as f64)];
        let count = 1 + dice.roll(2) as usize;
        fields["severity"] = json!("info");
        fields["grades"] = json!([&[grade("info", 0.0)], &above[..count]].concat());
    }
    fields["where"] = random_matchers(dice);
    if dice.roll(2) == 0 {
        fields["for"] = hold;
    }
    if dice.roll(2) == 0 {
        fields["keep_firing_for"] = keep;
    }
    if dice.roll(8) == 0 && fields["grades"].is_null() {
        fields["absent"] = absent;
    }
    if dice.roll(3) == 0 {
        fields["action"] = json!({ "rollback": "P" });
        fields["action_min_samples"] = json!(1 + dice.roll(12));
    }
    rule(name, &fields)
}

/// Often none: most rules look at the whole metric.
fn random_matchers(dice: &mut Dice) -> Value {
    let matcher =
        |label: &str, op: &str, value: &str| json!({ "label": label, "op": op, "value": value });
    match dice.roll(12) {
        0 => json!([matcher("pod", "=", "1")]),
        1 => json!([matcher("pod", "!=", "0")]),
        2 => json!([matcher("pod", "=~", "0|2")]),
        3 => json!([matcher("zone", "=~", "a|")]),
        4 => json!([matcher("zone", "!~", "b|c"), matcher("pod", "!=", "2")]),
        5 => json!([matcher("nobody", "=", ""), matcher("zone", "!=", "")]),
        _ => json!([]),
    }
}

fn random_sample(
    dice: &mut Dice,
    profile: Profile,
    (time, number, calm): (Time, u64, u64),
    counters: &mut [i64; 3],
) -> String {
    let now = time.as_millis();
    let ordered = profile == Profile::Resets;
    let ts = match dice.roll(12) {
        _ if ordered => Some(now),
        0 => Some(now - dice.roll(60_000) as i64),
        1 => Some(now - dice.roll(5_000) as i64),
        2 => Some(now + dice.roll(8_000) as i64),
        3 if dice.roll(4) == 0 => Some(now + 300_000 + dice.roll(3) as i64),
        4 | 5 => None,
        _ => Some(now - dice.roll(400) as i64),
    };
    let pod = dice.roll(3);
    let at = ts.unwrap_or(now) - START.as_millis();
    let value = match profile {
        Profile::Plain => (dice.roll(90) as i64 - 30 + 40 * (calm as i64 - 1)).to_string(),
        Profile::Extreme => EXTREMES[dice.roll(EXTREMES.len() as u64) as usize].to_owned(),
        // A straight line by event time: whatever comes late lies on it.
        Profile::Counter => (1_000_000 + at * (pod as i64 + 1) * 16 / 1_000).to_string(),
        Profile::Resets => {
            let counter = &mut counters[pod as usize];
            *counter = if dice.roll(9) == 0 { 0 } else { *counter + dice.roll(30) as i64 };
            counter.to_string()
        }
    };
    let mut labels = json!({ "pod": pod.to_string() });
    if !ordered && dice.roll(3) > 0 {
        labels["zone"] = json!(["a", "b"][dice.roll(2) as usize]);
    }
    let ts = ts.map_or(String::new(), |ts| format!(",\"ts\":{ts}"));
    // Some ids come twice.
    let id = dice.roll(40);
    let id =
        if id < 8 { format!(",\"id\":\"{}\"", number - number % 6 + id) } else { String::new() };
    let kind = match profile {
        Profile::Counter | Profile::Resets => ",\"kind\":\"counter\"",
        Profile::Plain | Profile::Extreme => "",
    };
    format!("{{\"name\":\"county_api_ms\",\"val\":{value},\"labels\":{labels}{ts}{id}{kind}}}")
}
