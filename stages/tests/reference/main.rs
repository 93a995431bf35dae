//! The shard against a reference that keeps every sample and works every window out anew.
//!
//! The reference is written from the rules' meaning, not from the code: it holds plain lists, adds up what lies in the
//! window at each instant, and follows one alert at a time. Logs are random: late, repeated, disordered, negative
//! and extreme samples under random rules. Transitions and their evidence must be the same.
//!
//! Everything in these logs happens at whole tenths of a second of log time, as panes, clocks and steps do. So the
//! reference walks from tenth to tenth and asks at each what has changed.
//!
//! ```text
//! cargo test -p stages --test reference    # OPS_SEEDS of logs for each test, from OPS_FIRST_SEED on
//! ```

mod edits;
mod joined;
mod joined_edits;
mod logs;
mod model;
#[path = "../shard_script/mod.rs"]
mod shard_script;
mod shared;

use logs::{Profile, random_log};
use model::{Model, Row};
use shard_script::{Bench, START};
use stages::wire::ShardEvent;
use std::collections::BTreeMap;
use std::ops::Range;

/// Enough for every cause to be met many times.
const SEEDS: u64 = 16;

/// As many seeds as a test wants, or as somebody asks for who hunts.
fn seeds(most: u64) -> Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let first = number("OPS_FIRST_SEED").unwrap_or(0);
    first..first + number("OPS_SEEDS").unwrap_or(most)
}

#[test]
fn every_transition_is_what_the_raw_samples_say() {
    let mut compared = BTreeMap::new();
    for seed in seeds(SEEDS) {
        for profile in [Profile::Plain, Profile::Extreme, Profile::Counter, Profile::Resets] {
            let (rules, bench) = random_log(seed, profile);
            let mut model = Model::new(START);
            bench.steps.iter().for_each(|step| model.step(step));
            all_same(&rows(&bench), &model.rows, |of| {
                let rule = rules.iter().find(|rule| rule.name == of.0).unwrap();
                format!("seed {seed} {profile:?} {of:?} {rule:?}")
            });
            for row in model.rows.values().flatten() {
                *compared.entry(format!("{:?}", row.cause)).or_insert(0) += 1;
            }
        }
    }
    let causes = [
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
    ];
    all_reached(&compared, &causes);
}

/// What was said, by rule and group.
type Rows = BTreeMap<(String, String), Vec<Row>>;

fn rows(bench: &Bench) -> Rows {
    let mut rows = Rows::new();
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
            shadow: it.shadow,
            evidence: it.evidence.clone(),
        });
    }
    rows
}

/// All of it, of every rule and group; `about` says more of the one that differs.
fn all_same(found: &Rows, expected: &Rows, about: impl Fn(&(String, String)) -> String) {
    for (of, expected) in expected {
        let found = found.get(of).map_or(&[][..], Vec::as_slice);
        same(found, expected, &about(of));
    }
    for of in found.keys() {
        assert!(expected.contains_key(of), "{}: it says more", about(of));
    }
}

/// The logs must reach what they are there to test.
fn all_reached(compared: &BTreeMap<String, u64>, wanted: &[&str]) {
    for wanted in wanted {
        assert!(compared.contains_key(*wanted), "no log reaches {wanted}: {compared:?}");
    }
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
