//! The answer to "why", in words.

use super::Story;
use crate::found::{group_of, word};
use stages::number::{plain, with_unit};
use stages::series::Labels;
use stages::settings::Rule;
use stages::shard::Standing;
use stages::time::{Span, Time};
use stages::wire::{AlertState, Axis, DataFlag, Evidence, Transition};
use std::fmt::Write as _;

/// An incident: evidence, path, who was told or why not, rollback.
pub fn story(story: &Story) -> String {
    let opened = &story.opened;
    let id = opened.incident.as_deref().unwrap_or_default();
    let mut text =
        format!("incident {id}: {}, opened {}", name(&opened.rule, &opened.group), opened.time);
    match story.ended {
        Some((ended, state)) => {
            let _ = writeln!(text, ", {} after {}", word(&state), ended.since(opened.time));
        }
        None => text.push_str(", still open\n"),
    }
    let _ = writeln!(text, "evidence\n  {}", evidence(&opened.evidence, &opened.unit));
    text.push_str("path\n");
    for one in &story.path {
        let _ = writeln!(text, "  {}", moved(one));
    }
    text.push_str(&told(story));
    text.push_str(&rollback(story));
    text
}

/// One move of an alert on a line.
pub fn moved(moved: &Transition) -> String {
    let value = moved.evidence.value.map_or_else(|| "no value".to_owned(), plain);
    let way = if moved.from == moved.to {
        word(&moved.to)
    } else {
        format!("{} -> {}", word(&moved.from), word(&moved.to))
    };
    let flags = if moved.flapping { ", flapping" } else { "" };
    let (cause, data) = (word(&moved.cause), word(&moved.data));
    format!("{}  {way}: {cause}, {value}, data {data}{flags}", moved.time)
}

fn told(story: &Story) -> String {
    let mut text = String::from("told\n");
    for (intent, attempts) in &story.messages {
        let _ = write!(
            text,
            "  {}  {} {}: {}",
            intent.time,
            intent.receiver,
            word(&intent.reason),
            intent.summary
        );
        match attempts.last() {
            None => text.push_str(" - nothing is known of its delivery\n"),
            Some(last) => {
                let detail =
                    last.detail.as_ref().map_or_else(String::new, |detail| format!(": {detail}"));
                let _ = writeln!(
                    text,
                    " - {} by {}, attempt {}{detail}",
                    word(&last.state),
                    last.channel,
                    last.attempt
                );
            }
        }
    }
    for event in
        story.events.iter().filter(|event| event.untold.is_some() || !event.folded.is_empty())
    {
        let why = event.untold.as_deref().unwrap_or("folded");
        let mut line = format!(
            "  {}  {}: not sent, {}",
            event.time,
            event.state.token(),
            why.replace('_', " ")
        );
        if !event.folded.is_empty() {
            let _ = write!(
                line,
                ": the budget of {} was spent, it is part of a digest",
                event.folded.join(", ")
            );
        }
        if why == "silenced" {
            for silence in &story.silences {
                let _ = write!(
                    line,
                    ", by {} until {}: {}",
                    silence.author, silence.ends, silence.comment
                );
            }
        }
        let _ = writeln!(text, "{line}");
    }
    for event in story.events.iter().filter(|event| event.state == AlertState::Acknowledged) {
        let _ = writeln!(
            text,
            "  {}  acknowledged: {}",
            event.time,
            event.detail.as_deref().unwrap_or_default()
        );
    }
    if text == "told\n" { "told\n  nobody\n".to_owned() } else { text }
}

fn rollback(story: &Story) -> String {
    if story.rollback.is_empty() {
        return "rollback\n  none was considered\n".to_owned();
    }
    let mut text = String::from("rollback\n");
    for event in &story.rollback {
        let _ = write!(
            text,
            "  {}  {} {}",
            event.time,
            event.plan,
            event.state.token().replace('_', " ")
        );
        if let Some(why) = event.why {
            let _ = write!(text, ": {}", stages::desk::words::forbidden(why));
        }
        if let Some(detail) = &event.detail {
            let _ = write!(text, " ({detail})");
        }
        text.push('\n');
    }
    if let Some(verified) = &story.verified {
        let _ = writeln!(
            text,
            "  verdict {} on {} samples",
            word(&verified.verdict),
            verified.evidence.count
        );
    }
    text
}

