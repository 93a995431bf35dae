//! Rules that are allowed and cannot be meant: that never fire, always fire, or say the same as another one.
//!
//! Only what follows from the words themselves is said here, never what depends on the data: a rule with a high
//! threshold is a matter of taste, one that waits for more than every sample is a slip.

use crate::fields::short;
use crate::problem::{Kind, Place, Report};
use crate::rule::PlacedRule;
use stages::settings::{Compare, NoData, Rule, Stat};
use stages::term::Term;
use std::collections::BTreeMap;

/// Largest magnitude a percentile tells apart; larger samples count as this (`semantics` 2).
const PERCENTILE_MAX: f64 = 1e12;

/// Warns of them.
pub(crate) fn look(rules: &[PlacedRule], report: &Report) {
    let mut known: BTreeMap<String, (&str, &Place)> = BTreeMap::new();
    for placed in rules {
        outcome(placed, report);
        let (name, place) = (placed.rule.name.as_str(), &placed.place);
        let meaning = meaning(placed);
        if let Some((first, at)) = known.get(&meaning) {
            let message =
                format!("rule {:?} does exactly what {:?} at {at} does", short(name), short(first));
            let remedy = "remove one of them, or change what it watches or whom it tells";
            report.warning(place, Kind::EqualRules, message, remedy);
        } else {
            known.insert(meaning, (name, place));
        }
    }
}

/// What is known of a condition before any sample came.
#[derive(Clone, Copy, PartialEq)]
enum Decided {
    Never,
    Always,
    Open,
}

/// Warns of a rule whose condition is decided before any sample came.
fn outcome(placed: &PlacedRule, report: &Report) {
    let rule = &placed.rule;
    if rule.absent.is_some() {
        return;
    }
    if rule.lone_term().is_none() && rule.is_joined() {
        return conditions(placed, report);
    }
    let divided = rule.is_joined();
    let range = if divided { quotient(rule.stat) } else { range(rule) };
    let is = || bounds(rule, range, divided);
    match decided(rule, range) {
        Decided::Always => {
            let message = format!(
                "rule {:?} always fires: {}, whatever is measured",
                short(&rule.name),
                is()
            );
            let remedy = "mend threshold, share or compare";
            report.warning(&placed.limit_place, Kind::AlwaysFires, message, remedy);
        }
        Decided::Never if rule.no_data != NoData::Alert => {
            let message = format!("rule {:?} can never fire: {}", short(&rule.name), is());
            let remedy = match rule.stat {
                Stat::Count if !rule.is_joined() => {
                    "mend threshold or compare; an empty window is no count of 0: no_data: alert or absent: 10m say \
                     what it means"
                }
                _ => "mend threshold, share or compare",
            };
            report.warning(&placed.limit_place, Kind::NeverFires, message, remedy);
        }
        Decided::Never | Decided::Open => {}
    }
}

/// Warns of conditions that say nothing beside the others of their rule, or make it say always the same.
fn conditions(placed: &PlacedRule, report: &Report) {
    let rule = &placed.rule;
    let name = short(&rule.name);
    let warn = |kind, message: String| {
        let remedy = "mend its threshold, share or compare, or remove it";
        report.warning(&placed.limit_place, kind, message, remedy);
    };
    for term in rule.terms() {
        let alone = rule.of_term(term);
        let divided = term.per.is_some() || term.baseline.is_some();
        let range = if divided { quotient(term.stat) } else { range(&alone) };
        let (shown, is) = (term.shown(), bounds(&alone, range, divided));
        let shown = short(&shown);
        match decided(&alone, range) {
            Decided::Never => warn(
                Kind::NeverFires,
                format!("condition {shown:?} of rule {name:?} can never be met: {is}"),
            ),
            Decided::Always => warn(
                Kind::AlwaysFires,
                format!("condition {shown:?} of rule {name:?} is always met: {is}"),
            ),
            Decided::Open => {}
        }
    }
    for list in &rule.any_of {
        let pairs = list.iter().enumerate().flat_map(|(at, one)| {
            list[at + 1..].iter().filter(move |other| one.sees_as(other) && excludes(one, other))
        });
        for term in pairs {
            let shown = term.shown();
            let message = format!(
                "rule {name:?} can never fire: two conditions of {:?} are never met at once",
                short(&shown)
            );
            warn(Kind::NeverFires, message);
        }
    }
}

