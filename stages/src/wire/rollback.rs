//! Rollbacks: what the desk proposes and commands, the claim ledger, outcomes, verification.
//!
//! A tool that is not our agent reads `ops.rollback.<plan>.command`, creates `ops.exec.<plan>.<incident>`
//! with "expected last subject sequence 0" (that is the claim), acts, and answers on
//! `ops.status.rollback.<plan>`. Any record there is a claim; one that is no [`LedgerRecord`] is somebody's
//! whom nobody knows, and a person is told.

use crate::time::{Span, Time};
use crate::wire::shard_event::Evidence;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a rollback stands; each is an event on `ops.rollback.<plan>.<state>`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RollbackState {
    /// The desk would roll back.
    Proposed,
    /// A person must approve.
    AwaitingApproval,
    /// A person said no.
    Denied,
    /// Late or unclaimed.
    Expired,
    /// Recovered or closed before the claim.
    Cancelled,
    /// Forbidden; the event says by what.
    Suppressed,
    /// The command is on the bus.
    Commanded,
    /// An agent has it.
    Claimed,
    /// The script runs.
    Running,
    /// The script ended with exit code 0.
    Succeeded,
    /// It ended otherwise, or could not be started.
    Failed,
    /// It ran longer than the plan allows.
    TimedOut,
    /// The agent died while it ran.
    Unknown,
    /// Recovery is being looked for.
    Verifying,
    /// It is there.
    Recovered,
    /// It is not.
    NotRecovered,
    /// No data to say.
    Inconclusive,
}

impl RollbackState {
    /// The subject token.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Suppressed => "suppressed",
            Self::Commanded => "commanded",
            Self::Claimed => "claimed",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Unknown => "unknown",
            Self::Verifying => "verifying",
            Self::Recovered => "recovered",
            Self::NotRecovered => "not_recovered",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// What forbade an automatic action, or why it ended unrun.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Forbidden {
    /// The data is not fresh.
    NotFresh,
    /// The alert flaps.
    Flapping,
    /// A silence covers actions.
    Silenced,
    /// Too few samples or panes.
    Evidence,
    /// Of several severities it has one that does not act.
    Severity,
    /// The plan is cooling down.
    Cooldown,
    /// The plan is locked after too many attempts.
    Locked,
    /// Another run of the plan is in flight.
    InFlight,
    /// The fleet's budget per hour is spent.
    FleetBudget,
    /// The kill switch is on, or actions are off.
    Frozen,
    /// No change of the target was seen.
    NoChange,
    /// Another rule is firing: ride it out.
    Unless,
    /// The plan says to only say so.
    DryRun,
    /// This incident had its one attempt.
    Attempted,
    /// The transition was older than `not_after` when it was read.
    Stale,
    /// No such plan in the settings in force.
    NoPlan,
    /// Claimed too late.
    Late,
    /// Nobody claimed it.
    Unclaimed,
    /// Nobody approved it in time.
    Unapproved,
    /// The alert recovered first.
    RecoveredFirst,
    /// A person closed the incident.
    Closed,
}

/// What exactly made a run end as it did, or kept it from beginning: for machines what `detail` says to people.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum EndCause {
    /// The agent has no folder of the plan's name.
    UnknownPlan,
    /// The plan's folder has no such script.
    MissingScript,
    /// The script may not be executed.
    NotExecutable,
    /// Plan or script is not what may be run: a name that is not allowed, a link out of its folder, no file.
    PlanRefused,
    /// The plan's folder cannot be read.
    PlanUnreadable,
    /// The command holds texts that no process can be given.
    CommandRefused,
    /// The system would not start the script: its interpreter is missing, it is no program, no process is free.
    NotStarted,
    /// The agent could not write down that it was about to start the script, so it did not.
    JournalUnwritable,
    /// The kill switch.
    Frozen,
    /// It was claimed after the command's `not_after`.
    ClaimedLate,
    /// It was claimed in time, but the agent was not there to start it.
    StartedLate,
    /// The script ended with an exit code other than 0.
    ExitCode,
    /// A signal ended the script.
    Signal,
    /// It ran longer than the plan allows and was stopped.
    Timeout,
    /// The agent died while the script ran, and what became of it cannot be found out.
    AgentDied,
    /// The desk heard nothing of its end in time.
    Silence,
    /// One that this version does not know.
    #[serde(other)]
    Other,
}

/// An event of a rollback, on `ops.rollback.<plan>.<state>`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RollbackEvent {
    /// Version of this shape.
    pub schema: u32,
    /// Plan.
    pub plan: String,
    /// Incident that caused it.
    pub incident: String,
    /// Rule that caused it.
    pub rule: String,
    /// Metric of that rule.
    pub metric: String,
    /// Where it stands.
    pub state: RollbackState,
    /// What forbade it or ended it.
    pub why: Option<Forbidden>,
    /// Log time of the desk.
    pub time: Time,
    /// Position in the desk's log of the entry that caused it.
    pub position: u64,
    /// File name of the script.
    pub script: String,
    /// Exit code, where a script ended.
    pub exit_code: Option<i32>,
    /// What exactly made it end so, where a run failed or the agent would not begin it.
    #[serde(default)]
    pub cause: Option<EndCause>,
    /// A sentence: the agent's word, who denied it, which rule forbade it.
    pub detail: Option<String>,
    /// What was seen, where the state rests on it.
    pub evidence: Option<Evidence>,
    /// Receivers that are told of this state.
    #[serde(default)]
    pub notified: Vec<String>,
    /// Why nobody was told, where somebody would have been.
    #[serde(default)]
    pub untold: Option<String>,
}

