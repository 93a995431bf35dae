//! Rules that are allowed and cannot be meant: that never fire, always fire, or say the same as another one.
//!
//! Only what follows from the words themselves is said here, never what depends on the data: a rule with a high
//! threshold is a matter of taste, one that waits for more than every sample is a slip.

use crate::fields::short;
use crate::problem::{Kind, Place, Report};
use crate::rule::PlacedRule;
use stages::settings::{Compare, NoData, Rule, Stat};
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

/// Warns of a rule whose condition is decided before any sample came.
fn outcome(placed: &PlacedRule, report: &Report) {
    let rule = &placed.rule;
    // What several metrics say together is not decided by their statistics.
    if rule.absent.is_some() || rule.is_joined() {
        return;
    }
    let (least, most) = range(rule);
    let limit = stages::judge::limit(rule);
    let (never, always) = match rule.compare {
        Compare::Greater => (limit >= most, limit < least),
        Compare::GreaterEqual => (limit > most, limit <= least),
        Compare::Less => (limit <= least, limit > most),
        Compare::LessEqual => (limit < least, limit >= most),
        Compare::Equal => (limit < least || limit > most, least == most && limit == least),
        Compare::NotEqual => (least == most && limit == least, limit < least || limit > most),
    };
    let is = bounds(rule, (least, most));
    if always {
        let message =
            format!("rule {:?} always fires: {is}, whatever is measured", short(&rule.name));
        let remedy = "mend threshold, share or compare";
        report.warning(&placed.limit_place, Kind::AlwaysFires, message, remedy);
    } else if never && rule.no_data != NoData::Alert {
        let message = format!("rule {:?} can never fire: {is}", short(&rule.name));
        let remedy = match rule.stat {
            Stat::Count => {
                "mend threshold or compare; an empty window is no count of 0: no_data: alert or absent: 10m say \
                 what it means"
            }
            _ => "mend threshold, share or compare",
        };
        report.warning(&placed.limit_place, Kind::NeverFires, message, remedy);
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

/// The range, in words.
fn bounds(rule: &Rule, (least, most): (f64, f64)) -> String {
    match rule.stat {
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
