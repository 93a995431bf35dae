//! What a new owner starts from: the newest readable snapshot, and the place in the log behind it.

use crate::commit::Tenure;
use crate::error::EngineError;
use crate::health::Register;
use crate::ownership::stream_of;
use crate::snapshot;
use bus::SharedBus;
use stages::dataflow::LogState;
use stages::subject::Subjects;

/// Where a log starts.
pub(crate) struct Start {
    pub state: LogState,
    /// Last entry the state contains.
    pub after: u64,
}

/// Finds out where the log of `tenure` starts. A snapshot that cannot be read is passed over for the one before
/// it, and that for the log itself if nothing of it has expired; else this refuses.
pub(crate) async fn start(
    bus: &SharedBus,
    subjects: &Subjects,
    register: &Register,
    tenure: &Tenure,
) -> Result<Start, EngineError> {
    let (log, record) = (tenure.log, &tenure.record);
    let stream = bus.state(stream_of(log)).await?;
    if stream.last < record.position {
        return Err(EngineError::Unrecoverable {
            log,
            why: format!(
                "the stream ends at {} but position {} is committed: it was created anew or restored from an old copy",
                stream.last, record.position
            ),
            remedy: "restore the stream, or start with fresh streams under another prefix",
        });
    }
    let mut unreadable = None;
    for reference in [&record.snapshot, &record.snapshot_before].into_iter().flatten() {
        match snapshot::load(bus, subjects, log, reference).await {
            Ok(chunks) => {
                let snapshot = Some(chunks);
                let state =
                    LogState { log, created: stream.created, now: reference.time, snapshot };
                return Ok(Start { state, after: reference.position });
            }
            Err(EngineError::Bus(error)) => return Err(error.into()),
            Err(error) => {
                register.trouble(error.to_string());
                unreadable = Some(error);
            }
        }
    }
    match unreadable {
        Some(error) if stream.first > 1 => Err(error),
        _ => {
            let state =
                LogState { log, created: stream.created, now: stream.created, snapshot: None };
            Ok(Start { state, after: 0 })
        }
    }
}
