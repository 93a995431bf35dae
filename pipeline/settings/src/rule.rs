//! A rule file: what to watch and what to do about it. All defaults of `semantics` 3 and 4 live here.
//!
//! ```yaml
//! metric: county_api_ms            # needed; or a ratio: errors / requests
//! threshold: 1000                  # needed
//! window: 3m                       # needed: 1s to 30d
//! name: county_api                 # the stem of the file
//! stat: mean                       # min max sum count rate last stddev p95 p99.9 above below
//! share: 0.1                       # with above and below only: which share of samples is too much
//! compare: ">"                     # ">=" "<" "<=" "==" "!="
//! for: 0s
//! recover: 1000                    # the threshold
//! keep_firing_for: 0s
//! reopen_within: 0s
//! min_samples: 1
//! fresh_for: 1m                    # max(window / 3, 10s)
//! gap_tolerance: 1m                # window / 3
//! no_data: keep                    # alert, ok
//! keep_max: 15m                    # 5 windows
//! absent: 10m                      # makes absence the condition; threshold and window may then be left out
//! flap_window: 1h                  # max(1h, 20 windows)
//! severity: critical               # or several, mildest first, each with its threshold (its share, with above and below):
//!                                  #   {warning: 500, critical: 1000}, and no `threshold` (`share`). One alert changes its
//!                                  #   severity: up and down as a rule of that threshold would fire and recover; `recover`
//!                                  #   is said of the mildest and lies as far from every other. No data has the worst.
//! group_by: [service, region]
//! where: {service: courts}         # only series with these labels; or, as in Prometheus, text or a list of texts:
//!                                  #   where: 'service="courts", region!~"eu-.*"'    (= != =~ !~, whole values)
//! unit: ms                         # read off the metric's name
//! labels: {team: courts}
//! annotations: {summary: "The county API is at {{ reading }}"}    # names: stages/src/desk/template.rs
//! action: "ROLLBACK:DOCKET_RULE"
//! action_min_samples: 10
//! action_severity: critical        # the mildest of several severities that acts; the worst
//! guards: {changed_within: 30m, unless: county_down, approve: required, dry_run: false}
//! runbook: wiki/slow-county-api
//! notify: ["oncall@opm.gov", "pager_duty"]
//! repeat: 4h
//! hours: office                    # a calendar of config/calendars.yml; at any hour unless said
//! mode: live                       # shadow: judged and recorded, nobody is told, nothing runs
//! ```
//!
//! A file holds one rule, or several below `rules:`; `schema: 1` may stand at its top. What is common to the rules of a
//! folder stands in its `_defaults.yml` (`defaults`).
//! Conditions over several metrics (`all:`, `any:`), ratios and `baseline:` are described in `rule/terms.rs`, `slo:` in
//! `rule/slo.rs`.

mod action;
mod condition;
mod matchers;
mod severity;
mod slo;
mod terms;
mod texts;

use crate::fields::{Fields, Said, short};
use crate::problem::{Kind, Place, Report};
use crate::yaml::{Node, Value};
use condition::Condition;
use severity::Severities;
use slo::Slo;
use stages::matcher::Matcher;
use stages::series::check_name;
use stages::settings::{Action, Mode, NoData, Rule};
use stages::term::Term;
use stages::time::Span;
use std::ops::RangeInclusive;

const DAY: Span = Span::from_secs(86_400);
/// Waits that may be nothing.
const WAIT: RangeInclusive<Span> = Span::ZERO..=Span(30 * DAY.0);
/// Waits that must be something.
const SOME_WAIT: RangeInclusive<Span> = Span::from_secs(1)..=Span(30 * DAY.0);
/// Waits that are counted in windows, of which the longest is a month.
const LONG_WAIT: RangeInclusive<Span> = Span::from_secs(1)..=Span(600 * DAY.0);
/// Reminders: not more than one a minute.
const REPEAT: RangeInclusive<Span> = Span::from_secs(60)..=Span(30 * DAY.0);
const REPEAT_DEFAULT: Span = Span::from_secs(4 * 3_600);
/// Samples: more than a billion in a window is a slip.
const SAMPLES: RangeInclusive<u64> = 1..=1_000_000_000;
/// Version of the form of rule files.
const SCHEMA: i64 = 1;
/// Names become subject tokens of at most three bytes a byte; a subject stays below 1 KiB.
const NAME_BYTES_MAX: usize = 200;
const NO_DATA: [(&str, NoData); 3] =
    [("keep", NoData::Keep), ("alert", NoData::Alert), ("ok", NoData::Ok)];

