//! A log that an entry stops: it alone stands still, and goes on without that entry once somebody says so.

mod support;

use bus::layout::Layout;
use bus::memory::MemoryBus;
use bus::{Bus, SharedBus, Stream};
use engine::{AuditOptions, Engine, EngineError, Health, Skip, audit, skip, stops};
use stages::log::LogId;
use stages::stop::failpoint;
use stages::time::Time;
use stages::wire::{Ack, AlertState, SCHEMA};
use std::sync::Arc;
use support::*;

/// What no stage survives in this test.
const POISON: &str = "no stage survives this";

async fn memory(shards: u32) -> (MemoryBus, SharedBus) {
    failpoint::panic_over(POISON.as_bytes());
    let memory = MemoryBus::real_time(Layout::default());
    memory.ensure(shards).await.unwrap();
    (memory.clone(), Arc::new(memory))
}

/// A sample of `metric` that stops its shard.
async fn poison(bus: &SharedBus, metric: &str) -> u64 {
    let body = serde_json::json!({ "name": metric, "val": 1.0, "labels": { "region": POISON } });
    bus.publish(message(subjects().metric(metric), &body)).await.unwrap().sequence
}

fn stands_still(health: &Health, log: LogId) -> bool {
    health.logs.iter().any(|one| one.log == log && one.stopped.is_some())
}

async fn wait_for_stop(engine: &Engine, log: LogId) {
    within("the standstill", engine.until(|health| stands_still(health, log))).await;
}

async fn ask_to_skip(bus: &SharedBus, log: LogId, sequence: u64) -> Result<(), EngineError> {
    let (author, reason) = ("anna".to_owned(), "a broken probe".to_owned());
    skip(bus, &subjects(), &Skip { log, sequence, author, reason }).await.map(drop)
}

fn told(memory: &MemoryBus, log: LogId, kind: &str) -> usize {
    let subject = subjects().owner(log);
    let messages = memory.messages(Stream::Events);
    let about = messages.iter().filter(|message| message.subject == subject.as_bytes());
    about.filter(|message| String::from_utf8_lossy(&message.payload).contains(kind)).count()
}

async fn nothing_differs(bus: &SharedBus, shards: u32) {
    for log in engine::all_logs(shards) {
        let (bus, since) = (bus.clone(), Time(0));
        let with =
            AuditOptions { bus, subjects: subjects(), shards, since, stages: Default::default() };
        let found = within("the audit", audit(&with, log, &mut |_, _| ())).await.unwrap();
        assert_eq!((found.difference, found.unproven.len()), (None, 0), "log {log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poisoned_shard_stops_alone_for_every_owner_until_its_entry_is_skipped() {
    let (memory, bus) = memory(2).await;
    let engine = start(&bus, 2, "ops-1").await;
    let log = LogId::Shard(subjects().shard_of(METRIC, 2));
    sample(&*bus, METRIC, 1.0).await;
    let bad = poison(&bus, METRIC).await;
    wait_for_stop(&engine, log).await;
    let why = engine.health().not_ready(PATIENCE).unwrap();
    assert!(why.contains(&format!("`ops shard skip {log} --sequence {bad}`")), "{why}");
    let others = engine.health().logs.into_iter().filter(|one| one.log != log);
    assert!(others.into_iter().all(|one| one.owned && one.stopped.is_none()));
    drop(engine);

    // Whoever takes it over comes to the same place, and people are not told a second time.
    let heir = Engine::start(options(&bus, 2, "ops-1")).unwrap();
    wait_for_stop(&heir, log).await;
    assert_eq!(told(&memory, log, "log_stopped"), 1);
    let standing = stops(&bus, &subjects(), engine::all_logs(2)).await.unwrap();
    let [(found, stop)] = &standing[..] else { panic!("{standing:?}") };
    assert_eq!((*found, stop.entries), (log, Some((bad, bad))));

    for (log, sequence) in [(log, bad - 1), (log, bad + 1), (LogId::Desk, bad)] {
        let refused = ask_to_skip(&bus, log, sequence).await.unwrap_err();
        assert!(matches!(refused, EngineError::NotStopped { .. }), "{refused}");
    }
    ask_to_skip(&bus, log, bad).await.unwrap();
    within("going on", heir.until(|health| !stands_still(health, log))).await;
    let again = ask_to_skip(&bus, log, bad).await.unwrap_err();
    assert!(matches!(again, EngineError::NotStopped { .. }), "{again}");
    for _ in 0..3 {
        sample(&*bus, METRIC, 90_000.0).await;
    }
    alerts_until(&bus, AlertState::Fired).await;
    heir.shutdown(PATIENCE).await;
    assert_eq!(told(&memory, log, "left out by anna (a broken probe)"), 1);

    // Whatever replays the log later passes over it too, also from its beginning.
    bus.purge(Stream::State, "ops.state.>", 0).await.unwrap();
    let next = Engine::start(options(&bus, 2, "ops-3")).unwrap();
    owns_all(&next).await;
    assert!(!stands_still(&next.health(), log));
    next.shutdown(PATIENCE).await;
    assert_eq!(told(&memory, log, "log_stopped"), 1);
    nothing_differs(&bus, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poisoned_desk_goes_on_too_and_people_hear_of_both_then() {
    let (memory, bus) = memory(1).await;
    let engine = start(&bus, 1, "ops-1").await;
    let ack = Ack {
        schema: SCHEMA,
        incident: "i".to_owned(),
        author: "anna".to_owned(),
        comment: Some(POISON.to_owned()),
    };
    let entry = message(subjects().of("desk.ack.anna"), &ack);
    let bad = bus.publish(entry).await.unwrap().sequence;
    wait_for_stop(&engine, LogId::Desk).await;
    sample(&*bus, METRIC, 90_000.0).await;
    ask_to_skip(&bus, LogId::Desk, bad).await.unwrap();
    alerts_until(&bus, AlertState::Fired).await;
    within("being told", async {
        loop {
            let events = memory.messages(Stream::Events);
            let notice = |kind: &str| {
                let subject = format!("ops.alert.warning.{kind}.notice");
                events.iter().any(|message| message.subject == subject.as_bytes())
            };
            if notice("log_stopped") && notice("entry_skipped") {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    engine.shutdown(PATIENCE).await;
    nothing_differs(&bus, 1).await;
}
