//! Texts of rules with places to fill in: `{{ metric }} is at {{ reading }}`.
//!
//! Jinja as minijinja speaks it, cut down to what a text of an alert needs: names, comparisons, `{% if %}` and a few
//! filters. It has no loader, so there is no I/O; fuel bounds steps and bytes; a name, filter or test nobody knows is a
//! fault that [`check`] finds before a rule is in force, whichever branch it stands in. A text without `{{` is no template
//! and is passed on as it is.
//!
//! | name | what it is |
//! |---|---|
//! | `rule` `metric` `severity` `unit` `runbook` | as the rule says them |
//! | `value` `level` `threshold` `count` | numbers; the first two are `no data` where there is none |
//! | `reading` `limit` | the same in the words of a page: `1580 ms`, `threshold 1000` |
//! | `window` | `3m` |
//! | `incident` `reason` | its name; `fired`, `reminded`, `resolved`, ... |
//! | `labels.NAME` | labels of the rule and of the alert's group |
//!
//! Filters: `plain` (a number as pages show it), `round`, `upper`, `lower`, `trim`, `replace`, `default`.

use crate::desk::words;
use crate::number;
use crate::series::Labels;
use crate::settings::Rule;
use crate::wire::{Evidence, Reason};
use minijinja::machinery::{Instruction, get_compiled_template};
use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind, Template, UndefinedBehavior, filters};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes a template may have: a text of a page is a few sentences.
pub const BYTES_MAX: usize = 4 << 10;
/// Steps of one rendering; what a step makes is paid for by the byte as well. A text of [`BYTES_MAX`] with a name in
/// every ten bytes needs some 2,000.
const FUEL: u64 = 20_000;
/// Nesting of conditions.
const DEPTH_MAX: usize = 32;

/// What is known to a template besides labels.
const NAMES: [&str; 14] = [
    "rule",
    "metric",
    "severity",
    "unit",
    "runbook",
    "value",
    "level",
    "threshold",
    "count",
    "reading",
    "limit",
    "window",
    "incident",
    "reason",
];

type Register = fn(&mut Environment<'static>, &'static str);

/// Filters a template may use. Both the check and the environment go by this list, so neither knows more than the other.
const FILTERS: [(&str, Register); 7] = [
    ("plain", |to, name| to.add_filter(name, plain)),
    ("round", |to, name| to.add_filter(name, round)),
    ("upper", |to, name| to.add_filter(name, filters::upper)),
    ("lower", |to, name| to.add_filter(name, filters::lower)),
    ("trim", |to, name| to.add_filter(name, filters::trim)),
    ("replace", |to, name| to.add_filter(name, filters::replace)),
    ("default", |to, name| to.add_filter(name, filters::default)),
];
/// Tests, behind `is`.
const TESTS: [(&str, Register); 2] = [
    ("defined", |to, name| to.add_test(name, minijinja::tests::is_defined)),
    ("number", |to, name| to.add_test(name, minijinja::tests::is_number)),
];

/// What to do about a template where nothing better is known.
const MEND: &str = "mend what stands between the braces; {{ value }} is the plainest form";

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where in the text, in bytes.
    pub offset: usize,
    /// What is wrong.
    pub message: String,
    /// The name nobody knows, and those that are known, where that is what is wrong.
    pub unknown: Option<(String, Vec<String>)>,
    /// What to write instead, where it is something else.
    pub remedy: &'static str,
}

/// What a text may tell.
#[derive(Clone, Copy, Debug)]
pub struct Story<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// Labels of the alert's group.
    pub group: &'a Labels,
    /// Severity of the incident.
    pub severity: &'a str,
    /// The incident.
    pub incident: &'a str,
    /// Why somebody is told.
    pub reason: Reason,
    /// What was seen.
    pub evidence: Option<&'a Evidence>,
}

/// Whether a text has places to fill in.
pub fn is_template(text: &str) -> bool {
    text.contains("{{")
}

