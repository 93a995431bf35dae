//! Random rules of one metric, and random logs for them.

use crate::shard_script::{Bench, Dice, START, rule, settings};
use bytes::Bytes;
use serde_json::{Value, json};
use stages::log::EntryKind;
use stages::settings::Rule;
use stages::time::{Span, Time};

/// What kind of numbers a log has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Profile {
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

pub fn random_log(seed: u64, profile: Profile) -> (Vec<Rule>, Bench) {
    log_of(seed, profile, |dice, profile| {
        let count = 1 + dice.roll(3);
        (0..count).map(|n| random_rule(dice, &format!("rule-{n}"), profile)).collect()
    })
}

pub fn log_of(
    seed: u64,
    profile: Profile,
    rules: impl Fn(&mut Dice, Profile) -> Vec<Rule>,
) -> (Vec<Rule>, Bench) {
    let mut dice = Dice(seed * 7 + profile as u64 + 1);
    let rules = rules(&mut dice, profile);
    let mut bench = Bench::new();
    bench.settings(START, &settings(rules.clone()));
    let mut time = START;
    let (mut counters, mut calm, mut untimed) = ([0_i64; 3], 0, false);
    for n in 0..120 + dice.roll(150) {
        let tenths = match dice.roll(30) {
            0 => 100 + dice.roll(200),
            1 | 2 => dice.roll(60),
            _ => dice.roll(5),
        };
        // As below: not two in one step that have no time of their own.
        let tenths = if untimed { tenths.max(1) } else { tenths };
        time = time.plus(Span::from_millis(tenths as i64 * 100));
        calm = if dice.roll(12) == 0 { dice.roll(3) } else { calm };
        let body = random_sample(&mut dice, profile, (time, n, calm), &mut counters);
        untimed = !body.contains("\"ts\"");
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
    let (names, percentiles): (&[&str], &[f64]) = match profile {
        Profile::Plain => (
            &["mean", "min", "max", "sum", "count", "last", "stddev", "above", "below"],
            &[50.0, 99.0, 12.5],
        ),
        Profile::Extreme => {
            (&["mean", "min", "max", "sum", "count", "last", "above", "below"], &[90.0, 10.0])
        }
        Profile::Counter | Profile::Resets => (&["rate", "rate", "count"], &[]),
    };
    let percentiles = percentiles.iter().map(|at| json!({ "percentile": at }));
    names.iter().map(|name| json!(name)).chain(percentiles).collect()
}

pub fn random_rule(dice: &mut Dice, name: &str, profile: Profile) -> Rule {
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
    let (window, fresh, mut tolerance) = (tenths(25), tenths(12), tenths(10));
    // None at all.
    if dice.roll(6) == 0 {
        tolerance = json!("0s");
    }
    let mut tenths = |most: u64| json!(Span::from_millis(100 + dice.roll(most * 10) as i64 * 100));
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
pub fn random_matchers(dice: &mut Dice) -> Value {
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

pub fn random_sample(
    dice: &mut Dice,
    profile: Profile,
    (time, number, calm): (Time, u64, u64),
    counters: &mut [i64; 3],
) -> String {
    let now = time.as_millis();
    let ordered = profile == Profile::Resets;
    // Of two values of one event time in one step the pages do not say which is the last.
    let own = |ts: i64| Some(ts / 10 * 10 + 1 + number as i64 % 9);
    let ts = match dice.roll(12) {
        _ if ordered => Some(now),
        0 => own(now - dice.roll(60_000) as i64),
        1 => own(now - dice.roll(5_000) as i64),
        2 => own(now + dice.roll(8_000) as i64),
        3 if dice.roll(4) == 0 => Some(now + 300_000 + dice.roll(3) as i64),
        4 | 5 => None,
        _ => own(now - dice.roll(400) as i64),
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
