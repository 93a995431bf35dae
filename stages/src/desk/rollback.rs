//! Where one rollback stands: a state machine over what the desk decides, what the ledger says, what agents
//! report and what time brings.
//!
//! Only ledger records make `claimed`, `cancelled` and `expired` true; the desk wishes ([`Effect::Wish`]) and
//! waits. Outcomes come twice, by ledger and by status, and are merged: the later stage wins, a repeat changes
//! nothing, an impossible one is told as such ([`Effect::Unexpected`]) and changes nothing either.
//!
//! | state | goes on by | to |
//! |---|---|---|
//! | unjudged, suppressed | forbidden / await / go | suppressed / awaiting / commanded |
//! | awaiting | go / denied / calm, closed / overdue | commanded / denied / cancelled / expired(unapproved) |
//! | commanded | calm, closed, frozen / overdue | withdrawing(cancel) / withdrawing(expire) |
//! | commanded, withdrawing | claimed in time / late / withdrawn | claimed / expired(late) / cancelled, expired |
//! | claimed, running | started / ended / overdue | running / see below / unknown |
//! | any of those four, unknown | ended: succeeded / otherwise | verifying / failing, then over or unknown |
//! | verifying | verified / overdue | recovered, not_recovered, inconclusive / inconclusive |
//!
//! A failed, timed out or unknown run is not verified: whatever the service does next is not the script's
//! doing, and a person has been paged. Such an incident resolves when its alert is Ok.

use crate::time::Time;
use crate::wire::{Forbidden, RollbackState, Verdict, WithdrawKind};
use serde::{Deserialize, Serialize};

/// Where a rollback stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollbackProgress {
    /// The incident is open, nothing was decided yet.
    Unjudged,
    /// Forbidden by this; nothing ran.
    Suppressed(Forbidden),
    /// A person must approve until then.
    AwaitingApproval(Time),
    /// The command is out and nobody claimed it; it may be claimed until then.
    Commanded(Time),
    /// The wish to withdraw it is out; a claim may still win.
    Withdrawing(Withdrawal),
    /// An agent has it; something must be heard of it by then.
    Claimed(Time),
    /// The script runs; its end must be heard of by then.
    Running(Time),
    /// The ledger says how it ended; the agent's own words are waited for until then.
    Failing(RollbackState, Time),
    /// Nobody knows how it ended.
    Unknown,
    /// The shard looks for recovery; its verdict must be here by then.
    Verifying(Time),
    /// Nothing more happens by itself.
    Over(RollbackState, Option<Forbidden>),
}

/// A wish to withdraw a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    /// A claim stored until then still counts.
    pub not_after: Time,
    /// What is wished.
    pub kind: WithdrawKind,
    /// Why.
    pub why: Forbidden,
    /// When the wish is repeated, if nothing came of it.
    pub again: Time,
}

/// What happens to a rollback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// Judged: not allowed.
    Forbidden(Forbidden),
    /// Judged: a person must approve until then.
    Await(Time),
    /// Judged: go, to be claimed until then.
    Go(Time),
    /// A person said no.
    Denied,
    /// Its alert is Ok. A wish not answered by then is repeated.
    Calm(Time),
    /// Its incident was closed. As above.
    Closed(Time),
    /// The kill switch was thrown. As above.
    Frozen(Time),
    /// The deadline of its state has passed; the next one of a wish.
    Overdue(Time),
    /// The ledger says: claimed, stored at the first, to be heard of by the second.
    Claimed(Time, Time),
    /// It was started; its end is to be heard of by then.
    Started(Time),
    /// It ended.
    Ended(Ending),
    /// The ledger says: withdrawn.
    Withdrawn(WithdrawKind),
    /// The shard's verdict.
    Verified(Verdict),
}

/// How a run ended, and who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// `succeeded`, `failed`, `timed_out`, `unknown` or `expired`.
    pub outcome: RollbackState,
    /// Said by the agent in its own words, rather than by the ledger.
    pub in_words: bool,
    /// Where it succeeded: when the verdict is due.
    pub verdict_by: Time,
    /// Where it did not: how long the agent's words are waited for.
    pub words_by: Time,
}

/// What follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// An event of this state.
    Say(RollbackState, Option<Forbidden>),
    /// The command.
    Order,
    /// A wish to withdraw the command.
    Wish(WithdrawKind),
    /// A request to verify.
    Ask,
    /// It cannot be, but somebody says so.
    Unexpected,
}

use Effect::{Ask, Order, Say, Unexpected, Wish};
use Happening as H;
use RollbackState as S;

type Next = (RollbackProgress, Vec<Effect>);

