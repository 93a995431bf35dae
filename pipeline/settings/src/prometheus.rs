//! Alerting rules of Prometheus as rule files: what the language can express, and of the rest, why not.
//!
//! Whatever is handed out has been read by the reader of rule files first, so it loads. Two things differ on purpose and
//! stand at the top of the text: a gap in the data does not resolve an alert here, and series are judged together
//! unless `group_by` tells them apart.

mod expression;
mod texts;

use crate::fields::{Fields, Said};
use crate::files::{self, Layout};
use crate::problem::{Kind, Place, Problems, Report};
use crate::rule;
use crate::yaml::{self, Node, Value};
use expression::Condition;
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;
use texts::{Group, annotations, beside, labels};

/// What came of a file.
#[derive(Clone, Debug, Default)]
pub struct Import {
    /// The rule file; empty if no rule could be converted.
    pub text: String,
    /// The rules in it.
    pub rules: Vec<Converted>,
    /// Rules that could not be converted.
    pub refused: Vec<Refused>,
}

/// A rule that was converted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    /// Its name here, where there is one of each.
    pub name: String,
    /// Its name there.
    pub alert: String,
    /// Whether it had a severity there; else it is `warning`.
    pub has_severity: bool,
    /// Labels and annotations that could not be converted.
    pub left_out: BTreeSet<String>,
    text: String,
}

/// The labels that tell the series of a metric apart where an expression does not say; none: nobody knows.
pub(crate) type GroupBy<'a> = &'a dyn Fn(&str) -> Option<Vec<String>>;

/// A rule that could not be converted.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Refused {
    /// Where it stands.
    pub at: String,
    /// Its name.
    pub name: String,
    /// Why.
    pub why: String,
}

/// Converts a file of Prometheus. `group_by` are the labels that tell series apart where an expression does not say;
/// none: nobody knows.
///
/// # Errors
/// The file cannot be read, or is none of Prometheus.
pub fn import_prometheus(path: &Path, group_by: Option<&[String]>) -> Result<Import, Problems> {
    import(path, &|_| group_by.map(<[String]>::to_vec), &mut BTreeSet::new())
}

/// As [`import_prometheus`], for one of several files: `names` are those of the rules so far.
///
/// # Errors
/// See [`import_prometheus`].
pub(crate) fn import(
    path: &Path,
    group_by: GroupBy<'_>,
    names: &mut BTreeSet<String>,
) -> Result<Import, Problems> {
    let layout = Layout::at(path.parent().unwrap_or(Path::new(".")));
    let report = Report::default();
    let node = files::read(&layout, path, &report);
    if !path.exists() {
        let remedy = "name a file of Prometheus with alerting rules";
        report.error(&layout.place(path), Kind::Unreadable, "is not there", remedy);
    }
    let groups = node.as_ref().and_then(|node| Fields::open(node, &report)?.node("groups"));
    let mut import = Import::default();
    for (group, rules) in &groups_of(groups, &report) {
        for rule in *rules {
            match one(rule, (group, group_by), names) {
                Ok(converted) => {
                    import.text.push_str(&converted.text);
                    import.rules.push(converted);
                }
                Err(refused) => import.refused.push(refused),
            }
        }
    }
    if import.rules.is_empty() && import.refused.is_empty() && report.errors() == 0 {
        let (place, remedy) = (layout.place(path), "name a file with groups: and rules: in it");
        report.error(&place, Kind::Empty, "it holds no rules of Prometheus", remedy);
    }
    let problems = report.finish();
    if problems.errors() > 0 {
        return Err(problems);
    }
    if !import.text.is_empty() {
        import.text.insert_str(0, HEADER);
    }
    Ok(import)
}

const HEADER: &str = "# Converted from Prometheus. Two things differ on purpose: missing data keeps an alert as it is (there it resolves;\n\
    # no_data: ok says so), and series are judged together unless group_by tells them apart. Nobody is told yet: add\n\
    # notify: to each rule, or to a _defaults.yml.\nschema: 1\nrules:\n";

