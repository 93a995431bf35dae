//! What an engine is told at its start.

use bus::SharedBus;
use stages::subject::Subjects;
use std::time::Duration;

/// A version of the stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StagesVersion {
    /// Which it is.
    pub is: u32,
    /// The oldest one whose snapshots it takes up.
    pub reads_from: u32,
}

impl Default for StagesVersion {
    fn default() -> Self {
        Self { is: stages::VERSION, reads_from: stages::READS_FROM }
    }
}

impl StagesVersion {
    /// Whether it takes up a snapshot of this version.
    pub(crate) fn reads(self, version: u32) -> bool {
        (self.reads_from..=self.is).contains(&version)
    }
}

/// What an engine is told at its start.
#[derive(Clone)]
pub struct EngineOptions {
    /// The bus; its streams exist.
    pub bus: SharedBus,
    /// Subjects on it.
    pub subjects: Subjects,
    /// Number of shards the log was created with.
    pub shards: u32,
    /// Timely workers. One is best on a small machine: two cost 23 us a round instead of 5.
    pub workers: usize,
    /// Name of this process, unique among those that run at one time. One that restarts under its name takes its
    /// logs back at once.
    pub process: String,
    /// How often a log that changed is saved.
    pub snapshot_every: Duration,
    /// How often a snapshot is kept as an anchor, and for how long: as long as the log is.
    pub anchor_every: Duration,
    /// See [`Self::anchor_every`].
    pub anchor_keep: Duration,
    /// How often the position is recorded when there is nothing to say.
    pub position_every: Duration,
    /// How often this process says that it is alive.
    pub heartbeat_every: Duration,
    /// A log without entries gets a tick this often.
    pub tick_every: Duration,
    /// Which stages these are. Another version than the product's only in tests of an upgrade.
    pub stages: StagesVersion,
    /// Nothing else happens while the dataflow works: for simulations, whose clock stands still meanwhile.
    pub lockstep: bool,
}

impl EngineOptions {
    /// The defaults of the product.
    pub fn new(
        bus: SharedBus,
        subjects: Subjects,
        shards: u32,
        process: impl Into<String>,
    ) -> Self {
        Self {
            bus,
            subjects,
            shards,
            workers: 1,
            process: process.into(),
            snapshot_every: Duration::from_secs(10),
            anchor_every: Duration::from_secs(3_600),
            anchor_keep: Duration::from_secs(48 * 3_600),
            position_every: Duration::from_secs(5),
            heartbeat_every: Duration::from_secs(1),
            tick_every: Duration::from_secs(5),
            stages: StagesVersion::default(),
            lockstep: false,
        }
    }
}
