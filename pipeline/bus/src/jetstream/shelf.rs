//! Where small messages lie between being read and being worked off.
//!
//! The client library hands out each subject in memory of its own, and payloads as slices of the buffer it reads the
//! connection into. Freed on another thread much later, the first keep the allocator busy and the second keep whole
//! buffers from being read into again. A copy side by side with its neighbours costs less than either.

use bytes::{Bytes, BytesMut};

/// What is allocated at one time: some hundred small messages.
const CHUNK_BYTES: usize = 64 << 10;
/// Payloads up to here are copied. A larger one stays where it is: it costs more to copy, and less for each sample.
const COPIED_MAX: usize = 1024;

/// A chunk that is being filled.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    chunk: BytesMut,
}

impl Shelf {
    /// Subject and payload, to be kept for long and freed anywhere.
    pub(super) fn keep(&mut self, subject: &str, payload: Bytes) -> (Bytes, Bytes) {
        let copied = if payload.len() <= COPIED_MAX { payload.len() } else { 0 };
        if self.chunk.capacity() - self.chunk.len() < subject.len() + copied {
            // A new one instead of `reserve`: that would wait for, and count, those who still hold the old one.
            self.chunk = BytesMut::with_capacity(CHUNK_BYTES.max(subject.len() + copied));
        }
        self.chunk.extend_from_slice(subject.as_bytes());
        self.chunk.extend_from_slice(&payload[..copied]);
        let mut subject_kept = self.chunk.split().freeze();
        if copied == 0 {
            return (subject_kept, payload);
        }
        let payload_kept = subject_kept.split_off(subject.len());
        (subject_kept, payload_kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_kept_as_they_came() {
        let mut shelf = Shelf::default();
        let messages = |n: usize| {
            let payload = vec![n as u8; [0, 1, 100, COPIED_MAX, COPIED_MAX + 1, 9000][n % 6]];
            (format!("subject.{n}"), Bytes::from(payload))
        };
        let kept: Vec<_> = (0..1000)
            .map(|n| {
                let (subject, payload) = messages(n);
                shelf.keep(&subject, payload)
            })
            .collect();
        for (n, (subject, payload)) in kept.iter().enumerate() {
            let (expected, sent) = messages(n);
            assert_eq!((&subject[..], &payload[..]), (expected.as_bytes(), &sent[..]));
        }
        let huge = "x".repeat(CHUNK_BYTES + 1);
        assert_eq!(shelf.keep(&huge, Bytes::new()).0, huge.as_bytes());
    }
}
