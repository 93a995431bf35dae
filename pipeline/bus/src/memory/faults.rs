//! What a simulation lets go wrong.

use crate::{Message, Outgoing, Stream};

/// Decides, write by write and delivery by delivery, what goes wrong. Seeded by the test, so that a run repeats.
pub trait Faults: Send {
    /// What happens to this write (one message or a batch).
    fn write(&mut self, batch: &[Outgoing]) -> WriteFault {
        let _ = batch;
        WriteFault::None
    }
    /// How many of the stream's newest messages the copy lacks that answers this read of the last of a subject.
    fn lags(&mut self, stream: Stream, subject: &str) -> u64 {
        let _ = (stream, subject);
        0
    }
    /// What happens to this delivery of work.
    fn deliver(&mut self, message: &Message) -> DeliveryFault {
        let _ = message;
        DeliveryFault::None
    }
}

/// What happens to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteFault {
    /// Nothing.
    None,
    /// It is stored, but the writer never hears of it.
    LostAck,
    /// It is not stored, and the writer never hears of it.
    LostRequest,
    /// It is certainly not stored.
    Unavailable,
}

/// What happens to a delivery of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryFault {
    /// Nothing.
    None,
    /// It comes, and comes again although nobody asked for that.
    Duplicate,
    /// It is lost on the way; redelivery brings it.
    Lost,
}

/// Nothing goes wrong.
pub(super) struct NoFaults;

impl Faults for NoFaults {}