impl RollbackProgress {
    /// The state after `happening`, and what follows from it.
    #[must_use]
    pub fn step(self, happening: &Happening) -> Next {
        match self {
            Self::Unjudged => judged(Self::Unjudged, None, happening),
            Self::Suppressed(why) => judged(Self::Suppressed(why), Some(why), happening),
            Self::AwaitingApproval(until) => awaiting(until, happening),
            Self::Commanded(not_after) => commanded(not_after, happening),
            Self::Withdrawing(wish) => withdrawing(wish, happening),
            Self::Claimed(by) => claimed(by, happening),
            Self::Running(by) => running(by, happening),
            Self::Failing(outcome, by) => failing(outcome, by, happening),
            Self::Unknown => unknown(happening),
            Self::Verifying(by) => verifying(by, happening),
            Self::Over(state, why) => over(state, why, happening),
        }
    }

    /// When [`Happening::Overdue`] is due.
    pub fn deadline(&self) -> Option<Time> {
        match self {
            Self::AwaitingApproval(at)
            | Self::Commanded(at)
            | Self::Claimed(at)
            | Self::Running(at)
            | Self::Failing(_, at)
            | Self::Verifying(at) => Some(*at),
            Self::Withdrawing(wish) => Some(wish.again),
            Self::Unjudged | Self::Suppressed(_) | Self::Unknown | Self::Over(..) => None,
        }
    }

    /// Whether the incident may resolve as far as this rollback is concerned.
    pub fn settled(&self) -> bool {
        match self {
            Self::Unjudged | Self::Suppressed(_) | Self::Unknown | Self::Over(..) => true,
            Self::AwaitingApproval(_)
            | Self::Commanded(_)
            | Self::Withdrawing(_)
            | Self::Claimed(_)
            | Self::Running(_)
            | Self::Failing(..)
            | Self::Verifying(_) => false,
        }
    }

    /// Whether it keeps its plan from being commanded again. An unknown run does, until its incident is over.
    pub fn in_flight(&self) -> bool {
        match self {
            Self::Commanded(_)
            | Self::Withdrawing(_)
            | Self::Claimed(_)
            | Self::Running(_)
            | Self::Failing(..)
            | Self::Unknown
            | Self::Verifying(_) => true,
            Self::Unjudged | Self::Suppressed(_) | Self::AwaitingApproval(_) | Self::Over(..) => {
                false
            }
        }
    }
}

fn finish(state: S, why: Option<Forbidden>) -> Next {
    (RollbackProgress::Over(state, why), vec![Say(state, why)])
}

fn judged(same: RollbackProgress, before: Option<Forbidden>, happening: &Happening) -> Next {
    match happening {
        H::Forbidden(why) if before == Some(*why) => (same, vec![]),
        H::Forbidden(why) => {
            (RollbackProgress::Suppressed(*why), vec![Say(S::Suppressed, Some(*why))])
        }
        H::Await(until) => {
            let said = vec![Say(S::Proposed, None), Say(S::AwaitingApproval, None)];
            (RollbackProgress::AwaitingApproval(*until), said)
        }
        H::Go(not_after) => {
            let said = vec![Say(S::Proposed, None), Say(S::Commanded, None), Order];
            (RollbackProgress::Commanded(*not_after), said)
        }
        H::Denied | H::Calm(_) | H::Closed(_) | H::Frozen(_) | H::Overdue(_) => (same, vec![]),
        H::Claimed(..) | H::Started(_) | H::Ended(_) | H::Withdrawn(_) | H::Verified(_) => {
            (same, vec![Unexpected])
        }
    }
}

fn awaiting(until: Time, happening: &Happening) -> Next {
    let same = RollbackProgress::AwaitingApproval(until);
    match happening {
        // Judged again when the person said yes: what forbids it now is final.
        H::Forbidden(why) => finish(S::Suppressed, Some(*why)),
        H::Await(_) => (same, vec![]),
        H::Go(not_after) => {
            (RollbackProgress::Commanded(*not_after), vec![Say(S::Commanded, None), Order])
        }
        H::Denied => finish(S::Denied, None),
        H::Calm(_) => finish(S::Cancelled, Some(Forbidden::RecoveredFirst)),
        H::Closed(_) => finish(S::Cancelled, Some(Forbidden::Closed)),
        // Looked at again when somebody approves.
        H::Frozen(_) => (same, vec![]),
        H::Overdue(_) => finish(S::Expired, Some(Forbidden::Unapproved)),
        H::Claimed(..) | H::Started(_) | H::Ended(_) | H::Withdrawn(_) | H::Verified(_) => {
            (same, vec![Unexpected])
        }
    }
}

