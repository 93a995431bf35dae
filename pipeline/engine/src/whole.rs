//! Whether a log is still whole behind a position.
//!
//! Entries leave a stream from its front, by age or for room, but settings and verify requests stay for ever: the
//! stream's first sequence says nothing. What is read behind the position does, up to the first entry that could have left.

use bus::{BusError, SharedBus, Stream};
use stages::log::EntryKind;
use stages::subject::Subjects;

/// Whether nothing that was stored behind `position` has left the stream, which ends at `last`.
pub(crate) async fn is_whole_behind(
    bus: &SharedBus,
    subjects: &Subjects,
    stream: Stream,
    position: u64,
    last: u64,
) -> Result<bool, BusError> {
    let mut expected = position + 1;
    if expected > last {
        return Ok(true);
    }
    let (mut reader, mut messages) = (bus.read(stream, None, expected).await?, Vec::new());
    loop {
        reader.next(&mut messages).await?;
        for message in messages.drain(..) {
            if message.sequence != expected {
                return Ok(false);
            }
            let kind = subjects.entry_kind(message.subject);
            if !matches!(kind, EntryKind::Settings | EntryKind::Verify) || expected >= last {
                return Ok(true);
            }
            expected += 1;
        }
    }
}
