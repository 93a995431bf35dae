//! Track: one alert, rule x group of labels, through its life (`semantics.md` 4).
//!
//! [`axis`] holds the state machine; here stand the flags beside it, which are never folded into it:
//! whether there is data, and whether it flaps. An [`Alert`] is pure state: what it says comes back as
//! [`Moved`], and the shard dresses it with evidence and names.

pub mod axis;
mod grade;
mod save;

pub use grade::Rung;

use crate::judge::{Judgement, Verdict};
use crate::settings::Rule;
use crate::time::{Span, Time};
use crate::wire::{Axis, Cause, DataFlag};
use axis::{Clocks, Event, State};
use serde::{Deserialize, Serialize};

/// Firings within `flap_window` that make an alert flap.
pub const FLAP_FIRINGS: usize = 4;

/// Quiet, as a part of `flap_window`, that ends flapping.
const FLAP_QUIET_PART: i64 = 2;

/// One alert.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Where it stands.
    pub state: State,
    /// Whether there is data.
    pub data: Data,
    /// When it fired, newest last; at most [`FLAP_FIRINGS`] - 1, all that counting needs.
    pub firings: Vec<Time>,
    /// Whether what it said last carried enough evidence for an automatic action.
    pub shown: bool,
    /// Its grades above the first, where its rule has several severities.
    pub above: Box<[Rung]>,
}

/// The data flag, and whether people have been told that a firing alert lives on without data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Data {
    /// A sample within `fresh_for` and at least `min_samples`.
    Fresh,
    /// Samples in the window, none within `fresh_for`.
    Stale,
    /// Fewer than `min_samples`.
    Insufficient,
    /// An empty window, or none yet.
    #[default]
    NoData,
    /// An empty window beyond `keep_max`, and people were told.
    NoDataTold,
    /// None for two windows while siblings report.
    MissingSeries,
}

/// What an alert did: one transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Where it was.
    pub from: Axis,
    /// Where it is.
    pub to: Axis,
    /// Why.
    pub cause: Cause,
    /// The data flag after it.
    pub data: DataFlag,
    /// Whether it flaps after it.
    pub flapping: bool,
    /// Position that opened the incident it is about.
    pub opened: Option<u64>,
    /// The grade of its severity; where it ends, that before.
    pub grade: usize,
}

/// One evaluation of an alert.
#[derive(Clone, Copy, Debug)]
pub struct Evaluation<'a> {
    /// The rule in force.
    pub rule: &'a Rule,
    /// What the judge says.
    pub judged: &'a Judgement,
    /// The value it says it of.
    pub value: Option<f64>,
    /// The instant.
    pub now: Time,
    /// Position of the step.
    pub position: u64,
    /// Whether the window holds enough evidence for the rule's action; false where it has none.
    pub enough: bool,
}

impl Data {
    /// The flag as people see it.
    pub const fn flag(self) -> DataFlag {
        match self {
            Self::Fresh => DataFlag::Fresh,
            Self::Stale => DataFlag::Stale,
            Self::Insufficient => DataFlag::Insufficient,
            Self::NoData | Self::NoDataTold => DataFlag::NoData,
            Self::MissingSeries => DataFlag::MissingSeries,
        }
    }

    /// The flag after an evaluation that found `seen`.
    const fn step(self, seen: DataFlag) -> Self {
        match (self, seen) {
            (_, DataFlag::Fresh) => Self::Fresh,
            (_, DataFlag::Stale) => Self::Stale,
            (_, DataFlag::Insufficient) => Self::Insufficient,
            (_, DataFlag::MissingSeries) => Self::MissingSeries,
            (Self::NoDataTold, DataFlag::NoData) => Self::NoDataTold,
            (
                Self::Fresh | Self::Stale | Self::Insufficient | Self::NoData | Self::MissingSeries,
                DataFlag::NoData,
            ) => Self::NoData,
        }
    }
}

impl Alert {
    /// Takes an evaluation; what it makes of it is appended to `moves`.
    pub fn evaluate(&mut self, evaluation: &Evaluation<'_>, moves: &mut Vec<Moved>) {
        let judged = evaluation.judged;
        // Nearly always: all was well, and is. Nothing of it could be told, or start a clock.
        if self.is_well()
            && matches!((judged.verdict, judged.data), (Verdict::Clear(_), DataFlag::Fresh))
        {
            return;
        }
        let first = moves.len();
        let before = self.data.flag();
        self.data = self.data.step(evaluation.judged.data);
        let (event, grade) = (event_of(evaluation.judged), self.grade());
        if !evaluation.rule.grades.is_empty() {
            let clocks = self.clocks(evaluation.rule, evaluation.now, evaluation.position);
            match event {
                Event::Close(_) => self.shake(event, &clocks),
                Event::Breach(_)
                | Event::Between
                | Event::Clear(_)
                | Event::Gap
                | Event::Change
                | Event::Rebase => {
                    self.climb(judged.verdict, evaluation.rule, (evaluation.value, clocks));
                }
            }
        }
        // A firing that is one too many is told as such; flapping that ends leaves an ordinary firing
        // alert to the same evaluation. Each can happen once, so three rounds are the end of it.
        for _ in 0..3 {
            let was_flapping = self.state.is_flapping();
            self.apply((event, grade), evaluation, moves);
            if was_flapping == self.state.is_flapping() {
                break;
            }
        }
        self.step_down();
        if moves.len() == first && self.state.opened().is_some() && grade != self.grade() {
            moves.push(self.told(Cause::Severity));
        }
        if moves.len() == first && before != self.data.flag() {
            moves.push(self.told(Cause::Data));
        }
        let deadline = evaluation.judged.keep_until;
        if self.data == Data::NoData
            && self.state.opened().is_some()
            && deadline.is_some_and(|deadline| evaluation.now >= deadline)
        {
            self.data = Data::NoDataTold;
            moves.push(self.told(Cause::NoData));
        }
        self.show(evaluation.enough && self.data == Data::Fresh, first, moves);
    }

