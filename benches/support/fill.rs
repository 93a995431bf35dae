//! Fills a stream as fast as acks allow.

use async_nats::jetstream::Context;
use bytes::Bytes;
use std::collections::VecDeque;
use std::future::IntoFuture;

/// Acks awaited at one time.
const IN_FLIGHT: usize = 2_000;

/// Publishes all messages, waits for all acks, and gives the sequence of the last one.
pub async fn fill(stream: &Context, messages: impl Iterator<Item = (String, Bytes)>) -> u64 {
    let (mut acks, mut last) = (VecDeque::new(), 0);
    for (subject, payload) in messages {
        let ack = stream.publish(subject, payload).await.expect("the bus takes a message");
        acks.push_back(ack.into_future());
        if acks.len() >= IN_FLIGHT
            && let Some(ack) = acks.pop_front()
        {
            last = ack.await.expect("an ack comes").sequence;
        }
    }
    for ack in acks {
        last = ack.await.expect("an ack comes").sequence;
    }
    last
}
