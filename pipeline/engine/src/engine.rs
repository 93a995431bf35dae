//! One engine: its tasks, started and ended together.

use crate::boot::Boot;
use crate::commit::Outside;
use crate::error::EngineError;
use crate::feeder::{Feeder, Feeding};
use crate::health::{Health, Register};
use crate::keeper::{Keeper, Keeping, all_logs};
use crate::loose::Loose;
use crate::options::EngineOptions;
use crate::rounds::{Rounds, Working};
use bus::Stream;
use stages::dataflow::Dataflow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

/// A running engine. Dropping it is a crash: the next owner finds everything on the bus. [`Engine::shutdown`] is the
/// good order.
pub struct Engine {
    options: EngineOptions,
    register: Arc<Register>,
    stop: oneshot::Sender<()>,
    keeper: AbortOnDrop,
    /// Feeders, rounds; they end with the engine.
    _tasks: JoinSet<()>,
    /// The publisher of loose outputs; ends by itself when the last committer is gone.
    loose: JoinSet<()>,
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Engine {
    /// Starts an engine; it takes what logs it can get, now and later. Call it within a tokio runtime.
    ///
    /// # Errors
    /// The dataflow does not start.
    pub fn start(options: EngineOptions) -> Result<Self, EngineError> {
        let EngineOptions { bus, subjects, shards, .. } = options.clone();
        let boot = Arc::new(Boot::of(&options.process, options.stages.is));
        let register = Arc::new(Register::new(all_logs(shards)));
        let (done_sender, done) = mpsc::unbounded_channel();
        let (worked_off, settled) = options.lockstep.then(std::sync::mpsc::channel).unzip();
        let dataflow = Dataflow::start(options.workers, subjects.clone(), shards, move |done| {
            // Nobody listens any more when the engine is gone; the log keeps what was said.
            let _ = done_sender.send(done);
            if let Some(worked_off) = &worked_off {
                let _ = worked_off.send(());
            }
        })?;
        let (rounds, orders) = mpsc::unbounded_channel();
        let (mut tasks, mut loose_tasks) = (JoinSet::new(), JoinSet::new());
        let every = options.snapshot_every;
        let working = Working { dataflow, done, settled };
        tasks.spawn(Rounds::new(working, orders, register.clone(), every).run());
        let settings_read = watch::Sender::new(0);
        let mut feeder = |stream| {
            let (sender, orders) = mpsc::unbounded_channel();
            let feeding = Feeding {
                bus: bus.clone(),
                subjects: subjects.clone(),
                stream,
                shards,
                tick_every: options.tick_every,
                orders,
                rounds: rounds.clone(),
                register: register.clone(),
                settings_read: settings_read.clone(),
            };
            tasks.spawn(Feeder::new(feeding).run());
            sender
        };
        let (shard_feeder, desk_feeder) = (feeder(Stream::Log), feeder(Stream::Desk));
        let outside = Outside {
            bus: bus.clone(),
            subjects,
            boot: boot.clone(),
            register: register.clone(),
            loose: Loose::start(bus, register.clone(), &mut loose_tasks),
            position_every: options.position_every,
            stages: options.stages.is,
        };
        let keeper = Keeper {
            options: options.clone(),
            boot,
            register: register.clone(),
            outside,
            rounds,
            shard_feeder,
            desk_feeder,
            settings_read: settings_read.subscribe(),
            state: Keeping::default(),
        };
        let (stop, stopped) = oneshot::channel();
        let keeper = AbortOnDrop(tokio::spawn(keeper.run(stopped)));
        Ok(Self { options, register, stop, keeper, _tasks: tasks, loose: loose_tasks })
    }

    /// How it is right now.
    pub fn health(&self) -> Health {
        self.register.snapshot(&self.options.process, self.options.bus.connected())
    }

    /// Waits until its health is as wanted.
    pub async fn until(&self, mut wanted: impl FnMut(&Health) -> bool) -> Health {
        let mut changes = self.register.watch();
        loop {
            let health = self.health();
            if wanted(&health) {
                return health;
            }
            // The sender lives in `self`: it cannot be gone.
            let _ = changes.changed().await;
        }
    }

    /// Stops reading, works off and commits what was read, saves every log that changed and releases it. What is not
    /// done within `patience`, because the bus does not answer, the next owner does from the log.
    pub async fn shutdown(mut self, patience: Duration) {
        let _ = self.stop.send(());
        let ending = async {
            let _ = (&mut self.keeper.0).await;
            while self.loose.join_next().await.is_some() {}
        };
        if tokio::time::timeout(patience, ending).await.is_err() {
            tracing::warn!(
                "the bus did not take everything in time; the next owner goes on from the log"
            );
        }
    }
}
