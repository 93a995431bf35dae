//! An answer of 202 means stored, once; everything else is said.

#![allow(clippy::unwrap_used)]

mod support;

use bus::memory::{Faults, WriteFault};
use bus::{Outgoing, Stream};
use collector::Token;
use std::sync::Arc;
use std::time::Duration;
use support::{Withholding, memory, options, start, stored};

const SAMPLE: &str = r#"{"name":"county_api_ms","val":112}"#;

#[tokio::test]
async fn nothing_is_accepted_before_the_bus_has_acked_it() {
    let bus = Withholding::new().await;
    let collector = Arc::new(start(options(bus.clone())).await);
    let asked = Arc::clone(&collector);
    let request = tokio::spawn(async move { asked.post(SAMPLE).await });
    bus.one_is_stored().await;
    assert!(!request.is_finished());
    assert_eq!(collector.handle.counts().samples, 0);
    bus.acks.add_permits(1);
    let answer = request.await.unwrap();
    assert_eq!((answer.status, &answer.body["accepted"]), (202, &1.into()));
    assert_eq!(collector.handle.counts().samples, 1);
}

#[tokio::test]
async fn a_bus_that_is_away_is_503_with_the_time_to_come_again() {
    let bus = memory().await;
    bus.set_connected(false);
    let mut options = options(bus.clone());
    options.limits.store_wait = Duration::from_millis(30);
    let collector = start(options).await;
    let answer = collector.post(SAMPLE).await;
    assert_eq!(answer.status, 503);
    let why = answer.body["error"].as_str().unwrap();
    assert!(why.starts_with("the bus did not store it in time: "), "{why}");
    assert!(answer.header("Retry-After").unwrap().parse::<u64>().unwrap() > 0);
    assert!(bus.messages(Stream::Log).is_empty());
}

#[tokio::test]
async fn a_bus_that_comes_back_in_time_is_not_noticed() {
    let bus = memory().await;
    bus.set_faults(Script(vec![WriteFault::Unavailable, WriteFault::Unavailable]));
    let collector = start(options(bus.clone())).await;
    assert_eq!(collector.post(SAMPLE).await.status, 202);
    assert_eq!(stored(&bus.messages(Stream::Log)).len(), 1);
    assert_eq!(collector.handle.counts().retries, 2);
}

#[tokio::test]
async fn a_lost_ack_does_not_store_twice() {
    let bus = memory().await;
    bus.set_faults(Script(vec![WriteFault::LostAck, WriteFault::LostRequest, WriteFault::LostAck]));
    let collector = start(options(bus.clone())).await;
    assert_eq!(collector.post(SAMPLE).await.status, 202);
    assert_eq!(bus.messages(Stream::Log).len(), 1);
}

/// What happens to the next writes, in order; nothing after that.
struct Script(Vec<WriteFault>);

impl Faults for Script {
    fn write(&mut self, _: &[Outgoing]) -> WriteFault {
        if self.0.is_empty() { WriteFault::None } else { self.0.remove(0) }
    }
}

#[tokio::test]
async fn a_full_queue_is_429_and_room_comes_back() {
    let bus = Withholding::new().await;
    let mut options = options(bus.clone());
    options.limits.queue_bytes_max = 1500;
    let collector = Arc::new(start(options).await);
    let asked = Arc::clone(&collector);
    let first = tokio::spawn(async move { asked.post(SAMPLE).await });
    bus.one_is_stored().await;
    let answer = collector.post(SAMPLE).await;
    assert_eq!(answer.status, 429);
    assert!(answer.header("Retry-After").is_some());
    bus.acks.add_permits(2);
    assert_eq!(first.await.unwrap().status, 202);
    assert_eq!(collector.handle.counts().queue_bytes, 0);
    assert_eq!(collector.post(SAMPLE).await.status, 202);
}

#[tokio::test]
async fn an_engine_far_behind_is_429() {
    let mut options = options(memory().await);
    options.behind = Some(Arc::new(|| Duration::from_secs(600)));
    let answer = start(options).await.post(SAMPLE).await;
    assert_eq!((answer.status, answer.header("Retry-After")), (429, Some("30")));
}

#[tokio::test]
async fn a_repeated_batch_carries_its_number_again() {
    let bus = memory().await;
    let collector = start(options(bus.clone())).await;
    let headers = [("Ops-Client", "py-1"), ("Ops-Batch", "7")];
    for _ in 0..2 {
        assert_eq!(collector.ask("POST", "/metric", &headers, SAMPLE).await.status, 202);
    }
    assert_eq!(collector.post(SAMPLE).await.status, 202);
    let sections: Vec<_> = stored(&bus.messages(Stream::Log))
        .into_iter()
        .map(|(client, number, ..)| (client, number))
        .collect();
    assert_eq!(sections, [("py-1".into(), 7), ("py-1".into(), 7), (String::new(), 0)]);
}

#[tokio::test]
async fn closing_stores_what_was_taken_and_turns_the_rest_away() {
    let bus = Withholding::new().await;
    let collector = Arc::new(start(options(bus.clone())).await);
    let asked = Arc::clone(&collector);
    let request = tokio::spawn(async move { asked.post(SAMPLE).await });
    bus.one_is_stored().await;
    let closing = collector.handle.clone();
    let closed = tokio::spawn(async move { closing.close().await });
    bus.acks.add_permits(10);
    assert_eq!(request.await.unwrap().status, 202);
    closed.await.unwrap();
    let answer = collector.post(SAMPLE).await;
    assert_eq!(answer.status, 503);
    assert!(answer.header("Retry-After").is_some());
    assert_eq!(stored(&bus.inner.messages(Stream::Log)).len(), 1);
}

#[tokio::test]
async fn with_a_token_only_its_bearer_is_heard() {
    let bus = memory().await;
    let mut options = options(bus.clone());
    options.token = Token::new("s3cret");
    let collector = start(options).await;
    let answer = collector.post(SAMPLE).await;
    assert_eq!((answer.status, answer.header("WWW-Authenticate")), (401, Some("Bearer")));
    let wrong = [("Authorization", "Bearer s3cre")];
    assert_eq!(collector.ask("POST", "/metric", &wrong, SAMPLE).await.status, 401);
    assert!(bus.messages(Stream::Log).is_empty());
    let right = [("Authorization", "Bearer s3cret")];
    assert_eq!(collector.ask("POST", "/metric", &right, SAMPLE).await.status, 202);
}

#[tokio::test]
async fn samples_of_one_request_reach_the_shards_of_their_metrics() {
    let bus = bus::memory::MemoryBus::real_time(bus::layout::Layout::default());
    bus::Bus::ensure(&bus, 4).await.unwrap();
    let mut options = options(bus.clone());
    options.shards = 4;
    let collector = start(options).await;
    let samples: Vec<String> = (0..40).map(|n| format!(r#"{{"name":"m{n}","val":{n}}}"#)).collect();
    assert_eq!(collector.post(samples.join("\n")).await.status, 202);
    let subjects = stages::subject::Subjects::default();
    let messages = bus.messages(Stream::Log);
    assert_eq!(messages.len(), 4);
    for message in messages {
        let subject = String::from_utf8(message.subject.to_vec()).unwrap();
        for (_, _, key, _) in stored(&[message]) {
            assert_eq!(subject, format!("ops.log.{}.batch", subjects.shard_of(&key, 4)));
        }
    }
}
