//! Rules over several metrics that are edited while their alerts live.

use crate::edits::{about, count};
use crate::joined::{end, joined_rule, joined_term, later, sample};
use crate::model::joints::Joints;
use crate::shard_script::{Bench, Dice, START, rule, settings};
use crate::{SEEDS, all_reached, all_same, rows, seeds};
use bytes::Bytes;
use serde_json::json;
use stages::log::EntryKind;
use stages::settings::{Grade, Mode, NoData, Rule, Stat};
use stages::term::Term;
use stages::time::Span;
use std::collections::BTreeMap;

#[test]
fn an_edit_of_a_joined_rule_does_what_the_pages_say_and_nothing_else() {
    let mut compared = BTreeMap::new();
    for seed in seeds(2 * SEEDS) {
        let (bench, history) = edited_log(seed);
        let mut model = Joints::new(START);
        bench.steps.iter().for_each(|step| model.step(step));
        let mut found = rows(&bench);
        // What a name says while it is that of a rule of one metric is compared elsewhere.
        found.values_mut().for_each(|rows| rows.retain(|row| !row.evidence.terms.is_empty()));
        found.retain(|_, rows| !rows.is_empty());
        all_same(&found, &model.rows, |of| about(&history, &format!("seed {seed}"), of));
        count(&model.rows, &mut compared);
    }
    let wanted = [
        "Firing -> Firing by RuleChanged",
        "Recovering -> Recovering by RuleChanged",
        "Pending -> Unknown by RuleChanged",
        "Firing -> Unknown by RuleChanged",
        "Firing -> Unknown by RuleRemoved",
        "Pending -> Unknown by RuleRemoved",
        "Firing -> Recovering by Recovered",
        "Pending -> Firing by Held",
        "Firing -> Firing by Severity",
        "Unknown -> Firing by NoData",
    ];
    all_reached(&compared, &wanted);
}

/// A log with some four revisions after the first, and every rule there was, with the number of its revision.
fn edited_log(seed: u64) -> (Bench, Vec<(u64, Rule)>) {
    let mut dice = Dice(seed * 37 + 11);
    let grouped = seed % 2 == 1;
    let mut rules: Vec<Rule> = (0..1 + dice.roll(3))
        .map(|n| joined_rule(&mut dice, &format!("joined-{n}"), grouped))
        .collect();
    let mut bench = Bench::new();
    bench.settings(START, &settings(rules.clone()));
    let mut history: Vec<(u64, Rule)> = rules.iter().map(|rule| (0, rule.clone())).collect();
    let (mut time, length, mut revisions) = (START, 120 + dice.roll(80), 0);
    let mut gone = Vec::new();
    for n in 0..length {
        time = later(&mut dice, (&mut bench, grouped), time);
        if dice.roll(length) < 6 {
            revisions += 1;
            edit(&mut dice, (&mut rules, &mut gone), (revisions, grouped));
            history.extend(rules.iter().map(|rule| (revisions, rule.clone())));
            bench.settings(time, &settings(rules.clone()));
            if dice.roll(2) == 0 {
                bench.append(time, EntryKind::Tick, Bytes::new());
            }
        }
        let (name, body) = sample(&mut dice, time, n);
        bench.push(time, EntryKind::Metric(Bytes::from(name)), Bytes::from(body));
    }
    end(&mut bench, grouped, time);
    (bench, history)
}

/// Another revision: sometimes the same again, mostly with one to three rules changed, added, removed, renamed or back.
fn edit(
    dice: &mut Dice,
    (rules, gone): (&mut Vec<Rule>, &mut Vec<Rule>),
    (revision, grouped): (u64, bool),
) {
    if dice.roll(8) == 0 {
        return;
    }
    for n in 0..1 + dice.roll(3) {
        let name = format!("joined-{revision}-{n}");
        if rules.is_empty() || dice.roll(10) == 0 {
            let back = gone.pop().filter(|back| rules.iter().all(|rule| rule.name != back.name));
            rules.push(back.unwrap_or_else(|| joined_rule(dice, &name, grouped)));
            continue;
        }
        let at = dice.roll(rules.len() as u64) as usize;
        match dice.roll(14) {
            0 | 1 => gone.push(rules.remove(at)),
            2 => rules[at].name = name,
            3 => rules[at] = joined_rule(dice, &rules[at].name.clone(), grouped),
            // A rule of one metric for a while.
            4 if rules[at].is_joined() => {
                gone.push(rules[at].clone());
                rules[at] = rule(&rules[at].name, &json!({ "metric": "m0", "window": "3s" }));
            }
            _ if !rules[at].is_joined() => {
                rules[at] = joined_rule(dice, &rules[at].name.clone(), grouped);
            }
            5..=8 => edit_rule(dice, &mut rules[at], grouped),
            _ => edit_terms(dice, &mut rules[at]),
        }
        rules.iter_mut().filter(|rule| rule.is_joined()).for_each(fit);
    }
}

