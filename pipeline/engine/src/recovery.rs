//! What a new owner starts from: the newest readable snapshot, and the place in the log behind it.

use crate::anchors::Anchors;
use crate::commit::Tenure;
use crate::error::EngineError;
use crate::health::Register;
use crate::options::{EngineOptions, StagesVersion};
use crate::ownership::stream_of;
use crate::snapshot;
use crate::whole::is_whole_behind;
use stages::dataflow::LogState;
use stages::log::LogId;
use stages::wire::SnapshotRef;

/// Where a log starts.
pub(crate) struct Start {
    pub state: LogState,
    /// Last entry the state contains.
    pub after: u64,
    /// Snapshots that stay.
    pub anchors: Anchors,
    /// Another version came as far as the position: nothing is said before a snapshot of ours is stored there.
    pub changes_version: bool,
}

/// Finds out where the log of `tenure` starts. A snapshot that cannot be read is passed over for the one before
/// it, that for the newest anchor behind which nothing of the log has expired, and that for the log itself if
/// nothing of it has; else this refuses.
pub(crate) async fn start(
    options: &EngineOptions,
    register: &Register,
    tenure: &Tenure,
) -> Result<Start, EngineError> {
    let EngineOptions { bus, subjects, anchor_every, anchor_keep, stages, .. } = options;
    let (log, record) = (tenure.log, &tenure.record);
    let anchors = Anchors::load(bus, subjects, log, (*anchor_every, *anchor_keep)).await?;
    let stream = bus.state(stream_of(log)).await?;
    if stream.last < record.position {
        return Err(EngineError::Unrecoverable {
            log,
            why: format!(
                "the stream ends at {} but position {} is committed: it was created anew or restored from an old copy",
                stream.last, record.position
            ),
            remedy: "restore the stream, or see what `ops recover` would give up",
        });
    }
    let whole = async |position| {
        is_whole_behind(bus, subjects, stream_of(log), position, stream.last).await
    };
    let mut unreadable = None;
    let named = [&record.snapshot, &record.snapshot_before].into_iter().flatten();
    let named = named.map(|snapshot| (snapshot.clone(), true));
    let changes_version = record.stages != stages.is && record.position > 0;
    let kept = anchors.newest_first().map(|anchor| (anchor.snapshot.clone(), false));
    let places: Vec<(SnapshotRef, bool)> = named.chain(kept).collect();
    for (reference, newest) in places {
        // Those the record names are the newest there are; what is behind them may be gone, and is told as a hole.
        if !newest && !whole(reference.position).await? {
            break;
        }
        if !stages.reads(reference.stages) {
            unreadable = unreadable.or_else(|| Some(other_version(log, &reference, *stages)));
            continue;
        }
        match snapshot::load(bus, subjects, log, &reference).await {
            Ok(chunks) => {
                let (now, snapshot) = (reference.time, Some(chunks));
                let state = LogState { log, created: stream.created, now, snapshot };
                return Ok(Start { state, after: reference.position, anchors, changes_version });
            }
            Err(EngineError::Bus(error)) => return Err(error.into()),
            Err(error) => {
                register.trouble(error.to_string());
                unreadable = unreadable.or(Some(error));
            }
        }
    }
    if let Some(error) = unreadable
        && !whole(0).await?
    {
        return Err(error);
    }
    let state = LogState { log, created: stream.created, now: stream.created, snapshot: None };
    Ok(Start { state, after: 0, anchors, changes_version })
}

fn other_version(log: LogId, reference: &SnapshotRef, stages: StagesVersion) -> EngineError {
    let StagesVersion { is, reads_from } = stages;
    EngineError::Unrecoverable {
        log,
        why: format!(
            "snapshot {} was made by version {} of the stages; this is version {is}, which takes up those from {reads_from} on",
            reference.id, reference.stages
        ),
        remedy: "start a version of ops that takes it up, or see what `ops recover` would give up",
    }
}
