//! `slo`: a share of good events promised over weeks becomes the usual alerts on how fast its budget burns.
//!
//! ```yaml
//! name: checkout
//! metric: errors / requests
//! slo: {objective: 99.9, window: 30d}
//! ```
//!
//! is two rules, by the Site Reliability Workbook (chapter 5). `checkout_page` is critical: 2 % of the budget spent within
//! an hour, or 5 % within six (14.4 and 6 times the even rate of 30 days). `checkout_ticket` is a warning and never acts:
//! 10 % within a day, or within three (3 times and once). Each is seen over that window and over a twelfth of it as
//! well, so that it is over soon after the errors are.

use super::{PlacedRule, terms};
use crate::fields::Fields;
use crate::problem::{Kind, Place};
use stages::settings::Compare;
use stages::term::Term;
use stages::time::Span;
use std::ops::RangeInclusive;

const HOUR: i64 = 3_600;
/// A promise over less than a week has no slow burn, one over more than a quarter nobody waits for.
const WINDOW: RangeInclusive<Span> =
    Span::from_secs(7 * 24 * HOUR)..=Span::from_secs(92 * 24 * HOUR);
/// Part of the budget, within how many seconds, seen also over how many.
const PAGE: [(f64, i64, i64); 2] = [(0.02, HOUR, 300), (0.05, 6 * HOUR, 1_800)];
const TICKET: [(f64, i64, i64); 2] = [(0.10, 24 * HOUR, 2 * HOUR), (0.10, 72 * HOUR, 6 * HOUR)];

/// What is promised.
#[derive(Clone, Debug)]
pub(super) struct Slo {
    place: Place,
    /// Share of events that may be bad.
    budget: f64,
    window: Span,
}

/// Reads it.
pub(super) fn read(fields: &Fields<'_>, several: bool) -> Option<Slo> {
    let map = fields.nested_like("slo", "{objective: 99.9, window: 30d}")?;
    let (objective, window) = (map.number("objective"), map.span("window", WINDOW));
    map.missing("objective", "objective: 99.9");
    map.missing("window", "window: 30d");
    let objective = objective.filter(|objective| {
        let fits = *objective > 0.0 && *objective < 100.0;
        if !fits {
            let message =
                format!("objective {objective} is not a promise that can be kept or broken");
            let remedy = "write a percentage below 100, like 99.9";
            fields.report.error(map.place_of("objective"), Kind::OutOfRange, message, remedy);
        }
        fits
    });
    let place = map.place_of("objective").clone();
    map.finish();
    for field in
        ["threshold", "share", "compare", "recover", "window", "baseline", "absent", "severity"]
    {
        if fields.has_own(field) {
            let message = format!("{field} beside slo, which says it of four pairs of windows");
            fields.report.error(fields.place_of(field), Kind::Conflict, message, "remove the line");
        }
    }
    if several {
        let message = "slo beside all or any";
        fields.report.error(&place, Kind::Conflict, message, "write two rules");
    }
    Some(Slo { place, budget: round((100.0 - objective?) / 100.0), window: window? })
}

/// The rules that a rule with a promise is; `plain` carries everything else that was said.
pub(super) fn expand(
    plain: PlacedRule,
    slo: &Slo,
    (fields, spans): (&Fields<'_>, [Option<Span>; 3]),
) -> Vec<PlacedRule> {
    let Some(term) = plain.rule.lone_term().filter(|term| term.per.is_some()) else {
        let message = "slo needs a ratio of bad events to all";
        let remedy = "write metric: errors / requests";
        fields.report.error(fields.place_of("metric"), Kind::Conflict, message, remedy);
        return vec![plain];
    };
    if slo.budget * burn(PAGE[0], slo.window) >= 1.0 {
        let message = "at this objective not even errors alone would burn fast enough to page";
        let best = round(100.0 - 100.0 / burn(PAGE[0], slo.window));
        let remedy = format!("write more than {best:.1}");
        fields.report.error(&slo.place, Kind::OutOfRange, message, remedy);
    }
    let rule = |suffix: &str, severity: &str, pairs| {
        let mut placed = plain.clone();
        placed.rule.name.push_str(suffix);
        placed.rule.severity = severity.to_owned();
        placed.rule.any_of = lists(term, slo, pairs);
        if let Some(first) = placed.rule.any_of.first().and_then(|list| list.first()) {
            placed.rule.threshold = first.threshold;
        }
        super::fill_spans(&mut placed.rule, spans);
        placed
    };
    let page = rule("_page", "critical", PAGE);
    let mut ticket = rule("_ticket", "warning", TICKET);
    // A slow burn is nothing to roll back over.
    (ticket.rule.action, ticket.plan) = (None, None);
    (ticket.rule.guards, ticket.unless) = Default::default();
    vec![page, ticket]
}

fn lists(term: &Term, slo: &Slo, pairs: [(f64, i64, i64); 2]) -> Vec<Vec<Term>> {
    let list = |pair: (f64, i64, i64)| {
        let threshold = round(slo.budget * burn(pair, slo.window));
        let over = |seconds: i64| {
            let window = Span::from_secs(seconds);
            let fresh_for = terms::fresh_for(window);
            Term { threshold, window, fresh_for, compare: Compare::Greater, ..term.clone() }
        };
        vec![over(pair.1), over(pair.2)]
    };
    pairs.into_iter().map(list).collect()
}

/// How many times faster than evenly over the whole window that part of the budget goes.
fn burn((part, within, _): (f64, i64, i64), window: Span) -> f64 {
    round(part * window.0 as f64 / Span::from_secs(within).0 as f64)
}

/// To twelve digits: 99.9 is no binary fraction, and 14.4 times a thousandth should read 0.0144.
fn round(value: f64) -> f64 {
    format!("{value:.11e}").parse().unwrap_or(value)
}
