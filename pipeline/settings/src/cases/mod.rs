//! Tests of rules, as people write them beside the rules: `*.test.yml`. How they are written: `alerts/README.md`.
//!
//! A file is read against the settings it tests, so that a name that does not exist is found before anything runs.

mod events;
mod expect;
mod promtool;
mod series;

pub use events::{Deed, Event, Script};
pub use expect::{About, Expected, group_text};
pub use promtool::{UNSAID, firing_text};
pub use series::{Series, Stretch, parse_selector};

use crate::fields::{Fields, Said, short};
use crate::files::{self, Layout};
use crate::problem::{Kind as Fault, Place, Problems, Report};
use crate::yaml::{Node, Value};
use events::Names;
use series::{INTERVAL, OFFSET};
use stages::settings::Settings;
use stages::time::{Span, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// When a test begins that does not say so: a Monday at midnight, a multiple of every pane's width.
const START: Time = Time::from_millis(1_767_571_200_000);
/// Between samples, unless said.
const EVERY: Span = Span::from_secs(1);

/// One test.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Where it is written.
    pub place: Place,
    /// Its name.
    pub name: String,
    /// When it begins.
    pub start: Time,
    /// Rules under test: those named, and those of metrics that get samples.
    pub rules: BTreeSet<String>,
    /// Samples.
    pub series: Vec<Series>,
    /// What else happens, in order of time.
    pub events: Vec<Event>,
    /// What becomes of commands, by plan; without a word a script is claimed at once and succeeds after a second.
    pub scripts: BTreeMap<String, Script>,
    /// How long it runs.
    pub until: Span,
    /// What is expected.
    pub expect: Vec<(About, Vec<Expected>)>,
    /// What stands in it and cannot be run, each with its place and the reason.
    pub not_run: Vec<String>,
}

/// The tests of one file.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseFile {
    /// As it is shown.
    pub file: String,
    /// In the order written.
    pub cases: Vec<Case>,
    /// The rules it brings with it, where it tests none of the folder.
    pub settings: Option<Settings>,
}

/// Reads all `*.test.yml` among and below `paths`, and what somebody should look at in them.
///
/// # Errors
/// All problems of all files.
pub fn load_cases(
    layout: &Layout,
    paths: &[PathBuf],
    settings: &Settings,
) -> Result<(Vec<CaseFile>, Problems), Problems> {
    let report = Report::default();
    let mut files = Vec::new();
    for path in files::test_files(layout, paths, &report) {
        let Some(node) = files::read(layout, &path, &report) else { continue };
        let shown = layout.place(&path).file.to_string();
        let (cases, own) = match promtool::is_one(&node) {
            true => promtool::read(&path, &node, &report),
            false => (read(&node, settings, &report), None),
        };
        files.push(CaseFile { file: shown, cases, settings: own });
    }
    let problems = report.finish();
    if problems.errors() > 0 { Err(problems) } else { Ok((files, problems)) }
}

fn read(node: &Node, settings: &Settings, report: &Report) -> Vec<Case> {
    if node.value == Value::Null {
        let remedy = "write tests: - name: ..., or remove the file";
        report.error(&node.place, Fault::Empty, "the file is empty", remedy);
        return Vec::new();
    }
    let Some(fields) = Fields::open(node, report) else { return Vec::new() };
    fields.missing("tests", "tests: - name: what_happens");
    let tests = fields.nodes("tests");
    fields.finish();
    let mut cases: Vec<Case> = Vec::new();
    for item in tests {
        let Some(case) = Fields::open(item, report).and_then(|fields| one(fields, settings)) else {
            continue;
        };
        if let Some(first) = cases.iter().find(|other| other.name == case.name) {
            let message =
                format!("test {:?} exists already, at {}", short(&case.name), first.place);
            report.error(&case.place, Fault::DuplicateName, message, "rename one of them");
        }
        cases.push(case);
    }
    cases
}

