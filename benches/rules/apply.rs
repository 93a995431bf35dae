//! A revision of ten thousand rules comes into force while samples run: how long its step takes, and those after it.

use crate::fleet;
use crate::scale::House;
use crate::support::machine::StepTook;
use crate::support::table::{Goal, Table, short};
use stages::settings::{Rule, Settings};
use std::time::Duration;

/// Steps after it that may still be long: the series' ways are looked up anew in the next second.
const AFTER: usize = 20;
const RUNS: usize = 3;

/// What an edit does to rule number `at`.
type Change = fn(usize, &mut Rule);

/// The edits, each from the same ten thousand rules.
const EDITS: [(&str, Change); 4] = [
    ("nothing changed in 10 000 rules", |_, _| ()),
    ("one text changed in one of 10 000", |at, rule| {
        if at == 5_001 {
            rule.annotations.insert("summary".to_owned(), "another".to_owned());
        }
    }),
    ("one threshold changed in one of 10 000", |at, rule| {
        if at == 5_001 {
            rule.threshold += 100.0;
        }
    }),
    ("threshold changed in all 10 000", |_, rule| rule.threshold += 100.0),
];

/// The longest step of each.
pub fn measure(table: &mut Table) {
    let rules = fleet::settings("before", |_, _| ());
    let none = Settings { revision: "none".to_owned(), rules: Vec::new(), ..rules.clone() };
    let mut house = House::full(&none);
    let quiet = (0..100).map(|_| house.step()).max_by_key(|step| step.wall).unwrap_or_default();
    table.note("longest step without rules, of 100", milliseconds(quiet), "");
    let mut all = vec![("10 000 rules where there were none", none, rules.clone())];
    for (name, change) in EDITS {
        all.push((name, rules.clone(), fleet::settings(name, change)));
    }
    all.push(("10 000 rules removed", rules.clone(), Settings { rules: Vec::new(), ..rules }));
    for (name, before, after) in all {
        let mut runs: Vec<Took> = Vec::new();
        for _ in 0..RUNS {
            put(&mut house, &before);
            runs.push(put(&mut house, &after));
        }
        runs.sort_by_key(|took| took.step.wall);
        let Took { reading, step, after } = runs[RUNS / 2];
        let most = step.wall.max(after.wall).as_secs_f64() * 1e3;
        let text = format!(
            "the revision's {} (CPU {}), those after it {}; read before it in {} ms",
            milliseconds(step),
            short(step.cpu.as_secs_f64() * 1e3),
            milliseconds(after),
            short(reading.as_secs_f64() * 1e3)
        );
        table.goal(format!("{name}: longest step"), (most, "ms"), Goal::AtMost(250.0), text);
    }
    house.machine.stop();
}

/// What a revision took.
#[derive(Clone, Copy)]
struct Took {
    /// Reading it, beside the dataflow.
    reading: Duration,
    /// The step it came into force in.
    step: StepTook,
    /// The longest step after it.
    after: StepTook,
}

/// Puts settings in force; its step and the longest one after it.
fn put(house: &mut House, settings: &Settings) -> Took {
    let (batches, revision) = (house.next(), house.machine.read(settings));
    let reading = revision.reading;
    let step = house.machine.alone(|machine| machine.apply(revision, &batches));
    let after = (0..AFTER).map(|_| house.step()).max_by_key(|step| step.wall);
    Took { reading, step, after: after.unwrap_or_default() }
}

fn milliseconds(step: StepTook) -> String {
    format!("{} ms", short(step.wall.as_secs_f64() * 1e3))
}