const MODES: [(&str, Mode); 2] = [("live", Mode::Live), ("shadow", Mode::Shadow)];

/// A rule with the places of what refers to something else.
#[derive(Clone, Debug)]
pub(crate) struct PlacedRule {
    pub rule: Rule,
    pub place: Place,
    pub name_place: Place,
    pub limit_place: Place,
    pub notify: Vec<Said>,
    pub plan: Option<Said>,
    pub unless: Option<Said>,
    pub runbook: Option<Said>,
    pub hours: Option<Said>,
}

/// All rules of a file whose name without `.yml` is `stem`.
pub(crate) fn read(node: &Node, stem: &str, report: &Report) -> Vec<PlacedRule> {
    if node.value == Value::Null {
        let remedy = "write a rule, or remove the file";
        report.error(&node.place, Kind::Empty, "the file is empty", remedy);
        return Vec::new();
    }
    let Some(fields) = Fields::open(node, report) else { return Vec::new() };
    if !fields.has("rules") {
        schema(&fields);
        return one(fields, Some(stem));
    }
    schema(&fields);
    let rules = fields.node("rules");
    if fields.has("metric") || fields.has("name") {
        let message = "a rule and a list of rules in one file";
        let remedy = "move the rule into the list: - name: ..., or remove rules:";
        report.error(fields.place_of("rules"), Kind::Conflict, message, remedy);
        return Vec::new();
    }
    fields.finish();
    match rules.map(|node| (node, &node.value)) {
        Some((_, Value::List(items))) => {
            let opened = items.iter().filter_map(|item| Fields::open(item, report));
            opened.flat_map(|fields| one(fields, None)).collect()
        }
        Some((node, other)) => {
            let message = format!("rules is {}", other.kind());
            report.error(&node.place, Kind::WrongType, message, "write a list: - name: ...");
            Vec::new()
        }
        None => Vec::new(),
    }
}

/// Reads one rule to its end, so that all its faults are noted, with stand-ins for what is wrong: the set is
/// refused anyway, and what the rule refers to is checked too. None without a name to speak of it; two of a promise.
fn one(fields: Fields<'_>, stem: Option<&str>) -> Vec<PlacedRule> {
    let rules = said(&fields, stem);
    fields.finish();
    rules.into_iter().filter(|placed| !placed.rule.name.is_empty()).collect()
}

/// What a rule says, its unknown fields left aside.
fn said(fields: &Fields<'_>, stem: Option<&str>) -> Vec<PlacedRule> {
    let (name, name_place) = name(fields, stem);
    let severities = severity::read(fields);
    let Seen { metric, matchers, condition, any_of, slo } = seen(fields, &severities);
    let plan = action::plan(fields);
    let (guards, unless) = action::guards(fields);
    let (runbook, notify) = (fields.text("runbook"), fields.texts("notify").unwrap_or_default());
    let hours = fields.text("hours");
    let (group_by, labels) = (group_by(fields), fields.text_map("labels", check_label));
    let annotations = texts::annotations(fields, &labels, &group_by);
    let mut rule = Rule {
        name: name.unwrap_or_default(),
        metric,
        matchers,
        any_of,
        group_by,
        stat: condition.stat,
        compare: condition.compare,
        threshold: condition.threshold,
        share: condition.share,
        window: condition.window,
        hold: fields.span("for", WAIT).unwrap_or_default(),
        recover: condition.recover,
        keep_firing_for: fields.span("keep_firing_for", WAIT).unwrap_or_default(),
        reopen_within: fields.span("reopen_within", WAIT).unwrap_or_default(),
        min_samples: fields.whole("min_samples", SAMPLES).unwrap_or(1),
        fresh_for: fields
            .span("fresh_for", SOME_WAIT)
            .unwrap_or(terms::fresh_for(condition.window)),
        gap_tolerance: Span::ZERO,
        no_data: fields.word("no_data", &NO_DATA).unwrap_or_default(),
        keep_max: Span::ZERO,
        absent: condition.absent,
        flap_window: Span::ZERO,
        severity: severities.severity,
        grades: severities.grades,
        action_severity: severities.action,
        unit: fields.text("unit").map(|said| said.text),
        action: plan.as_ref().map(|said| Action::Rollback(said.text.clone())),
        action_min_samples: fields.whole("action_min_samples", SAMPLES).unwrap_or(10),
        guards,
        runbook: runbook.as_ref().map(|said| said.text.clone()),
        // Filled with the receivers' own names once roster and receivers are known.
        notify: Vec::new(),
        repeat: fields.span("repeat", REPEAT).unwrap_or(REPEAT_DEFAULT),
        labels,
        annotations,
        hours: hours.as_ref().map(|said| said.text.clone()),
        mode: fields.word("mode", &MODES).unwrap_or_default(),
    };
    if condition.per.is_some() || condition.baseline.is_some() {
        rule.any_of = vec![vec![terms::of_rule(&rule, &condition)]];
    }
    let spans = [
        fields.span("gap_tolerance", WAIT),
        fields.span("keep_max", LONG_WAIT),
        fields.span("flap_window", LONG_WAIT),
    ];
    fill_spans(&mut rule, spans);
    let place = fields.place.clone();
    let limit_place =
        fields.place_of(if fields.has("share") { "share" } else { "threshold" }).clone();
    let placed =
        PlacedRule { rule, place, name_place, limit_place, notify, plan, unless, runbook, hours };
    match &slo {
        Some(slo) if !placed.rule.name.is_empty() => slo::expand(placed, slo, (fields, spans)),
        Some(_) | None => vec![placed],
    }
}

