//! What the product says about itself: to the fallback receiver, and into the stream.
//!
//! An outage is one thing to people, however many shards were blind: each says its own hole, and the desk tells of
//! those that are the same outage once.

use crate::desk::column::{Heard, Untold};
use crate::desk::state::Chore;
use crate::desk::{BLIND, Desk, route, say, standing};
use crate::output::Output;
use crate::series::Labels;
use crate::settings::Rule;
use crate::time::{Span, Time};
use crate::wire::{AlertState, Axis, DataFlag, DataGap, Evidence, Folded, Reason};
use serde::{Deserialize, Serialize};

/// Outages remembered: shards that catch up may speak of the one before the last after another spoke of the last.
const OUTAGES_MAX: usize = 8;

/// An outage people were told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    from: Time,
    to: Time,
    /// Whether entries are gone with it.
    lost: bool,
}

impl Outage {
    fn of(gap: &DataGap) -> Self {
        Self { from: gap.from, to: gap.to, lost: gap.lost.is_some() }
    }

    /// Whether who knows of `told` learns nothing by this one: shards see one outage begin and end some seconds
    /// apart. One that is longer than that by more than what counts as a hole is news.
    fn is_within(&self, told: &Self) -> bool {
        self.from >= told.from.minus(BLIND)
            && self.to <= told.to.plus(BLIND)
            && (told.lost || !self.lost)
    }
}

impl Desk {
    pub(super) fn data_gap(&mut self, gap: &DataGap) {
        let lost = gap.lost.map_or_else(String::new, |(first, last)| {
            format!("; entries {first} to {last} are gone from the log")
        });
        let text = format!(
            "nothing was stored from {} to {} ({}): all clocks stood still{lost}",
            gap.from, gap.to, gap.length
        );
        let outage = Outage::of(gap);
        if self.state.outages.iter().any(|told| outage.is_within(told)) {
            let heard = Heard { untold: Some(Untold::Repeated), ..Heard::default() };
            return self.say_notice("data_gap", "", text, heard);
        }
        if self.state.outages.len() == OUTAGES_MAX {
            self.state.outages.pop_front();
        }
        self.state.outages.push_back(outage);
        self.notice("data_gap", "", text, true);
    }

    /// Says something about the product itself; `tell` also to the fallback receiver.
    pub(super) fn notice(&mut self, kind: &str, subject: &str, text: String, tell: bool) {
        let heard = if tell { self.tell_fallback(kind, subject, &text) } else { Heard::default() };
        self.say_notice(kind, subject, text, heard);
    }

    fn tell_fallback(&mut self, kind: &str, subject: &str, text: &str) -> Heard {
        let (now, position) = (self.state.now, self.state.position);
        let Some(receiver) = route::fallback(&self.state.settings) else {
            return Heard { untold: Some(Untold::NoReceiver), ..Heard::default() };
        };
        let name = receiver.name.clone();
        if self.state.budgets.spend(&receiver, false, now) {
            let mut intent = say::notice_intent((now, position), &receiver, kind, subject, text);
            standing::stand(&mut self.state, &mut intent);
            let intents = vec![Output::commit(self.subjects.notify(&name), &intent)];
            return Heard { notified: vec![name], intents, ..Heard::default() };
        }
        let summary = text.to_owned();
        let line = Folded { reason: Reason::Notice, incident: None, summary, time: now };
        let due = self.state.budgets.fold(&receiver, line, false, now);
        self.state.agenda.insert((due, Chore::Digest(name.clone())));
        Heard { folded: vec![name], untold: Some(Untold::Folded), ..Heard::default() }
    }

    fn say_notice(&mut self, kind: &str, subject: &str, text: String, heard: Heard) {
        let (now, position) = (self.state.now, self.state.position);
        let rule = notice_rule(kind, subject);
        let (group, evidence) = (Labels::new(), Evidence::default());
        let facts = say::Facts {
            rule: &rule,
            group: &group,
            severity: say::WARNING,
            axis: Axis::Unknown,
            data: DataFlag::NoData,
            cause: None,
            evidence: &evidence,
        };
        let state = AlertState::Notice;
        let event = say::alert((now, position), &facts, None, state, &heard, Some(text));
        let subject = self.subjects.alert(say::WARNING, kind, state.token());
        self.out.push(Output::commit(subject, &event));
        self.out.extend(heard.intents);
    }

    /// Complains about names of receivers that nobody answers to, once a revision.
    pub(super) fn complain(&mut self, rule: &str, unknown: &[String]) {
        for name in unknown {
            if self.state.complained.insert(name.clone()) {
                let text = format!(
                    "rule {rule} notifies {name:?}, which the settings do not know: the fallback receiver is told; add it to the receivers"
                );
                self.notice("receiver_unknown", name, text, true);
            }
        }
    }
}

/// Stands in for a rule where the product speaks of itself.
fn notice_rule(kind: &str, subject: &str) -> Rule {
    let mut rule = no_rule(kind);
    if crate::series::check_name(subject).is_ok() {
        rule.metric = subject.to_owned();
    }
    rule
}

pub(super) fn no_rule(name: &str) -> Rule {
    use crate::settings::{Compare, Guards, Mode, NoData, Stat};
    Rule {
        name: name.to_owned(),
        metric: String::new(),
        matchers: Vec::new(),
        any_of: Vec::new(),
        group_by: Vec::new(),
        stat: Stat::Mean,
        compare: Compare::Greater,
        threshold: 0.0,
        share: None,
        window: Span::ZERO,
        hold: Span::ZERO,
        recover: None,
        keep_firing_for: Span::ZERO,
        reopen_within: Span::ZERO,
        min_samples: 0,
        fresh_for: Span::ZERO,
        gap_tolerance: Span::ZERO,
        no_data: NoData::Keep,
        keep_max: Span::ZERO,
        absent: None,
        flap_window: Span::ZERO,
        severity: say::WARNING.to_owned(),
        grades: Vec::new(),
        action_severity: None,
        unit: Some(String::new()),
        action: None,
        action_min_samples: 0,
        guards: Guards::default(),
        runbook: None,
        notify: Vec::new(),
        repeat: Span::ZERO,
        labels: Labels::new(),
        annotations: Labels::new(),
        mode: Mode::Live,
        hours: None,
    }
}
