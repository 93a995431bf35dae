//! Carries one command from the bus to its outcome, from whatever point an earlier try left it at.
//!
//! Decide, then do: [`next()`] compares ledger, journal and command and says what comes next; the rest does it.
//! The order of the stores is the safety of it: claim (ledger), claimed (journal), started (ledger), kill
//! switch, started (journal, synced), script, ended (journal, synced), ended (ledger), outcome, and the
//! acknowledgement of the command last.

use crate::agent::Shared;
use crate::folder::{self, Found, Refusal};
use crate::journal::{Known, Line, Step};
use crate::ledger::{Held, Holder, Ledger};
use crate::next::{Ask, Next, next};
use crate::patience::until_answered;
use crate::{environment, freeze};
use bus::failpoint::{self, Failpoint};
use bus::{BusError, Outgoing};
use bytes::Bytes;
use stages::time::{Span, Time};
use stages::wire::{Command, EndCause, LedgerState, RollbackOutcome, RollbackState};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Bounds of an execution.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How much of a script's output is kept: enough for a stack trace, small beside a message of the bus.
    pub output_bytes_max: usize,
    /// How long a script may take to stop when its time is up.
    pub stop_grace: Duration,
    /// How long an agent that cannot run a plan leaves it to others before it says so. Every agent sees every
    /// command; the one that has the plan claims it within milliseconds.
    pub yield_for: Duration,
    /// How long after `not_after` a script may still start where the claim was in time but the agent was not.
    pub start_within: Duration,
    /// A command comes again when the agent was silent for this long, so long a rollback waits for an agent that was
    /// killed and is back; while it is at one it speaks three times as often.
    pub ack_wait: Duration,
    /// How often an idempotent plan is started in all when the agent dies while it runs.
    pub starts_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            output_bytes_max: 8 * 1024,
            stop_grace: Duration::from_secs(5),
            yield_for: Duration::from_secs(5),
            start_within: Duration::from_secs(30),
            ack_wait: Duration::from_secs(6),
            starts_max: 3,
        }
    }
}

impl Limits {
    pub(crate) fn still_at_it(&self) -> Duration {
        self.ack_wait / 3
    }
}

/// What became of a command here.
#[derive(Clone, Debug, PartialEq)]
pub enum Carried {
    /// It has this outcome, and the bus knows it.
    Told(RollbackState),
    /// Somebody else holds it.
    NotOurs(String),
    /// The agent is ending and has not begun with it.
    HandedBack,
}

/// One command at this agent.
pub(crate) struct Execution {
    pub(crate) shared: Arc<Shared>,
    pub(crate) command: Command,
    ledger: Ledger,
}

impl Execution {
    pub(crate) fn new(shared: Arc<Shared>, command: Command) -> Self {
        let ledger = Ledger::of(&shared.bus, &shared.subjects, &shared.name, &command);
        Self { shared, ledger, command }
    }

    /// Carries the command to its end. When it returns, the bus knows the outcome or that it is not ours.
    pub(crate) async fn carry(&self) -> Result<Carried, BusError> {
        loop {
            let held = self.ledger.read().await?;
            let known =
                self.shared.journal().of(&self.command.plan, &self.command.incident).cloned();
            let left = known.as_ref().and_then(|known| self.left(known));
            let sequence = held.as_ref().map_or(0, |held| held.sequence);
            match (next(held.as_ref(), known.as_ref(), left, &self.ask()), held) {
                (Next::Leave(holder), _) => return Ok(Carried::NotOurs(holder)),
                (Next::Tell(outcome), _) => return self.tell(*outcome).await,
                (Next::Conclude(outcome), _) => {
                    let outcome = self.with_output(*outcome, known.as_ref());
                    return self.conclude(outcome, sequence).await;
                }
                (Next::Claim, _) if self.shared.stop.is_cancelled() => {
                    return Ok(Carried::HandedBack);
                }
                // Whatever the claim brought is read again from the top: it may be another's.
                (Next::Claim, _) => self.claim().await?,
                // One that is lost after all is looked at anew: nothing is left of it then.
                (Next::Resume(left), _) => {
                    if let Some(outcome) = self.resume(left).await {
                        return self.conclude(outcome, sequence).await;
                    }
                }
                (Next::Start { claim }, Some(held)) => {
                    let forbidden = claim.then(|| self.forbidden(&held)).flatten();
                    if let Some(outcome) = forbidden {
                        return self.conclude(outcome, sequence).await;
                    }
                    if let Some(held) = self.start(sequence).await? {
                        return self.run(held, &self.first()).await;
                    }
                }
                (Next::StartAgain(lost), Some(before)) => {
                    if let Some(held) = self.start(sequence).await? {
                        let lost = self.with_output(*lost, known.as_ref());
                        return self.run(held, &self.again(&before, lost)).await;
                    }
                }
                (Next::Start { .. } | Next::StartAgain(_), None) => {
                    unreachable!("only a held record is started")
                }
            }
        }
    }

