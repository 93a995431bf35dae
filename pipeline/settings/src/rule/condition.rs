//! The condition of a rule: what is computed, over what window, and how it is compared.

use super::severity::{self, Severities};
use super::{SOME_WAIT, terms};
use crate::fields::Fields;
use crate::problem::Kind;
use stages::settings::{Compare, Grade, Stat};
use stages::term::Term;
use stages::time::Span;
use std::ops::RangeInclusive;

/// Panes are at least 0.1 s wide and are kept for a month at most.
const WINDOW: RangeInclusive<Span> = Span::from_secs(1)..=Span::from_secs(30 * 86_400);

pub(super) const COMPARES: [(&str, Compare); 6] = [
    (">", Compare::Greater),
    (">=", Compare::GreaterEqual),
    ("<", Compare::Less),
    ("<=", Compare::LessEqual),
    ("==", Compare::Equal),
    ("!=", Compare::NotEqual),
];

/// The percentiles stand here for the hint; [`percentile`] reads them all.
const STATS: [(&str, Stat); 13] = [
    ("mean", Stat::Mean),
    ("min", Stat::Min),
    ("max", Stat::Max),
    ("sum", Stat::Sum),
    ("count", Stat::Count),
    ("rate", Stat::Rate),
    ("last", Stat::Last),
    ("stddev", Stat::Stddev),
    ("p95", Stat::Percentile(95.0)),
    ("p99", Stat::Percentile(99.0)),
    ("p99.9", Stat::Percentile(99.9)),
    ("above", Stat::Above),
    ("below", Stat::Below),
];

/// When a rule, or one condition of it, is in breach.
pub(super) struct Condition {
    pub stat: Stat,
    pub compare: Compare,
    pub threshold: f64,
    pub share: Option<f64>,
    pub recover: Option<f64>,
    pub window: Span,
    pub absent: Option<Span>,
    /// The metric it is divided by.
    pub per: Option<String>,
    /// How much earlier the window lies that it is divided by.
    pub baseline: Option<Span>,
}

impl Condition {
    /// What stands for a rule of conditions that are all wrong.
    pub fn none() -> Self {
        Self {
            stat: Stat::Mean,
            compare: Compare::Greater,
            threshold: 0.0,
            share: None,
            recover: None,
            window: Span::from_secs(60),
            absent: None,
            per: None,
            baseline: None,
        }
    }

    /// What stands for a rule of several conditions: the first of them.
    pub fn of(term: &Term) -> Self {
        let (stat, compare, threshold) = (term.stat, term.compare, term.threshold);
        let (share, window) = (term.share, term.window);
        Self { stat, compare, threshold, share, window, ..Self::none() }
    }
}

/// What a promise leaves to be said: the statistic. Which windows and thresholds, it says itself.
pub(super) fn of_slo(fields: &Fields<'_>, per: Option<String>) -> Condition {
    // The promise has refused these, where they are the rule's own.
    fields.know(&["threshold", "share", "compare", "recover", "window", "baseline", "absent"]);
    let stat = stat(fields, Stat::Sum);
    if !matches!(stat, Stat::Sum | Stat::Count | Stat::Rate) {
        let message = "an slo counts events: their sum, number or rate";
        let remedy = "write stat: sum, count or rate";
        fields.report.error(fields.place_of("stat"), Kind::Conflict, message, remedy);
    }
    Condition { stat, per, ..Condition::none() }
}

/// Reads it; `severities` are there for a rule, and not for one of several conditions. A rule about absence needs neither
/// threshold nor window; where one is missing that is needed, the value here is a stand-in with which the rest of
/// the rule can be checked.
pub(super) fn read(
    fields: &Fields<'_>,
    per: Option<String>,
    severities: Option<&Severities>,
) -> Condition {
    let (threshold, window) = (fields.number("threshold"), fields.span("window", WINDOW));
    let absent = severities.and_then(|_| fields.span("absent", SOME_WAIT));
    let stat = stat(fields, if per.is_some() { Stat::Sum } else { Stat::Mean });
    let grades = severities.map_or(&[][..], |severities| &severities.grades);
    let several = severities.is_some_and(|severities| severities.several);
    let baseline = terms::baseline(fields);
    let mildest = grades.first().map(|grade| grade.bound);
    if severities.is_none() || !fields.has("absent") {
        if !fields.has("baseline") && (!several || is_share(stat)) {
            fields.missing("threshold", "threshold: 1000");
        }
        fields.missing("window", "window: 3m");
    }
    check_grades(fields, stat, grades);
    terms::check(fields, stat, (per.is_some(), absent.is_some(), several));
    let share =
        if mildest.is_some() { mildest.filter(|_| is_share(stat)) } else { share(fields, stat) };
    let threshold = if is_share(stat) { threshold } else { mildest.or(threshold) };
    let threshold = baseline.map(|baseline| baseline.ratio).or(threshold);
    let compare = fields.word("compare", &COMPARES).unwrap_or_default();
    let compare = baseline.map_or(compare, |baseline| baseline.compare);
    severity::check_order(fields, compare, grades);
    Condition {
        stat,
        compare,
        threshold: threshold.unwrap_or_default(),
        share,
        recover: recover(fields, compare, if is_share(stat) { share } else { threshold }),
        window: window.or(absent).unwrap_or(Span::from_secs(60)),
        absent,
        per,
        baseline: baseline.map(|baseline| baseline.offset),
    }
}