/// An order to run a plan's script, on `ops.rollback.<plan>.command`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Command {
    /// Version of this shape.
    pub schema: u32,
    /// Plan: the exact name of a folder the agent has.
    pub plan: String,
    /// Script: the exact name of a file in that folder.
    pub script: String,
    /// Incident: with the plan, the key of the claim.
    pub incident: String,
    /// Rule that fired.
    pub rule: String,
    /// Log time of the order.
    pub issued: Time,
    /// A claim stored by the bus after this is late.
    pub not_after: Time,
    /// How long the script may run.
    pub timeout: Span,
    /// Revision to step back from, where a change was seen.
    pub from_revision: Option<String>,
    /// May be run again after an unknown outcome.
    pub idempotent: bool,
    /// Position in the desk's log of the entry that caused it.
    pub position: u64,
}

/// The record at `ops.exec.<plan>.<incident>`, created once and then compare-and-set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LedgerRecord {
    /// Version of this shape.
    pub schema: u32,
    /// Plan.
    pub plan: String,
    /// Incident.
    pub incident: String,
    /// Who holds it: an agent's name, or the owner that withdrew it.
    pub holder: String,
    /// Where the execution stands.
    pub state: LedgerState,
}

/// Where an execution stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum LedgerState {
    /// An agent has it; nothing ran yet.
    Claimed,
    /// The script was about to be started; from here on it is never started again by itself.
    Started {
        /// Revision of the claim, given to the script as its fencing token.
        fence: u64,
    },
    /// It ended.
    Ended {
        /// How.
        outcome: RollbackState,
        /// Exit code, where there is one.
        exit_code: Option<i32>,
        /// What exactly made it end so; none of one that succeeded.
        #[serde(default)]
        cause: Option<EndCause>,
    },
    /// Withdrawn by the desk before a claim.
    Cancelled,
    /// Withdrawn by the desk because nobody claimed it in time.
    Expired,
}

/// What became of a command, on `ops.status.rollback.<plan>`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RollbackOutcome {
    /// Version of this shape.
    pub schema: u32,
    /// Plan.
    pub plan: String,
    /// Incident.
    pub incident: String,
    /// Who says so.
    pub agent: String,
    /// `running`, `succeeded`, `failed`, `timed_out`, `unknown` or `expired`.
    pub state: RollbackState,
    /// What exactly, for machines; tools need not say it.
    #[serde(default)]
    pub cause: Option<EndCause>,
    /// What exactly, for people: `unknown plan`, `script is not executable`, ...
    pub detail: Option<String>,
    /// Exit code of the script.
    pub exit_code: Option<i32>,
    /// End of what the script wrote (bounded).
    pub output: Option<String>,
    /// How long it ran.
    pub took: Option<Span>,
}

/// The desk's wish to withdraw a command, on `ops.rollback.<plan>.withdraw`; an edge of the owner tries to
/// create the ledger record, and only that record, relayed back, makes it true.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Withdraw {
    /// Version of this shape.
    pub schema: u32,
    /// Plan.
    pub plan: String,
    /// Incident.
    pub incident: String,
    /// What for.
    pub kind: WithdrawKind,
    /// Position of the entry that caused it; 0 in what older versions said.
    #[serde(default)]
    pub position: u64,
}

/// Why a command is withdrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WithdrawKind {
    /// Recovered or closed before the claim.
    Cancel,
    /// Nobody claimed it in time.
    Expire,
}

/// The desk asks a shard to judge recovery; relayed to `ops.log.<shard>.verify`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VerifyRequest {
    /// Version of this shape.
    pub schema: u32,
    /// Incident, the key of the request: a repeat is ignored.
    pub incident: String,
    /// Plan that ran.
    pub plan: String,
    /// Rule whose statistic and threshold judge; it must be in the shard's settings.
    pub rule: String,
    /// Group of labels.
    pub group: crate::series::Labels,
    /// Only samples with event time at or after this count: stored time of the outcome plus `settle`.
    pub from: Time,
    /// Clear for this long.
    #[serde(rename = "for")]
    pub hold: Span,
    /// A verdict is due by this log time.
    pub until: Time,
    /// Samples it needs to say anything.
    pub min_samples: u64,
    /// Position of the entry that caused it; 0 in what older versions said.
    #[serde(default)]
    pub position: u64,
}

/// What a verification found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Clear for as long as asked.
    Recovered,
    /// In breach when the time was over.
    NotRecovered,
    /// Too few samples to say.
    Inconclusive,
}
