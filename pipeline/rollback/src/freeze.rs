//! The kill switch of automatic actions, read at the last moment before a script starts.

use crate::patience::until_answered;
use bus::{BusError, SharedBus, Stream};
use stages::log::LogId;
use stages::subject::Subjects;
use stages::wire::Freeze;

/// Why actions are frozen, if they are: the newest entry of `ops.desk.freeze.>` decides. One that cannot be read
/// freezes, because whoever wrote it meant to say something.
///
/// # Errors
/// Only those the bus will not answer differently later.
pub async fn read(bus: &SharedBus, subjects: &Subjects) -> Result<Option<String>, BusError> {
    let subject = subjects.entry(LogId::Desk, "freeze.>");
    let newest = until_answered("kill switch", || bus.last(Stream::Desk, &subject)).await?;
    let Some(message) = newest else { return Ok(None) };
    Ok(match serde_json::from_slice::<Freeze>(&message.payload) {
        Ok(freeze) if !freeze.frozen => None,
        Ok(Freeze { author, comment, .. }) => {
            let why = comment.map_or(String::new(), |comment| format!(": {comment}"));
            Some(format!("frozen: automatic actions were stopped by {author}{why}"))
        }
        Err(error) => Some(format!("frozen: the newest freeze entry cannot be read ({error})")),
    })
}
