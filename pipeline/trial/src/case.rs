//! A rule's test: plays what it says happens, and holds what was said against what it expects.

use crate::feed::Feed;
use crate::firing;
use crate::found::{self, Found};
use crate::said::{Said, Spoken};
use crate::{Script, Setup, Trial, TrialError};
use bytes::Bytes;
use serde_json::{Value, json};
use settings::cases::{About, Case, Deed, Event, Expected};
use stages::batch::{BatchBuilder, Sample};
use stages::log::DeskKind;
use stages::settings::Settings;
use stages::time::{Span, Time};
use stages::wire::{AlertState, ShardEvent};
use std::sync::Arc;

/// What became of a test.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Where it differs from what was expected; empty: it passed.
    pub differences: Vec<Difference>,
    /// What happened that people should know of: refused samples, notices of the product.
    pub notes: Vec<String>,
    /// Samples counted.
    pub samples: u64,
}

impl Verdict {
    /// Whether everything was as expected.
    pub fn passed(&self) -> bool {
        self.differences.is_empty()
    }
}

/// Where found and expected part, in one list.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Which list.
    pub about: About,
    /// Expected and not there.
    pub missing: Vec<Missing>,
    /// There and not expected.
    pub surplus: Vec<Found>,
    /// There as expected.
    pub same: Vec<Found>,
}

/// A line that was expected and is not there.
#[derive(Clone, Debug)]
pub struct Missing {
    /// What was expected.
    pub expected: Expected,
    /// What is there in its place, where something comes near.
    pub instead: Option<Found>,
}

/// Plays a test under the settings whose rules it tests.
///
/// # Errors
/// A stage fails, or the settings do not fit into a log.
pub fn check(case: &Case, settings: &Settings) -> Result<Verdict, TrialError> {
    let mut play = Play::new(case);
    play.all(case, settings)?;
    let samples = play.trial.take_counters().samples;
    let spoken = play.trial.take_spoken();
    let mut differences = Vec::new();
    for (about, rows) in &case.expect {
        let difference = match about {
            About::Firing => firing::hold(rows, (&spoken, case.start), settings),
            _ => found::hold(*about, rows, &spoken, case.start),
        };
        differences.extend(difference);
    }
    let mut notes = play.notes;
    notes.extend(notices(&spoken, case.start));
    for (reason, bytes) in play.trial.refused() {
        notes.push(format!("samples were refused: {reason}: {}", String::from_utf8_lossy(bytes)));
    }
    Ok(Verdict { differences, notes, samples })
}

/// Settings with the rules under test alone.
pub(crate) fn only(settings: &Settings, wanted: impl Fn(&str) -> bool) -> Settings {
    let rules = settings.rules.iter().filter(|rule| wanted(&rule.name)).map(Arc::clone).collect();
    Settings { rules, author: "trial".to_owned(), ..settings.clone() }
}

struct Play {
    trial: Trial,
    start: Time,
    silences: u32,
    notes: Vec<String>,
}

impl Play {
    fn new(case: &Case) -> Self {
        let mut trial = Trial::new(Setup::at(case.start));
        for (plan, script) in &case.scripts {
            let settings::cases::Script { claimed_after, takes, outcome } = *script;
            trial.script(plan, Script { claimed_after, takes, outcome });
        }
        Self { trial, start: case.start, silences: 0, notes: Vec::new() }
    }

    fn all(&mut self, case: &Case, settings: &Settings) -> Result<(), TrialError> {
        let settings = only(settings, |name| case.rules.contains(name));
        self.trial.settings(self.start, &[settings])?;
        let mut feed = Feed::new(&case.series, self.start);
        let mut events = case.events.iter().peekable();
        let until = self.start.plus(case.until);
        let mut began = false;
        loop {
            let event = events.peek().map(|event| self.start.plus(event.at));
            let samples = feed.next();
            let next = [event, samples].into_iter().flatten().min().filter(|next| *next <= until);
            if !began && next.is_none_or(|next| next > self.start) {
                // What is there at the beginning is judged then, not at the end of the first step.
                self.trial.tick(self.start)?;
                began = true;
            }
            match next {
                None => break,
                // People first: a silence that begins with a sample covers it.
                Some(at) if event == Some(at) => {
                    if let Some(event) = events.next() {
                        self.event(event)?;
                    }
                }
                Some(_) => {
                    if let Some((time, batch)) = feed.take() {
                        self.trial.samples(time, 0, batch)?;
                    }
                }
            }
        }
        // What is due at the last moment is part of it.
        self.trial.pass(until.plus(Span(1)))
    }