fn commanded(not_after: Time, happening: &Happening) -> Next {
    let same = RollbackProgress::Commanded(not_after);
    let withdraw = |kind, why, again| {
        let wish = Withdrawal { not_after, kind, why, again };
        (RollbackProgress::Withdrawing(wish), vec![Wish(kind)])
    };
    match happening {
        H::Calm(again) => withdraw(WithdrawKind::Cancel, Forbidden::RecoveredFirst, *again),
        H::Closed(again) => withdraw(WithdrawKind::Cancel, Forbidden::Closed, *again),
        H::Frozen(again) => withdraw(WithdrawKind::Cancel, Forbidden::Frozen, *again),
        H::Overdue(again) => withdraw(WithdrawKind::Expire, Forbidden::Unclaimed, *again),
        H::Claimed(stored, by) => claim(not_after, *stored, *by),
        H::Started(by) => (RollbackProgress::Running(*by), vec![Say(S::Running, None)]),
        // Only the ledger makes a command expired.
        H::Ended(Ending { outcome: S::Expired, in_words: true, .. }) => (same, vec![]),
        H::Ended(ending) => ended(*ending),
        H::Withdrawn(WithdrawKind::Cancel) => finish(S::Cancelled, None),
        H::Withdrawn(WithdrawKind::Expire) => finish(S::Expired, Some(Forbidden::Unclaimed)),
        H::Forbidden(_) | H::Await(_) | H::Go(_) | H::Denied => (same, vec![]),
        H::Verified(_) => (same, vec![Unexpected]),
    }
}

fn withdrawing(wish: Withdrawal, happening: &Happening) -> Next {
    match happening {
        H::Overdue(again) => {
            let kind = wish.kind;
            (RollbackProgress::Withdrawing(Withdrawal { again: *again, ..wish }), vec![Wish(kind)])
        }
        H::Claimed(stored, by) => claim(wish.not_after, *stored, *by),
        H::Started(by) => (RollbackProgress::Running(*by), vec![Say(S::Running, None)]),
        H::Ended(Ending { outcome: S::Expired, in_words: true, .. }) => {
            (RollbackProgress::Withdrawing(wish), vec![])
        }
        H::Ended(ending) => ended(*ending),
        H::Withdrawn(WithdrawKind::Cancel) => {
            let ours = wish.kind == WithdrawKind::Cancel;
            finish(S::Cancelled, ours.then_some(wish.why))
        }
        H::Withdrawn(WithdrawKind::Expire) => finish(S::Expired, Some(Forbidden::Unclaimed)),
        H::Calm(_) | H::Closed(_) | H::Frozen(_) => (RollbackProgress::Withdrawing(wish), vec![]),
        H::Forbidden(_) | H::Await(_) | H::Go(_) | H::Denied => {
            (RollbackProgress::Withdrawing(wish), vec![])
        }
        H::Verified(_) => (RollbackProgress::Withdrawing(wish), vec![Unexpected]),
    }
}

fn claim(not_after: Time, stored: Time, by: Time) -> Next {
    if stored > not_after {
        finish(S::Expired, Some(Forbidden::Late))
    } else {
        (RollbackProgress::Claimed(by), vec![Say(S::Claimed, None)])
    }
}

fn claimed(by: Time, happening: &Happening) -> Next {
    let same = RollbackProgress::Claimed(by);
    match happening {
        H::Started(by) => (RollbackProgress::Running(*by), vec![Say(S::Running, None)]),
        H::Ended(ending) => ended(*ending),
        H::Overdue(_) => (RollbackProgress::Unknown, vec![Say(S::Unknown, None)]),
        H::Claimed(..) => (same, vec![]),
        // Recovers while it runs: it finishes.
        H::Calm(_) | H::Closed(_) | H::Frozen(_) => (same, vec![]),
        H::Forbidden(_) | H::Await(_) | H::Go(_) | H::Denied => (same, vec![]),
        H::Withdrawn(_) | H::Verified(_) => (same, vec![Unexpected]),
    }
}

fn running(by: Time, happening: &Happening) -> Next {
    let same = RollbackProgress::Running(by);
    match happening {
        H::Ended(ending) => ended(*ending),
        H::Overdue(_) => (RollbackProgress::Unknown, vec![Say(S::Unknown, None)]),
        H::Claimed(..) | H::Started(_) => (same, vec![]),
        H::Calm(_) | H::Closed(_) | H::Frozen(_) => (same, vec![]),
        H::Forbidden(_) | H::Await(_) | H::Go(_) | H::Denied => (same, vec![]),
        H::Withdrawn(_) | H::Verified(_) => (same, vec![Unexpected]),
    }
}

