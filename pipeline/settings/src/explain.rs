//! A rule in plain English: when it fires, when it is over, what no data means, who is told, what runs.
//!
//! One paragraph a rule, made from what is meant and never from the file, so that defaults are said like
//! everything else. Each sentence is a function of its own: what a rule does not say leaves its sentence out.

mod action;
mod condition;

pub(crate) use condition::{conditions, grades, matchers};

use stages::settings::{NoData, Rule, Settings};
use stages::term::Term;
use stages::time::Span;

/// The paragraph of `rule`, one of `settings`.
pub fn explain(rule: &Rule, settings: &Settings) -> String {
    let sentences = [
        shadow(rule),
        Some(condition::fires(rule)),
        condition::over(rule),
        groups(rule),
        enough(rule),
        history(rule),
        no_data(rule),
        flaps(rule),
        Some(told(rule, settings)),
        hours(rule, settings),
        Some(runbook(rule)),
        Some(action::action(rule, settings)),
    ];
    sentences.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// `a`, `a and b`, `a, b and c`.
fn list(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// `1 sample`, `3 samples`.
fn count(number: u64, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}

fn shadow(rule: &Rule) -> Option<String> {
    (!rule.mode.is_live()).then(|| {
        format!(
            "{} is a shadow: it is judged and recorded, but tells nobody and runs nothing; what follows is what it would do.",
            rule.name
        )
    })
}

fn groups(rule: &Rule) -> Option<String> {
    let each = match rule.group_by.as_slice() {
        [] => return None,
        [one] => one.clone(),
        several => format!("combination of {}", list(several)),
    };
    Some(format!("Each {each} has an alert of its own."))
}

fn enough(rule: &Rule) -> Option<String> {
    let several = rule.is_joined() && rule.lone_term().is_none();
    (rule.absent.is_none() && rule.min_samples > 1 && !several).then(|| {
        let per = rule.lone_term().and_then(|term| term.per.as_deref());
        let of = per.map_or_else(String::new, |per| format!(" of {per}"));
        let samples = count(rule.min_samples, "sample");
        format!("With fewer than {samples}{of} in the window it decides nothing.")
    })
}

fn history(rule: &Rule) -> Option<String> {
    let reach = |term: &Term| Some(Span(term.baseline?.0.saturating_add(term.window.0)));
    let longest = rule.terms().filter_map(reach).max()?;
    Some(format!(
        "Before it has seen {longest} of samples, there is nothing to compare with and it decides nothing."
    ))
}

fn no_data(rule: &Rule) -> Option<String> {
    if rule.absent.is_some() {
        return None;
    }
    if rule.is_joined() && rule.lone_term().is_none() {
        return Some(several_without_data(rule));
    }
    let empty = match rule.no_data {
        NoData::Keep => format!(
            "If no data comes for {}, nothing changes: a firing alert stays as it is for {}, then says that it has no \
             data",
            rule.window, rule.keep_max
        ),
        NoData::Alert => format!("If no data comes for {}, that counts as a breach", rule.window),
        NoData::Ok => format!("If no data comes for {}, that counts as fine", rule.window),
    };
    let tolerance = rule.gap_tolerance;
    let gap = match (rule.hold, tolerance) {
        (Span::ZERO, _) => String::new(),
        (_, Span::ZERO) => "; a gap starts the wait anew".to_owned(),
        _ => format!(
            "; a gap of up to {tolerance} pauses the wait before firing, a longer one ends it"
        ),
    };
    Some(format!("{empty}{gap}."))
}

fn several_without_data(rule: &Rule) -> String {
    let alone = match rule.no_data {
        NoData::Keep => {
            format!(
                "says nothing: the others decide without it where they can; where they cannot, nothing changes, and after \
                 {} a firing alert says that it has no data",
                rule.keep_max
            )
        }
        NoData::Alert => "counts as met".to_owned(),
        NoData::Ok => "counts as not met".to_owned(),
    };
    format!("A condition without data for the length of its window {alone}.")
}

fn flaps(rule: &Rule) -> Option<String> {
    let times = stages::track::FLAP_FIRINGS;
    Some(format!(
        "{times} firings within {} are flapping: it is told once and nothing runs by itself until it is quiet.",
        rule.flap_window
    ))
}

fn told(rule: &Rule, settings: &Settings) -> String {
    let severity = &severities(rule);
    if rule.notify.is_empty() {
        return format!("Its severity is {severity}, and it tells nobody.");
    }
    let mut text = format!("Its severity is {severity}, and it tells {}", list(&rule.notify));
    if rule.repeat > Span::ZERO {
        text.push_str(&format!(", again every {} while it is open", rule.repeat));
    }
    if let Some(fallback) = &settings.fallback_receiver
        && !rule.notify.contains(fallback)
    {
        text.push_str(&format!("; {fallback} stands in where no message gets through"));
    }
    text.push('.');
    text
}

/// One word, or the several of which it has the worst.
fn severities(rule: &Rule) -> String {
    let names: Vec<String> = rule.grades.iter().map(|grade| grade.severity.clone()).collect();
    match names.as_slice() {
        [] | [_] => rule.severity.clone(),
        [first @ .., worst] => {
            format!("{} or {worst}, the worst it reaches", first.join(", "))
        }
    }
}

fn hours(rule: &Rule, settings: &Settings) -> Option<String> {
    let name = rule.hours.as_ref()?;
    let calendar = settings.calendars.iter().find(|calendar| calendar.name == *name)?;
    Some(format!(
        "People are told in the hours of {name} ({}) only; what fires outside of them is recorded and told when they \
         begin, if it is still open, and what runs by itself runs at any hour.",
        calendar.zone
    ))
}

fn runbook(rule: &Rule) -> String {
    match &rule.runbook {
        Some(runbook) => format!("What to do is described in {runbook}."),
        None => "What to do is described nowhere.".to_owned(),
    }
}