/// Several severities carry the bounds themselves, and need a value to tell them apart.
fn check_grades(fields: &Fields<'_>, stat: Stat, grades: &[Grade]) {
    if grades.is_empty() {
        return;
    }
    let bound = if is_share(stat) { "share" } else { "threshold" };
    if fields.number(bound).is_some() {
        let message = format!("{bound} beside several severities, which have one each");
        let place = fields.place_of(bound);
        fields.report.error(place, Kind::Conflict, message, "remove the line");
    }
    let shares = grades.iter().all(|grade| (0.0..=1.0).contains(&grade.bound));
    if is_share(stat) && !shares {
        let remedy = "write 0 to 1 for each, like {warning: 0.1, critical: 0.3}";
        let message = "a share in severity is out of range";
        fields.report.error(fields.place_of("severity"), Kind::OutOfRange, message, remedy);
    }
    if fields.has("absent") {
        let message = "absence has no value that could reach several severities";
        let remedy = "write one severity";
        fields.report.error(fields.place_of("severity"), Kind::Conflict, message, remedy);
    }
}

fn stat(fields: &Fields<'_>, usual: Stat) -> Stat {
    let Some(said) = fields.text("stat") else { return usual };
    if let Some(rank) = said.text.strip_prefix('p').and_then(percentile) {
        return Stat::Percentile(rank);
    }
    fields.word("stat", &STATS).unwrap_or(usual)
}

/// `95` or `99.9`: above 0, at most 100. No exponents, no signs.
fn percentile(digits: &str) -> Option<f64> {
    let plain = digits.len() <= 8 && digits.chars().all(|c| c.is_ascii_digit() || c == '.');
    let rank: f64 = if plain { digits.parse().ok()? } else { return None };
    (rank > 0.0 && rank <= 100.0).then_some(rank)
}

const fn is_share(stat: Stat) -> bool {
    matches!(stat, Stat::Above | Stat::Below)
}

fn share(fields: &Fields<'_>, stat: Stat) -> Option<f64> {
    let share = fields.number("share");
    match (share, is_share(stat)) {
        (Some(share), true) if (0.0..=1.0).contains(&share) => return Some(share),
        (Some(share), true) => {
            let message = format!("share {share} is out of range");
            let remedy = "write 0 to 1, like 0.1 for 10 %";
            fields.report.error(fields.place_of("share"), Kind::OutOfRange, message, remedy);
        }
        (None, true) => {
            fields.missing("share", "share: 0.1, the share of samples that is too much")
        }
        (Some(_), false) => {
            let remedy = "add stat: above or stat: below, or remove the line";
            let message = "share goes with stat above or below only";
            fields.report.error(fields.place_of("share"), Kind::Conflict, message, remedy);
        }
        (None, false) => {}
    }
    None
}

/// Checks that recovering lies on the good side of what the value is compared with.
fn recover(fields: &Fields<'_>, compare: Compare, bound: Option<f64>) -> Option<f64> {
    let recover = fields.number("recover")?;
    let bound = bound?;
    let (fits, side) = match compare {
        Compare::Greater | Compare::GreaterEqual => (recover <= bound, "at or below"),
        Compare::Less | Compare::LessEqual => (recover >= bound, "at or above"),
        Compare::Equal | Compare::NotEqual => {
            let message = "recover has no side to lie on with compare == or !=";
            let remedy = "remove the line";
            fields.report.error(fields.place_of("recover"), Kind::Conflict, message, remedy);
            return None;
        }
    };
    if fits {
        return Some(recover);
    }
    let message = format!("recover {recover} is on the breaching side of {bound}");
    let remedy = format!("write a number {side} {bound}");
    fields.report.error(fields.place_of("recover"), Kind::WrongSide, message, remedy);
    None
}