/// Checks a template whose rule has these labels.
///
/// # Errors
/// The first fault, with its place in the text.
pub fn check(text: &str, labels: &BTreeSet<&str>) -> Result<(), Fault> {
    let environment = environment();
    let template = environment.template_from_str(text).map_err(|error| fault(text, &error))?;
    let used: BTreeSet<String> = template.undeclared_variables(true).into_iter().collect();
    let known = || NAMES.iter().map(|name| (*name).to_owned());
    let in_labels = || labels.iter().map(|name| format!("labels.{name}"));
    let unknown = used.into_iter().filter(|name| {
        let is_label = name == "labels" || in_labels().any(|label| label == *name);
        !is_label && !NAMES.contains(&name.as_str())
    });
    let found = unknown.map(|name| (place_of(text, &name), name)).min();
    if let Some((offset, name)) = found {
        let message = format!("{name} is not known");
        let all = known().chain(in_labels()).collect();
        return Err(Fault { offset, message, unknown: Some((name, all)), remedy: MEND });
    }
    called(text, &template)?;
    // Operators and their operands are only tried by running it: with a value and without one.
    for value in [Some(1.0), None] {
        let tried = template.render(sample(labels, value));
        match tried {
            Ok(_) => {}
            // Arithmetic on what is not there is answered for when it happens.
            Err(error) if value.is_none() && error.kind() == ErrorKind::InvalidOperation => {}
            Err(error) => {
                let mut fault = fault(text, &error);
                // `labels['team']`: only running it tells that there is none.
                if let Some(name) = undefined(&error) {
                    fault.message = format!("{name} is not known");
                    fault.unknown = Some((name, known().chain(in_labels()).collect()));
                }
                return Err(fault);
            }
        }
    }
    Ok(())
}

/// The name that stands for nothing, where that is the error.
fn undefined(error: &Error) -> Option<String> {
    let detail = error.detail().filter(|_| error.kind() == ErrorKind::UndefinedError)?;
    Some(detail.strip_prefix('`')?.strip_suffix("` is undefined")?.to_owned())
}

/// Filters, tests and calls of all branches, also of those that no trial takes.
fn called(text: &str, template: &Template<'_, '_>) -> Result<(), Fault> {
    let code = &get_compiled_template(template).instructions;
    let steps = (0..).map_while(|at| Some((at, code.get(at)?)));
    for (at, step) in steps {
        let (kind, name, known): (_, _, &[(&str, Register)]) = match step {
            Instruction::ApplyFilter(name, ..) => ("filter", *name, &FILTERS),
            Instruction::PerformTest(name, ..) => ("test", *name, &TESTS),
            Instruction::CallFunction(name, _) => ("function", *name, &[]),
            Instruction::FastRecurse => ("function", "loop", &[]),
            Instruction::CallMethod(name, _) => ("method", *name, &[]),
            Instruction::CallObject(_) => ("call", "(", &[]),
            _ => continue,
        };
        if known.iter().any(|(word, _)| *word == name) {
            continue;
        }
        let start = code.get_span(at).map_or(0, |span| span.start_offset as usize);
        let offset = text.get(start..).and_then(|rest| rest.find(name)).unwrap_or_default() + start;
        let (message, unknown) = if known.is_empty() {
            let what = if name == "(" { "something".to_owned() } else { format!("{kind} {name}") };
            (format!("nothing can be called here, and {what} is"), None)
        } else {
            let known = known.iter().map(|(name, _)| (*name).to_owned()).collect();
            (format!("{kind} {name} is not known"), Some((name.to_owned(), known)))
        };
        let remedy = "write a filter behind the value, like {{ value | round(1) }}";
        return Err(Fault { offset: offset.min(text.len()), message, unknown, remedy });
    }
    Ok(())
}

/// All texts, filled in.
pub fn fill(texts: &Labels, story: &Story<'_>) -> Labels {
    if !texts.values().any(|text| is_template(text)) {
        return texts.clone();
    }
    let (environment, context) = (environment(), context(story));
    let filled = texts.iter().map(|(name, text)| {
        let text = match is_template(text) {
            false => text.clone(),
            true => environment.render_str(text, context.clone()).unwrap_or_else(|error| {
                format!("{text} (not filled in: {})", error.detail().unwrap_or("it does not work"))
            }),
        };
        (name.clone(), text)
    });
    filled.collect()
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(DEPTH_MAX);
    environment.set_debug(true);
    for (name, register) in FILTERS.into_iter().chain(TESTS) {
        register(&mut environment, name);
    }
    environment
}

/// A number as pages show it; anything else as it is.
fn plain(value: Value) -> Value {
    match f64::try_from(value.clone()) {
        Ok(number) => Value::from(number::plain(number)),
        Err(_) => value,
    }
}

/// A number with so many decimals; anything else as it is.
fn round(value: Value, decimals: Option<usize>) -> Value {
    match f64::try_from(value.clone()) {
        Ok(number) => Value::from(format!("{number:.*}", decimals.unwrap_or(0).min(12))),
        Err(_) => value,
    }
}

