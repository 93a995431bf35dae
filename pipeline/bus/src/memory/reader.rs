//! Reads a stream of the memory bus in order.

use super::MemoryBus;
use crate::{BusError, Message, Reader, Stream};
use async_trait::async_trait;
use tokio::sync::watch;

/// Most messages handed out at once.
const BURST: usize = 1024;

pub(super) struct MemoryReader {
    bus: MemoryBus,
    stream: Stream,
    filter: Option<String>,
    next: u64,
    changed: watch::Receiver<u64>,
}

impl MemoryReader {
    pub(super) fn new(bus: MemoryBus, stream: Stream, filter: Option<&str>, from: u64) -> Self {
        let changed = bus.shared.changed.subscribe();
        Self { bus, stream, filter: filter.map(str::to_owned), next: from, changed }
    }
}

#[async_trait]
impl Reader for MemoryReader {
    async fn next(&mut self, into: &mut Vec<Message>) -> Result<(), BusError> {
        loop {
            // Marked as seen before looking: a change in between wakes us again.
            self.changed.mark_unchanged();
            let burst =
                self.bus.lock().readable(self.stream, self.filter.as_deref(), self.next, BURST);
            if let Some(last) = burst.last() {
                self.next = last.sequence + 1;
                into.extend(burst);
                return Ok(());
            }
            // The sender lives in `self.bus`, so this cannot fail.
            let _ = self.changed.changed().await;
        }
    }
}