/// Fills in what is counted in windows: gap tolerance, `keep_max` and flap window, as said or by the rule's longest.
fn fill_spans(rule: &mut Rule, [gap_tolerance, keep_max, flap_window]: [Option<Span>; 3]) {
    if let Some(window) = terms::longest(&rule.any_of) {
        rule.window = window;
    }
    let times = |count: i64| Span(rule.window.0.saturating_mul(count));
    // In whole milliseconds, as durations are written on the bus.
    rule.gap_tolerance = gap_tolerance.unwrap_or(Span::from_millis(rule.window.0 / 3_000_000));
    rule.keep_max = keep_max.unwrap_or(times(5));
    rule.flap_window = flap_window.unwrap_or(times(20).max(Span::from_secs(3_600)));
}

/// What a rule looks at, and when that is a breach.
struct Seen {
    metric: String,
    matchers: Vec<Matcher>,
    condition: Condition,
    any_of: Vec<Vec<Term>>,
    slo: Option<Slo>,
}

fn seen(fields: &Fields<'_>, severities: &Severities) -> Seen {
    fields.know(&["all", "any"]);
    let several = fields.has("all") || fields.has("any");
    let slo = slo::read(fields, several);
    let matchers = matchers::read(fields);
    if several {
        let mut any_of = terms::lists(fields);
        terms::check_whole(fields, severities);
        for term in any_of.iter_mut().flatten() {
            // What is said of the rule is said of each of its conditions.
            term.matchers.extend(matchers.iter().cloned());
            term.matchers.sort();
            term.matchers.dedup();
        }
        let first = any_of.first().and_then(|list| list.first());
        let metric = first.map(|term| term.metric.clone()).unwrap_or_default();
        let condition = first.map_or_else(Condition::none, Condition::of);
        return Seen { metric, matchers, condition, any_of, slo };
    }
    let watched = terms::watched(fields);
    let condition = if slo.is_some() || fields.has("slo") {
        condition::of_slo(fields, watched.per)
    } else {
        condition::read(fields, watched.per, Some(severities))
    };
    Seen { metric: watched.metric, matchers, condition, any_of: Vec::new(), slo }
}

/// The version of the files' form, where one is said: 1, the only one there is.
pub(crate) fn schema(fields: &Fields<'_>) {
    let Some(node) = fields.node("schema") else { return };
    if node.value != Value::Whole(SCHEMA) {
        let message = "this version of the files is not known";
        let remedy = format!("write schema: {SCHEMA}, or use the `ops` that reads it");
        fields.report.error(&node.place, Kind::UnknownSchema, message, remedy);
    }
}

/// Names of all fields of a rule.
pub(crate) fn field_names() -> Vec<&'static str> {
    let nobody = Report::default();
    let node = Node { place: Place::file("-"), value: Value::Map(Vec::new()) };
    let names = Fields::open(&node, &nobody).map(|fields| {
        said(&fields, Some("-"));
        fields.known()
    });
    names.unwrap_or_default()
}

