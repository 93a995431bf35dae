//! When a rule fires and when it is over, in words.

use stages::matcher::Matcher;
use stages::number::{plain, with_unit};
use stages::settings::{Compare, Grade, Rule, Stat};
use stages::term::Term;
use stages::time::Span;

/// `county_api fires when the mean of county_api_ms over the last 3m is above 1000 ms.`
pub(super) fn fires(rule: &Rule) -> String {
    let (name, metric, window) = (&rule.name, &watched(rule), rule.window);
    if let Some(absent) = rule.absent {
        return format!("{name} fires when no sample of {metric} came for {absent}.");
    }
    let wait = match rule.hold {
        Span::ZERO => String::new(),
        hold => format!(", and has been for {hold}"),
    };
    if rule.is_joined() && rule.lone_term().is_none() {
        return format!("{name} fires when {}{wait}.", conditions(&rule.any_of));
    }
    match share_of(rule) {
        Some(share) => {
            let (side, limit) = (side(rule.stat), with_unit(rule.threshold, rule.unit_shown()));
            let most = amount(rule.compare);
            let share = shares(rule).unwrap_or(share);
            format!(
                "{name} fires when {most} {share} of the samples of {metric} in the last {window} are {side} \
                 {limit}{wait}."
            )
        }
        None => {
            let condition = match rule.lone_term() {
                Some(term) => of_term(term, &reached(rule)),
                None => format!("{} over the last {window} {}", statistic(rule), reached(rule)),
            };
            format!("{name} fires when {condition}{wait}.")
        }
    }
}

/// `is above 1000 ms`, or each severity with its bound.
fn reached(rule: &Rule) -> String {
    let is = relation(rule.compare);
    if rule.grades.is_empty() {
        return format!("{is} {}", limit(rule, rule.threshold));
    }
    let grades = rule.grades.iter();
    let grades: Vec<String> = grades
        .map(|grade| format!("{is} {} ({})", limit(rule, grade.bound), grade.severity))
        .collect();
    grades.join(", ")
}

/// The metric, and which of its series are looked at.
fn watched(rule: &Rule) -> String {
    with_matchers(&rule.metric, &rule.matchers)
}

fn with_matchers(metric: &str, these: &[Matcher]) -> String {
    if these.is_empty() { metric.to_owned() } else { format!("{metric}{{{}}}", matchers(these)) }
}

/// `service="courts", region!~"eu-.*"`.
pub(crate) fn matchers(these: &[Matcher]) -> String {
    these.iter().map(Matcher::to_string).collect::<Vec<_>>().join(", ")
}

/// `{warning: 500, critical: 1000}`.
pub(crate) fn grades(these: &[Grade]) -> String {
    let shown = these.iter().map(|grade| format!("{}: {}", grade.severity, plain(grade.bound)));
    format!("{{{}}}", shown.collect::<Vec<_>>().join(", "))
}

/// Conditions of a rule: `all of these hold: ..; ..`.
pub(crate) fn conditions(lists: &[Vec<Term>]) -> String {
    let one = |term: &Term| {
        let few = match term.min_samples {
            0 | 1 => String::new(),
            least => format!(" (of at least {least} samples)"),
        };
        format!("{}{few}", of_term(term, &of_bound(term)))
    };
    let texts: Vec<Vec<String>> = lists.iter().map(|list| list.iter().map(one).collect()).collect();
    match texts.as_slice() {
        [only] if only.len() == 1 => only.join(""),
        [all] => format!("all of these hold: {}", all.join("; ")),
        any if any.iter().all(|list| list.len() == 1) => {
            format!("any of these holds: {}", any.concat().join("; "))
        }
        sets => {
            let sets: Vec<String> = sets.iter().map(|list| list.join(" and ")).collect();
            format!("any of these holds: {}", sets.join("; or "))
        }
    }
}

fn of_bound(term: &Term) -> String {
    let bound = match (term.share, term.stat) {
        (Some(share), Stat::Above | Stat::Below) => percent(share),
        _ => plain(term.threshold),
    };
    format!("{} {bound}", relation(term.compare))
}

