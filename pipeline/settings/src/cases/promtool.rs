//! Test files of `promtool`, as they are: the rules they name are converted as `ops rules import prometheus` would.
//!
//! ```yaml
//! rule_files: [alerts.yml]           # beside this file
//! evaluation_interval: 1m
//! tests:
//!   - interval: 1m
//!     input_series:
//!       - {series: 'up{job="api", instance="a:80"}', values: "1 0x10"}
//!     alert_rule_test:
//!       - eval_time: 6m
//!         alertname: InstanceDown
//!         exp_alerts:                # all that fire then
//!           - exp_labels: {severity: page, job: api, instance: "a:80"}
//!             exp_annotations: {summary: "a:80 is down"}
//! ```
//!
//! Series are told apart by all labels they have in the file. What fires is looked at a second behind `eval_time`: a
//! sample is judged at the end of its step, and `for` is over a moment after it. What cannot be run - tests of expressions,
//! alerts whose rule cannot be converted, texts that cannot be filled in - is named, and never taken for passed.

use super::series::{self, INTERVAL, OFFSET};
use super::{About, Case, Expected, START, Series};
use crate::fields::{Fields, Said, short};
use crate::problem::{Kind as Fault, Report};
use crate::prometheus::{self, Import};
use crate::rule;
use crate::yaml::{self, Node, Value};
use stages::batch::Kind;
use stages::series::{Labels, split_key};
use stages::settings::{Rule, Settings, Stat};
use stages::time::Span;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// The severity of a rule that had none.
pub const UNSAID: &str = "unsaid";
/// Between samples and evaluations, unless said.
const EVERY: Span = Span::from_secs(60);
/// After the moment that is asked about.
const MOMENT: Span = Span::from_secs(1);

/// Whether a file is one of these.
pub(super) fn is_one(node: &Node) -> bool {
    let named = |key: &Node| matches!(&key.value, Value::Text(name) if name == "rule_files");
    matches!(&node.value, Value::Map(map) if map.iter().any(|(key, _)| named(key)))
}

/// Alerts that fire, as one text: labels and annotations of each, in order; `none` where there is none.
pub fn firing_text<'a>(alerts: impl IntoIterator<Item = (&'a Labels, &'a Labels)>) -> String {
    let pairs = |labels: &Labels| -> Vec<String> {
        let said = labels.iter().filter(|(name, value)| *name != "alertname" && !value.is_empty());
        said.map(|(name, value)| format!("{name}={value:?}")).collect()
    };
    let one = |(labels, annotations): (&Labels, &Labels)| {
        let (labels, texts) = (pairs(labels).join(", "), pairs(annotations).join(", "));
        if texts.is_empty() { format!("{{{labels}}}") } else { format!("{{{labels}}} {texts}") }
    };
    let mut all: Vec<String> = alerts.into_iter().map(one).collect();
    all.sort();
    if all.is_empty() { "none".to_owned() } else { all.join("; ") }
}

/// Reads a file: its tests, and the rules they are of.
pub(super) fn read(path: &Path, node: &Node, report: &Report) -> (Vec<Case>, Option<Settings>) {
    let Some(fields) = Fields::open(node, report) else { return (Vec::new(), None) };
    let every = fields.span("evaluation_interval", INTERVAL).unwrap_or(EVERY);
    // In which order groups are evaluated makes no difference here: no rule reads what another one makes.
    fields.know(&["group_eval_order", "fuzzy_compare"]);
    let files = fields.texts("rule_files").unwrap_or_default();
    let tests: Vec<Written<'_>> = fields
        .nodes("tests")
        .iter()
        .zip(1..)
        .filter_map(|(item, number)| Some(written(Fields::open(item, report)?, number, every)))
        .collect();
    fields.missing("tests", "tests: - input_series: and alert_rule_test:");
    fields.finish();
    let rules = Rules::read(path, &files, &labels_of(&tests), report);
    let counted: BTreeSet<&str> = rules
        .all
        .iter()
        .filter(|rule| rule.stat == Stat::Rate)
        .flat_map(|rule| rule.metrics())
        .collect();
    let cases = tests.into_iter().map(|test| test.case(&rules, &counted, report)).collect();
    let settings = Settings { rules: rules.all.clone(), ..Settings::default() };
    (cases, Some(settings))
}

/// The labels of all series of each metric.
fn labels_of(tests: &[Written<'_>]) -> BTreeMap<String, BTreeSet<String>> {
    let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for one in tests.iter().flat_map(|test| &test.series) {
        let known = labels.entry(one.metric.clone()).or_default();
        known.extend(split_key(&one.key).1.map(|(name, _)| name.to_owned()));
    }
    labels
}

/// A test as it stands there.
struct Written<'a> {
    fields: Fields<'a>,
    name: String,
    series: Vec<Series>,
    interval: Span,
}