/// How the alerts of a rule stood, and why none of them fired where none did.
pub fn standing(rule: &Rule, alerts: &[Standing], at: Time) -> String {
    let mut text = format!("rule {} at {at}\n", rule.name);
    if alerts.is_empty() {
        let _ = writeln!(text, "  no sample of {} had come: nothing to judge", rule.metric);
    }
    for one in alerts {
        let group = if one.group.is_empty() {
            String::new()
        } else {
            format!("{{{}}} ", group_of(&one.group))
        };
        let _ = writeln!(text, "  {group}{}: {}", word(&one.axis), why(rule, one, at));
        let _ = writeln!(text, "    {}", evidence(&one.evidence, unit(rule)));
        for seen in &one.evidence.terms {
            let value = seen.value.map_or_else(|| "no value".to_owned(), plain);
            let breach = if seen.breach { "in breach" } else { "no breach" };
            let (term, limit, count) = (&seen.term, plain(seen.threshold), seen.count);
            let _ =
                writeln!(text, "    {term}: {value}, threshold {limit}, {breach}, {count} samples");
        }
    }
    text
}

/// Neither the metric's name nor the statistic says what a condition of several is measured in.
fn unit(rule: &Rule) -> &str {
    if rule.is_joined() {
        return rule.unit.as_deref().unwrap_or_default();
    }
    rule.unit_shown()
}

/// Why an alert is where it is.
fn why(rule: &Rule, one: &Standing, at: Time) -> String {
    let since =
        |since: Option<Time>| since.map_or_else(|| "a gap".to_owned(), |since| since.to_string());
    let flapping = if one.flapping { ", flapping" } else { "" };
    match (one.axis, one.data) {
        (Axis::Pending, _) => {
            let held = one.since.map_or(Span::ZERO, |since| at.since(since));
            format!(
                "in breach since {}, for {held} of the {} it must hold",
                since(one.since),
                rule.hold
            )
        }
        (Axis::Firing, data) => format!("in breach, data {}{flapping}", word(&data)),
        (Axis::Recovering, _) => {
            format!("back since {}, must stay so for {}", since(one.since), rule.keep_firing_for)
        }
        (_, DataFlag::Insufficient) if rule.is_joined() => {
            "a condition that decides has too few samples, or no value".to_owned()
        }
        (_, DataFlag::Insufficient) => {
            format!(
                "{} samples decide nothing, min_samples is {}",
                one.evidence.count, rule.min_samples
            )
        }
        (_, DataFlag::Stale) => {
            format!("no sample for {}, fresh_for is {}", silent(one, at), rule.fresh_for)
        }
        (_, DataFlag::NoData) => {
            format!("no sample in the window, no_data is {}", word(&rule.no_data))
        }
        (_, DataFlag::MissingSeries) => "its series is silent while others report".to_owned(),
        (Axis::Ok | Axis::Unknown, DataFlag::Fresh) if !one.evidence.terms.is_empty() => {
            "its conditions do not hold together".to_owned()
        }
        (Axis::Ok | Axis::Unknown, DataFlag::Fresh) => match one.evidence.value {
            Some(value) => {
                let (value, limit) = (with_unit(value, unit(rule)), one.evidence.threshold);
                format!("{value} is not {} {}", word(&rule.compare), with_unit(limit, unit(rule)))
            }
            None => "the window has no value".to_owned(),
        },
    }
}

fn silent(one: &Standing, at: Time) -> String {
    one.last.map_or_else(|| "ever".to_owned(), |last| at.since(last).to_string())
}

fn evidence(seen: &Evidence, unit: &str) -> String {
    let shown = |name: &str, value: Option<f64>| {
        value.map(|value| format!("{name} {}", with_unit(value, unit)))
    };
    let parts = [
        shown("value", seen.value),
        shown("threshold", Some(seen.threshold)),
        shown("level", seen.level),
        shown("mean", seen.mean),
        shown("min", seen.min),
        shown("max", seen.max),
        seen.percentiles.map(|[p50, p95, p99]| format!("p50 {p50}, p95 {p95}, p99 {p99}")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    format!(
        "{}; {} samples of {} series from {} to {}, in {} of {} panes; log entries {} to {}",
        parts.join(", "),
        seen.count,
        seen.series,
        seen.window_start,
        seen.window_end,
        seen.panes_filled,
        seen.panes,
        seen.log_range.0,
        seen.log_range.1,
    )
}

fn name(rule: &str, group: &Labels) -> String {
    if group.is_empty() { rule.to_owned() } else { format!("{rule}{{{}}}", group_of(group)) }
}
