//! What can go wrong on the bus: one type, so that callers match kinds and not texts.

/// What can go wrong on the bus.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// A compare-and-set failed: somebody else was first.
    #[error("{subject}: the last sequence is not the expected one")]
    Conflict {
        /// Subject of the message that failed.
        subject: String,
    },
    /// No ack came: stored or not, nobody knows. Read back before sending again.
    #[error("{what}: no answer from the bus; it may or may not be stored")]
    Unclear {
        /// What was being done.
        what: String,
    },
    /// Certainly not stored: not connected, no leader, stream gone or full.
    #[error("{what}: {why}")]
    Unavailable {
        /// What was being done.
        what: String,
        /// What the server or client said.
        why: String,
    },
    /// The server refuses this client this subject.
    #[error("not permitted: {what}")]
    Denied {
        /// What was being done.
        what: String,
    },
    /// Cannot connect: unreachable, or wrong credentials.
    #[error("cannot connect to {address}: {why}")]
    Connect {
        /// Address without credentials.
        address: String,
        /// What to do about it, in one sentence.
        why: String,
        /// Refused for its credentials, rather than not reached.
        credentials: bool,
    },
    /// An existing stream is configured differently from what is wanted.
    #[error("stream {stream}: {field} is {found}, wanted {wanted}; {remedy}")]
    Mismatch {
        /// Name on the server.
        stream: String,
        /// Field of the configuration.
        field: String,
        /// What it is.
        found: String,
        /// What it should be.
        wanted: String,
        /// What to do.
        remedy: String,
    },
    /// The stream was deleted and created again: its sequences begin anew, what was read says nothing about it.
    #[error("stream {stream} was created anew while it was read; start what reads it again")]
    Anew {
        /// Name on the server.
        stream: String,
    },
    /// The stream was deleted, or never made.
    #[error("stream {stream} is gone from the server")]
    Gone {
        /// Name on the server.
        stream: String,
    },
    /// Used wrongly: a bad subject, a message too large, more than a batch holds.
    #[error("{0}")]
    Invalid(String),
}