/// Whether no value meets both.
fn excludes(one: &Term, other: &Term) -> bool {
    let ((low, open_low), (high, open_high)) = span_of(one);
    let ((from, open_from), (to, open_to)) = span_of(other);
    let beyond = |low: (f64, bool), high: (f64, bool)| {
        low.0 > high.0 || (low.0 == high.0 && (low.1 || high.1))
    };
    beyond((low, open_low), (to, open_to)) || beyond((from, open_from), (high, open_high))
}

/// The values that meet a condition: both ends, and whether each is left out.
fn span_of(term: &Term) -> ((f64, bool), (f64, bool)) {
    let limit = term.share.unwrap_or(term.threshold);
    let (least, most) = ((f64::NEG_INFINITY, false), (f64::INFINITY, false));
    match term.compare {
        Compare::Greater => ((limit, true), most),
        Compare::GreaterEqual => ((limit, false), most),
        Compare::Less => (least, (limit, true)),
        Compare::LessEqual => (least, (limit, false)),
        Compare::Equal => ((limit, false), (limit, false)),
        Compare::NotEqual => (least, most),
    }
}

fn decided(rule: &Rule, (least, most): (f64, f64)) -> Decided {
    let limit = stages::judge::limit(rule);
    let (never, always) = match rule.compare {
        Compare::Greater => (limit >= most, limit < least),
        Compare::GreaterEqual => (limit > most, limit <= least),
        Compare::Less => (limit <= least, limit > most),
        Compare::LessEqual => (limit < least, limit >= most),
        Compare::Equal => (limit < least || limit > most, least == most && limit == least),
        Compare::NotEqual => (least == most && limit == least, limit < least || limit > most),
    };
    match (never, always) {
        (_, true) => Decided::Always,
        (true, _) => Decided::Never,
        (false, false) => Decided::Open,
    }
}

/// Least and largest value the statistic can have where a rule decides at all.
fn range(rule: &Rule) -> (f64, f64) {
    match rule.stat {
        // With fewer samples the rule decides nothing.
        Stat::Count => (rule.min_samples.max(1) as f64, f64::INFINITY),
        Stat::Stddev => (0.0, f64::INFINITY),
        Stat::Above | Stat::Below => (0.0, 1.0),
        Stat::Percentile(_) => (-PERCENTILE_MAX, PERCENTILE_MAX),
        Stat::Mean | Stat::Min | Stat::Max | Stat::Sum | Stat::Rate | Stat::Last => {
            (f64::NEG_INFINITY, f64::INFINITY)
        }
    }
}

/// The same of a statistic divided by another, or by its own of an earlier window.
fn quotient(stat: Stat) -> (f64, f64) {
    match stat {
        Stat::Count | Stat::Stddev | Stat::Above | Stat::Below => (0.0, f64::INFINITY),
        Stat::Percentile(_)
        | Stat::Mean
        | Stat::Min
        | Stat::Max
        | Stat::Sum
        | Stat::Rate
        | Stat::Last => (f64::NEG_INFINITY, f64::INFINITY),
    }
}

/// The range, in words.
fn bounds(rule: &Rule, (least, most): (f64, f64), divided: bool) -> String {
    match rule.stat {
        Stat::Count | Stat::Stddev if divided => "the quotient is at least 0".to_owned(),
        Stat::Count if rule.min_samples > 1 => {
            format!("with min_samples {least} a count is at least {least}")
        }
        Stat::Count => "a count that is judged is at least 1".to_owned(),
        Stat::Stddev => "a standard deviation is at least 0".to_owned(),
        Stat::Above | Stat::Below => "a share lies between 0 and 1".to_owned(),
        _ => format!("percentiles lie between {least:e} and {most:e}"),
    }
}

/// What the rule does, without what it is called and what is said about it.
fn meaning(placed: &PlacedRule) -> String {
    let bare = Rule {
        name: String::new(),
        unit: None,
        runbook: None,
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        notify: placed.notify.iter().map(|said| said.text.clone()).collect(),
        ..placed.rule.clone()
    };
    serde_json::to_string(&bare).expect("a rule has text keys and finite numbers")
}
