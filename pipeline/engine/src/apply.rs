//! Settings onto the bus: applied by compare-and-set, found again, and waited for.

use crate::error::EngineError;
use crate::keeper::all_logs;
use crate::ownership::stream_of;
use bus::{BusError, Head, Message, SharedBus, Stream};
use stages::log::LogId;
use stages::revision::{Collected, Taken};
use stages::settings::Settings;
use stages::subject::Subjects;
use stages::wire::CommitRecord;
use std::time::Duration;
use tokio::time::Instant;

/// How often the bus is asked whether settings are in force.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// What applying settings came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// They are stored at this sequence of the desk's log.
    Stored(u64),
    /// This revision is the newest already, at this sequence.
    Unchanged(u64),
}

/// The newest revision in the desk's log, with the sequence at which it is in force.
///
/// # Errors
/// The bus does not answer, or what is stored there is not settings.
pub async fn current_settings(
    bus: &SharedBus,
    subjects: &Subjects,
) -> Result<Option<(u64, Settings)>, EngineError> {
    let subject = subjects.entry(LogId::Desk, "settings");
    let messages = bus::newest_revision(&**bus, Stream::Desk, &subject).await?;
    let Some(last) = messages.last() else { return Ok(None) };
    let mut collected = Collected::default();
    let mut taken = Taken::default();
    for message in &messages {
        taken = collected.take(&message.payload);
        if let Some(why) = taken.refused {
            return Err(unreadable(message, why));
        }
    }
    match taken.in_force {
        Some(settings) => Ok(Some((last.sequence, settings))),
        None => Err(unreadable(last, "its other parts are missing".to_owned())),
    }
}

/// Stores a revision behind the newest one, in parts if it fits no message. Its owner relays it to every shard.
///
/// # Errors
/// [`EngineError::SettingsChanged`] if somebody else applied another one meanwhile.
pub async fn apply_settings(
    bus: &SharedBus,
    subjects: &Subjects,
    settings: &Settings,
) -> Result<Applied, EngineError> {
    let payloads = stages::revision::parts(settings)?;
    let subject = subjects.entry(LogId::Desk, "settings");
    let newest = bus.last(Stream::Desk, &subject).await?;
    if let Some(message) = &newest
        && is_of(message, &settings.revision)
    {
        return Ok(Applied::Unchanged(message.sequence));
    }
    let sequence = newest.map_or(0, |message| message.sequence);
    match bus.commit(bus::revision_batch(&subject, payloads, sequence)).await {
        Ok(stored) => Ok(Applied::Stored(stored)),
        Err(error @ (BusError::Conflict { .. } | BusError::Unclear { .. })) => {
            match current_settings(bus, subjects).await? {
                Some((at, found)) if found.revision == settings.revision => Ok(Applied::Stored(at)),
                Some((at, found)) if at != sequence => {
                    let Settings { revision, author, .. } = found;
                    Err(EngineError::SettingsChanged { found: revision, author })
                }
                _ => Err(error.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// Waits until every log works by `revision` (or one applied after it), at most `patience`.
///
/// # Errors
/// [`EngineError::NotInForce`] names a log that does not.
pub async fn wait_in_force(
    bus: &SharedBus,
    subjects: &Subjects,
    shards: u32,
    revision: &str,
    patience: Duration,
) -> Result<(), EngineError> {
    let until = Instant::now() + patience;
    for log in all_logs(shards) {
        while !in_force(bus, subjects, log, revision).await? {
            if Instant::now() >= until {
                return Err(EngineError::NotInForce { revision: revision.to_owned(), log });
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
    Ok(())
}

async fn in_force(
    bus: &SharedBus,
    subjects: &Subjects,
    log: LogId,
    revision: &str,
) -> Result<bool, EngineError> {
    let subject = subjects.entry(log, "settings");
    let Some(message) = bus.last(stream_of(log), &subject).await? else { return Ok(false) };
    if !is_of(&message, revision) {
        return Ok(false);
    }
    let record = bus.last(Stream::Events, &subjects.commit(log)).await?;
    let record = record.and_then(|m| serde_json::from_slice::<CommitRecord>(&m.payload).ok());
    Ok(record.is_some_and(|record| record.position >= message.sequence))
}

/// Whether `message` is the last one of this revision.
fn is_of(message: &Message, revision: &str) -> bool {
    Head::read(message).is_some_and(|head| head.revision == revision && head.complete())
}

fn unreadable(message: &Message, why: String) -> EngineError {
    EngineError::SettingsUnreadable {
        subject: String::from_utf8_lossy(&message.subject).into_owned(),
        sequence: message.sequence,
        why,
    }
}
