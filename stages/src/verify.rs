//! Verify: did the rollback help? A short-lived rule that the desk asks the metric's shard to judge.
//!
//! A window of the rule's length is opened at `from`, so only samples of that time count, and it needs its own
//! number of them. Clear for `for` without a break within `until` is recovered. A gap freezes the clock, as in
//! [`crate::track`]. When the time is over, too few or no fresh samples say nothing: inconclusive.

use crate::batch::Kind;
use crate::judge::{Judgement, Sight, Verdict as Judged, judge};
use crate::level::Level;
use crate::run::Sums;
use crate::settings::{NoData, Rule};
use crate::time::{Span, Time};
use crate::window::{Placement, Reading, Window, WindowSpec};
use crate::wire::{Verdict, VerifyRequest};
use serde::{Deserialize, Serialize};

/// A verification under way.
#[derive(Debug)]
pub struct Watch {
    /// What the desk asked for; `until` is moved on over holes in log time.
    pub request: VerifyRequest,
    /// The rule as it was when asked, with the request's own number of samples.
    pub rule: Rule,
    /// What it sees.
    pub window: Window,
    /// Its current level.
    pub level: Level,
    /// When the last sample came.
    pub last: Option<Time>,
    /// How far it is.
    pub state: State,
}

/// How far a verification is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing clear yet.
    #[default]
    Waiting,
    /// In breach, or between the thresholds.
    Breach,
    /// Clear since then.
    Clear {
        /// Start of the clock.
        since: Time,
    },
    /// Clear for that long when the data went away.
    Gap {
        /// What the clock had counted.
        held: Span,
    },
}

/// What a verification says at an instant.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The verdict, once there is one.
    pub verdict: Option<Verdict>,
    /// What was seen.
    pub reading: Reading,
    /// When to look again.
    pub due: Option<Time>,
}

impl VerifyRequest {
    /// The rule that judges for it: a joined one with the request's own number of samples.
    pub(crate) fn judges(&self, rule: &Rule) -> Rule {
        let mut rule = Rule { no_data: NoData::Keep, grades: Vec::new(), ..rule.clone() };
        for term in rule.any_of.iter_mut().flatten() {
            term.min_samples = self.min_samples;
        }
        rule
    }
}

impl Watch {
    /// Opens a verification by `rule`.
    pub fn new(request: VerifyRequest, rule: &Rule) -> Self {
        let spec = WindowSpec { stat: rule.stat, window: rule.window, threshold: rule.threshold };
        let window = Window::new(spec, Some(request.from));
        let min_samples = request.min_samples;
        let (no_data, absent) = (NoData::Keep, None);
        let rule = Rule { min_samples, no_data, absent, ..rule.clone() };
        Self { request, rule, window, level: Level::default(), last: None, state: State::Waiting }
    }

    /// Takes a sample of its group that came at `at`.
    pub fn add(&mut self, series: u32, time: Time, value: f64, kind: Kind, at: Time) {
        match self.window.add(series, time, value, kind, at) {
            Placement::Counted | Placement::Waiting => {
                self.level.add(time.min(at), &Sums::of(value));
                self.last = Some(at);
            }
            Placement::Late | Placement::TooEarly | Placement::Dropped => {}
        }
    }

    /// Looks at `now`.
    pub fn look(&mut self, now: Time) -> Answer {
        let reading = self.window.read(now);
        let sight = Sight {
            now,
            count: reading.count,
            value: reading.value,
            last: self.last,
            armed: self.request.from,
            siblings: None,
        };
        let judged = judge(&self.rule, &sight);
        let (verdict, due) = progress(&self.request, &mut self.state, &judged, now);
        let leaves = self.window.next_leave().filter(|due| *due > now);
        let due = [due, leaves].into_iter().flatten().min();
        Answer { verdict, reading, due }
    }

    /// Moves its clocks on over a hole in log time.
    pub fn freeze(&mut self, hole: Span) {
        self.request.until = self.request.until.plus(hole);
        self.last = self.last.map(|last| last.plus(hole));
        self.state = self.state.frozen_over(hole);
    }
}

impl State {
    /// Moves its clock on over a hole in log time.
    pub(crate) fn frozen_over(self, hole: Span) -> Self {
        match self {
            Self::Clear { since } => Self::Clear { since: since.plus(hole) },
            Self::Waiting | Self::Breach | Self::Gap { .. } => self,
        }
    }
}

/// Moves a verification on by what was judged at `now`: its verdict, once there is one, and when to look again.
pub(crate) fn progress(
    request: &VerifyRequest,
    state: &mut State,
    judged: &Judgement,
    now: Time,
) -> (Option<Verdict>, Option<Time>) {
    *state = step(*state, judged.verdict, now);
    let verdict = match *state {
        State::Clear { since } if now >= since.plus(request.hold) => Some(Verdict::Recovered),
        State::Clear { .. } | State::Breach if now >= request.until => Some(Verdict::NotRecovered),
        State::Waiting | State::Gap { .. } if now >= request.until => Some(Verdict::Inconclusive),
        State::Waiting | State::Breach | State::Clear { .. } | State::Gap { .. } => None,
    };
    let held = match *state {
        State::Clear { since } => Some(since.plus(request.hold)),
        State::Waiting | State::Breach | State::Gap { .. } => None,
    };
    let due = [held, Some(request.until), judged.due];
    (verdict, due.into_iter().flatten().filter(|due| *due > now).min())
}

/// | state \ judged | Breach, Between | Clear              | Undecided         |
/// |----------------|-----------------|--------------------|-------------------|
/// | `Waiting`      | Breach          | Clear              | stays             |
/// | `Breach`       | stays           | Clear              | Waiting           |
/// | `Clear`        | Breach          | stays              | Gap, clock frozen |
/// | `Gap`          | Breach          | Clear, clock on    | stays             |
fn step(state: State, judged: Judged, now: Time) -> State {
    match (state, judged) {
        (
            State::Waiting | State::Breach | State::Clear { .. } | State::Gap { .. },
            Judged::Breach(_) | Judged::Between,
        ) => State::Breach,
        (State::Waiting | State::Breach, Judged::Clear(_)) => State::Clear { since: now },
        (State::Clear { since }, Judged::Clear(_)) => State::Clear { since },
        (State::Gap { held }, Judged::Clear(_)) => State::Clear { since: now.minus(held) },
        (State::Waiting | State::Breach, Judged::Undecided) => State::Waiting,
        (State::Clear { since }, Judged::Undecided) => State::Gap { held: now.since(since) },
        (State::Gap { held }, Judged::Undecided) => State::Gap { held },
    }
}
