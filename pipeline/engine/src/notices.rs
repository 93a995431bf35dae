//! What is said about a log beside what its stages say: by its owner, or by a person's hand. Relayed to the desk like
//! transitions, so that people hear of it; an audit finds nothing to recompute.

use bus::Outgoing;
use stages::log::LogId;
use stages::output::Output;
use stages::subject::Subjects;
use stages::time::Time;
use stages::wire::{Notice, SCHEMA, ShardEvent};

/// It stands still.
pub(crate) const LOG_STOPPED: &str = "log_stopped";
/// It goes on without an entry.
pub(crate) const ENTRY_SKIPPED: &str = "entry_skipped";
/// It goes on without what is gone.
pub(crate) const LOSS_ACCEPTED: &str = "loss_accepted";
/// Its stream is nearly full.
pub(crate) const LOG_FILLS: &str = "log_fills";
/// A stream that is relayed from was made anew.
pub(crate) const STREAM_ANEW: &str = "stream_anew";

/// Whether a notice of this kind is not the stages'.
pub(crate) fn is_of_owner(kind: &str) -> bool {
    [LOG_STOPPED, ENTRY_SKIPPED, LOSS_ACCEPTED, LOG_FILLS, STREAM_ANEW].contains(&kind)
}

/// A notice about `log`, as it is after the entry at `position`.
pub(crate) fn notice(
    subjects: &Subjects,
    log: LogId,
    (time, position): (Time, u64),
    kind: &str,
    text: String,
) -> Outgoing {
    let (kind, subject) = (kind.to_owned(), format!("log {log}"));
    let notice = Notice { schema: SCHEMA, time, position, kind, subject, text };
    let Output { subject, payload, .. } =
        Output::commit(subjects.owner(log), &ShardEvent::Notice(notice));
    Outgoing { subject, payload, ..Outgoing::default() }
}
