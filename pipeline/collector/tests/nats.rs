//! On a real nats-server: stored means readable there, and a server that is gone is said.

#![allow(clippy::unwrap_used)]

mod support;

use bus::accounts::Role;
use bus::jetstream::JetStream;
use bus::layout::Layout;
use bus::server::{LocalServer, ServerOptions};
use bus::{Bus, Stream};
use std::time::Duration;
use support::{options, start, stored};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn samples_reach_the_log_of_a_real_server_and_its_end_is_503() {
    let data = tempfile::tempdir().unwrap();
    let server = LocalServer::start(ServerOptions {
        data: data.path().to_owned(),
        port: None,
        layout: Layout::default(),
        agent: "local".to_owned(),
    });
    let server = server.await.unwrap();
    let admin = JetStream::connect(server.options(Role::Admin)).await.unwrap();
    admin.ensure(1).await.unwrap();
    let owner = JetStream::connect(server.options(Role::Owner)).await.unwrap();
    // The collector's own role: what it may do is what it needs.
    let bus = JetStream::connect(server.options(Role::Collector)).await.unwrap();
    let mut options = options(bus);
    options.limits.store_wait = Duration::from_millis(1500);
    let collector = start(options).await;

    let answers = (0..50).map(|request| {
        let lines: Vec<String> = (0..20)
            .map(|n| format!(r#"{{"name":"county_api_ms","val":{}}}"#, request * 20 + n))
            .collect();
        let collector = &collector;
        async move { collector.post(lines.join("\n")).await.status }
    });
    for status in futures::future::join_all(answers).await {
        assert_eq!(status, 202);
    }
    let mut reader = owner.read(Stream::Log, None, 1).await.unwrap();
    let (mut messages, mut values) = (Vec::new(), Vec::new());
    while values.len() < 1000 {
        messages.clear();
        reader.next(&mut messages).await.unwrap();
        values.extend(stored(&messages).into_iter().map(|(.., value)| value as u64));
    }
    values.sort_unstable();
    assert_eq!(values, (0..1000).collect::<Vec<_>>());
    let counts = collector.handle.counts();
    assert_eq!((counts.requests, counts.samples), (50, 1000));
    assert!(counts.entries <= 50, "{counts:?}");

    // A refused sample is kept too.
    let mut letters = admin.read(Stream::DeadLetter, None, 1).await.unwrap();
    assert_eq!(collector.post("nonsense").await.status, 400);
    letters.next(&mut messages).await.unwrap();
    assert_eq!(messages.last().unwrap().payload, "nonsense");

    server.stop().await;
    let answer = collector.post(r#"{"name":"county_api_ms","val":1}"#).await;
    assert_eq!(answer.status, 503);
    assert!(answer.header("Retry-After").is_some());
}
