//! The bare consumer engines are held against: reads messages of the log and does next to nothing with them.

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use futures::StreamExt;
use stages::batch::Batch;
use std::hint::black_box;

/// Reads the sequences `from..=until`, so many at one pull; the sum of what `read` says of each payload.
pub async fn consume(
    url: &str,
    pull: usize,
    (from, until): (u64, u64),
    read: impl Fn(&[u8]) -> u64,
) -> u64 {
    let client = async_nats::connect(url).await.expect("the server answers");
    let stream = async_nats::jetstream::new(client).get_stream("OPS_LOG").await.expect("the log");
    let config = pull::Config {
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: from },
        ack_policy: AckPolicy::None,
        memory_storage: true,
        ..pull::Config::default()
    };
    let consumer = stream.create_consumer(config).await.expect("a consumer");
    let pulling = consumer.stream().max_messages_per_batch(pull).messages();
    let mut messages = pulling.await.expect("messages");
    let mut sum = 0;
    for _ in from..=until {
        let message = messages.next().await.expect("a message").expect("a good one");
        sum += read(black_box(&message.payload));
    }
    sum
}

/// Decodes a batch and does nothing with it.
pub fn read_batch(payload: &[u8]) -> u64 {
    let batch = Batch::parse(payload).expect("just written");
    let (mut count, mut sum) = (0, 0.0);
    for block in batch.sections().flat_map(|section| section.blocks()) {
        let read = block.for_each(|_, value, _| {
            count += 1;
            sum += value;
        });
        read.expect("just written");
    }
    black_box(sum);
    count
}
