//! A revision of the settings on the bus: the newest of a log, read whole whatever its number of messages, and the
//! messages of the next one.
//!
//! Its parts are one atomic batch (`stages::revision`), so they lie side by side on their stream and the last message
//! of the subject says how many there are.

use crate::{Bus, BusError, Expect, Message, Outgoing, Stream};
use bytes::Bytes;
use serde::Deserialize;
use stages::settings::Part;

/// What the last message of a revision says about all of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Head {
    /// Hash of the content.
    pub revision: String,
    /// Who applied it.
    #[serde(default)]
    pub author: String,
    /// Which part that message is.
    #[serde(default)]
    pub part: Option<Part>,
}

impl Head {
    /// The head in a message; none if it is no part of a revision.
    pub fn read(message: &Message) -> Option<Self> {
        serde_json::from_slice(&message.payload).ok()
    }

    /// Whether nothing is missing behind the message.
    pub fn complete(&self) -> bool {
        self.part.is_none_or(|part| part.number == part.of)
    }
}

/// The messages of the newest revision under `subject`, in order; the last one's sequence is the revision's place.
/// Empty if there is none. Fewer than the last one says, if some are gone.
///
/// # Errors
/// The bus does not answer.
pub async fn newest_revision(
    bus: &dyn Bus,
    stream: Stream,
    subject: &str,
) -> Result<Vec<Message>, BusError> {
    let Some(last) = bus.last(stream, subject).await? else { return Ok(Vec::new()) };
    let part = Head::read(&last).and_then(|head| head.part).filter(|part| part.number > 1);
    let Some(part) = part else { return Ok(vec![last]) };
    let before = u64::from(part.number - 1);
    let from = last.sequence.saturating_sub(before).max(1);
    let mut reader = bus.read(stream, Some(subject), from).await?;
    let mut messages = Vec::new();
    while messages.last().is_none_or(|message: &Message| message.sequence < last.sequence) {
        reader.next(&mut messages).await?;
    }
    messages.retain(|message| message.sequence <= last.sequence);
    Ok(messages)
}

/// A revision as a batch behind the one whose last message is at `expected` (0: there is none).
pub fn revision_batch(subject: &str, payloads: Vec<Bytes>, expected: u64) -> Vec<Outgoing> {
    let mut batch: Vec<Outgoing> = payloads
        .into_iter()
        .map(|payload| Outgoing {
            subject: subject.to_owned(),
            payload,
            keep_forever: true,
            ..Outgoing::default()
        })
        .collect();
    // The batch is checked against the state before it, so its first message stands for all.
    if let Some(first) = batch.first_mut() {
        first.expect = Some(Expect { subject: None, sequence: expected });
    }
    batch
}
