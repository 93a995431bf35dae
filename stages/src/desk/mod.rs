//! The desk: everything that needs to see all alerts.

use crate::log::Step;
use crate::output::{Counters, Output};
use crate::subject::Subjects;
use crate::time::Time;
use bytes::Bytes;

/// Why a snapshot of the desk cannot be taken up again.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Not a snapshot of the desk, or a damaged one.
    #[error("the snapshot of the desk cannot be read: {0}")]
    Unreadable(String),
    /// Written by another version of the desk's state.
    #[error("the snapshot of the desk has version {0}, this version reads {1}")]
    Version(u32, u32),
}

/// The desk: one log in, alerts, notification intents, rollback commands and verify requests out.
#[derive(Debug)]
pub struct Desk {
    _subjects: Subjects,
    _shards: u32,
    _created: Time,
}

impl Desk {
    /// A desk before its first entry; `created` is when its log was created.
    pub fn new(subjects: Subjects, shards: u32, created: Time) -> Self {
        Self { _subjects: subjects, _shards: shards, _created: created }
    }

    /// A desk that goes on where [`Self::snapshot`] was taken.
    ///
    /// # Errors
    /// The chunks are not what [`Self::snapshot`] gave.
    pub fn restore(
        subjects: Subjects,
        shards: u32,
        created: Time,
        _chunks: &[Bytes],
    ) -> Result<Self, RestoreError> {
        Ok(Self::new(subjects, shards, created))
    }

    /// Works off one step and says what follows from it, in order.
    pub fn step(&mut self, _step: &Step) -> Vec<Output> {
        Vec::new()
    }

    /// The next moment at which something is to happen without an entry; the log is owed a tick then.
    pub fn due(&self) -> Option<Time> {
        None
    }

    /// All state, in chunks small enough for a message each.
    pub fn snapshot(&self) -> Vec<Bytes> {
        Vec::new()
    }

    /// Plain sums since they were last taken.
    pub fn take_counters(&mut self) -> Counters {
        Counters::default()
    }
}
