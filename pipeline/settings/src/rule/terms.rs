//! Conditions over several metrics: a ratio of two, `all:` and `any:`, the same window earlier.
//!
//! ```yaml
//! metric: errors / requests        # sum over sum; another `stat` is taken of both
//! threshold: 0.05
//! window: 5m
//! min_samples: 100                 # of requests
//! ---
//! name: checkout_stuck             # one alert for each service that is slow and full
//! group_by: [service]
//! all:                             # or any:
//!   - {metric: checkout_ms, stat: p95, threshold: 800, window: 5m}
//!   - {metric: queue_depth, threshold: 100, window: 1m, where: {queue: orders}}
//! ---
//! metric: logins
//! stat: count
//! window: 10m
//! baseline: {offset: 1w, ratio: "<0.5"}
//! ```
//!
//! Samples without errors need not be sent: where sums, counts and rates are divided, what was not seen is zero. Nothing
//! divided by nothing is insufficient, and so is a baseline before there is a history of offset and window.

use super::condition::{self, COMPARES, Condition};
use super::severity::Severities;
use super::{SAMPLES, SOME_WAIT, matchers, metric_of};
use crate::fields::{Fields, Said, short};
use crate::problem::Kind;
use crate::yaml::Value;
use stages::settings::{Compare, Rule, Stat};
use stages::term::Term;
use stages::time::Span;
use std::ops::RangeInclusive;

/// Most conditions of a rule: more is a program.
const TERMS_MAX: usize = 10;
/// How much earlier a baseline may lie: four weeks, and a day for those that compare months.
const OFFSET: RangeInclusive<Span> = Span::from_secs(60)..=Span::from_secs(31 * 86_400);
/// What a single condition says in its own place, and no rule of several.
const OF_ONE: [&str; 11] = [
    "metric",
    "stat",
    "threshold",
    "share",
    "compare",
    "recover",
    "window",
    "min_samples",
    "fresh_for",
    "baseline",
    "absent",
];

/// A metric, or a ratio of two.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Watched {
    pub metric: String,
    pub per: Option<String>,
}

/// Reads `metric: errors` or `metric: errors / requests`.
pub(super) fn watched(fields: &Fields<'_>) -> Watched {
    let Some(said) = fields.text("metric") else {
        fields.missing("metric", "metric: the_name_services_send");
        return Watched::default();
    };
    let mut parts = said.text.split('/').map(str::trim);
    if said.text.contains('/') && parts.clone().any(str::is_empty) {
        let message = format!("metric {:?} lacks a metric on one side of /", short(&said.text));
        let remedy = "write two metrics, like errors / requests";
        fields.report.error(&said.place, Kind::BadValue, message, remedy);
        return Watched::default();
    }
    let part = |text: &str| Said { place: said.place.clone(), text: text.to_owned() };
    let metric = metric_of(part(parts.next().unwrap_or_default()), fields.report);
    let per = parts.next().map(|per| metric_of(part(per), fields.report));
    if parts.next().is_some() {
        let message = format!("metric {:?} divides more than once", short(&said.text));
        let remedy = "write one metric, or two like errors / requests";
        fields.report.error(&said.place, Kind::BadValue, message, remedy);
    } else if per.as_ref() == Some(&metric) {
        let message = "a metric divided by itself is always 1".to_owned();
        fields.report.error(&said.place, Kind::Conflict, message, "name another metric");
    }
    Watched { metric, per }
}

/// What a baseline says: how much earlier, and how the quotient is compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Baseline {
    pub offset: Span,
    pub compare: Compare,
    pub ratio: f64,
}

/// Reads `baseline`.
pub(super) fn baseline(fields: &Fields<'_>) -> Option<Baseline> {
    let map = fields.nested_like("baseline", "{offset: 1w, ratio: \">2\"}")?;
    let offset = map.span("offset", OFFSET);
    map.missing("offset", "offset: 1w");
    let ratio = ratio(&map);
    map.missing("ratio", "ratio: \">2\"");
    map.finish();
    for field in ["threshold", "share", "compare"] {
        if fields.has_own(field) {
            let message =
                format!("{field} beside a baseline, which says what is compared with what");
            fields.report.error(fields.place_of(field), Kind::Conflict, message, "remove the line");
        }
    }
    let (compare, ratio) = ratio?;
    Some(Baseline { offset: offset?, compare, ratio })
}

/// `">2"`: a sign and a number.
fn ratio(map: &Fields<'_>) -> Option<(Compare, f64)> {
    let remedy = "write it like \">2\" or \"<0.5\"";
    let node = map.node("ratio")?;
    if !matches!(node.value, Value::Text(_)) {
        map.wrong_type("ratio", node, remedy);
        return None;
    }
    let said = map.text("ratio")?;
    let sign_ends = said.text.find(|c: char| !"<>=!".contains(c)).unwrap_or(said.text.len());
    let (sign, number) = said.text.split_at(sign_ends);
    let compare = COMPARES.iter().find(|(word, _)| *word == sign).map(|(_, compare)| *compare);
    let number =
        number.trim().parse::<f64>().ok().filter(|ratio| ratio.is_finite() && *ratio >= 0.0);
    if let (Some(compare), Some(ratio)) = (compare, number) {
        return Some((compare, ratio));
    }
    let message = format!("ratio {:?} is not a comparison", short(&said.text));
    map.report.error(&said.place, Kind::BadValue, message, remedy);
    None
}