    /// Says on the ledger that the script is about to be started, each time anew: the stamp tells how late it is.
    async fn start(&self, sequence: u64) -> Result<Option<Held>, BusError> {
        let state = LedgerState::Started { fence: sequence };
        let held = self.ledger.put(state.clone(), sequence).await?;
        Ok(held.filter(|held| held.by == Holder::Us(state)))
    }

    fn first(&self) -> Start {
        let within = span(self.shared.limits.start_within);
        Start { until: self.command.not_after.plus(within), lost: None }
    }

    /// As long as the desk waits for the end of the last start, it waits for another one as well. After that
    /// people were told that nobody knows, and may be at it.
    fn again(&self, before: &Held, lost: RollbackOutcome) -> Start {
        let within = span(self.shared.limits.start_within);
        Start { until: before.time.plus(self.command.timeout).plus(within), lost: Some(lost) }
    }

    async fn claim(&self) -> Result<(), BusError> {
        if let Err(why) = self.prepare() {
            // Another agent may have what we lack.
            if why.depends_on_agent {
                let yielding = tokio::time::sleep(self.shared.limits.yield_for);
                tokio::select! {
                    () = yielding => {}
                    () = self.shared.stop.cancelled() => return Ok(()),
                }
            }
        }
        failpoint::reach(Failpoint::AgentBeforeClaim);
        self.ledger.put(LedgerState::Claimed, 0).await?;
        failpoint::reach(Failpoint::AgentClaimed);
        Ok(())
    }

    /// What forbids to start a claim that is ours, judged before anything was started; `held` is the claim.
    fn forbidden(&self, held: &Held) -> Option<RollbackOutcome> {
        if held.time > self.command.not_after {
            let late = held.time.since(self.command.not_after);
            let detail = format!("late: claimed {late} after the command's not_after");
            return Some(self.outcome(RollbackState::Expired, EndCause::ClaimedLate, &detail));
        }
        self.prepare().err().map(|why| self.not_run(why.cause, &why.text).after(None))
    }

    /// Starts the script and follows it to its end. The ledger says `started` as `held`.
    async fn run(&self, held: Held, start: &Start) -> Result<Carried, BusError> {
        failpoint::reach(Failpoint::AgentStarted);
        let sequence = held.sequence;
        let outcome = match self.ready(&held, start).await? {
            Ok((found, fence)) => self.execute(found, fence).await,
            Err(not_run) => Err(not_run),
        };
        let lost = start.lost.clone();
        let outcome = outcome.unwrap_or_else(|not_run| not_run.after(lost));
        self.conclude(outcome, sequence).await
    }

    /// The last moment before a start: what is to be run under which fence, or why it is not run after all.
    async fn ready(
        &self,
        held: &Held,
        start: &Start,
    ) -> Result<Result<(Found, u64), NotRun>, BusError> {
        let asked = Instant::now();
        let frozen = freeze::read(&self.shared.bus, &self.shared.subjects).await?;
        if let Some(why) = frozen {
            return Ok(Err(self.not_run(EndCause::Frozen, &why)));
        }
        if held.time > start.until || asked.elapsed() > self.shared.limits.start_within {
            let why = match start.lost {
                None => "late: claimed in time, but not started",
                Some(_) => "late: too long after its last start",
            };
            let late = self.outcome(RollbackState::Expired, EndCause::StartedLate, why);
            return Ok(Err(NotRun(Box::new(late))));
        }
        let fence = match &held.by {
            Holder::Us(LedgerState::Started { fence }) => *fence,
            _ => held.sequence,
        };
        let found = match self.prepare() {
            Ok(found) => found,
            Err(why) => return Ok(Err(self.not_run(why.cause, &why.text))),
        };
        Ok(match self.record(Step::Started { fence }) {
            Ok(()) => {
                failpoint::reach(Failpoint::AgentBeforeSpawn);
                Ok((found, fence))
            }
            Err(error) => {
                let why = format!("not started: the agent's journal cannot be written: {error}");
                Err(self.not_run(EndCause::JournalUnwritable, &why))
            }
        })
    }

    /// Stores the end: journal, ledger, outcome. Each may be there already.
    async fn conclude(
        &self,
        outcome: RollbackOutcome,
        mut expected: u64,
    ) -> Result<Carried, BusError> {
        use LedgerState::{Claimed, Started};
        self.record_end(&outcome);
        failpoint::reach(Failpoint::AgentBeforeReport);
        let RollbackOutcome { state, exit_code, cause, .. } = outcome;
        let end = LedgerState::Ended { outcome: state, exit_code, cause };
        loop {
            match self.ledger.put(end.clone(), expected).await? {
                Some(Held { by: Holder::Us(state), .. }) if state == end => break,
                // What it goes by was the answer of a copy that lagged.
                Some(Held { by: Holder::Us(Claimed | Started { .. }), sequence, .. })
                    if sequence > expected =>
                {
                    expected = sequence;
                }
                other => {
                    tracing::error!(
                        plan = self.command.plan,
                        incident = self.command.incident,
                        ?other,
                        "somebody changed our ledger record; telling the outcome all the same"
                    );
                    break;
                }
            }
        }
        failpoint::reach(Failpoint::AgentConcluded);
        self.tell(outcome).await
    }

