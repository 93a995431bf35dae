//! What comes next for a command: a pure function of what the ledger says, what the journal knows and the command.

use crate::journal::Known;
use crate::ledger::{Held, Holder};
use crate::process::Process;
use stages::wire::{Command, EndCause, LedgerState, RollbackOutcome, RollbackState, SCHEMA};

/// What comes next for a command.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Next {
    /// Nobody has it: claim it.
    Claim,
    /// Started by an agent before us, and not lost sight of: wait for its end, or read it.
    Resume(Left),
    /// Ours and never started. `claim` where the ledger has no more than that yet.
    Start { claim: bool },
    /// Started, no end known, but the plan may be run again. What there is to tell if it is not.
    StartAgain(Box<RollbackOutcome>),
    /// Over without (another) run.
    Conclude(Box<RollbackOutcome>),
    /// The ledger has the end; the outcome may not have been told.
    Tell(Box<RollbackOutcome>),
    /// Somebody else's.
    Leave(String),
}

/// A start that has left something ([`Left`]) is resumed where the table says unknown or again; it is for the lost.
///
/// | ledger \ journal | nothing | claimed | started | ended |
/// |---|---|---|---|---|
/// | nothing | claim | claim | unknown | conclude |
/// | ours, claimed | start | start | unknown | conclude |
/// | ours, started | unknown | start | unknown, or again if idempotent | conclude |
/// | ours, ended | tell by the ledger | same | same | tell by the journal |
/// | another's | leave | leave | leave | leave |
pub(crate) fn next(
    held: Option<&Held>,
    known: Option<&Known>,
    left: Option<Left>,
    ask: &Ask<'_>,
) -> Next {
    let state = match held.map(|held| &held.by) {
        Some(Holder::Other(holder)) => return Next::Leave(holder.clone()),
        Some(Holder::Us(state)) => Some(state),
        None => None,
    };
    if let (
        None | Some(LedgerState::Claimed | LedgerState::Started { .. }),
        Some(Known::Started { .. }),
        Some(left),
    ) = (state, known, left)
    {
        return Next::Resume(left);
    }
    match (state, known) {
        (Some(LedgerState::Cancelled | LedgerState::Expired), _) => {
            Next::Leave("withdrawn".to_owned())
        }
        (Some(LedgerState::Ended { .. }), Some(Known::Ended(told))) => Next::Tell(told.clone()),
        (
            Some(LedgerState::Ended { outcome, exit_code, cause }),
            None | Some(Known::Claimed | Known::Started { .. }),
        ) => Next::Tell(Box::new(RollbackOutcome {
            exit_code: *exit_code,
            ..ask.outcome(*outcome, *cause, "told by the ledger; this agent's journal has no more")
        })),
        (
            None | Some(LedgerState::Claimed | LedgerState::Started { .. }),
            Some(Known::Ended(told)),
        ) => Next::Conclude(told.clone()),
        (None, None | Some(Known::Claimed)) => Next::Claim,
        (Some(LedgerState::Claimed), None | Some(Known::Claimed)) => Next::Start { claim: true },
        (Some(LedgerState::Started { .. }), Some(Known::Claimed)) => Next::Start { claim: false },
        (Some(LedgerState::Started { .. }), None) => Next::Conclude(Box::new(ask.outcome(
            RollbackState::Unknown,
            Some(EndCause::AgentDied),
            "started before, but this agent's journal does not know it; look at the target",
        ))),
        (Some(LedgerState::Started { .. }), Some(Known::Started { starts, process, .. }))
            if ask.command.idempotent && *starts < ask.starts_max =>
        {
            Next::StartAgain(Box::new(ask.unknown(*starts, process.as_ref())))
        }
        (
            None | Some(LedgerState::Claimed | LedgerState::Started { .. }),
            Some(Known::Started { starts, process, .. }),
        ) => Next::Conclude(Box::new(ask.unknown(*starts, process.as_ref()))),
    }
}

/// What a run that was started before us has left.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Left {
    /// Its fence, which finds its folder.
    pub(crate) fence: u64,
    /// Its process; none where it has ended and its folder says how.
    pub(crate) process: Option<Process>,
    /// What starts before it, whose end nobody knows, leave to tell if it turns out that this one never began.
    pub(crate) lost: Option<RollbackOutcome>,
}

/// What an outcome is made of.
pub(crate) struct Ask<'a> {
    pub(crate) command: &'a Command,
    pub(crate) agent: &'a str,
    pub(crate) starts_max: u32,
}

impl Ask<'_> {
    pub(crate) fn outcome(
        &self,
        state: RollbackState,
        cause: Option<EndCause>,
        detail: &str,
    ) -> RollbackOutcome {
        RollbackOutcome {
            schema: SCHEMA,
            plan: self.command.plan.clone(),
            incident: self.command.incident.clone(),
            agent: self.agent.to_owned(),
            state,
            cause,
            detail: Some(detail.to_owned()),
            exit_code: None,
            output: None,
            took: None,
        }
    }

    pub(crate) fn unknown(&self, starts: u32, process: Option<&Process>) -> RollbackOutcome {
        let group = process.map_or(String::new(), |process| {
            format!("; some of process group {} may still be running", process.group)
        });
        let times = if starts > 1 { format!(" (start {starts})") } else { String::new() };
        let detail = format!(
            "the agent died while the script ran{times}, and the script has left no end; nobody knows what it did, look at the target{group}"
        );
        self.outcome(RollbackState::Unknown, Some(EndCause::AgentDied), &detail)
    }
}