/// `1000`, not `1000.0`.
fn number_value(number: f64) -> Value {
    let whole = number.fract() == 0.0 && number.abs() < 1e15;
    if whole { Value::from(number as i64) } else { Value::from(number) }
}

fn context(story: &Story<'_>) -> Value {
    let Story { rule, group, severity, incident, reason, evidence } = *story;
    let number = |value: Option<f64>| value.map_or(Value::from("no data"), number_value);
    // A label of the group wins over the rule's own, as it does for silences.
    let labels: Labels = rule
        .labels
        .iter()
        .chain(group)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let over = reason == Reason::Resolved;
    let reading = evidence.and_then(|evidence| words::reading(rule, evidence, over));
    BTreeMap::from([
        ("rule", Value::from(&*rule.name)),
        ("metric", Value::from(&*rule.metric)),
        ("severity", Value::from(severity)),
        ("unit", Value::from(rule.unit_shown())),
        ("runbook", Value::from(rule.runbook.as_deref().unwrap_or_default())),
        ("value", number(evidence.and_then(|evidence| evidence.value))),
        ("level", number(evidence.and_then(|evidence| evidence.level))),
        ("threshold", number_value(evidence.map_or(rule.threshold, |it| it.threshold))),
        ("count", Value::from(evidence.map_or(0, |evidence| evidence.count))),
        ("reading", Value::from(reading.unwrap_or_else(|| "no data".to_owned()))),
        ("limit", Value::from(words::limit(rule, severity))),
        ("window", Value::from(rule.window.to_string())),
        ("incident", Value::from(incident)),
        ("reason", Value::from(words::word(reason))),
        ("labels", Value::from(labels)),
    ])
    .into()
}

/// What a template is tried with.
fn sample(labels: &BTreeSet<&str>, value: Option<f64>) -> Value {
    let number = value.map_or(Value::from("no data"), number_value);
    let mut names: BTreeMap<&str, Value> =
        NAMES.iter().map(|name| (*name, Value::from("x"))).collect();
    for name in ["value", "level"] {
        names.insert(name, number.clone());
    }
    for name in ["threshold", "count"] {
        names.insert(name, Value::from(1));
    }
    let labels: Labels = labels.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect();
    names.insert("labels", Value::from(labels));
    names.into()
}

fn fault(text: &str, error: &Error) -> Fault {
    let line_start = |line: usize| {
        let before = text.split_inclusive('\n').take(line.saturating_sub(1));
        before.map(str::len).sum::<usize>()
    };
    let offset = error.range().map(|range| range.start);
    let offset = offset.or_else(|| error.line().map(line_start)).unwrap_or_default();
    let kind = error.kind().to_string();
    let detail = error.detail().unwrap_or_default();
    let message = match detail {
        _ if error.kind() == ErrorKind::OutOfFuel => {
            format!("it takes more than {FUEL} steps or bytes to fill in")
        }
        "" => kind,
        detail => format!("{kind}: {detail}"),
    };
    let remedy = match () {
        () if error.kind() == ErrorKind::OutOfFuel => "write less of it: values, labels, a few ifs",
        () if detail.starts_with("unknown statement") => {
            "write {% if .. %} .. {% endif %}, each closed by its own end, or no statement"
        }
        () if text.get(offset..).is_some_and(|rest| rest.starts_with('$')) => {
            "names have no dollar here: write {{ value }}, or {{ labels.NAME }}"
        }
        () => MEND,
    };
    let message = message.chars().filter(|c| !c.is_control()).take(160).collect();
    Fault { offset: offset.min(text.len()), message, unknown: None, remedy }
}

/// Where a name stands first inside of braces.
fn place_of(text: &str, name: &str) -> usize {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    let whole = |at: usize| {
        !text[..at].ends_with(|c: char| part_of_word(c) || c == '.')
            && !text[at + name.len()..].starts_with(part_of_word)
    };
    let inside = |at: usize| {
        let opened = text[..at].rfind("{{").max(text[..at].rfind("{%"));
        let closed = text[..at].rfind("}}").max(text[..at].rfind("%}"));
        opened > closed
    };
    let mut places = text.match_indices(name).map(|(at, _)| at);
    let found = places.find(|at| whole(*at) && inside(*at));
    // `labels . team`, `labels["team"]`: the first name at least.
    found.unwrap_or_else(|| match name.split_once('.') {
        Some((first, _)) => place_of(text, first),
        None => 0,
    })
}

#[cfg(test)]
mod tests;
