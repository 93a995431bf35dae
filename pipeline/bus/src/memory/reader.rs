//! Reads a stream of the memory bus in order.

use super::MemoryBus;
use crate::{BusError, Message, Reader, Stream};
use async_trait::async_trait;
use std::pin::pin;

/// Most messages handed out at once.
const BURST: usize = 1024;

pub(super) struct MemoryReader {
    bus: MemoryBus,
    stream: Stream,
    filter: Option<String>,
    next: u64,
}

impl MemoryReader {
    pub(super) fn new(bus: MemoryBus, stream: Stream, filter: Option<&str>, from: u64) -> Self {
        Self { bus, stream, filter: filter.map(str::to_owned), next: from }
    }
}

#[async_trait]
impl Reader for MemoryReader {
    async fn next(&mut self, into: &mut Vec<Message>) -> Result<(), BusError> {
        loop {
            // Waiting before looking: a change in between wakes us again.
            let mut changed = pin!(self.bus.shared.changed.notified());
            changed.as_mut().enable();
            let (burst, end) =
                self.bus.lock().readable(self.stream, self.filter.as_deref(), self.next, BURST);
            if let Some(last) = burst.last() {
                self.next = last.sequence + 1;
                into.extend(burst);
                return Ok(());
            }
            self.next = self.next.max(end + 1);
            changed.await;
        }
    }
}