    async fn tell(&self, outcome: RollbackOutcome) -> Result<Carried, BusError> {
        self.publish(&outcome).await?;
        failpoint::reach(Failpoint::AgentReported);
        tracing::info!(
            plan = outcome.plan,
            incident = outcome.incident,
            script = self.command.script,
            state = outcome.state.token(),
            cause = ?outcome.cause,
            detail = outcome.detail,
            "rollback ended"
        );
        Ok(Carried::Told(outcome.state))
    }

    pub(crate) async fn publish(&self, outcome: &RollbackOutcome) -> Result<(), BusError> {
        let payload = Bytes::from(serde_json::to_vec(outcome).expect("an outcome is JSON"));
        let subject = self.shared.subjects.status_rollback(&self.command.plan);
        let id = format!(
            "{}-{}",
            self.shared.subjects.ledger(&outcome.plan, &outcome.incident),
            outcome.state.token()
        );
        let message = Outgoing { subject, payload, message_id: Some(id), ..Outgoing::default() };
        until_answered("outcome", || self.shared.bus.publish(message.clone())).await?;
        Ok(())
    }

    /// Everything about the command and the plan's folder that can be checked without starting anything.
    fn prepare(&self) -> Result<Found, Unready> {
        environment::check(&self.command).map_err(|text| Unready {
            cause: EndCause::CommandRefused,
            text,
            depends_on_agent: false,
        })?;
        folder::find(&self.shared.plans, &self.command.plan, &self.command.script).map_err(|why| {
            let by_name = matches!(why, Refusal::PlanName(_) | Refusal::ScriptName(_));
            Unready { cause: why.cause(), text: why.to_string(), depends_on_agent: !by_name }
        })
    }

    pub(crate) fn ask(&self) -> Ask<'_> {
        let starts_max = self.shared.limits.starts_max;
        Ask { command: &self.command, agent: &self.shared.name, starts_max }
    }

    pub(crate) fn outcome(
        &self,
        state: RollbackState,
        cause: impl Into<Option<EndCause>>,
        detail: &str,
    ) -> RollbackOutcome {
        self.ask().outcome(state, cause.into(), detail)
    }

    pub(crate) fn not_run(&self, cause: EndCause, detail: &str) -> NotRun {
        NotRun(Box::new(self.outcome(RollbackState::Failed, cause, detail)))
    }

    pub(crate) fn record(&self, step: Step) -> std::io::Result<()> {
        let (plan, incident) = (self.command.plan.clone(), self.command.incident.clone());
        self.shared.journal().record(Line { at: wall_clock(), plan, incident, step })
    }

    /// Once the end is in the journal, what the run left on disk is of no more use.
    pub(crate) fn record_end(&self, outcome: &RollbackOutcome) {
        let known = self.shared.journal().of(&outcome.plan, &outcome.incident).cloned();
        if matches!(known, Some(Known::Ended(_))) {
            return;
        }
        match (self.record(Step::Ended { outcome: Box::new(outcome.clone()) }), known) {
            (Ok(()), Some(Known::Started { fence, .. })) => self.folder(fence).remove(),
            (Ok(()), _) => {}
            (Err(error), _) => {
                tracing::error!(%error, "cannot write the outcome to the journal; telling it all the same");
            }
        }
    }
}

/// A start that is due.
struct Start {
    /// The ledger's stamp of it may not be later.
    until: Time,
    /// What an earlier start, whose end nobody knows, leaves to tell if this one does not happen.
    lost: Option<RollbackOutcome>,
}

/// What there is to tell where the script was not started.
pub(crate) struct NotRun(Box<RollbackOutcome>);

impl NotRun {
    /// The outcome where a start before this one is `lost`: a script that may have run is never said not to have.
    /// What stands in the way of running it again leaves its outcome unknown.
    pub(crate) fn after(self, lost: Option<RollbackOutcome>) -> RollbackOutcome {
        let Some(lost) = lost else { return *self.0 };
        let [before, why] = [&lost, &*self.0].map(|it| it.detail.as_deref().unwrap_or_default());
        let detail = Some(format!("{before}; not run again: {why}"));
        RollbackOutcome { detail, ..lost }
    }
}

/// Why a command cannot be run here.
struct Unready {
    cause: EndCause,
    text: String,
    /// Another agent might be able to.
    depends_on_agent: bool,
}

pub(crate) fn span(duration: Duration) -> Span {
    Span(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}

/// For people who read the journal; nothing is decided by it.
fn wall_clock() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Time(since.ok().and_then(|past| i64::try_from(past.as_nanos()).ok()).unwrap_or_default())
}
