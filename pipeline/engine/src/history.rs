//! Revisions as they came: the desk's log keeps every one, so any of them can be looked at or put in force again.

use crate::error::EngineError;
use bus::{Head, Message, SharedBus, Stream};
use serde::Deserialize;
use stages::log::LogId;
use stages::revision::Collected;
use stages::settings::Settings;
use stages::subject::Subjects;
use stages::time::Time;

/// A revision somebody applied.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Applying {
    /// Where it lies in the desk's log: at its last message.
    pub sequence: u64,
    /// When it was stored.
    pub time: Time,
    /// Hash of the content.
    pub revision: String,
    /// Who applied it.
    pub author: String,
    /// Why.
    pub comment: String,
}

/// What the last message of a revision says beside [`Head`].
#[derive(Deserialize)]
struct Signature {
    #[serde(default)]
    comment: String,
}

/// Every revision in the desk's log, oldest first.
///
/// # Errors
/// The bus does not answer.
pub async fn history(bus: &SharedBus, subjects: &Subjects) -> Result<Vec<Applying>, EngineError> {
    let mut found = Vec::new();
    each(bus, subjects, |message| {
        let Some(head) = Head::read(message).filter(Head::complete) else { return };
        let signature = serde_json::from_slice::<Signature>(&message.payload);
        found.push(Applying {
            sequence: message.sequence,
            time: message.time,
            revision: head.revision,
            author: head.author,
            comment: signature.map(|it| it.comment).unwrap_or_default(),
        });
    })
    .await?;
    Ok(found)
}

/// The settings of the revision at `sequence`; none if none lies there whole.
///
/// # Errors
/// The bus does not answer.
pub async fn settings_at(
    bus: &SharedBus,
    subjects: &Subjects,
    sequence: u64,
) -> Result<Option<Settings>, EngineError> {
    let (mut collected, mut found) = (Collected::default(), None);
    each(bus, subjects, |message| {
        let taken = collected.take(&message.payload);
        if message.sequence == sequence {
            found = taken.in_force;
        }
    })
    .await?;
    Ok(found)
}

/// Shows every settings entry of the desk's log, up to the newest of now, one after the other.
async fn each(
    bus: &SharedBus,
    subjects: &Subjects,
    mut show: impl FnMut(&Message),
) -> Result<(), EngineError> {
    let subject = subjects.entry(LogId::Desk, "settings");
    let Some(last) = bus.last(Stream::Desk, &subject).await? else { return Ok(()) };
    let from = bus.state(Stream::Desk).await?.first.max(1);
    let mut reader = bus.read(Stream::Desk, Some(&subject), from).await?;
    loop {
        let mut messages = Vec::new();
        reader.next(&mut messages).await?;
        for message in &messages {
            if message.sequence > last.sequence {
                return Ok(());
            }
            show(message);
        }
        if messages.iter().any(|message| message.sequence == last.sequence) {
            return Ok(());
        }
    }
}
