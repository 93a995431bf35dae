//! What can go wrong in the engine.

use stages::log::LogId;

/// What can go wrong in the engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The bus said no, or nothing.
    #[error(transparent)]
    Bus(#[from] bus::BusError),
    /// The dataflow did not start.
    #[error(transparent)]
    Stage(#[from] stages::error::StageError),
    /// A log cannot be continued from what is on the bus.
    #[error("log {log}: {why}; {remedy}")]
    Unrecoverable {
        /// Which log.
        log: LogId,
        /// What is missing or broken.
        why: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A newer version works on a log.
    #[error(
        "log {log}: version {found} of {what} works on it, and this is version {own}; start the newer version of ops here too"
    )]
    Newer {
        /// Which log.
        log: LogId,
        /// What is newer.
        what: &'static str,
        /// Its version.
        found: u32,
        /// The version here.
        own: u32,
    },
    /// A log is to go on without an entry it does not stand still before.
    #[error("log {log} does not stand still before entry {sequence}: {found}; see `ops status`")]
    NotStopped {
        /// Which log.
        log: LogId,
        /// The entry.
        sequence: u64,
        /// How it is.
        found: String,
    },
    /// Somebody else applied settings in between.
    #[error(
        "settings were changed meanwhile: revision {found} by {author} is in force; look at it and apply again"
    )]
    SettingsChanged {
        /// Revision found.
        found: String,
        /// Who applied it.
        author: String,
    },
    /// Settings on the bus that are not settings.
    #[error("{subject}, sequence {sequence}: not settings of this version: {why}")]
    SettingsUnreadable {
        /// Where they are stored.
        subject: String,
        /// At which sequence.
        sequence: u64,
        /// What the parser says.
        why: String,
    },
    /// More than a bus takes.
    #[error("{0}: {remedy}", remedy = .0.remedy())]
    SettingsTooLarge(#[from] stages::revision::TooLarge),
    /// Not in force in time.
    #[error("revision {revision} is not in force in log {log} yet; is its owner running?")]
    NotInForce {
        /// Revision waited for.
        revision: String,
        /// A log that has not taken it up.
        log: LogId,
    },
}