fn written(fields: Fields<'_>, number: u32, every: Span) -> Written<'_> {
    let report = fields.report;
    let name = fields.words("name").map_or_else(|| format!("test {number}"), |said| said.text);
    let interval = fields.span("interval", INTERVAL).unwrap_or(every);
    let mut placed = Vec::new();
    for item in fields.nodes("input_series") {
        let series = Fields::open(item, report).and_then(|fields| series::read(fields, interval));
        placed.extend(series.map(|series| (item.place.clone(), series)));
    }
    series::check_twice(&placed, report);
    let series = placed.into_iter().map(|(_, series)| series).collect();
    Written { fields, name, series, interval }
}

impl Written<'_> {
    fn case(self, rules: &Rules, counted: &BTreeSet<&str>, report: &Report) -> Case {
        let Self { fields, name, mut series, interval } = self;
        for one in series.iter_mut().filter(|one| counted.contains(one.metric.as_str())) {
            one.kind = Kind::Counter;
        }
        let (mut rows, mut not_run) = (Vec::new(), Vec::new());
        for item in fields.nodes("promql_expr_test") {
            let why = "rules are tested, expressions of their own are not";
            not_run.push(format!("{}: promql_expr_test: {why}", item.place));
        }
        for field in ["external_labels", "external_url", "start_timestamp"] {
            if fields.has(field) {
                not_run.push(format!("{}: {field} has no meaning here", fields.place_of(field)));
            }
        }
        fields.know(&["external_labels", "external_url", "start_timestamp"]);
        for item in fields.nodes("alert_rule_test") {
            let Some(asked) = Fields::open(item, report) else { continue };
            rows.extend(rules.asked(asked, interval, &mut not_run));
        }
        let place = fields.place.clone();
        fields.finish();
        let until = rows.iter().map(|row: &Expected| row.at.1);
        let until = until.chain(series.iter().map(Series::end)).max().unwrap_or_default();
        let named = rules.all.iter().map(|rule| rule.name.clone()).collect();
        Case {
            place,
            name,
            start: START,
            rules: named,
            series,
            events: Vec::new(),
            scripts: BTreeMap::new(),
            until,
            expect: vec![(About::Firing, rows)],
            not_run,
        }
    }
}

/// The rules of all files.
#[derive(Default)]
struct Rules {
    all: Vec<Arc<Rule>>,
    /// What could not be converted of the alerts of a name.
    left_out: BTreeMap<String, BTreeSet<String>>,
    /// Alerts with a rule that could not be converted, and why.
    refused: BTreeMap<String, String>,
}

impl Rules {
    fn read(
        path: &Path,
        files: &[Said],
        labels: &BTreeMap<String, BTreeSet<String>>,
        report: &Report,
    ) -> Self {
        let group_by = |metric: &str| {
            let known = labels.get(metric).map(|labels| labels.iter().cloned().collect());
            Some(known.unwrap_or_default())
        };
        let (mut rules, mut names) = (Self::default(), BTreeSet::new());
        for file in files {
            let beside = path.parent().unwrap_or(Path::new(".")).join(&file.text);
            match prometheus::import(&beside, &group_by, &mut names) {
                Ok(import) => rules.take(import),
                Err(problems) => {
                    for problem in problems.iter() {
                        let message = format!("rule file {:?}: {problem}", short(&file.text));
                        let remedy = "name a rule file of Prometheus that lies beside this one";
                        report.error(&file.place, Fault::Unreadable, message, remedy);
                    }
                }
            }
        }
        rules.all.sort_by(|one, other| one.name.cmp(&other.name));
        rules
    }

    fn take(&mut self, import: Import) {
        let none = Report::default();
        let node = yaml::parse(&crate::Place::file("-"), import.text.as_bytes(), &none);
        let read = node.map(|node| rule::read(&node, "-", &none)).unwrap_or_default();
        let mut read: BTreeMap<String, Rule> =
            read.into_iter().map(|placed| (placed.rule.name.clone(), placed.rule)).collect();
        for converted in import.rules {
            let Some(mut rule) = read.remove(&converted.name) else { continue };
            rule.labels.insert("alertname".to_owned(), converted.alert.clone());
            if !converted.has_severity {
                UNSAID.clone_into(&mut rule.severity);
            }
            self.left_out.entry(converted.alert).or_default().extend(converted.left_out);
            self.all.push(Arc::new(rule));
        }
        for refused in import.refused {
            let why = format!("{}: {}", refused.at, refused.why);
            self.refused.entry(refused.name).or_insert(why);
        }
    }

    /// One question: which alerts of a name fire at a time. None where that cannot be told here.
    fn asked(
        &self,
        fields: Fields<'_>,
        interval: Span,
        not_run: &mut Vec<String>,
    ) -> Option<Expected> {
        let eval = fields.span("eval_time", OFFSET);
        fields.missing("eval_time", "eval_time: 5m");
        let alert = fields.text("alertname");
        fields.missing("alertname", "alertname: InstanceDown");
        let mut expected: Vec<(Labels, Labels)> = Vec::new();
        for item in fields.nodes("exp_alerts") {
            let Some(one) = Fields::open(item, fields.report) else { continue };
            let said = |name| one.text_map(name, |_, _, _| {}).into_iter().collect::<Labels>();
            expected.push((said("exp_labels"), said("exp_annotations")));
            one.finish();
        }
        let place = fields.place.clone();
        fields.finish();
        let (eval, Said { text: alert, place: at }) = (eval?, alert?);
        if let Some(why) = self.refused.get(&alert) {
            not_run.push(format!("{at}: {alert} cannot be converted: {why}"));
            return None;
        }
        let none = BTreeSet::new();
        let left_out = self.left_out.get(&alert).unwrap_or(&none);
        for (labels, texts) in &mut expected {
            for name in left_out {
                if labels.remove(name).is_some() | texts.remove(name).is_some() {
                    not_run.push(format!("{at}: {name} of {alert} cannot be filled in"));
                }
            }
        }
        let firing = firing_text(expected.iter().map(|(labels, texts)| (labels, texts)));
        let fields = vec![("alert", alert), ("firing", firing)];
        let moment = MOMENT.min(Span(interval.0 / 2));
        Some(Expected { place, at: (eval, Span(eval.0.saturating_add(moment.0))), fields })
    }
}
