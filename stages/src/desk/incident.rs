//! An incident: what people see of an alert, from its firing until it is over.
//!
//! | state \ event | fired | recovering | calm, rollback settled | calm, not settled | settled | closed |
//! |---|---|---|---|---|---|---|
//! | firing | - | recovering | resolved | waiting | - | closed |
//! | recovering | fired again | - | resolved | waiting | - | closed |
//! | waiting | fired again | - | resolved | - | resolved | closed |
//! | over | reopened | - | - | - | - | - |

use crate::desk::dedup::Told;
use crate::desk::rollback::RollbackProgress;
use crate::series::Labels;
use crate::time::Time;
use crate::wire::{EndCause, Evidence};
use serde::{Deserialize, Serialize};

/// Where an incident stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentProgress {
    /// Its alert is Firing.
    Firing,
    /// Its alert is Recovering.
    Recovering,
    /// Its alert is Ok, its rollback has no verdict yet.
    Waiting,
    /// Over since then.
    Over(Time, Over),
}

/// How an incident ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// Its alert is Ok and its rollback has its verdict.
    Resolved,
    /// Something else: the rule or the series is gone, or a person closed it.
    Closed,
}

/// What happens to an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncidentEvent {
    /// Its alert is Firing.
    Fired,
    /// Its alert is Recovering.
    Recovering,
    /// Its alert is Ok; whether its rollback, if any, is settled.
    Calm(bool),
    /// Its rollback is settled.
    Settled,
    /// It is over for another reason.
    Closed,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// Nothing.
    Nothing,
    /// In breach again, same incident.
    FiredAgain,
    /// In breach again after it was over, soon enough to be the same incident.
    Reopened,
    /// On its way back.
    Recovering,
    /// Back, but the rollback's verdict is waited for.
    Waiting,
    /// Over.
    Resolved,
    /// Over for another reason.
    Closed,
}

impl IncidentProgress {
    /// The state after `event` at `now`, and what follows from it.
    #[must_use]
    pub fn step(self, event: IncidentEvent, now: Time) -> (Self, Moved) {
        use IncidentEvent as E;
        match (self, event) {
            (Self::Firing, E::Fired) => (Self::Firing, Moved::Nothing),
            (Self::Firing, E::Recovering) => (Self::Recovering, Moved::Recovering),
            (Self::Firing | Self::Recovering, E::Calm(false)) => (Self::Waiting, Moved::Waiting),
            (Self::Firing, E::Settled) => (Self::Firing, Moved::Nothing),
            (Self::Recovering | Self::Waiting, E::Fired) => (Self::Firing, Moved::FiredAgain),
            (Self::Recovering, E::Recovering | E::Settled) => (Self::Recovering, Moved::Nothing),
            (Self::Waiting, E::Recovering | E::Calm(false)) => (Self::Waiting, Moved::Nothing),
            (Self::Firing | Self::Recovering | Self::Waiting, E::Calm(true))
            | (Self::Waiting, E::Settled) => (Self::Over(now, Over::Resolved), Moved::Resolved),
            (Self::Firing | Self::Recovering | Self::Waiting, E::Closed) => {
                (Self::Over(now, Over::Closed), Moved::Closed)
            }
            (Self::Over(..), E::Fired) => (Self::Firing, Moved::Reopened),
            (
                Self::Over(at, how),
                E::Recovering | E::Calm(true | false) | E::Settled | E::Closed,
            ) => (Self::Over(at, how), Moved::Nothing),
        }
    }

    /// Whether it is not over.
    pub fn open(&self) -> bool {
        !matches!(self, Self::Over(..))
    }
}

/// All the desk knows of an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Its name.
    pub id: String,
    /// Key of its alert.
    pub alert: String,
    /// The shard's name of its newest firing; differs from `id` once it was reopened.
    pub source: Option<String>,
    /// Rule.
    pub rule: String,
    /// Group of labels.
    pub group: Labels,
    /// Severity it was last told with.
    pub severity: String,
    /// When it was opened.
    pub opened: Time,
    /// How often it was opened.
    pub openings: u32,
    /// Where it stands.
    pub progress: IncidentProgress,
    /// Who has taken it.
    pub acked: Option<String>,
    /// Its page was withheld by a silence and is owed when that ends.
    pub withheld: bool,
    /// Something about it waits for the rule's hours.
    #[serde(default)]
    pub owed: bool,
    /// What was told to whom.
    pub told: Told,
    /// Reminders sent.
    pub reminders: u32,
    /// When the next one is due.
    pub remind: Option<Time>,
    /// Its rollback, where its rule has one.
    pub rollback: Option<Rollback>,
    /// What the verification saw.
    pub verified: Option<Evidence>,
}

/// The rollback of an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollback {
    /// Plan.
    pub plan: String,
    /// Its script.
    pub script: String,
    /// Where it stands.
    pub progress: RollbackProgress,
    /// When its command went out: this incident had its one attempt.
    pub commanded: Option<Time>,
    /// Somebody holds or held the command.
    pub claimed: bool,
    /// When the run's end was stored on the bus.
    pub ended: Option<Time>,
    /// Its exit code, as the ledger has it.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// What made it end so, as the ledger has it.
    #[serde(default)]
    pub cause: Option<EndCause>,
}
