//! When a rule fires and when it is over, in words.

use stages::number::{plain, with_unit};
use stages::settings::{Compare, Rule, Stat};
use stages::time::Span;

/// `county_api fires when the mean of county_api_ms over the last 3m is above 1000 ms.`
pub(super) fn fires(rule: &Rule) -> String {
    let (name, metric, window) = (&rule.name, &rule.metric, rule.window);
    if let Some(absent) = rule.absent {
        return format!("{name} fires when no sample of {metric} came for {absent}.");
    }
    let wait = match rule.hold {
        Span::ZERO => String::new(),
        hold => format!(", and has been for {hold}"),
    };
    match share_of(rule) {
        Some(share) => {
            let (side, limit) = (side(rule.stat), with_unit(rule.threshold, rule.unit_shown()));
            let most = amount(rule.compare);
            format!(
                "{name} fires when {most} {share} of the samples of {metric} in the last {window} are {side} \
                 {limit}{wait}."
            )
        }
        None => {
            let (value, is, limit) =
                (statistic(rule), relation(rule.compare), limit(rule, rule.threshold));
            format!("{name} fires when {value} over the last {window} {is} {limit}{wait}.")
        }
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
    let metric = &rule.metric;
    match rule.stat {
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
    match rule.stat {
        Stat::Count => plain(value),
        Stat::Rate => format!("{} a second", plain(value)),
        _ => with_unit(value, rule.unit_shown()),
    }
}

fn share_of(rule: &Rule) -> Option<String> {
    matches!(rule.stat, Stat::Above | Stat::Below).then(|| percent(rule.share.unwrap_or_default()))
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
