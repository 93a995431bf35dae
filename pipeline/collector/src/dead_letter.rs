//! Refused samples, kept with their bytes: best effort, bounded in rate, number and size.

use crate::counters::Counters;
use bus::{Outgoing, SharedBus};
use bytes::Bytes;
use stages::subject::Subjects;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Letters that wait: a few seconds of the rate, 16 MiB at most.
pub(crate) const WAITING_MAX: usize = 256;

/// A refused sample.
pub(crate) struct DeadLetter {
    pub reason: &'static str,
    pub bytes: Bytes,
}

/// Takes letters without waiting.
#[derive(Clone)]
pub(crate) struct DeadLetters {
    pub box_: mpsc::Sender<DeadLetter>,
    pub bytes_max: usize,
    pub counters: Arc<Counters>,
}

impl DeadLetters {
    /// Keeps the first bytes of what was refused, if there is room.
    pub(crate) fn put(&self, reason: &'static str, bytes: &[u8]) {
        let kept = &bytes[..bytes.len().min(self.bytes_max)];
        let letter = DeadLetter { reason, bytes: Bytes::copy_from_slice(kept) };
        if self.box_.try_send(letter).is_err() {
            self.counters.dead_letters_dropped.fetch_add(1, Relaxed);
        }
    }
}

/// Publishes letters one after the other, at most `per_second`.
pub(crate) async fn publish(
    bus: SharedBus,
    subjects: Subjects,
    per_second: u32,
    mut letters: mpsc::Receiver<DeadLetter>,
    counters: Arc<Counters>,
    closing: CancellationToken,
) {
    let apart = Duration::from_secs(1) / per_second.max(1);
    let mut next_start = Instant::now();
    loop {
        let letter = tokio::select! {
            letter = letters.recv() => letter,
            () = closing.cancelled() => {
                letters.close();
                letters.recv().await
            }
        };
        let Some(DeadLetter { reason, bytes }) = letter else { return };
        tokio::select! {
            () = sleep_until(next_start) => {}
            () = closing.cancelled() => {}
        }
        next_start = Instant::now() + apart;
        let subject = subjects.deadletter(reason);
        let outgoing = Outgoing { subject, payload: bytes, ..Outgoing::default() };
        match bus.publish(outgoing).await {
            Ok(_) => counters.dead_letters.fetch_add(1, Relaxed),
            Err(error) => {
                tracing::debug!(%error, reason, "a dead letter was not stored");
                counters.dead_letters_dropped.fetch_add(1, Relaxed)
            }
        };
    }
}
