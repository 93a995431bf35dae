//! The axis of one alert: where it stands, and the one table that moves it.
//!
//! Only an evaluation moves it. Clocks are not events: an evaluation carries its instant, and a clock that
//! has run out by then shows in it. So a due instant and a step's end are the same thing to the table.

use crate::time::{Span, Time};
use crate::wire::{Axis, Cause};
use serde::{Deserialize, Serialize};

/// Where an alert stands. `opened` is the position whose step opened the incident: its identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not yet evaluated with enough samples.
    #[default]
    Unknown,
    /// No breach.
    Ok,
    /// In breach since then, shorter than `for`.
    Pending {
        /// Start of the clock, moved on by what gaps froze.
        since: Time,
    },
    /// In breach when the data went away.
    PendingGap {
        /// What the clock of `for` had counted.
        held: Span,
        /// When it froze.
        gap_since: Time,
    },
    /// In breach.
    Firing {
        /// See [`State`].
        opened: u64,
    },
    /// Firing, and moving too often to believe any of it.
    Flapping {
        /// See [`State`].
        opened: u64,
        /// Which side the value was on last.
        side: Side,
        /// When it came to that side.
        quiet_since: Time,
    },
    /// Recovered since then, shorter than `keep_firing_for`.
    Recovering {
        /// See [`State`].
        opened: u64,
        /// Start of the clock, moved on by what gaps froze.
        since: Time,
    },
    /// Recovered when the data went away.
    RecoveringGap {
        /// See [`State`].
        opened: u64,
        /// What the clock of `keep_firing_for` had counted.
        held: Span,
    },
}

/// A side of the threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// In breach.
    Breach,
    /// At or beyond `recover`.
    Clear,
}

/// What a verdict rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ground {
    /// The value of enough fresh samples.
    Value,
    /// An empty window, where the rule says what that means.
    NoData,
    /// The time since the last sample, where absence is the condition.
    Absence,
}

/// Why an alert is ended from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// Its series vanished among reporting siblings.
    Retired,
    /// Its rule is gone.
    RuleRemoved,
    /// Its rule was changed and no longer has this group.
    RuleChanged,
}

/// What happens to an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Evaluated: in breach.
    Breach(Ground),
    /// Evaluated: no breach, but not yet at `recover`.
    Between,
    /// Evaluated: no breach, at or beyond `recover`.
    Clear(Ground),
    /// Evaluated: not fresh, or too few samples to say.
    Gap,
    /// It ends.
    Close(Closing),
    /// Its rule has another threshold, `for` or `recover`.
    Change,
    /// Its rule looks at other panes from now on; the old ones are gone.
    Rebase,
}

/// The clocks' lengths and the instant of one evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// The instant.
    pub now: Time,
    /// Position of the step evaluated: what an incident opened now is known by.
    pub position: u64,
    /// `for`.
    pub hold: Span,
    /// `gap_tolerance`.
    pub gap_tolerance: Span,
    /// `keep_firing_for`.
    pub keep: Span,
    /// Quiet that ends flapping.
    pub quiet: Span,
    /// Whether one more firing is one too many.
    pub flaps: bool,
    /// Window in which firings are counted.
    pub flap_window: Span,
}

impl State {
    /// The place on the axis that people see.
    pub const fn axis(self) -> Axis {
        match self {
            Self::Unknown => Axis::Unknown,
            Self::Ok => Axis::Ok,
            Self::Pending { .. } | Self::PendingGap { .. } => Axis::Pending,
            Self::Firing { .. } | Self::Flapping { .. } => Axis::Firing,
            Self::Recovering { .. } | Self::RecoveringGap { .. } => Axis::Recovering,
        }
    }

    /// Position that opened its incident, while there is one.
    pub const fn opened(self) -> Option<u64> {
        match self {
            Self::Unknown | Self::Ok | Self::Pending { .. } | Self::PendingGap { .. } => None,
            Self::Firing { opened }
            | Self::Flapping { opened, .. }
            | Self::Recovering { opened, .. }
            | Self::RecoveringGap { opened, .. } => Some(opened),
        }
    }

    /// Whether it flaps.
    pub const fn is_flapping(self) -> bool {
        matches!(self, Self::Flapping { .. })
    }

    /// The instant its own clock runs out.
    pub fn due(self, clocks: &Clocks) -> Option<Time> {
        match self {
            Self::Unknown | Self::Ok | Self::Firing { .. } | Self::RecoveringGap { .. } => None,
            Self::Pending { since } => Some(since.plus(clocks.hold)),
            Self::PendingGap { gap_since, .. } => Some(gap_since.plus(clocks.gap_tolerance)),
            Self::Flapping { quiet_since, .. } => Some(quiet_since.plus(clocks.quiet)),
            Self::Recovering { since, .. } => Some(since.plus(clocks.keep)),
        }
    }