/// Checks what a ratio, a baseline, absence and several severities leave of each other.
pub(super) fn check(fields: &Fields<'_>, stat: Stat, (ratio, absent, several): (bool, bool, bool)) {
    let baseline = fields.has("baseline");
    let conflict = |field: &'static str, message: &str, remedy: &str| {
        fields.report.error(fields.place_of(field), Kind::Conflict, message, remedy);
    };
    let earlier = matches!(stat, Stat::Mean | Stat::Min | Stat::Max | Stat::Sum | Stat::Count);
    if baseline && !earlier {
        let message = "a baseline keeps no more than mean, min, max, sum and count";
        conflict("stat", message, "write one of these as stat");
    }
    if baseline && ratio {
        let message = "a ratio and a baseline are one too many";
        conflict("baseline", message, "watch one metric, or remove the baseline");
    }
    if ratio && matches!(stat, Stat::Above | Stat::Below) {
        conflict(
            "stat",
            "shares of a threshold have no ratio",
            "write sum, count, rate or another",
        );
    }
    if absent && (ratio || baseline) {
        conflict(
            "absent",
            "absence is of one metric, and of now",
            "write a rule of its own for it",
        );
    }
    if several && baseline {
        let message = "several severities need thresholds, a baseline has one";
        conflict("severity", message, "write one severity");
    }
}

/// Checks what is said of a rule of several conditions as a whole.
pub(super) fn check_whole(fields: &Fields<'_>, severities: &Severities) {
    if severities.several {
        let message = "several severities need one value that reaches them, not several conditions";
        let place = fields.place_of("severity");
        fields.report.error(
            place,
            Kind::Conflict,
            message,
            "write one severity, or a rule for each",
        );
    }
}

/// The lists of `all:` or `any:`; empty where neither is there.
pub(super) fn lists(fields: &Fields<'_>) -> Vec<Vec<Term>> {
    let name = match (fields.has("all"), fields.has("any")) {
        (false, false) => return Vec::new(),
        (true, true) => {
            let message = "all and any in one rule";
            let remedy = "write two rules, or one of them";
            fields.report.error(fields.place_of("any"), Kind::Conflict, message, remedy);
            fields.node("any");
            "all"
        }
        (true, false) => "all",
        (false, true) => "any",
    };
    fields.know(&OF_ONE);
    for field in OF_ONE.into_iter().filter(|field| fields.has_own(field)) {
        let message = format!("{field} beside {name}, whose conditions have their own");
        let remedy = format!("move it into the conditions of {name}");
        fields.report.error(fields.place_of(field), Kind::Conflict, message, remedy);
    }
    let Some(node) = fields.node(name) else { return Vec::new() };
    let example = "{metric: .., threshold: .., window: ..}";
    let Value::List(items) = &node.value else {
        fields.wrong_type(name, node, &format!("write a list: - {example}"));
        return Vec::new();
    };
    if items.is_empty() || items.len() > TERMS_MAX {
        let message = format!("{name} has {} conditions", items.len());
        let remedy = format!("write 1 to {TERMS_MAX}");
        fields.report.error(&node.place, Kind::OutOfRange, message, remedy);
    }
    let terms = items
        .iter()
        .filter_map(|item| Some(term(Fields::open_like(item, example, fields.report)?)));
    let terms: Vec<Term> = terms.collect();
    match name {
        "all" if !terms.is_empty() => vec![terms],
        _ => terms.into_iter().map(|term| vec![term]).collect(),
    }
}

fn term(fields: Fields<'_>) -> Term {
    let watched = watched(&fields);
    let condition = condition::read(&fields, watched.per, None);
    let window = condition.window;
    let term = Term {
        metric: watched.metric,
        per: condition.per,
        matchers: matchers::read(&fields),
        stat: condition.stat,
        compare: condition.compare,
        threshold: condition.threshold,
        share: condition.share,
        recover: condition.recover,
        window,
        min_samples: fields.whole("min_samples", SAMPLES).unwrap_or(1),
        fresh_for: fields.span("fresh_for", SOME_WAIT).unwrap_or(fresh_for(window)),
        baseline: condition.baseline,
    };
    fields.finish();
    term
}

/// The one term of a rule about a ratio, or against an earlier window.
pub(super) fn of_rule(rule: &Rule, condition: &Condition) -> Term {
    Term {
        metric: rule.metric.clone(),
        per: condition.per.clone(),
        matchers: rule.matchers.clone(),
        stat: rule.stat,
        compare: rule.compare,
        threshold: rule.threshold,
        share: rule.share,
        recover: rule.recover,
        window: rule.window,
        min_samples: rule.min_samples,
        fresh_for: rule.fresh_for,
        baseline: condition.baseline,
    }
}

/// A third of the window, 10 s at least, in whole milliseconds, as durations are written on the bus.
pub(super) fn fresh_for(window: Span) -> Span {
    Span::from_millis(window.0 / 3_000_000).max(Span::from_secs(10))
}

/// The longest window of these terms.
pub(super) fn longest(lists: &[Vec<Term>]) -> Option<Span> {
    lists.iter().flatten().map(|term| term.window).max()
}