    /// Whether it is as it nearly always is: all is well, by fresh data, at its one grade.
    pub fn is_well(&self) -> bool {
        matches!((self.state, self.data), (State::Ok, Data::Fresh)) && self.above.is_empty()
    }

    /// The desk may have forbidden a rollback because it was shown too little. Once a firing alert has `enough`,
    /// it is shown again: once, until something is said with too little again.
    fn show(&mut self, enough: bool, first: usize, moves: &mut Vec<Moved>) {
        let said = moves.len() > first;
        if !said && enough && !self.shown && matches!(self.state, State::Firing { .. }) {
            moves.push(self.told(Cause::Data));
        }
        if moves.len() > first {
            self.shown = enough;
        }
    }

    /// Takes an event that is no evaluation: its rule changed, or it ends. What it says counts as too little
    /// evidence: the next evaluation has the panes that are left.
    pub fn happen(&mut self, event: Event, rule: &Rule, at: (Time, u64), moves: &mut Vec<Moved>) {
        let (clocks, grade) = (self.clocks(rule, at.0, at.1), self.grade());
        self.shake(event, &clocks);
        self.act((event, grade), &clocks, moves);
        self.step_down();
        self.shown = false;
    }

    /// The next instant at which time alone may move it. `judged` is what the last evaluation said.
    pub fn due(&self, rule: &Rule, judged: &Judgement, now: Time) -> Option<Time> {
        if self.is_well() {
            return judged.due.filter(|due| *due > now);
        }
        let clocks = self.clocks(rule, now, 0);
        let clock = self.state.due(&clocks);
        let above = self.above.iter().filter_map(|rung| rung.state.due(&clocks));
        let above = above.filter(|due| *due > now).min();
        let told = (self.data == Data::NoData && self.state.opened().is_some())
            .then_some(judged.keep_until)
            .flatten();
        [clock, above, told, judged.due].into_iter().flatten().filter(|due| *due > now).min()
    }

    /// Moves all clocks on over a hole in log time.
    pub fn freeze(&mut self, hole: Span) {
        self.state = self.state.frozen_over(hole);
        for firing in &mut self.firings {
            *firing = firing.plus(hole);
        }
        self.freeze_grades(hole);
    }

    fn apply(
        &mut self,
        event: (Event, usize),
        evaluation: &Evaluation<'_>,
        moves: &mut Vec<Moved>,
    ) {
        let clocks = self.clocks(evaluation.rule, evaluation.now, evaluation.position);
        self.act(event, &clocks, moves);
    }

    /// Moves the axis; `grade` is the alert's before it.
    fn act(&mut self, (event, grade): (Event, usize), clocks: &Clocks, moves: &mut Vec<Moved>) {
        let old = self.state;
        let (new, cause) = axis::step(old, event, clocks);
        self.state = new;
        let fired = old.opened().is_none() && new.opened().is_some();
        if fired {
            note_firing(&mut self.firings, clocks.now);
        }
        if old.is_flapping() && !new.is_flapping() {
            self.firings.clear();
        }
        let Some(cause) = cause else { return };
        let opened = new.opened().or(old.opened());
        let (data, flapping) = (self.data.flag(), new.is_flapping());
        let grade = if new.opened().is_some() { self.grade() } else { grade };
        let moved =
            Moved { from: old.axis(), to: new.axis(), cause, data, flapping, opened, grade };
        moves.push(moved);
        if fired && flapping {
            moves.push(self.told(Cause::Flapping));
        }
    }

    fn told(&self, cause: Cause) -> Moved {
        let (axis, opened) = (self.state.axis(), self.state.opened());
        let (data, flapping) = (self.data.flag(), self.state.is_flapping());
        let grade = self.grade();
        Moved { from: axis, to: axis, cause, data, flapping, opened, grade }
    }

    fn clocks(&self, rule: &Rule, now: Time, position: u64) -> Clocks {
        Clocks {
            now,
            position,
            hold: rule.hold,
            gap_tolerance: rule.gap_tolerance,
            keep: rule.keep_firing_for,
            quiet: Span(rule.flap_window.0 / FLAP_QUIET_PART),
            flaps: recent(&self.firings, now, rule.flap_window) + 1 >= FLAP_FIRINGS,
            flap_window: rule.flap_window,
        }
    }
}

/// Firings that still count for flapping.
fn recent(firings: &[Time], now: Time, flap_window: Span) -> usize {
    firings.iter().filter(|firing| firing.plus(flap_window) > now).count()
}

/// Takes note of a firing, and forgets what counting no longer needs.
fn note_firing(firings: &mut Vec<Time>, now: Time) {
    if firings.len() == FLAP_FIRINGS - 1 {
        firings.remove(0);
    }
    firings.push(now);
}

/// A verdict as the axis takes it. A series that is missing ends its alert, whatever its window held.
fn event_of(judged: &Judgement) -> Event {
    match judged.data {
        DataFlag::MissingSeries => Event::Close(axis::Closing::Retired),
        DataFlag::Fresh | DataFlag::Stale | DataFlag::Insufficient | DataFlag::NoData => {
            judged.verdict.into()
        }
    }
}

impl From<Verdict> for Event {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Breach(ground) => Self::Breach(ground),
            Verdict::Between => Self::Between,
            Verdict::Clear(ground) => Self::Clear(ground),
            Verdict::Undecided => Self::Gap,
        }
    }
}
