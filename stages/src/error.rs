//! What can go wrong in the stages apart from bad input, which becomes an output and never an error.

/// What can go wrong in the stages.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The dataflow was asked for zero workers or zero shards, or more of one than it can address.
    #[error("{what} is {found}; write a number from 1 to {most}")]
    Count {
        /// Which number.
        what: &'static str,
        /// What it was.
        found: usize,
        /// The most it may be.
        most: usize,
    },
    /// The worker threads could not be started.
    #[error("the dataflow's threads could not be started: {0}")]
    Start(String),
    /// A snapshot cannot be read: truncated, of another version, or of another log.
    #[error("snapshot: {0}")]
    Snapshot(String),
}
