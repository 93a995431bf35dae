//! Follows the bus: settings, alert and rollback events, rollups. One task each, for as long as the board lives.

use crate::Shared;
use crate::live::Live;
use bus::{BusError, Message, Stream, newest_revision};
use stages::rollup::{RollupPack, Tier};
use stages::series::split_key;
use stages::wire::{AlertEvent, RollbackEvent, ShardEvent};
use std::sync::Arc;
use std::time::Duration;

/// Events read back at start: enough for the list, bounded for a long history.
const EVENTS_BACK: u64 = 20_000;
/// Rollups read back at start, to know which metrics there are: some minutes of the finest tier.
const ROLLUPS_BACK: u64 = 300;
/// Wait before a stream is read again that could not be.
const AGAIN: Duration = Duration::from_secs(1);

/// Follows all three until the process ends.
pub async fn follow(shared: Arc<Shared>) {
    // What is in force comes first: an alert's move is only shown for a rule that is known.
    let subject = shared.subjects.of("desk.settings");
    if let Ok(newest) = newest_revision(&*shared.bus, Stream::Desk, &subject).await {
        newest.iter().for_each(|part| take(&shared, Stream::Desk, part));
    }
    tokio::join!(
        keep(&shared, Stream::Desk, u64::MAX),
        keep(&shared, Stream::Events, EVENTS_BACK),
        keep(&shared, Stream::Rollups, ROLLUPS_BACK),
    );
}

/// Reads one stream for ever; a fault is told and read past.
async fn keep(shared: &Shared, stream: Stream, back: u64) {
    let mut next = 0;
    loop {
        if let Err(error) = read(shared, stream, back, &mut next).await {
            tracing::warn!(?stream, %error, "the board cannot read; trying again");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn read(shared: &Shared, stream: Stream, back: u64, next: &mut u64) -> Result<(), BusError> {
    let state = shared.bus.state(stream).await?;
    if *next > state.last + 1 {
        // The stream was made anew: its sequences start again.
        *next = 0;
    }
    let from = (*next).max(state.first).max(state.last.saturating_sub(back));
    let filter = (stream == Stream::Desk).then(|| shared.subjects.of("desk.settings"));
    let mut reader = shared.bus.read(stream, filter.as_deref(), from).await?;
    let mut messages = Vec::new();
    loop {
        reader.next(&mut messages).await?;
        for message in messages.drain(..) {
            *next = message.sequence + 1;
            take(shared, stream, &message);
        }
    }
}

fn take(shared: &Shared, stream: Stream, message: &Message) {
    let subject = String::from_utf8_lossy(&message.subject);
    let rest = subject.strip_prefix(shared.subjects.prefix()).unwrap_or_default();
    if stream == Stream::Rollups {
        take_rollup(shared, rest, message);
    } else if rest == ".desk.settings" {
        if shared.known().take_settings(&message.payload) {
            shared.live.send(Live::Changed);
        }
    } else if rest.starts_with(".transition.") {
        if let Ok(ShardEvent::Transition(moved)) = serde_json::from_slice(&message.payload) {
            shared.known().take_transition(*moved);
            shared.live.send(Live::Changed);
        }
    } else if rest.starts_with(".alert.") {
        if let Ok(event) = serde_json::from_slice::<AlertEvent>(&message.payload) {
            let line = shared.known().take_alert(event);
            shared.live.send(Live::Event(line));
        }
    } else if rest.starts_with(".rollback.") {
        // Commands and wishes share the folder of subjects; they are not events and do not read as one.
        let Ok(event) = serde_json::from_slice::<RollbackEvent>(&message.payload) else { return };
        if crate::known::is_milestone(event.state) {
            let line = shared.known().take_rollback(event);
            shared.live.send(Live::Event(line));
        }
    }
}

/// Notes which metrics have samples and passes on the panes of those somebody looks at.
fn take_rollup(shared: &Shared, rest: &str, message: &Message) {
    let tier = rest.strip_prefix(".rollup.").and_then(|rest| rest.split('.').next());
    let looked_at = shared.live.looked_at();
    if tier != Some(Tier::Second.token()) && looked_at.is_empty() {
        return;
    }
    let Ok(pack) = RollupPack::decode(&message.payload) else {
        tracing::warn!(sequence = message.sequence, "a rollup cannot be read; passed over");
        return;
    };
    let mut known = shared.known();
    for row in &pack.rows {
        let newest = row.panes.iter().map(|pane| pane.start).max();
        known.take_metric(split_key(&row.key).0, newest.unwrap_or_default());
    }
    drop(known);
    for metric in looked_at {
        for pane in shared.live.merge(&pack, &metric) {
            shared.live.send(Live::Pane { metric: metric.clone(), pane });
        }
    }
}