/// What stands for a rule as a whole follows from its conditions, as settings read it.
fn fit(rule: &mut Rule) {
    let first = rule.any_of[0][0].clone();
    rule.metric.clone_from(&first.metric);
    (rule.threshold, rule.recover) = (first.threshold, None);
    if rule.lone_term().is_some() {
        rule.recover = first.recover;
        let moved = rule.grades.first().map_or(0.0, |grade| first.threshold - grade.bound);
        rule.grades.iter_mut().for_each(|grade| grade.bound += moved);
    } else {
        rule.grades.clear();
    }
}

fn edit_rule(dice: &mut Dice, rule: &mut Rule, grouped: bool) {
    let tenths = |dice: &mut Dice| Span::from_millis(dice.roll(30) as i64 * 100);
    match dice.roll(14) {
        0 => rule.hold = tenths(dice),
        1 => (rule.hold, rule.keep_firing_for) = (Span::ZERO, Span::ZERO),
        2 => rule.hold = Span(rule.hold.0 * 2 + 1_000_000_000),
        3 => rule.keep_firing_for = tenths(dice),
        4 => rule.gap_tolerance = tenths(dice),
        5 => (rule.keep_max, rule.flap_window) = (tenths(dice), Span(tenths(dice).0 * 20)),
        6 => rule.no_data = [NoData::Keep, NoData::Alert, NoData::Ok][dice.roll(3) as usize],
        7 => rule.mode = if rule.mode.is_live() { Mode::Shadow } else { Mode::Live },
        8 if grouped => {
            let by = [&["zone"][..], &["pod", "zone"]][dice.roll(2) as usize];
            rule.group_by = by.iter().map(|&label| label.to_owned()).collect();
        }
        9 | 10 if rule.lone_term().is_some() => edit_grades(dice, rule),
        11 if rule.grades.is_empty() => rule.severity = format!("other-{}", dice.roll(3)),
        _ => {
            rule.annotations.insert("summary".to_owned(), dice.roll(9).to_string());
            rule.notify = vec![format!("somebody-{}", dice.roll(9))];
        }
    }
}

/// Severities come, go, or have another bound or name.
fn edit_grades(dice: &mut Dice, rule: &mut Rule) {
    let grade = |severity: &str, bound| Grade { severity: severity.to_owned(), bound };
    let factor = 1.1 + dice.roll(8) as f64 / 10.0;
    match (dice.roll(5), rule.grades.pop()) {
        (_, None) => {
            let worst = grade("worst", rule.threshold * factor);
            rule.grades = vec![grade(&rule.severity, rule.threshold), worst];
        }
        (0 | 1, Some(last)) => rule.grades.push(grade(&last.severity, last.bound * factor)),
        (2, Some(last)) => {
            let worst = grade("worse", last.bound * factor);
            rule.grades.extend([last, worst]);
        }
        (3, Some(last)) => rule.grades.push(grade("page", last.bound)),
        (_, Some(_)) if rule.grades.len() < 2 => rule.grades.clear(),
        (_, Some(_)) => {}
    }
}

fn edit_terms(dice: &mut Dice, rule: &mut Rule) {
    let list = dice.roll(rule.any_of.len() as u64) as usize;
    let at = dice.roll(rule.any_of[list].len() as u64) as usize;
    let other: Term = serde_json::from_value(joined_term(dice)).unwrap();
    match dice.roll(14) {
        // A condition or a list of them more, or less.
        0 => rule.any_of[list].push(other),
        1 => rule.any_of.push(vec![other]),
        2 if rule.any_of[list].len() > 1 => drop(rule.any_of[list].remove(at)),
        3 if rule.any_of.len() > 1 => drop(rule.any_of.remove(list)),
        4 => rule.any_of[list][at] = other,
        _ => edit_term(dice, &mut rule.any_of[list][at], other),
    }
}

fn edit_term(dice: &mut Dice, term: &mut Term, other: Term) {
    let factor = 0.5 + dice.roll(12) as f64 / 10.0;
    let matcher =
        |label: &str, op: &str, value: &str| json!([{ "label": label, "op": op, "value": value }]);
    match dice.roll(10) {
        0..=2 => {
            term.threshold *= factor;
            term.recover = term.recover.map(|recover| recover * factor);
        }
        3 => (term.min_samples, term.fresh_for) = (other.min_samples, other.fresh_for),
        4 => term.recover = if term.recover.is_none() { Some(term.threshold * 0.8) } else { None },
        5 => term.window = other.window,
        6 | 7 => {
            // Whoever reports for all goes on doing so.
            let of = [
                matcher("pod", "!=", "1"),
                matcher("pod", "=", "0"),
                matcher("zone", "!=", "0"),
                matcher("zone", "=~", "1|9"),
                json!([]),
            ];
            term.matchers = serde_json::from_value(of[dice.roll(5) as usize].clone()).unwrap();
        }
        8 => (term.per, term.baseline) = (other.per, other.baseline),
        _ => term.stat = [Stat::Mean, Stat::Sum, Stat::Max][dice.roll(3) as usize],
    }
}
