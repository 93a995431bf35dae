//! The only file that knows timely's operators.

use crate::dataflow::{Done, Round};
use crate::error::StageError;
use crate::subject::Subjects;
use std::sync::Arc;

/// Timely's worker threads, fed by a channel each.
pub struct Workers {
    senders: Vec<std::sync::mpsc::Sender<Arc<Round>>>,
}

impl Workers {
    /// Starts them.
    pub(crate) fn start(
        workers: usize,
        subjects: Subjects,
        shards: u32,
        done: impl FnMut(Done) + Send + 'static,
    ) -> Result<Self, StageError> {
        let _ = (workers, subjects, shards, done);
        Err(StageError::Start("not wired yet".to_owned()))
    }

    /// Hands a round to every worker.
    pub(crate) fn feed(&self, round: Arc<Round>) {
        for sender in &self.senders {
            let _ = sender.send(Arc::clone(&round));
        }
    }

    /// Lets them finish and joins them.
    pub(crate) fn stop(self) {
        drop(self.senders);
    }
}
