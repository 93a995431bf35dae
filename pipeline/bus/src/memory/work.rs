//! Durable consumers of the memory bus.

use super::store::Offer;
use super::{Clock, MemoryBus};
use crate::{Answer, BusError, Work, Worker};
use async_trait::async_trait;
use stages::time::Span;
use std::pin::pin;
use std::time::Duration;

pub(super) struct MemoryWorker {
    bus: MemoryBus,
    name: String,
}

impl MemoryWorker {
    pub(super) fn new(bus: MemoryBus, name: &str) -> Self {
        Self { bus, name: name.to_owned() }
    }
}

#[async_trait]
impl Worker for MemoryWorker {
    async fn next(&mut self) -> Result<Work, BusError> {
        loop {
            let mut changed = pin!(self.bus.shared.changed.notified());
            changed.as_mut().enable();
            let (offer, clock) = {
                let mut store = self.bus.lock();
                (store.offer(&self.name)?, store.clock)
            };
            let due = match offer {
                Offer::Work { message, delivery } => {
                    let answer = MemoryAnswer {
                        bus: self.bus.clone(),
                        name: self.name.clone(),
                        sequence: message.sequence,
                    };
                    return Ok(Work { message, delivery, answer: Box::new(answer) });
                }
                Offer::Wait { due } => due,
            };
            match (due, clock) {
                (Some(due), Clock::Real | Clock::Runtime(..)) => {
                    let wait = due.since(clock.steady()).as_std();
                    let _ = tokio::time::timeout(wait, changed).await;
                }
                _ => {
                    changed.await;
                }
            }
        }
    }
}

struct MemoryAnswer {
    bus: MemoryBus,
    name: String,
    sequence: u64,
}

#[async_trait]
impl Answer for MemoryAnswer {
    async fn done(&self) -> Result<(), BusError> {
        {
            let mut store = self.bus.lock();
            store.reachable("ack")?;
            store.ack(&self.name, self.sequence);
        }
        self.bus.wake();
        Ok(())
    }

    async fn working(&self) -> Result<(), BusError> {
        let mut store = self.bus.lock();
        store.reachable("ack")?;
        store.postpone(&self.name, self.sequence, None);
        Ok(())
    }

    async fn later(&self, delay: Duration) -> Result<(), BusError> {
        {
            let mut store = self.bus.lock();
            store.reachable("ack")?;
            let delay = Span(i64::try_from(delay.as_nanos()).unwrap_or(i64::MAX));
            store.postpone(&self.name, self.sequence, Some(delay));
        }
        self.bus.wake();
        Ok(())
    }
}
