//! A standstill: nobody works on any log, so that all streams can be copied as they are at one moment.
//!
//! Every log is taken from its owner like by any new owner, and kept by heartbeats. So a process that dies in the middle
//! of a standstill holds nothing up for longer than one that owns logs. Samples are stored meanwhile; owners that come
//! back work them off.

use crate::alive::{self, Says};
use crate::boot::Boot;
use crate::commit::Tenure;
use crate::error::EngineError;
use crate::keeper::all_logs;
use crate::options::EngineOptions;
use crate::ownership::{self, Taking};
use bus::{SharedBus, Stream};
use stages::log::LogId;
use stages::subject::Subjects;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How often a log is tried that somebody else takes at the same moment.
const TRIES: u32 = 5;

/// All logs, held still.
pub struct Standstill {
    bus: SharedBus,
    subjects: Subjects,
    boot: Arc<Boot>,
    held: Vec<Tenure>,
    beats: JoinHandle<()>,
}

impl Standstill {
    /// Takes every log, whoever owns it.
    ///
    /// # Errors
    /// The bus does not answer, or a record cannot be read. What was taken until then is released.
    pub async fn begin(options: &EngineOptions) -> Result<Self, EngineError> {
        let EngineOptions { bus, subjects, shards, heartbeat_every, process, .. } = options;
        let boot = Arc::new(Boot::new(process));
        // The first beat comes before the first log: owners look for it as soon as they miss one.
        alive::say(bus, subjects, &boot, Says::default()).await?;
        let beats = beat(bus.clone(), subjects.clone(), boot.clone(), *heartbeat_every);
        let (bus, subjects) = (bus.clone(), subjects.clone());
        let mut still = Self { bus, subjects, boot, held: Vec::new(), beats };
        for log in all_logs(*shards) {
            match still.take(log).await {
                Ok(tenure) => still.held.push(tenure),
                Err(error) => {
                    still.end().await?;
                    return Err(error);
                }
            }
        }
        Ok(still)
    }

    async fn take(&self, log: LogId) -> Result<Tenure, EngineError> {
        let mut owner = String::new();
        for _ in 0..TRIES {
            match ownership::take(&self.bus, &self.subjects, &self.boot, log, |_| true).await? {
                Taking::Taken(tenure) => return Ok(*tenure),
                Taking::OwnedBy(process) => owner = process,
            }
        }
        Err(EngineError::Unrecoverable {
            log,
            why: format!("process {owner} takes it again and again"),
            remedy: "try again",
        })
    }

    /// Gives the logs back. Names those that somebody took meanwhile, of which no copy can be trusted.
    ///
    /// # Errors
    /// The bus does not answer: the logs are taken as from a process that died.
    pub async fn end(self) -> Result<Vec<LogId>, EngineError> {
        let mut lost = Vec::new();
        for tenure in &self.held {
            let own = self.bus.last(Stream::Events, &self.subjects.own(tenure.log)).await?;
            if own.is_none_or(|own| own.sequence != tenure.fence) {
                lost.push(tenure.log);
            }
        }
        for tenure in &self.held {
            ownership::release(&self.bus, &self.subjects, &self.boot, tenure).await?;
        }
        Ok(lost)
    }
}

impl Drop for Standstill {
    fn drop(&mut self) {
        self.beats.abort();
    }
}

fn beat(bus: SharedBus, subjects: Subjects, boot: Arc<Boot>, every: Duration) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(every).await;
            // One that fails is followed by the next; too many, and the logs are lost, which `end` sees.
            let _ = alive::say(&bus, &subjects, &boot, Says::default()).await;
        }
    })
}
