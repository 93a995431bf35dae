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

impl Applied {
    /// Where the revision lies in the desk's log.
    pub const fn sequence(self) -> u64 {
        match self {
            Self::Stored(sequence) | Self::Unchanged(sequence) => sequence,
        }
    }
}

/// What every log works by after a revision was waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InForce {
    /// That revision.
    Asked,
    /// One that somebody applied after it.
    Later {
        /// Its name.
        revision: String,
        /// Who applied it.
        author: String,
    },
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

/// Waits until every log works by `revision` as it was `applied`, or by one applied after it, at most `patience`.
///
/// # Errors
/// [`EngineError::NotInForce`] names a log that does not.
pub async fn wait_in_force(
    bus: &SharedBus,
    subjects: &Subjects,
    shards: u32,
    (revision, applied): (&str, Applied),
    patience: Duration,
) -> Result<InForce, EngineError> {
    let until = Instant::now() + patience;
    let mut newest = None;
    for log in all_logs(shards) {
        loop {
            // Asked each time: a further one may have come while this log was waited for.
            newest = newest_head(bus, subjects, applied.sequence()).await?.or(newest);
            let names = [Some(revision), newest.as_ref().map(|head: &Head| &*head.revision)];
            let least = if log == LogId::Desk { applied.sequence() } else { 0 };
            if in_force(bus, subjects, (log, least), names).await? {
                break;
            }
            if Instant::now() >= until {
                return Err(EngineError::NotInForce { revision: revision.to_owned(), log });
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
    Ok(match newest {
        Some(Head { revision: later, author, .. }) if later != revision => {
            InForce::Later { revision: later, author }
        }
        _ => InForce::Asked,
    })
}

/// The desk's newest whole revision, unless the bus answers with one older than the one at `least`.
async fn newest_head(
    bus: &SharedBus,
    subjects: &Subjects,
    least: u64,
) -> Result<Option<Head>, EngineError> {
    let newest = bus.last(Stream::Desk, &subjects.entry(LogId::Desk, "settings")).await?;
    let newest = newest.filter(|message| message.sequence >= least);
    Ok(newest.as_ref().and_then(Head::read).filter(Head::complete))
}

/// Whether a log works by one of the revisions named, which lies at `least` or behind.
async fn in_force(
    bus: &SharedBus,
    subjects: &Subjects,
    (log, least): (LogId, u64),
    names: [Option<&str>; 2],
) -> Result<bool, EngineError> {
    let subject = subjects.entry(log, "settings");
    let message = bus.last(stream_of(log), &subject).await?;
    let one_of_them = |message: &Message| names.iter().flatten().any(|name| is_of(message, name));
    let message = message.filter(|message| message.sequence >= least);
    let Some(message) = message.filter(one_of_them) else { return Ok(false) };
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