/// The groups with their rules.
fn groups_of<'a>(groups: Option<&'a Node>, report: &'a Report) -> Vec<(Group, &'a [Node])> {
    let groups = match groups.map(|node| &node.value) {
        Some(Value::List(items)) => items.as_slice(),
        _ => &[],
    };
    let groups = groups.iter().filter_map(|group| Fields::open(group, report));
    let group = |fields: Fields<'a>| {
        let labels = fields.text_map("labels", |_, _, _| {});
        let left_out = ["limit", "query_offset"].into_iter().filter(|it| fields.has(it)).collect();
        (Group { labels, left_out }, fields.nodes("rules"))
    };
    groups.map(group).collect()
}

/// One rule. What is wrong with it costs no other rule of the file, so it has a report of its own.
fn one(
    node: &Node,
    (group, group_by): (&Group, GroupBy<'_>),
    names: &mut BTreeSet<String>,
) -> Result<Converted, Refused> {
    let report = Report::default();
    let mut name = "(no name)".to_owned();
    let converted = Fields::open(node, &report).map(|fields| {
        let said = fields.text("alert").or_else(|| fields.text("record"));
        let Some(Said { text, .. }) = said else {
            return Err("it has no name: write alert: and what it is called".to_owned());
        };
        name.clone_from(&text);
        fields.know(&["expr", "for", "keep_firing_for", "labels", "annotations"]);
        let converted = match fields.has("record") {
            true => {
                Err("it records a series: rules compute their statistics themselves".to_owned())
            }
            false => {
                let unique = unique(&text, names);
                let names = (text.as_str(), unique.as_str());
                convert((group, &fields), names, group_by).and_then(checked)
            }
        };
        // Else a misspelt `for` would be lost without a word.
        fields.finish();
        converted
    });
    let faults = report.finish();
    let first = faults.iter().next();
    let at = first.map_or_else(|| node.place.to_string(), |fault| fault.place.to_string());
    let said: Vec<String> =
        faults.iter().map(|fault| format!("{}: {}", fault.message, fault.remedy)).collect();
    match converted {
        _ if !said.is_empty() => Err(Refused { at, name, why: said.join("; ") }),
        Some(Err(why)) => Err(Refused { at, name, why }),
        Some(Ok(converted)) => Ok(converted),
        // Not opened: the report says why.
        None => Err(Refused { at, name, why: "it is no mapping".to_owned() }),
    }
}

/// Prometheus lets several rules have one name.
fn unique(name: &str, names: &mut BTreeSet<String>) -> String {
    let mut found = name.to_owned();
    for number in 2.. {
        if names.insert(found.clone()) {
            break;
        }
        found = format!("{name}_{number}");
    }
    found
}

/// A rule, its text as an item of a list.
fn convert(
    (group, fields): (&Group, &Fields<'_>),
    (alert, name): (&str, &str),
    group_by: GroupBy<'_>,
) -> Result<Converted, String> {
    let said = fields.text("expr").ok_or("it has no expr")?;
    let mut condition = expression::read(&said.text)?;
    let groups = grouped(&mut condition, group_by)?;
    let mut left_out = BTreeSet::new();
    let (labels, severity) = labels((group, fields), &mut condition, &mut left_out);
    let mut labels = beside(&groups, labels, &mut condition, &mut left_out);
    if name != alert {
        labels.retain(|(label, _)| label != "alertname");
        labels.push(("alertname".to_owned(), alert.to_owned()));
    }
    let mut text = String::new();
    let quoted = |value: &str| Json::from(value).to_string();
    // Writing to a string does not fail.
    let mut line = |field: &str, value: String| {
        let _ = writeln!(text, "  {field}: {value}");
    };
    line("name", quoted(name));
    line("metric", quoted(&condition.metric));
    if !condition.matchers.is_empty() {
        let all: Vec<String> = condition.matchers.iter().map(|it| quoted(it)).collect();
        line("where", format!("[{}]", all.join(", ")));
    }
    let hold = duration(fields, "for")?;
    if condition.absent {
        line("absent", span(condition.window + hold));
    } else {
        line("stat", condition.stat.clone());
        line("compare", quoted(&condition.compare));
        line("threshold", Json::from(condition.threshold).to_string());
        line("window", span(condition.window));
        if hold > Duration::ZERO {
            line("for", span(hold));
        }
    }
    let kept = duration(fields, "keep_firing_for")?;
    if kept > Duration::ZERO {
        line("keep_firing_for", span(kept));
    }
    if !groups.is_empty() {
        let all: Vec<String> = groups.iter().map(|it| quoted(it)).collect();
        line("group_by", format!("[{}]", all.join(", ")));
    }
    line("severity", quoted(severity.as_deref().unwrap_or("warning")));
    let known: BTreeSet<&str> = groups
        .iter()
        .map(String::as_str)
        .chain(labels.iter().map(|(name, _)| name.as_str()))
        .collect();
    let texts = annotations(fields, &known, (&mut condition.notes, &mut left_out));
    if let Some((_, page)) =
        texts.iter().find(|(name, page)| name == "runbook_url" && page.starts_with("http"))
    {
        line("runbook", quoted(page));
    }
    for (field, pairs) in [("labels", &labels), ("annotations", &texts)] {
        if !pairs.is_empty() {
            let all: Vec<String> =
                pairs.iter().map(|(name, value)| format!("{name}: {}", quoted(value))).collect();
            line(field, format!("{{{}}}", all.join(", ")));
        }
    }
    let notes: String = condition.notes.iter().map(|note| format!("# {name}: {note}\n")).collect();
    let text = format!("{}- {}", notes.replace("\r", " "), text.trim_start());
    let (name, alert, has_severity) = (name.to_owned(), alert.to_owned(), severity.is_some());
    Ok(Converted { name, alert, has_severity, left_out, text })
}

/// The labels that tell its alerts apart.
fn grouped(condition: &mut Condition, said: GroupBy<'_>) -> Result<Vec<String>, String> {
    if let Some(labels) = condition.group_by.take() {
        return Ok(labels);
    }
    if let Some(labels) = said(&condition.metric) {
        return Ok(labels);
    }
    let worst = matches!(
        (condition.stat.as_str(), condition.compare.as_str()),
        ("max", ">" | ">=") | ("min", "<" | "<=")
    );
    if worst {
        let note = "there every series has an alert, here all have one: add group_by for more";
        condition.notes.push(note.to_owned());
        return Ok(Vec::new());
    }
    Err("it judges every series by itself: say which labels tell them apart, --group-by instance (or --group-by '' where \
         each metric has one series)"
        .to_owned())
}

/// A duration of Prometheus; nothing where there is none.
fn duration(fields: &Fields<'_>, name: &'static str) -> Result<Duration, String> {
    let Some(said) = fields.text(name) else { return Ok(Duration::ZERO) };
    let wrong = || format!("its {name} {:?} is no duration: write it like 5m", said.text);
    if said.text == "0" {
        return Ok(Duration::ZERO);
    }
    stages::time::Span::parse(&said.text).map(|span| span.as_std()).map_err(|_| wrong())
}

fn span(length: Duration) -> String {
    stages::time::Span::from_millis(
        i64::try_from(length.as_millis()).unwrap_or(i64::MAX / 1_000_000),
    )
    .to_string()
}

/// The text, once the reader of rule files has found nothing wrong with it.
fn checked(converted: Converted) -> Result<Converted, String> {
    let report = Report::default();
    let file = format!("rules:\n{}", converted.text);
    if let Some(node) = yaml::parse(&Place::file("-"), file.as_bytes(), &report) {
        rule::read(&node, "-", &report);
    }
    let problems = report.finish();
    match problems.iter().find(|problem| problem.severity == crate::Severity::Error) {
        Some(problem) => {
            Err(format!("rules cannot say it: {}: {}", problem.message, problem.remedy))
        }
        None => Ok(converted),
    }
}