    fn event(&mut self, event: &Event) -> Result<(), TrialError> {
        let (time, by) = (self.start.plus(event.at), event.by.as_str());
        self.trial.pass(time)?;
        let (kind, body) = match &event.deed {
            Deed::Hole(length) => return self.trial.hole(time, time.plus(*length)),
            Deed::Sample { key, kind, value, ts, .. } => {
                let mut builder = BatchBuilder::new();
                let ts = ts.map(|ts| self.start.plus(ts));
                builder.push(&Sample { key, kind: *kind, time: ts, value: *value, id: None });
                return self.trial.samples(time, 0, Bytes::from(builder.finish()));
            }
            Deed::Change(target, revision) => {
                let body = json!({ "target": target, "revision": revision, "author": by, "comment": null });
                (DeskKind::Change, body)
            }
            Deed::Silence { matchers, length, actions } => {
                self.silences += 1;
                let body = json!({
                    "id": format!("s{}", self.silences), "author": by, "comment": "a test",
                    "matchers": matchers, "starts": null, "ends": time.plus(*length), "actions": actions,
                });
                (DeskKind::Silence, body)
            }
            Deed::Freeze(frozen) => {
                (DeskKind::Freeze, json!({ "frozen": frozen, "author": by, "comment": null }))
            }
            Deed::Unlock(plan) => {
                (DeskKind::Unlock, json!({ "plan": plan, "author": by, "comment": "a test" }))
            }
            Deed::Ack(rule) | Deed::Approve(rule, _) | Deed::Close(rule) => {
                let Some(incident) = self.incident(rule) else {
                    let at = event.at;
                    self.notes.push(format!(
                        "{}: at {at} {rule} had no incident; nothing happened",
                        event.place
                    ));
                    return Ok(());
                };
                match &event.deed {
                    Deed::Approve(_, approved) => {
                        let body = json!({
                            "incident": incident, "author": by, "approved": approved, "comment": null,
                        });
                        (DeskKind::Approve, body)
                    }
                    Deed::Close(_) => (
                        DeskKind::Close,
                        json!({ "incident": incident, "author": by, "comment": "a test" }),
                    ),
                    _ => (
                        DeskKind::Ack,
                        json!({ "incident": incident, "author": by, "comment": null }),
                    ),
                }
            }
        };
        self.say(time, kind, body)
    }

    fn say(&mut self, time: Time, kind: DeskKind, mut body: Value) -> Result<(), TrialError> {
        body["schema"] = json!(stages::wire::SCHEMA);
        self.trial.say(time, kind, &Bytes::from(body.to_string()))
    }

    /// The newest incident of a rule.
    fn incident(&self, rule: &str) -> Option<String> {
        self.trial.spoken().iter().rev().find_map(|spoken| match &spoken.said {
            Said::Alert(event) if event.rule == rule && event.state == AlertState::Fired => {
                event.incident.clone()
            }
            _ => None,
        })
    }
}

/// What shards and desk say about themselves.
fn notices(spoken: &[Spoken], start: Time) -> Vec<String> {
    let notice = |spoken: &Spoken| match &spoken.said {
        Said::Shard(ShardEvent::Notice(notice)) => Some((spoken.time, notice.text.clone())),
        Said::Alert(event) if event.state == AlertState::Notice => {
            Some((spoken.time, event.detail.clone()?))
        }
        _ => None,
    };
    let mut lines: Vec<String> = Vec::new();
    for (time, text) in spoken.iter().filter_map(notice) {
        let line = format!("{}: {text}", time.since(start));
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}
