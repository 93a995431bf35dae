//! Settings larger than one message, from who applies them to the alert, through a whole engine.

mod support;

use bus::layout::Layout;
use bus::memory::{Faults, MemoryBus, WriteFault};
use bus::{Head, Message, Outgoing, SharedBus, Stream};
use engine::{
    Applied, Engine, EngineError, InForce, apply_settings, current_settings, history, settings_at,
    wait_in_force,
};
use stages::log::LogId;
use stages::revision::{PART_BYTES, parts};
use stages::settings::Settings;
use stages::wire::{AlertState, CommitRecord};
use std::sync::Arc;
use support::*;

fn memory() -> (MemoryBus, SharedBus) {
    let bus = MemoryBus::real_time(Layout::default());
    (bus.clone(), Arc::new(bus))
}

fn settings_messages(bus: &MemoryBus, stream: Stream, log: LogId) -> Vec<Message> {
    let subject = subjects().entry(log, "settings");
    let mut messages = bus.messages(stream);
    messages.retain(|message| message.subject == subject.as_bytes());
    messages
}

fn desk_record(bus: &MemoryBus) -> CommitRecord {
    let subject = subjects().commit(LogId::Desk);
    let messages = bus.messages(Stream::Events);
    let newest = messages.iter().rfind(|message| message.subject == subject.as_bytes()).unwrap();
    serde_json::from_slice(&newest.payload).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_rules_are_in_force_on_every_shard() {
    let (memory, bus) = memory();
    bus.ensure(2).await.unwrap();
    let engine = start(&bus, 2, "ops-1").await;
    let many = many_rules();
    let count = parts(&many).unwrap().len();
    assert!(count > 5, "{count} parts");
    let applied = apply_settings(&bus, &subjects(), &many).await.unwrap();
    assert!(matches!(applied, Applied::Stored(_)));
    let in_force = wait_in_force(&bus, &subjects(), 2, ("many", applied), PATIENCE).await;
    assert_eq!(in_force.unwrap(), InForce::Asked);
    for (stream, log) in [
        (Stream::Desk, LogId::Desk),
        (Stream::Log, LogId::Shard(0)),
        (Stream::Log, LogId::Shard(1)),
    ] {
        let stored = settings_messages(&memory, stream, log);
        assert_eq!(stored.len(), 1 + count, "{log}: once, behind the revision before");
        assert!(stored.iter().all(|message| message.payload.len() <= PART_BYTES));
        let (first, last) = (&stored[1], &stored[count]);
        assert_eq!(last.sequence - first.sequence, count as u64 - 1, "nothing lies between");
    }
    let (_, current) = current_settings(&bus, &subjects()).await.unwrap().unwrap();
    assert_eq!(current, many);
    let again = apply_settings(&bus, &subjects(), &many).await.unwrap();
    assert!(matches!(again, Applied::Unchanged(_)));
    sample(&*bus, "m_09999_ms", 5000.0).await;
    let alerts = alerts_until(&bus, AlertState::Fired).await;
    assert_eq!(alerts.last().unwrap().rule, "r_09999");
    // Back to one message: the shards follow.
    let few = Settings { revision: "few".to_owned(), ..friday() };
    let applied = apply_settings(&bus, &subjects(), &few).await.unwrap();
    wait_in_force(&bus, &subjects(), 2, ("few", applied), PATIENCE).await.unwrap();
    engine.shutdown(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_applied_first_is_told_of_the_later_revision() {
    let (memory, bus) = memory();
    bus.ensure(2).await.unwrap();
    let engine = start(&bus, 2, "ops-1").await;
    // Both are stored before any log has read one.
    memory.hold_readers_at(Stream::Desk, Some(bus.state(Stream::Desk).await.unwrap().last));
    let of = |revision: &str, author: &str| {
        let (revision, author) = (revision.to_owned(), author.to_owned());
        Settings { revision, author, ..friday() }
    };
    let first = apply_settings(&bus, &subjects(), &of("first", "anna")).await.unwrap();
    let second = apply_settings(&bus, &subjects(), &of("second", "bob")).await.unwrap();
    let none = std::time::Duration::ZERO;
    for wanted in [("first", first), ("second", second)] {
        let early = wait_in_force(&bus, &subjects(), 2, wanted, none).await;
        assert!(matches!(early, Err(EngineError::NotInForce { .. })), "{early:?}");
    }
    memory.hold_readers_at(Stream::Desk, None);
    let told = wait_in_force(&bus, &subjects(), 2, ("first", first), PATIENCE).await.unwrap();
    assert_eq!(told, InForce::Later { revision: "second".into(), author: "bob".into() });
    let told = wait_in_force(&bus, &subjects(), 2, ("second", second), PATIENCE).await.unwrap();
    assert_eq!(told, InForce::Asked);
    engine.shutdown(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_between_two_parts_is_gone_on_from() {
    let (memory, bus) = memory();
    bus.ensure(1).await.unwrap();
    let engine = start(&bus, 1, "ops-1").await;
    memory.hold_readers_at(Stream::Desk, Some(bus.state(Stream::Desk).await.unwrap().last));
    let applied = apply_settings(&bus, &subjects(), &many_rules()).await.unwrap();
    let stored = settings_messages(&memory, Stream::Desk, LogId::Desk);
    let head = |message: &Message| Head::read(message).unwrap();
    let third = stored.iter().find(|message| head(message).part.is_some_and(|it| it.number == 3));
    let third = third.unwrap().sequence;
    memory.hold_readers_at(Stream::Desk, Some(third));
    let read = engine.until(|health| {
        health.logs.iter().any(|log| log.log == LogId::Desk && log.position >= third)
    });
    within("three parts", read).await;
    engine.shutdown(PATIENCE).await;
    let snapshot = desk_record(&memory).snapshot.unwrap();
    assert_eq!(snapshot.position, third, "taken between two parts");
    memory.hold_readers_at(Stream::Desk, None);
    let next = Engine::start(options(&bus, 1, "ops-1")).unwrap();
    owns_all(&next).await;
    assert_eq!(next.health().trouble, None, "the snapshot was read");
    wait_in_force(&bus, &subjects(), 1, ("many", applied), PATIENCE).await.unwrap();
    sample(&*bus, "m_00007_ms", 5000.0).await;
    let alerts = alerts_until(&bus, AlertState::Fired).await;
    let fired = alerts.last().unwrap();
    // The desk knows the rule: it says whom it told.
    assert_eq!((fired.rule.as_str(), fired.notified.len()), ("r_00007", 1));
    assert!(alerts.iter().all(|alert| alert.state != AlertState::Notice), "nothing was refused");
    next.shutdown(PATIENCE).await;
}

/// Loses the ack of the next write.
struct LoseOneAck(bool);

impl Faults for LoseOneAck {
    fn write(&mut self, _: &[Outgoing]) -> WriteFault {
        if std::mem::take(&mut self.0) { WriteFault::LostAck } else { WriteFault::None }
    }
}

#[tokio::test]
async fn a_lost_ack_of_many_parts_is_read_back() {
    let (memory, bus) = memory();
    bus.ensure(1).await.unwrap();
    memory.set_faults(LoseOneAck(true));
    let applied = apply_settings(&bus, &subjects(), &many_rules()).await.unwrap();
    let stored = settings_messages(&memory, Stream::Desk, LogId::Desk);
    assert_eq!(applied, Applied::Stored(stored.last().unwrap().sequence));
    assert_eq!(stored.len(), parts(&many_rules()).unwrap().len(), "stored once");
}

#[tokio::test]
async fn parts_that_are_gone_are_missed_and_the_next_revision_is_taken() {
    let (memory, bus) = memory();
    bus.ensure(1).await.unwrap();
    apply_settings(&bus, &subjects(), &many_rules()).await.unwrap();
    bus.purge(Stream::Desk, &subjects().entry(LogId::Desk, "settings"), 2).await.unwrap();
    let missing = current_settings(&bus, &subjects()).await;
    assert!(matches!(missing, Err(EngineError::SettingsUnreadable { .. })), "{missing:?}");
    let engine = start(&bus, 1, "ops-1").await;
    let refused = alerts_until(&bus, AlertState::Notice).await;
    assert!(refused.last().unwrap().detail.as_deref().unwrap().contains("came without"));
    engine.shutdown(PATIENCE).await;
    drop(memory);
}

#[tokio::test]
async fn what_no_bus_takes_is_refused_before_anything_is_stored() {
    let (memory, bus) = memory();
    bus.ensure(1).await.unwrap();
    let wordy = Settings { comment: "x".repeat(PART_BYTES), ..friday() };
    let refused = apply_settings(&bus, &subjects(), &wordy).await;
    assert!(matches!(refused, Err(EngineError::SettingsTooLarge(_))), "{refused:?}");
    assert!(settings_messages(&memory, Stream::Desk, LogId::Desk).is_empty());
}

#[tokio::test]
async fn every_revision_is_kept_and_found_again_whole() {
    let (_, bus) = memory();
    bus.ensure(1).await.unwrap();
    assert_eq!(history(&bus, &subjects()).await.unwrap(), []);
    let signed = |revision: &str, comment: &str, settings: Settings| Settings {
        revision: revision.into(),
        author: "anna".into(),
        comment: comment.into(),
        ..settings
    };
    let (few, many) = (signed("few", "calm", friday()), signed("many", "more", many_rules()));
    let again = signed("few", "back", friday());
    let mut places = Vec::new();
    for settings in [&few, &many, &again] {
        places.push(apply_settings(&bus, &subjects(), settings).await.unwrap().sequence());
    }
    let found = history(&bus, &subjects()).await.unwrap();
    let told: Vec<(&str, &str)> =
        found.iter().map(|it| (it.revision.as_str(), it.comment.as_str())).collect();
    assert_eq!(told, [("few", "calm"), ("many", "more"), ("few", "back")]);
    assert_eq!(found.iter().map(|it| it.sequence).collect::<Vec<_>>(), places);
    let at = async |sequence| settings_at(&bus, &subjects(), sequence).await.unwrap();
    assert_eq!(at(places[1]).await, Some(many));
    assert_eq!(at(places[2]).await, Some(again));
    assert_eq!(at(places[1] - 1).await, None, "a part is no revision");
}
