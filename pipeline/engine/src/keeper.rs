//! Keeps the logs of this process: heartbeats, recovery, and giving up in good order. Which it takes: see `claims`.

use crate::boot::Boot;
use crate::claims::Claims;
use crate::commit::{Committer, Ended, Outside, Tenure, ToCommitter};
use crate::error::EngineError;
use crate::feeder::{Owned, ToFeeder};
use crate::filling::Filling;
use crate::health::{ELSEWHERE, Register};
use crate::options::EngineOptions;
use crate::ownership::{self, stream_of};
use crate::recovery;
use crate::rounds::ToRounds;
use crate::{relay, withdraw};
use bus::failpoint::{self, Failpoint};
use bus::{BusError, Stream};
use stages::log::LogId;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

/// How often a log is looked at that somebody hands over to us: how long nobody works on it.
const WAITS_EVERY: Duration = Duration::from_millis(20);

/// How often the ends of the streams are looked up, for the lag.
const ENDS_EVERY: Duration = Duration::from_secs(5);

/// Keeps the logs of this process.
pub(crate) struct Keeper {
    pub options: EngineOptions,
    pub boot: Arc<Boot>,
    pub register: Arc<Register>,
    pub outside: Outside,
    pub rounds: mpsc::UnboundedSender<ToRounds>,
    pub shard_feeder: mpsc::UnboundedSender<ToFeeder>,
    pub desk_feeder: mpsc::UnboundedSender<ToFeeder>,
    pub settings_read: watch::Receiver<u64>,
    pub state: Keeping,
}

/// What the keeper knows.
#[derive(Default)]
pub(crate) struct Keeping {
    pub claims: Claims,
    pub owned: BTreeMap<LogId, mpsc::UnboundedSender<ToCommitter>>,
    committers: JoinSet<(Tenure, Ended)>,
    /// Relay and withdrawal, run by the desk's owner.
    edges: JoinSet<()>,
    ends_at: Option<Instant>,
    pub(crate) filling: Filling,
}

/// All logs of a bus with `shards` shards.
pub fn all_logs(shards: u32) -> impl Iterator<Item = LogId> {
    (0..shards).map(LogId::Shard).chain([LogId::Desk])
}

