//! Engines that die, acks that get lost, two engines on one bus: what is said stays the same.

mod support;

use bus::layout::Layout;
use bus::memory::{Faults, MemoryBus, WriteFault};
use bus::{Bus, Message, Outgoing, SharedBus, Stream};
use engine::{Engine, EngineOptions};
use stages::log::LogId;
use stages::time::Time;
use stages::wire::{AlertState, CommitRecord};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::*;

fn memory() -> (MemoryBus, SharedBus) {
    let bus = MemoryBus::real_time(Layout::default());
    (bus.clone(), Arc::new(bus))
}

/// The same logs on a fresh bus: same sequences, same stored times, same creation.
async fn copy_of_logs(bus: &MemoryBus, shards: u32) -> MemoryBus {
    let created = bus.state(Stream::Log).await.unwrap().created;
    let copy = MemoryBus::manual_time(Layout::default(), created);
    copy.ensure(shards).await.unwrap();
    for stream in [Stream::Log, Stream::Desk] {
        assert_eq!(bus.state(stream).await.unwrap().created, created, "one creation time per bus");
        for message in bus.messages(stream) {
            copy.set_time(message.time);
            let subject = String::from_utf8(message.subject.to_vec()).unwrap();
            let entry = Outgoing { subject, payload: message.payload, ..Outgoing::default() };
            assert_eq!(copy.publish(entry).await.unwrap().sequence, message.sequence);
        }
    }
    copy
}

/// What an undisturbed engine says about the logs of `bus`.
async fn undisturbed(bus: &MemoryBus, shards: u32) -> Vec<Message> {
    let copy = copy_of_logs(bus, shards).await;
    let shared: SharedBus = Arc::new(copy.clone());
    let calm = Duration::from_secs(3600);
    let options = EngineOptions { tick_every: calm, ..options(&shared, shards, "reference") };
    let engine = Engine::start(options).unwrap();
    owns_all(&engine).await;
    let ends =
        [copy.state(Stream::Log).await.unwrap().last, copy.state(Stream::Desk).await.unwrap().last];
    let read = engine.until(|health| {
        let position = |desk| {
            let logs = health.logs.iter().filter(|log| (log.log == LogId::Desk) == desk);
            logs.map(|log| log.read).max().unwrap_or(0)
        };
        position(false) >= ends[0] && position(true) >= ends[1]
    });
    within("reading the copy", read).await;
    engine.shutdown(PATIENCE).await;
    copy.messages(Stream::Events)
}

/// Everything said on `bus` is what an undisturbed engine says over the same logs, byte for byte; it may have come
/// further, because its last step was closed at the end.
async fn assert_as_undisturbed(bus: &MemoryBus, shards: u32) {
    let (found, reference) = (bus.messages(Stream::Events), undisturbed(bus, shards).await);
    for log in (0..shards).map(LogId::Shard).chain([LogId::Desk]) {
        let (found, expected) = (said_by(&found, log), said_by(&reference, log));
        let common = found.len().min(expected.len());
        assert!(common > 0 || found.is_empty(), "log {log}: the undisturbed run said nothing");
        assert!(common > 0 || log != LogId::Desk, "nothing was said at all");
        for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(found, expected, "log {log}, message {index}");
        }
        assert!(found.len() - common <= 1, "log {log}: {} said, {common} expected", found.len());
    }
}

fn commit_record(bus: &MemoryBus, log: LogId) -> CommitRecord {
    let subject = subjects().commit(log);
    let messages = bus.messages(Stream::Events);
    let newest = messages.iter().rfind(|message| message.subject == subject.as_bytes()).unwrap();
    serde_json::from_slice(&newest.payload).unwrap()
}

/// Kills and restarts engines without any order until told to stop; then leaves one running.
async fn crash_again_and_again(bus: SharedBus, shards: u32, stop: Arc<AtomicBool>) -> Engine {
    let mut engine = Engine::start(options(&bus, shards, "ops-1")).unwrap();
    let mut lives = [40_u64, 170, 90, 310, 15, 230].into_iter().cycle();
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(lives.next().unwrap())).await;
        drop(engine);
        engine = Engine::start(options(&bus, shards, "ops-1")).unwrap();
    }
    engine
}