    /// Moves its clock on over a hole in log time.
    #[must_use]
    pub const fn frozen_over(self, hole: Span) -> Self {
        match self {
            Self::Unknown | Self::Ok | Self::Firing { .. } | Self::RecoveringGap { .. } => self,
            Self::Pending { since } => Self::Pending { since: since.plus(hole) },
            Self::PendingGap { held, gap_since } => {
                Self::PendingGap { held, gap_since: gap_since.plus(hole) }
            }
            Self::Flapping { opened, side, quiet_since } => {
                Self::Flapping { opened, side, quiet_since: quiet_since.plus(hole) }
            }
            Self::Recovering { opened, since } => {
                Self::Recovering { opened, since: since.plus(hole) }
            }
        }
    }
}

/// Moves an alert. The cause is there if people should hear of it.
///
/// | state \ event   | Breach              | Between         | Clear              | Gap              | Close     | Change   | Rebase     |
/// |-----------------|---------------------|-----------------|--------------------|------------------|-----------|----------|------------|
/// | `Unknown`       | Pending or Firing   | Ok              | Ok, not if no data | stays            | stays     | stays    | stays      |
/// | `Ok`            | Pending or Firing   | stays           | stays              | stays            | stays     | stays    | Unknown    |
/// | `Pending`       | Firing after `for`  | Ok              | Ok                 | PendingGap or Ok | Unknown   | stays    | Unknown    |
/// | `PendingGap`    | as Pending, clock on| Ok              | Ok                 | Ok at tolerance  | Unknown   | stays    | Unknown    |
/// | `Firing`        | stays               | stays           | Recovering or Ok   | stays            | Unknown   | told     | told       |
/// | `Flapping`      | quiet: Firing       | quiet: Firing   | quiet: Firing      | stays            | Unknown   | told     | Firing     |
/// | `Recovering`    | Firing              | Ok after `keep` | Ok after `keep`    | RecoveringGap    | Unknown   | told     | told       |
/// | `RecoveringGap` | Firing              | as Recovering   | as Recovering      | stays            | Unknown   | told     | told       |
pub fn step(state: State, event: Event, clocks: &Clocks) -> (State, Option<Cause>) {
    use Event::{Between, Breach, Change, Clear, Close, Gap, Rebase};
    use State as S;
    let now = clocks.now;
    match (state, event) {
        (S::Unknown, Breach(ground)) | (S::Ok, Breach(ground)) => breach(ground, clocks),
        (S::Unknown, Between) | (S::Unknown, Clear(Ground::Value | Ground::Absence)) => {
            (S::Ok, Some(Cause::FirstData))
        }
        (S::Unknown, Clear(Ground::NoData) | Gap | Close(_) | Change | Rebase) => (state, None),

        (S::Ok, Between | Clear(_) | Gap | Close(_) | Change) => (state, None),
        (S::Ok, Rebase) => (S::Unknown, None),

        (S::Pending { since }, Breach(_)) => pending(since, clocks),
        (S::Pending { .. } | S::PendingGap { .. }, Between) => (S::Ok, Some(Cause::NoBreach)),
        (S::Pending { .. } | S::PendingGap { .. }, Clear(ground)) => (S::Ok, Some(calmed(ground))),
        (S::Pending { since }, Gap) => gap(since, clocks),
        (S::PendingGap { held, .. }, Breach(_)) => pending(now.minus(held), clocks),
        (S::PendingGap { gap_since, .. }, Gap) => {
            if now >= gap_since.plus(clocks.gap_tolerance) {
                (S::Ok, Some(Cause::Gap))
            } else {
                (state, None)
            }
        }
        (S::Pending { .. } | S::PendingGap { .. }, Close(why)) => (S::Unknown, Some(closed(why))),
        (S::Pending { .. } | S::PendingGap { .. }, Change) => (state, None),
        (S::Pending { .. } | S::PendingGap { .. }, Rebase) => {
            (S::Unknown, Some(Cause::RuleChanged))
        }

        (S::Firing { .. }, Breach(_) | Between | Gap) => (state, None),
        (S::Firing { opened }, Clear(ground)) => recover(opened, ground, clocks),
        (S::Firing { .. }, Close(why)) => (S::Unknown, Some(closed(why))),
        (S::Firing { .. }, Change | Rebase) => (state, Some(Cause::RuleChanged)),

        (S::Flapping { opened, side, quiet_since }, Breach(_) | Between | Clear(_)) => {
            let seen = match event {
                Breach(_) => Side::Breach,
                Clear(_) => Side::Clear,
                Between | Gap | Close(_) | Change | Rebase => side,
            };
            if seen != side {
                (S::Flapping { opened, side: seen, quiet_since: now }, None)
            } else if now >= quiet_since.plus(clocks.quiet) {
                (S::Firing { opened }, Some(Cause::Flapping))
            } else {
                (state, None)
            }
        }
        (S::Flapping { .. }, Gap) => (state, None),
        (S::Flapping { .. }, Close(why)) => (S::Unknown, Some(closed(why))),
        (S::Flapping { .. }, Change) => (state, Some(Cause::RuleChanged)),
        (S::Flapping { opened, .. }, Rebase) => (S::Firing { opened }, Some(Cause::RuleChanged)),

        (S::Recovering { opened, .. } | S::RecoveringGap { opened, .. }, Breach(_)) => {
            (S::Firing { opened }, Some(Cause::BreachAgain))
        }
        (S::Recovering { opened, since }, Between | Clear(_)) => recovering(opened, since, clocks),
        (S::RecoveringGap { opened, held }, Between | Clear(_)) => {
            recovering(opened, now.minus(held), clocks)
        }
        (S::Recovering { opened, since }, Gap) => {
            (S::RecoveringGap { opened, held: now.since(since) }, None)
        }
        (S::RecoveringGap { .. }, Gap) => (state, None),
        (S::Recovering { .. } | S::RecoveringGap { .. }, Close(why)) => {
            (S::Unknown, Some(closed(why)))
        }
        (S::Recovering { .. } | S::RecoveringGap { .. }, Change | Rebase) => {
            (state, Some(Cause::RuleChanged))
        }
    }
}