impl Keeper {
    /// Runs until `stop`, then gives every log up in good order.
    pub async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        let mut beats = tokio::time::interval(self.options.heartbeat_every);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = &mut stop => break,
                Some(ended) = self.state.committers.join_next() => self.ended(ended).await,
                _ = beats.tick() => self.beat().await,
                () = tokio::time::sleep(WAITS_EVERY), if self.state.claims.waits() => {
                    self.take_what_is_given().await;
                }
            }
        }
        self.finish().await;
    }

    async fn beat(&mut self) {
        if let Err(error) = self.claim().await {
            self.register.trouble(format!("heartbeat: {error}"));
            return;
        }
        self.look_at_stopped();
        self.look_up_ends().await;
    }

    /// A log that stands still goes on once somebody has left out what it stands still before.
    fn look_at_stopped(&self) {
        for log in self.register.stopped() {
            if let Some(committer) = self.state.owned.get(&log) {
                let _ = committer.send(ToCommitter::Look);
            }
        }
    }

    /// Works on a log that was taken, or gives it back where it cannot be continued.
    pub(crate) async fn recover(&mut self, tenure: Tenure) -> Result<(), EngineError> {
        failpoint::reach(Failpoint::EngineTaken);
        match recovery::start(&self.options, &self.register, &tenure).await {
            Ok(start) => {
                failpoint::reach(Failpoint::EngineRecovered);
                self.adopt(tenure, start);
                Ok(())
            }
            Err(error) => {
                let EngineOptions { bus, subjects, .. } = &self.options;
                ownership::release(bus, subjects, &self.boot, &tenure).await?;
                Err(error)
            }
        }
    }

    fn adopt(&mut self, tenure: Tenure, start: recovery::Start) {
        let (log, fence) = (tenure.log, tenure.fence);
        let (position, time) = (tenure.record.position, tenure.record.time);
        let skipped = tenure.record.skipped.clone();
        tracing::info!(%log, fence, position, from = start.after, "log taken");
        let (committer, told) = mpsc::unbounded_channel();
        let feeder = self.feeder(log).clone();
        let now = start.state.now;
        let adopt = ToRounds::Adopt {
            state: start.state,
            fence,
            committer: committer.clone(),
            feeder: feeder.clone(),
            save_at: start.changes_version.then_some(if start.after < position {
                position
            } else {
                0
            }),
        };
        let _ = self.rounds.send(adopt);
        self.register.log(log, |health| {
            (health.owned, health.fence, health.elsewhere) = (true, fence, None);
            (health.position, health.time, health.stopped) = (position, time, None);
            health.replaying = start.after < position;
        });
        let mut committing = Committer::new(self.outside.clone(), tenure, start.anchors);
        if start.changes_version {
            committing.change_version(start.after);
        }
        self.state.committers.spawn(committing.run(told));
        self.state.owned.insert(log, committer);
        let owned = Owned { log, fence, after: start.after, now, skipped };
        let _ = feeder.send(ToFeeder::Own(owned));
        if log == LogId::Desk {
            let EngineOptions { bus, subjects, shards, .. } = &self.options;
            let with = relay::Relay {
                bus: bus.clone(),
                subjects: subjects.clone(),
                register: self.register.clone(),
            };
            relay::start(with, *shards, self.settings_read.clone(), &mut self.state.edges);
            withdraw::start(bus, subjects, &self.boot.process, &mut self.state.edges);
        }
    }

    fn feeder(&self, log: LogId) -> &mpsc::UnboundedSender<ToFeeder> {
        match log {
            LogId::Shard(_) => &self.shard_feeder,
            LogId::Desk => &self.desk_feeder,
        }
    }

    /// Hands a log over in good order: what was read is worked off, committed and saved, then it is released.
    pub(crate) fn hand_over(&mut self, log: LogId, to: &str) {
        let Some(committer) = self.state.owned.get(&log).cloned() else { return };
        tracing::info!(%log, to, "log handed over");
        if log == LogId::Desk {
            self.state.edges.abort_all();
        }
        let _ = self.feeder(log).send(ToFeeder::Drop(log));
        let (tell, worked_off) = oneshot::channel();
        let _ = self.rounds.send(ToRounds::HandOver(log, tell));
        tokio::spawn(async move {
            // Where the log was lost meanwhile there is nothing to finish.
            if worked_off.await.is_ok() {
                let _ = committer.send(ToCommitter::Finish);
            }
        });
    }

    /// A committer ended: its log is somebody else's, or was handed over.
    async fn ended(&mut self, ended: Result<(Tenure, Ended), tokio::task::JoinError>) {
        let Ok((tenure, ended)) = ended else { return };
        let log = tenure.log;
        let given = self.state.claims.given(log);
        let elsewhere = match (ended, given) {
            (Ended::Finished, Some(to)) => {
                let EngineOptions { bus, subjects, .. } = &self.options;
                if let Err(error) = ownership::release(bus, subjects, &self.boot, &tenure).await {
                    // Our own record stands there: the next beat takes the log again.
                    self.register.trouble(format!("handing over log {log}: {error}"));
                }
                format!("{ELSEWHERE}{to} in a moment")
            }
            _ => {
                tracing::warn!(%log, fence = tenure.fence, "somebody else wrote its position; stepping down");
                let _ = self.feeder(log).send(ToFeeder::Drop(log));
                let _ = self.rounds.send(ToRounds::Release(log));
                "lost to another owner".to_owned()
            }
        };
        self.state.owned.remove(&log);
        self.register.log(log, |health| {
            (health.owned, health.replaying) = (false, false);
            health.elsewhere = Some(elsewhere);
        });
        if log == LogId::Desk {
            self.state.edges.abort_all();
        }
    }

    async fn look_up_ends(&mut self) {
        if self.state.ends_at.is_some_and(|at| at.elapsed() < ENDS_EVERY) {
            return;
        }
        self.state.ends_at = Some(Instant::now());
        for (desk, log) in [(false, LogId::Shard(0)), (true, LogId::Desk)] {
            let stream: Stream = stream_of(log);
            match self.options.bus.state(stream).await {
                Ok(state) => {
                    self.register.end(desk, &state);
                    if !desk {
                        self.tell_filling(state.bytes).await;
                    }
                }
                Err(error @ BusError::Gone { .. }) => self.register.gone(desk, &error),
                Err(_) => {}
            }
        }
    }

    /// Stops reading, works off and commits what was read, saves what changed, releases every log.
    async fn finish(mut self) {
        self.state.edges.abort_all();
        self.say_goodbye().await;
        for log in self.state.owned.keys() {
            let _ = self.feeder(*log).send(ToFeeder::Drop(*log));
        }
        let (finished, worked_off) = oneshot::channel();
        let _ = self.rounds.send(ToRounds::Finish(finished));
        let _ = worked_off.await;
        for committer in self.state.owned.values() {
            let _ = committer.send(ToCommitter::Finish);
        }
        let EngineOptions { bus, subjects, .. } = &self.options;
        while let Some(ended) = self.state.committers.join_next().await {
            let Ok((tenure, Ended::Finished)) = ended else { continue };
            if let Err(error) = ownership::release(bus, subjects, &self.boot, &tenure).await {
                tracing::warn!(log = %tenure.log, %error, "not released; it is taken over when this process is seen to be gone");
            }
        }
    }
}
