//! What goes wrong around an engine, each with a clear word and nothing lost.

mod support;

use bus::accounts::Role;
use bus::jetstream::{JetStream, Limits, Options};
use bus::layout::Layout;
use bus::memory::MemoryBus;
use bus::server::{LocalServer, ServerOptions};
use bus::{Bus, Outgoing, SharedBus, Stream};
use bytes::Bytes;
use engine::{Engine, EngineOptions};
use stages::log::LogId;
use stages::wire::{AlertState, CommitRecord};
use std::sync::Arc;
use support::*;

const LOG: LogId = LogId::Shard(0);

async fn memory() -> (MemoryBus, SharedBus) {
    let memory = MemoryBus::real_time(Layout::default());
    memory.ensure(1).await.unwrap();
    (memory.clone(), Arc::new(memory))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_of_one_name_are_told_apart_and_the_one_without_logs_says_so() {
    let (memory, bus) = memory().await;
    // A machine that is busy elsewhere must not look like an owner that is gone.
    let patient = || EngineOptions {
        heartbeat_every: std::time::Duration::from_millis(500),
        ..options(&bus, 1, "ops-1")
    };
    let first = start_with(&bus, patient()).await;
    let second = Engine::start(patient()).unwrap();
    owns_all(&second).await;
    let unready = first.until(|health| {
        let why = health.not_ready(PATIENCE).unwrap_or_default();
        why.contains("another process runs under the name ops-1")
    });
    within("the first one's word", unready).await;
    sample(&*bus, METRIC, 5_000.0).await;
    alerts_until(&bus, AlertState::Fired).await;
    for _ in 0..10 {
        sample(&*bus, METRIC, 1.0).await;
    }
    let alerts = alerts_until(&bus, AlertState::Resolved).await;
    assert_eq!(alerts.iter().filter(|alert| alert.state == AlertState::Fired).count(), 1);
    assert!(first.health().logs.iter().all(|log| !log.owned), "it does not take them back");
    // Once the other one is gone, this one goes on.
    second.shutdown(PATIENCE).await;
    owns_all(&first).await;
    first.shutdown(PATIENCE).await;
    drop(memory);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_truncated_snapshot_is_passed_over_for_the_one_before() {
    let (_, bus) = memory().await;
    let engine = start(&bus, 1, "ops-1").await;
    sample(&*bus, METRIC, 5_000.0).await;
    alerts_until(&bus, AlertState::Fired).await;
    while engine.health().logs[0].snapshots < 2 {
        sample(&*bus, METRIC, 1_500.0).await;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    engine.shutdown(PATIENCE).await;
    let newest = bus.last(Stream::Events, &subjects().commit(LOG)).await.unwrap().unwrap();
    let record: CommitRecord = serde_json::from_slice(&newest.payload).unwrap();
    let (snapshot, before) = (record.snapshot.unwrap(), record.snapshot_before.unwrap());
    let subject = subjects().state(LOG, &snapshot.id, snapshot.chunks as usize - 1);
    let whole = bus.last(Stream::State, &subject).await.unwrap().unwrap().payload;
    let payload = whole.slice(..whole.len() / 2);
    bus.publish(Outgoing { subject, payload, ..Outgoing::default() }).await.unwrap();

    let next = Engine::start(options(&bus, 1, "ops-1")).unwrap();
    owns_all(&next).await;
    let why = next.health().trouble.unwrap();
    assert!(why.contains(&snapshot.id) && why.contains("the checksum is wrong"), "{why}");
    assert_ne!(snapshot.id, before.id);
    for _ in 0..100 {
        sample(&*bus, METRIC, 1.0).await;
    }
    let alerts = alerts_until(&bus, AlertState::Resolved).await;
    assert_eq!(alerts.iter().filter(|alert| alert.state == AlertState::Fired).count(), 1);
    next.shutdown(PATIENCE).await;
}

async fn connect(options: Options) -> SharedBus {
    Arc::new(JetStream::connect(options).await.unwrap())
}

/// Waits for a notice of the desk.
async fn notice(bus: &SharedBus, kind: &str) -> String {
    let subject = format!("ops.alert.warning.{kind}.notice");
    let mut reader = bus.read(Stream::Events, Some(&subject), 1).await.unwrap();
    let mut messages = Vec::new();
    within(kind, reader.next(&mut messages)).await.unwrap();
    String::from_utf8(messages.swap_remove(0).payload.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_of_a_newer_version_are_named_and_cost_nothing_beside_them() {
    let (memory, bus) = memory().await;
    let engine = start(&bus, 1, "ops-1").await;
    let newer = serde_json::json!({ "schema": 9, "incident": "i", "author": "anna" });
    bus.publish(message(subjects().of("desk.ack.anna"), &newer)).await.unwrap();
    let said = notice(&bus, "entry_refused").await;
    assert!(said.contains("schema 9, from a newer version of ops"), "{said}");
    // A batch of an encoding that is not known yet, and a subject that is not.
    for (subject, payload) in [("log.0.batch", &b"OPSB\x09"[..]), ("log.0.dance", b"{}")] {
        let (subject, payload) = (subjects().of(subject), Bytes::from_static(payload));
        bus.publish(Outgoing { subject, payload, ..Outgoing::default() }).await.unwrap();
    }
    sample(&*bus, METRIC, 5_000.0).await;
    alerts_until(&bus, AlertState::Fired).await;
    let refused = engine.health().logs.remove(0).counters.refused;
    assert_eq!((refused["batch_version"], refused["unknown_subject"]), (1, 1));
    engine.shutdown(PATIENCE).await;
    let dead = memory.messages(Stream::DeadLetter);
    assert!(dead.iter().any(|letter| letter.payload == b"OPSB\x09"[..]), "{dead:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn corrupt_settings_are_refused_by_desk_and_shard_and_the_old_ones_stay() {
    let (_, bus) = memory().await;
    let engine = start(&bus, 1, "ops-1").await;
    for log in [LogId::Desk, LOG] {
        let (subject, payload) = (subjects().entry(log, "settings"), Bytes::from_static(b"{\"rev"));
        bus.publish(Outgoing { subject, payload, ..Outgoing::default() }).await.unwrap();
    }
    notice(&bus, "entry_refused").await;
    notice(&bus, "settings_refused").await;
    sample(&*bus, METRIC, 5_000.0).await;
    let alerts = alerts_until(&bus, AlertState::Fired).await;
    assert_eq!(alerts.last().unwrap().notified, ["oncall@opm.gov"]);
    engine.shutdown(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_are_told_before_the_stream_of_the_logs_is_full() {
    let data = tempfile::tempdir().unwrap();
    let server = LocalServer::start(ServerOptions {
        data: data.path().to_owned(),
        port: None,
        layout: Layout::default(),
        agent: "local".to_owned(),
    })
    .await
    .unwrap();
    let log_bytes_max = 1 << 20;
    let limits = Limits { log_bytes_max, ..Limits::default() };
    let admin = connect(Options { limits, ..server.options(Role::Admin) }).await;
    admin.ensure(1).await.unwrap();
    let owner = connect(server.options(Role::Owner)).await;
    let collector = connect(server.options(Role::Collector)).await;
    let engine = Engine::start(options(&owner, 1, "ops-1")).unwrap();
    let applied = engine::apply_settings(&admin, &subjects(), &friday()).await.unwrap();
    owns_all(&engine).await;
    let wanted = ("friday", applied);
    engine::wait_in_force(&admin, &subjects(), 1, wanted, PATIENCE).await.unwrap();
    for _ in 0..9 {
        let payload = Bytes::from(vec![b'x'; 100_000]);
        let subject = subjects().of("log.0.batch");
        collector.publish(Outgoing { subject, payload, ..Outgoing::default() }).await.unwrap();
    }
    let said = notice(&owner, "log_fills").await;
    assert!(said.contains(&format!("of {log_bytes_max} bytes (8")), "{said}");
    assert!(said.contains("nats stream edit OPS_LOG --max-bytes"), "{said}");
    assert_eq!(engine.health().log_bytes.1, log_bytes_max);
    engine.shutdown(PATIENCE).await;
    drop((owner, admin, collector));
    server.stop().await;
}
