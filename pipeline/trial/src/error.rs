//! What can go wrong in a trial.

use stages::log::LogId;

/// Why a trial has no result.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// A stage panicked: a fault of the product, not of a rule.
    #[error(
        "log {log}: a stage failed before entry {position}: {why}; report it, with the rules and the input"
    )]
    Stage {
        /// Which log.
        log: LogId,
        /// Last entry of the step.
        position: u64,
        /// The panic's text.
        why: String,
    },
    /// Settings that do not fit into a log.
    #[error("the settings do not fit into a log: {0}")]
    Settings(String),
    /// Nothing is kept that could be judged.
    #[error("{0}: name a later --from, or samples of a file with --input")]
    NoRollups(String),
    /// Rollups of more samples than fit into memory.
    #[error("{0}: name a shorter span with --from and --to")]
    TooMany(String),
    /// The bus does not answer.
    #[error(transparent)]
    Bus(#[from] bus::BusError),
}
