//! One run of the script of a command: from its start, or from where an agent before us lost sight of it, to its
//! outcome.

use crate::environment;
use crate::execution::{Execution, Limits, NotRun, span};
use crate::folder::Found;
use crate::journal::{Known, Step};
use crate::next::Left;
use crate::process::Process;
use crate::run_folder::RunFolder;
use crate::script::{self, Bounds, Ended, Finished, Run, Running};
use crate::tail::Tail;
use bus::failpoint::{self, Failpoint};
use stages::wire::{EndCause, RollbackOutcome, RollbackState};
use std::time::Duration;

/// How long the word that the script runs may hold back the word that it ended.
const ANNOUNCE_MAX: Duration = Duration::from_secs(2);

impl Execution {
    /// The outcome of a run; an error where there was none.
    pub(crate) async fn execute(
        &self,
        found: Found,
        fence: u64,
    ) -> Result<RollbackOutcome, NotRun> {
        let run = Run {
            found,
            variables: environment::variables(&self.command, fence, &self.shared.data),
            folder: self.folder(fence),
            bounds: self.bounds(),
        };
        tracing::info!(
            plan = self.command.plan,
            incident = self.command.incident,
            script = self.command.script,
            fence,
            "starting the rollback script"
        );
        let running = script::start(run).map_err(|error| self.refused(&error.to_string()))?;
        let _runs = self.shared.scripts.running(&self.command.plan, &self.command.incident);
        failpoint::reach(Failpoint::AgentSpawned);
        let follow = async {
            if let Some(process) = running.process().cloned()
                && let Err(error) = self.record(Step::Spawned(process))
            {
                tracing::error!(%error, "cannot write the process to the journal");
            }
            failpoint::reach(Failpoint::AgentFollowing);
            let outcome = self.ended(running.finish().await);
            failpoint::reach(Failpoint::AgentExited);
            // On disk before anybody is told: a crash from here on repeats the telling, not the script.
            outcome.inspect(|outcome| self.record_end(outcome))
        };
        let announce = tokio::time::timeout(ANNOUNCE_MAX, self.announce());
        let (outcome, _) = tokio::join!(follow, announce);
        outcome
    }

    /// Waits for the end of a script that an agent before us has started; `None` if it is lost after all.
    pub(crate) async fn resume(&self, left: Left) -> Option<RollbackOutcome> {
        let Left { fence, process, lost } = left;
        let running = Running::found(process, self.folder(fence), self.bounds());
        let _runs = self.shared.scripts.running(&self.command.plan, &self.command.incident);
        tracing::info!(
            plan = self.command.plan,
            incident = self.command.incident,
            script = self.command.script,
            fence,
            "a rollback script outlived its agent; asking for its end"
        );
        let finished = running.finish().await;
        if finished.ended == Ended::Lost {
            return None;
        }
        let outcome = self.ended(finished).unwrap_or_else(|not_run| not_run.after(lost));
        self.record_end(&outcome);
        Some(outcome)
    }

    /// What a lost run wrote until it was lost is all there is to go by.
    pub(crate) fn with_output(
        &self,
        mut outcome: RollbackOutcome,
        known: Option<&Known>,
    ) -> RollbackOutcome {
        if let Some(Known::Started { fence, .. }) = known
            && outcome.output.is_none()
        {
            let tail = Tail::of(self.folder(*fence).output(), self.shared.limits.output_bytes_max);
            outcome.output = tail.text().ok();
        }
        outcome
    }

    /// What is left of a run that the journal calls started.
    pub(crate) fn left(&self, known: &Known) -> Option<Left> {
        let Known::Started { starts, fence, process } = known else { return None };
        // In this order: the end is written before the process ends.
        let process = process.clone().filter(Process::runs);
        if process.is_none() && self.folder(*fence).end().is_none() {
            return None;
        }
        let lost = (*starts > 1).then(|| self.ask().unknown(starts - 1, None));
        Some(Left { fence: *fence, process, lost })
    }

    pub(crate) fn folder(&self, fence: u64) -> RunFolder {
        self.shared.runs.of(&self.command.plan, fence)
    }

    fn bounds(&self) -> Bounds {
        let Limits { stop_grace, output_bytes_max, .. } = self.shared.limits;
        Bounds { timeout: self.command.timeout.as_std(), stop_grace, output_bytes_max }
    }

    async fn announce(&self) {
        let running =
            RollbackOutcome { detail: None, ..self.outcome(RollbackState::Running, None, "") };
        if let Err(error) = self.publish(&running).await {
            tracing::warn!(%error, "cannot say that the script runs");
        }
    }

    /// The outcome of a script that ended; an error where it was never started.
    fn ended(&self, finished: Finished) -> Result<RollbackOutcome, NotRun> {
        use RollbackState as S;
        let (state, cause, detail, exit_code) = match finished.ended {
            Ended::Exited(0) => (S::Succeeded, None, None, Some(0)),
            Ended::Exited(code) => {
                let (cause, detail) = match signal_of(code) {
                    Some(signal) => {
                        (EndCause::Signal, format!("killed by signal {signal} (exit code {code})"))
                    }
                    None => (EndCause::ExitCode, format!("exit code {code}")),
                };
                (S::Failed, Some(cause), Some(detail), Some(code))
            }
            Ended::Signalled(signal) => {
                let detail = format!("killed by signal {signal}");
                (S::Failed, Some(EndCause::Signal), Some(detail), None)
            }
            Ended::TimedOut => {
                let detail = format!("stopped after {}", self.command.timeout);
                (S::TimedOut, Some(EndCause::Timeout), Some(detail), None)
            }
            Ended::Refused => return Err(self.refused(finished.output.trim())),
            Ended::Lost => {
                let detail = "the system does not say how the script ended; look at the target";
                (S::Unknown, Some(EndCause::AgentDied), Some(detail.to_owned()), None)
            }
        };
        Ok(RollbackOutcome {
            detail,
            exit_code,
            output: Some(finished.output),
            took: finished.took.map(span),
            ..self.outcome(state, cause, "")
        })
    }

    fn refused(&self, why: &str) -> NotRun {
        let detail = format!("script {:?} cannot be started: {why}", self.command.script);
        self.not_run(EndCause::NotStarted, &detail)
    }
}

/// The signal that ended a script, by the exit code a shell makes of it.
fn signal_of(code: i32) -> Option<i32> {
    (129..=159).contains(&code).then_some(code - 128)
}