fn ended(ending: Ending) -> Next {
    match ending.outcome {
        S::Succeeded => {
            let said = vec![Say(S::Succeeded, None), Say(S::Verifying, None), Ask];
            (RollbackProgress::Verifying(ending.verdict_by), said)
        }
        outcome if ending.in_words => concluded(outcome),
        outcome => (RollbackProgress::Failing(outcome, ending.words_by), vec![]),
    }
}

/// The end of a run that did not succeed.
fn concluded(outcome: RollbackState) -> Next {
    match outcome {
        S::Unknown => (RollbackProgress::Unknown, vec![Say(S::Unknown, None)]),
        S::Expired => finish(S::Expired, Some(Forbidden::Late)),
        outcome => finish(outcome, None),
    }
}

fn failing(outcome: RollbackState, by: Time, happening: &Happening) -> Next {
    let same = RollbackProgress::Failing(outcome, by);
    match happening {
        H::Overdue(_) => concluded(outcome),
        H::Ended(ending) if ending.outcome == outcome && ending.in_words => concluded(outcome),
        H::Ended(ending) if ending.outcome == outcome => (same, vec![]),
        H::Ended(_) | H::Withdrawn(_) | H::Verified(_) => (same, vec![Unexpected]),
        H::Claimed(..) | H::Started(_) => (same, vec![]),
        H::Calm(_) | H::Closed(_) | H::Frozen(_) => (same, vec![]),
        H::Forbidden(_) | H::Await(_) | H::Go(_) | H::Denied => (same, vec![]),
    }
}

fn unknown(happening: &Happening) -> Next {
    let same = RollbackProgress::Unknown;
    match happening {
        H::Ended(Ending { outcome: S::Unknown, .. }) => (same, vec![]),
        // What was unknown is known after all.
        H::Ended(ending) => ended(*ending),
        H::Started(by) => (RollbackProgress::Running(*by), vec![Say(S::Running, None)]),
        H::Claimed(..) | H::Overdue(_) => (same, vec![]),
        H::Calm(_) | H::Closed(_) | H::Frozen(_) => (same, vec![]),
        H::Forbidden(_) | H::Await(_) | H::Go(_) | H::Denied => (same, vec![]),
        H::Withdrawn(_) | H::Verified(_) => (same, vec![Unexpected]),
    }
}

fn verifying(by: Time, happening: &Happening) -> Next {
    let same = RollbackProgress::Verifying(by);
    match happening {
        H::Verified(Verdict::Recovered) => finish(S::Recovered, None),
        H::Verified(Verdict::NotRecovered) => finish(S::NotRecovered, None),
        H::Verified(Verdict::Inconclusive) | H::Overdue(_) => finish(S::Inconclusive, None),
        H::Ended(Ending { outcome: S::Succeeded, .. }) => (same, vec![]),
        H::Ended(_) | H::Withdrawn(_) => (same, vec![Unexpected]),
        H::Claimed(..) | H::Started(_) => (same, vec![]),
        H::Calm(_) | H::Closed(_) | H::Frozen(_) => (same, vec![]),
        H::Forbidden(_) | H::Await(_) | H::Go(_) | H::Denied => (same, vec![]),
    }
}

fn over(state: RollbackState, why: Option<Forbidden>, happening: &Happening) -> Next {
    let same = RollbackProgress::Over(state, why);
    if let H::Forbidden(Forbidden::Attempted) = happening {
        // The incident was reopened: its one attempt is behind it, and that is said.
        return (same, vec![Say(S::Suppressed, Some(Forbidden::Attempted))]);
    }
    let succeeded = matches!(state, S::Recovered | S::NotRecovered | S::Inconclusive);
    let ran = succeeded || matches!(state, S::Failed | S::TimedOut);
    let late = why == Some(Forbidden::Late);
    let known = match happening {
        H::Claimed(..) => ran || late,
        H::Started(_) => ran,
        H::Ended(Ending { outcome: S::Succeeded, .. }) => succeeded,
        H::Ended(ending) => ending.outcome == state,
        H::Withdrawn(WithdrawKind::Cancel) => state == S::Cancelled,
        H::Withdrawn(WithdrawKind::Expire) => state == S::Expired,
        H::Verified(_) => succeeded,
        H::Calm(_) | H::Closed(_) | H::Frozen(_) | H::Overdue(_) => true,
        H::Forbidden(_) | H::Await(_) | H::Go(_) | H::Denied => true,
    };
    (same, if known { vec![] } else { vec![Unexpected] })
}
