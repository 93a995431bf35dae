//! Settings onto the bus: applied by compare-and-set, found again, and waited for.

use crate::error::EngineError;
use crate::keeper::all_logs;
use crate::ownership::stream_of;
use bus::{BusError, Expect, Message, Outgoing, SharedBus, Stream};
use bytes::Bytes;
use stages::log::LogId;
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

/// The newest revision in the desk's log, with its sequence.
///
/// # Errors
/// The bus does not answer, or what is stored there is not settings.
pub async fn current_settings(
    bus: &SharedBus,
    subjects: &Subjects,
) -> Result<Option<(u64, Settings)>, EngineError> {
    let subject = subjects.entry(LogId::Desk, "settings");
    let Some(message) = bus.last(Stream::Desk, &subject).await? else { return Ok(None) };
    read(&message).map(|settings| Some((message.sequence, settings)))
}

/// Stores a revision behind the newest one. Its owner relays it to every shard.
///
/// # Errors
/// [`EngineError::SettingsChanged`] if somebody else applied another one meanwhile.
pub async fn apply_settings(
    bus: &SharedBus,
    subjects: &Subjects,
    settings: &Settings,
) -> Result<Applied, EngineError> {
    let subject = subjects.entry(LogId::Desk, "settings");
    let newest = bus.last(Stream::Desk, &subject).await?;
    if let Some(message) = &newest
        && read(message).is_ok_and(|newest| newest.revision == settings.revision)
    {
        return Ok(Applied::Unchanged(message.sequence));
    }
    let payload = Bytes::from(serde_json::to_vec(settings).expect("wire types serialise"));
    let sequence = newest.map_or(0, |message| message.sequence);
    let entry = Outgoing {
        subject,
        payload,
        expect: Some(Expect { subject: None, sequence }),
        keep_forever: true,
        ..Outgoing::default()
    };
    match bus.publish(entry).await {
        Ok(stored) => Ok(Applied::Stored(stored.sequence)),
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
    if read(&message)?.revision != revision {
        return Ok(false);
    }
    let record = bus.last(Stream::Events, &subjects.commit(log)).await?;
    let record = record.and_then(|m| serde_json::from_slice::<CommitRecord>(&m.payload).ok());
    Ok(record.is_some_and(|record| record.position >= message.sequence))
}

fn read(message: &Message) -> Result<Settings, EngineError> {
    serde_json::from_slice(&message.payload).map_err(|error| EngineError::SettingsUnreadable {
        subject: String::from_utf8_lossy(&message.subject).into_owned(),
        sequence: message.sequence,
        why: error.to_string(),
    })
}