/// A breach of an alert that was calm.
fn breach(ground: Ground, clocks: &Clocks) -> (State, Option<Cause>) {
    let cause = match ground {
        Ground::Value => Cause::Breach,
        Ground::NoData => Cause::NoData,
        Ground::Absence => Cause::Absent,
    };
    if clocks.hold == Span::ZERO {
        (fire(clocks), Some(cause))
    } else {
        (State::Pending { since: clocks.now }, Some(cause))
    }
}

/// A breach whose data goes away: the clock of `for` stands still, as long as that is tolerated.
fn gap(since: Time, clocks: &Clocks) -> (State, Option<Cause>) {
    let Clocks { now, gap_tolerance, .. } = *clocks;
    if gap_tolerance == Span::ZERO {
        (State::Ok, Some(Cause::Gap))
    } else {
        (State::PendingGap { held: now.since(since), gap_since: now }, None)
    }
}

/// A breach that goes on: fires once it has held for `for`.
fn pending(since: Time, clocks: &Clocks) -> (State, Option<Cause>) {
    if clocks.now >= since.plus(clocks.hold) {
        (fire(clocks), Some(Cause::Held))
    } else {
        (State::Pending { since }, None)
    }
}

/// Opens an incident.
fn fire(clocks: &Clocks) -> State {
    let opened = clocks.position;
    if clocks.flaps {
        State::Flapping { opened, side: Side::Breach, quiet_since: clocks.now }
    } else {
        State::Firing { opened }
    }
}

/// A firing alert that is clear.
fn recover(opened: u64, ground: Ground, clocks: &Clocks) -> (State, Option<Cause>) {
    let cause = match ground {
        Ground::Value => Cause::Recovered,
        Ground::NoData => Cause::NoDataOk,
        Ground::Absence => Cause::Present,
    };
    if clocks.keep == Span::ZERO {
        (State::Ok, Some(cause))
    } else {
        (State::Recovering { opened, since: clocks.now }, Some(cause))
    }
}

/// A recovery that goes on: over once it has stayed for `keep_firing_for`.
fn recovering(opened: u64, since: Time, clocks: &Clocks) -> (State, Option<Cause>) {
    if clocks.now >= since.plus(clocks.keep) {
        (State::Ok, Some(Cause::StayedRecovered))
    } else {
        (State::Recovering { opened, since }, None)
    }
}

const fn calmed(ground: Ground) -> Cause {
    match ground {
        Ground::Value => Cause::NoBreach,
        Ground::NoData => Cause::NoDataOk,
        Ground::Absence => Cause::Present,
    }
}

const fn closed(why: Closing) -> Cause {
    match why {
        Closing::Retired => Cause::Retired,
        Closing::RuleRemoved => Cause::RuleRemoved,
        Closing::RuleChanged => Cause::RuleChanged,
    }
}