/// Notes what is wrong with the defaults of a folder by themselves, whether or not a rule uses them.
pub(crate) fn try_defaults(entries: &[(Node, Node)], report: &Report) {
    let says = |name: &str| {
        entries.iter().find(|(key, _)| key.value == Value::Text(name.to_owned())).map(|it| &it.1)
    };
    let shares = matches!(says("stat").map(|stat| &stat.value),
        Some(Value::Text(stat)) if stat == "above" || stat == "below");
    // What is judged together with something that only a rule says is judged there.
    let alone = |name: &str| match name {
        "recover" => says("threshold").is_some() && says("compare").is_some() && !shares,
        "stat" | "share" => shares == says("share").is_some(),
        // Which labels a text may name is for the rule to say.
        "annotations" => false,
        _ => true,
    };
    let key = |name: &str| Node { place: Place::file("-"), value: Value::Text(name.to_owned()) };
    let stand_in = |name: &str, value: Value| (key(name), Node { value, ..key(name) });
    let mut all: Vec<(Node, Node)> = entries
        .iter()
        .filter(|(key, _)| matches!(&key.value, Value::Text(name) if alone(name)))
        .cloned()
        .collect();
    let (several, slo) = (says("all").is_some() || says("any").is_some(), says("slo").is_some());
    if !several {
        all.push(stand_in("metric", Value::Text(if slo { "m / n" } else { "m" }.into())));
    }
    let graded = matches!(says("severity").map(|node| &node.value), Some(Value::Map(_)));
    let needless = |name: &str| match name {
        "threshold" => several || slo || says("baseline").is_some() || (graded && !shares),
        "window" => several || slo,
        _ => false,
    };
    for (name, value) in [
        ("threshold", Value::Whole(0)),
        ("window", Value::Text("1m".into())),
        ("action", Value::Text("ROLLBACK:P".into())),
    ] {
        if says(name).is_none() && !needless(name) {
            all.push(stand_in(name, value));
        }
    }
    let node = Node { place: Place::file("-"), value: Value::Map(all) };
    if let Some(fields) = Fields::open(&node, report) {
        said(&fields, Some("-"));
    }
}

/// The rule's name and where it is said; a rule of a list must have one.
fn name(fields: &Fields<'_>, stem: Option<&str>) -> (Option<String>, Place) {
    let said = match (fields.text("name"), stem) {
        (Some(said), _) => said,
        (None, Some(stem)) if !fields.has("name") => {
            Said { place: fields.place.clone(), text: stem.to_owned() }
        }
        (None, _) => {
            fields.missing("name", "name: what_it_watches");
            return (None, fields.place.clone());
        }
    };
    if said.text.len() > NAME_BYTES_MAX || said.text.chars().any(char::is_control) {
        let message =
            format!("rule name {:?} is too long or has control characters", short(&said.text));
        let remedy = format!("write at most {NAME_BYTES_MAX} bytes of plain text");
        fields.report.error(&said.place, Kind::BadName, message, remedy);
        return (None, said.place);
    }
    (Some(said.text), said.place)
}

/// A metric's name, checked.
fn metric_of(said: Said, report: &Report) -> String {
    if check_name(&said.text).is_err() {
        let message = format!("metric {:?} is not a metric's name", short(&said.text));
        let remedy = if said.text.len() > NAME_BYTES_MAX {
            "write at most 200 bytes"
        } else {
            "write letters, digits and _ : . - , beginning with a letter, like county_api_ms"
        };
        report.error(&said.place, Kind::BadName, message, remedy);
    }
    said.text
}

fn group_by(fields: &Fields<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for said in fields.texts("group_by").unwrap_or_default() {
        check_label(&said.text, &said.place, fields.report);
        if names.contains(&said.text) {
            let message = format!("label {:?} stands here twice", short(&said.text));
            fields.report.error(&said.place, Kind::DuplicateName, message, "remove one of them");
            continue;
        }
        names.push(said.text);
    }
    names
}

/// Label names as in Prometheus: `[A-Za-z_][A-Za-z0-9_]*`.
fn check_label(name: &str, place: &Place, report: &Report) {
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !begins_well || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        let message = format!("{:?} is not a label's name", short(name));
        let remedy = "write letters, digits and _, not beginning with a digit";
        report.error(place, Kind::BadName, message, remedy);
    }
}