/// Reads one test to its end, so that all its faults are noted.
fn one(fields: Fields<'_>, settings: &Settings) -> Option<Case> {
    let report = fields.report;
    let name = fields.words("name");
    fields.missing("name", "name: what happens, as a sentence");
    let start = start(&fields);
    let interval = fields.span("interval", INTERVAL).unwrap_or(EVERY);
    let mut placed = Vec::new();
    for item in fields.nodes("series") {
        let series = Fields::open(item, report).and_then(|fields| series::read(fields, interval));
        placed.extend(series.map(|series| (item.place.clone(), series)));
    }
    series::check_twice(&placed, report);
    let series: Vec<Series> = placed.into_iter().map(|(_, series)| series).collect();
    let mut events = events(&fields, settings);
    events.sort_by_key(|event| event.at);
    let scripts = scripts(&fields, settings);
    let expect = fields.nested("expect").map(|expect| {
        let read = expect::read(&expect, settings);
        expect.finish();
        read
    });
    fields.missing(
        "expect",
        "expect: with transitions, incidents, pages, messages, rollbacks or alerts",
    );
    let until = fields.span("until", OFFSET);
    let named = fields.texts("rules").unwrap_or_default();
    named.iter().for_each(|said| expect::known_rule(&fields, said, settings));
    let place = fields.place.clone();
    fields.finish();
    let expect = expect.unwrap_or_default();
    let (rules, end) =
        (under_test(&named, &series, &events, &expect, settings), end(&series, &events, &expect));
    let (name, until) = (name?.text, until.unwrap_or(end));
    let not_run = Vec::new();
    Some(Case { place, name, start, rules, series, events, scripts, until, expect, not_run })
}

fn start(fields: &Fields<'_>) -> Time {
    let Some(said) = fields.text("start") else { return START };
    match serde_json::from_value(serde_json::Value::String(said.text.clone())) {
        Ok(start) => start,
        Err(_) => {
            let message = format!("start {:?} is no moment", short(&said.text));
            let remedy = "write it like 2026-11-20T16:00:00Z";
            fields.report.error(&said.place, Fault::BadValue, message, remedy);
            START
        }
    }
}

fn events(fields: &Fields<'_>, settings: &Settings) -> Vec<Event> {
    let rule = |said: &Said| expect::known_rule(fields, said, settings);
    let plan = |said: &Said| expect::known_plan(fields, said, settings);
    let names = Names { rule: &rule, plan: &plan };
    let items = fields.nodes("events").iter();
    items.filter_map(|item| events::read(Fields::open(item, fields.report)?, &names)).collect()
}

fn scripts(fields: &Fields<'_>, settings: &Settings) -> BTreeMap<String, Script> {
    let Some(plans) = fields.nested("rollbacks") else { return BTreeMap::new() };
    let mut scripts = BTreeMap::new();
    for (name, place, node) in plans.entries() {
        let said = Said { place: place.clone(), text: name.to_owned() };
        expect::known_plan(fields, &said, settings);
        if let Some(script) = Fields::open(node, fields.report) {
            scripts.insert(name.to_owned(), events::script(script));
        }
    }
    scripts
}

/// Rules that are named, that get samples, and those that others look at.
fn under_test(
    named: &[Said],
    series: &[Series],
    events: &[Event],
    expect: &[(About, Vec<Expected>)],
    settings: &Settings,
) -> BTreeSet<String> {
    let mut rules: BTreeSet<String> = named.iter().map(|said| said.text.clone()).collect();
    let mut metrics: BTreeSet<&str> = series.iter().map(|series| series.metric.as_str()).collect();
    for event in events {
        match &event.deed {
            Deed::Sample { metric, .. } => {
                metrics.insert(metric);
            }
            Deed::Ack(rule) | Deed::Approve(rule, _) | Deed::Close(rule) => {
                rules.insert(rule.clone());
            }
            Deed::Change(..)
            | Deed::Silence { .. }
            | Deed::Freeze(_)
            | Deed::Unlock(_)
            | Deed::Hole(_) => {}
        }
    }
    let fields = expect.iter().flat_map(|(_, rows)| rows).flat_map(|row| &row.fields);
    rules.extend(fields.filter(|(name, _)| *name == "rule").map(|(_, rule)| rule.clone()));
    if named.is_empty() {
        let of_metric = settings.rules.iter().filter(|rule| !rule.metrics().is_disjoint(&metrics));
        rules.extend(of_metric.map(|rule| rule.name.clone()));
    }
    let guards = settings.rules.iter().filter(|rule| rules.contains(&rule.name));
    let unless: Vec<String> = guards.filter_map(|rule| rule.guards.unless.clone()).collect();
    rules.extend(unless);
    rules
}

/// The end of what happens and of what is expected.
fn end(series: &[Series], events: &[Event], expect: &[(About, Vec<Expected>)]) -> Span {
    let samples = series.iter().map(Series::end);
    let events = events.iter().map(|event| match event.deed {
        Deed::Hole(length) => Span(event.at.0.saturating_add(length.0)),
        _ => event.at,
    });
    let expected = expect.iter().flat_map(|(_, rows)| rows).map(|row| row.at.1);
    samples.chain(events).chain(expected).max().unwrap_or_default()
}