async fn friday_with_crashes(shards: u32) {
    let (memory, bus) = memory();
    bus.ensure(shards).await.unwrap();
    drop(start(&bus, shards, "ops-1").await);
    let stop = Arc::new(AtomicBool::new(false));
    let crashes = tokio::spawn(crash_again_and_again(bus.clone(), shards, stop.clone()));
    let (_, alerts) = World::of(&bus).play_friday().await;
    stop.store(true, Ordering::Relaxed);
    crashes.await.unwrap().shutdown(PATIENCE).await;
    let fired = alerts.iter().filter(|alert| alert.state == AlertState::Fired).count();
    assert_eq!(fired, 1);
    assert_as_undisturbed(&memory, shards).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crashes_neither_lose_nor_repeat_nor_change_a_word() {
    friday_with_crashes(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crashes_with_three_shards_change_no_word_either() {
    friday_with_crashes(3).await;
}

/// Every third write of an owner loses its ack or never arrives; seeded by counting.
struct Unclear(u32);

impl Faults for Unclear {
    fn write(&mut self, batch: &[Outgoing]) -> WriteFault {
        let events = [
            "ops.commit.",
            "ops.own.",
            "ops.desk.",
            "ops.state.",
            "ops.transition.",
            "ops.alert.",
            "ops.notify.",
            "ops.rollback.",
            "ops.request.",
        ];
        let last = &batch[batch.len() - 1].subject;
        if !events.iter().any(|event| last.starts_with(event)) || last.ends_with(".settings") {
            return WriteFault::None;
        }
        self.0 += 1;
        match self.0 % 7 {
            0 => WriteFault::LostRequest,
            2 | 5 => WriteFault::LostAck,
            4 => WriteFault::Unavailable,
            _ => WriteFault::None,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_acks_neither_lose_nor_repeat() {
    let (memory, bus) = memory();
    bus.ensure(1).await.unwrap();
    let engine = start(&bus, 1, "ops-1").await;
    memory.set_faults(Unclear(0));
    let (_, alerts) = World::of(&bus).play_friday().await;
    let fired = alerts.iter().filter(|alert| alert.state == AlertState::Fired).count();
    assert_eq!(fired, 1);
    engine.shutdown(PATIENCE).await;
    assert_as_undisturbed(&memory, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_engine_waits_and_takes_over_when_the_first_dies() {
    let (memory, bus) = memory();
    bus.ensure(1).await.unwrap();
    let first = start(&bus, 1, "ops-1").await;
    let second = Engine::start(options(&bus, 1, "ops-2")).unwrap();
    let waits = second.until(|health| {
        health.logs.iter().all(|log| log.elsewhere.as_deref() == Some("owned by ops-1"))
    });
    within("the second engine to wait", waits).await;
    sample(&*bus, METRIC, 5000.0).await;
    alerts_until(&bus, AlertState::Fired).await;
    drop(first);
    within("taking over", owns_all(&second)).await;
    for _ in 0..10 {
        sample(&*bus, METRIC, 1.0).await;
    }
    alerts_until(&bus, AlertState::Resolved).await;
    second.shutdown(PATIENCE).await;
    assert_as_undisturbed(&memory, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_was_robbed_steps_down_and_says_nothing_more() {
    let (memory, bus) = memory();
    bus.ensure(1).await.unwrap();
    let robbed = start(&bus, 1, "ops-1").await;
    // The same name claims its logs at once, as after a restart: the first is a zombie now.
    let heir = Engine::start(options(&bus, 1, "ops-1")).unwrap();
    owns_all(&heir).await;
    sample(&*bus, METRIC, 5000.0).await;
    let lost = robbed.until(|health| health.logs.iter().all(|log| !log.owned));
    within("stepping down", lost).await;
    alerts_until(&bus, AlertState::Fired).await;
    heir.shutdown(PATIENCE).await;
    drop(robbed);
    assert_as_undisturbed(&memory, 1).await;
}

/// Its position is recorded neither by time nor by a snapshot, so that every output lies behind the last record.
fn engine_without_positions(bus: &SharedBus) -> Engine {
    let never = Duration::from_secs(3600);
    let options =
        EngineOptions { position_every: never, snapshot_every: never, ..options(bus, 1, "ops-1") };
    Engine::start(options).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_behind_the_last_position_is_not_said_again() {
    let (memory, bus) = memory();
    bus.ensure(1).await.unwrap();
    drop(start(&bus, 1, "ops-1").await);
    let engine = engine_without_positions(&bus);
    owns_all(&engine).await;
    let last = sample(&*bus, METRIC, 5000.0).await;
    alerts_until(&bus, AlertState::Fired).await;
    drop(engine);
    assert!(commit_record(&memory, LogId::Shard(0)).position < last);
    // Heirs that die before they have come as far leave it to the next.
    for _ in 0..3 {
        let heir = engine_without_positions(&bus);
        owns_all(&heir).await;
        drop(heir);
    }
    let heir = engine_without_positions(&bus);
    owns_all(&heir).await;
    for _ in 0..10 {
        sample(&*bus, METRIC, 1.0).await;
    }
    alerts_until(&bus, AlertState::Resolved).await;
    heir.shutdown(PATIENCE).await;
    assert_as_undisturbed(&memory, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_commits_everything_it_read_and_the_next_start_replays_nothing() {
    let (memory, bus) = memory();
    bus.ensure(1).await.unwrap();
    let engine = start(&bus, 1, "ops-1").await;
    let last = sample(&*bus, METRIC, 5000.0).await;
    alerts_until(&bus, AlertState::Fired).await;
    engine.shutdown(PATIENCE).await;
    let record = commit_record(&memory, LogId::Shard(0));
    assert!(record.position >= last);
    assert_eq!(record.snapshot.unwrap().position, record.position);
    let own = memory.messages(Stream::Events);
    let own = own.iter().rfind(|message| message.subject == subjects().own(LogId::Desk).as_bytes());
    let own: stages::wire::OwnRecord = serde_json::from_slice(&own.unwrap().payload).unwrap();
    assert!(own.released);
    // A stranger may take it at once; nothing is said twice.
    let next = Engine::start(options(&bus, 1, "ops-2")).unwrap();
    owns_all(&next).await;
    next.shutdown(PATIENCE).await;
    assert_as_undisturbed(&memory, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_snapshot_is_passed_over() {
    let (memory, bus) = memory();
    bus.ensure(1).await.unwrap();
    let engine = start(&bus, 1, "ops-1").await;
    sample(&*bus, METRIC, 5000.0).await;
    alerts_until(&bus, AlertState::Fired).await;
    engine.shutdown(PATIENCE).await;
    bus.purge(Stream::State, "ops.state.>", 0).await.unwrap();
    let next = Engine::start(options(&bus, 1, "ops-1")).unwrap();
    owns_all(&next).await;
    assert!(next.health().trouble.unwrap().contains("a piece is missing"));
    for _ in 0..10 {
        sample(&*bus, METRIC, 1.0).await;
    }
    alerts_until(&bus, AlertState::Resolved).await;
    next.shutdown(PATIENCE).await;
    assert_as_undisturbed(&memory, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_that_expired_unread_are_said_to_be_gone() {
    let (memory, bus) = memory();
    bus.ensure(1).await.unwrap();
    start(&bus, 1, "ops-1").await.shutdown(PATIENCE).await;
    let first = sample(&*bus, METRIC, 1.0).await;
    let last = sample(&*bus, METRIC, 2.0).await;
    sample(&*bus, METRIC, 3.0).await;
    memory.expire_before(Stream::Log, last + 1);
    let engine = Engine::start(options(&bus, 1, "ops-1")).unwrap();
    let seen = engine.until(|health| health.logs[0].data_gaps > 0 && health.logs[0].committed > 0);
    within("the gap", seen).await;
    let said = said_by(&memory.messages(Stream::Events), LogId::Shard(0));
    let gap = said.iter().map(|(_, body)| body).find(|body| body.contains("\"data_gap\"")).unwrap();
    assert!(gap.contains(&format!("[{first},{last}]")), "{gap}");
    engine.shutdown(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_created_anew_is_refused_with_the_reason() {
    let (memory, bus) = memory();
    bus.ensure(1).await.unwrap();
    let engine = start(&bus, 1, "ops-1").await;
    sample(&*bus, METRIC, 1.0).await;
    engine.shutdown(PATIENCE).await;
    let fresh = MemoryBus::manual_time(Layout::default(), Time(0));
    fresh.ensure(1).await.unwrap();
    let record = commit_record(&memory, LogId::Shard(0));
    fresh.publish(message(subjects().commit(LogId::Shard(0)), &record)).await.unwrap();
    let fresh: SharedBus = Arc::new(fresh);
    let engine = Engine::start(options(&fresh, 1, "ops-1")).unwrap();
    let refused = engine.until(|health| health.trouble.is_some());
    let health = within("a refusal", refused).await;
    assert!(health.trouble.unwrap().contains("is committed: it was created anew or restored"));
    assert!(!health.logs[0].owned);
}

/// The loss of shard 0 when it is looked at, and when it is accepted.
async fn given_up(bus: &SharedBus) -> engine::Loss {
    let (log, with) = (LogId::Shard(0), options(bus, 1, "operator"));
    let seen = engine::recover(&with, log, false).await.unwrap().unwrap();
    assert!(!seen.accepted);
    let accepted = engine::recover(&with, log, true).await.unwrap().unwrap();
    assert_eq!((accepted.accepted, &accepted.why), (true, &seen.why));
    assert_eq!(engine::recover(&with, log, true).await.unwrap(), None, "it can be continued");
    accepted
}

/// An engine goes on, a sample that is bad fires, and people are told of the loss.
async fn goes_on(memory: &MemoryBus, bus: &SharedBus) {
    let engine = Engine::start(options(bus, 1, "ops-1")).unwrap();
    owns_all(&engine).await;
    engine::apply_settings(bus, &subjects(), &friday()).await.unwrap();
    for _ in 0..3 {
        sample(&**bus, METRIC, 90_000.0).await;
    }
    alerts_until(bus, AlertState::Fired).await;
    engine.shutdown(PATIENCE).await;
    let said = said_by(&memory.messages(Stream::Events), LogId::Shard(0));
    let told = said.iter().filter(|(_, body)| body.contains("loss_accepted")).count();
    assert_eq!(told, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_created_anew_goes_on_once_the_loss_is_accepted() {
    let (memory, bus) = memory();
    bus.ensure(1).await.unwrap();
    let engine = start(&bus, 1, "ops-1").await;
    sample(&*bus, METRIC, 1.0).await;
    engine.shutdown(PATIENCE).await;
    let (fresh, again) = self::memory();
    fresh.ensure(1).await.unwrap();
    let record = commit_record(&memory, LogId::Shard(0));
    fresh.publish(message(subjects().commit(LogId::Shard(0)), &record)).await.unwrap();
    let loss = given_up(&again).await;
    assert!(loss.why.contains("created anew") && loss.lost.contains("begin anew"), "{loss:?}");
    goes_on(&fresh, &again).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_without_snapshots_and_without_its_beginning_goes_on_once_that_is_accepted() {
    let (memory, bus) = memory();
    bus.ensure(1).await.unwrap();
    let engine = start(&bus, 1, "ops-1").await;
    for _ in 0..3 {
        sample(&*bus, METRIC, 1.0).await;
    }
    engine.shutdown(PATIENCE).await;
    bus.purge(Stream::State, "ops.state.>", 0).await.unwrap();
    let last = memory.state(Stream::Log).await.unwrap().last;
    memory.expire_before(Stream::Log, last);
    let loss = given_up(&bus).await;
    assert!(loss.why.contains("a piece is missing"), "{loss:?}");
    goes_on(&memory, &bus).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_given_up_behind_the_back_of_an_owner() {
    let (memory, bus) = memory();
    bus.ensure(1).await.unwrap();
    let engine = start(&bus, 1, "ops-1").await;
    sample(&*bus, METRIC, 1.0).await;
    let seen = engine.until(|health| health.logs[0].snapshots > 0);
    within("a snapshot", seen).await;
    let with = options(&bus, 1, "operator");
    let refused = within("a refusal", async {
        loop {
            // A snapshot under way may come after this.
            bus.purge(Stream::State, "ops.state.>", 0).await.unwrap();
            memory.expire_before(Stream::Log, memory.state(Stream::Log).await.unwrap().last);
            match engine::recover(&with, LogId::Shard(0), true).await {
                Err(error) => break error.to_string(),
                Ok(given_up) => assert_eq!(given_up, None),
            }
        }
    });
    let why = refused.await;
    assert!(why.contains("ops-1 owns it and is alive"), "{why}");
    engine.shutdown(PATIENCE).await;
}