/// One condition; `reached` says how its value is compared.
fn of_term(term: &Term, reached: &str) -> String {
    let metric = with_matchers(&term.metric, &term.matchers);
    let value = match (term.stat, term.share) {
        (Stat::Above | Stat::Below, Some(_)) => {
            format!("the share of {metric} {} {}", side(term.stat), plain(term.threshold))
        }
        (stat, _) => statistic_of(stat, &metric),
    };
    let window = term.window;
    if let Some(per) = &term.per {
        let per = with_matchers(per, &term.matchers);
        return format!("{value} divided by that of {per} over the last {window} {reached}");
    }
    match term.baseline {
        Some(offset) => format!(
            "{value} over the last {window}, divided by that of the {window} {offset} earlier, {reached}"
        ),
        None => format!("{value} over the last {window} {reached}"),
    }
}

/// When the alert is over.
pub(super) fn over(rule: &Rule) -> Option<String> {
    let again = match rule.reopen_within {
        Span::ZERO => String::new(),
        within => format!("; a breach within {within} after that reopens the incident"),
    };
    let kept = rule.keep_firing_for;
    if rule.absent.is_some() {
        let once = if kept == Span::ZERO { String::new() } else { format!(" and {kept} went by") };
        return Some(format!("It is over when a sample came{once}{again}."));
    }
    let text = match (rule.recover, kept) {
        (None, Span::ZERO) => "as soon as that is no longer so".to_owned(),
        (None, kept) => format!("once that has not been so for {kept}"),
        (Some(recover), kept) => {
            let (what, recover) = match share_of(rule) {
                Some(_) => ("share", percent(recover)),
                None => ("value", limit(rule, recover)),
            };
            let is = match rule.compare {
                Compare::Less | Compare::LessEqual => "at or above",
                _ => "at or below",
            };
            match kept {
                Span::ZERO => format!("when the {what} is back {is} {recover}"),
                kept => format!("once the {what} has been back {is} {recover} for {kept}"),
            }
        }
    };
    Some(format!("It is over {text}{again}."))
}

/// The statistic, as it stands in a sentence.
fn statistic(rule: &Rule) -> String {
    statistic_of(rule.stat, &watched(rule))
}

fn statistic_of(stat: Stat, metric: &str) -> String {
    match stat {
        Stat::Mean => format!("the mean of {metric}"),
        Stat::Min => format!("the smallest value of {metric}"),
        Stat::Max => format!("the largest value of {metric}"),
        Stat::Sum => format!("the sum of {metric}"),
        Stat::Count => format!("the number of samples of {metric}"),
        Stat::Rate => format!("the rate of {metric}"),
        Stat::Last => format!("the newest value of {metric}"),
        Stat::Stddev => format!("the standard deviation of {metric}"),
        Stat::Percentile(rank) => format!("percentile {rank} of {metric}"),
        Stat::Above | Stat::Below => format!("the share of {metric}"),
    }
}

/// A limit with the unit its statistic has.
fn limit(rule: &Rule, value: f64) -> String {
    if rule.is_joined() {
        return with_unit(value, rule.unit.as_deref().unwrap_or_default());
    }
    match rule.stat {
        Stat::Count => plain(value),
        Stat::Rate => format!("{} a second", plain(value)),
        _ => with_unit(value, rule.unit_shown()),
    }
}

fn share_of(rule: &Rule) -> Option<String> {
    matches!(rule.stat, Stat::Above | Stat::Below).then(|| percent(rule.share.unwrap_or_default()))
}

/// The share of each of several severities.
fn shares(rule: &Rule) -> Option<String> {
    let grades = rule.grades.iter();
    let shown: Vec<String> =
        grades.map(|grade| format!("{} ({})", percent(grade.bound), grade.severity)).collect();
    (!shown.is_empty()).then(|| shown.join(", "))
}

fn percent(share: f64) -> String {
    format!("{} %", plain(share * 100.0))
}

const fn side(stat: Stat) -> &'static str {
    if matches!(stat, Stat::Below) { "below" } else { "above" }
}

const fn relation(compare: Compare) -> &'static str {
    match compare {
        Compare::Greater => "is above",
        Compare::GreaterEqual => "is at or above",
        Compare::Less => "is below",
        Compare::LessEqual => "is at or below",
        Compare::Equal => "is exactly",
        Compare::NotEqual => "is anything but",
    }
}

const fn amount(compare: Compare) -> &'static str {
    match compare {
        Compare::Greater => "more than",
        Compare::GreaterEqual => "at least",
        Compare::Less => "less than",
        Compare::LessEqual => "at most",
        Compare::Equal => "exactly",
        Compare::NotEqual => "anything but",
    }
}
