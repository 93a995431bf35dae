//! One suite, run against JetStream and against the bus in memory: both keep the words of the contract.

use bus::accounts::Role;
use bus::jetstream::JetStream;
use bus::layout::Layout;
use bus::memory::MemoryBus;
use bus::server::{LocalServer, ServerOptions};
use bus::{Bus, BusError, Expect, Message, Outgoing, Reader, Stream, WorkOptions};
use bytes::Bytes;
use stages::log::LogId;
use stages::subject::Subjects;
use std::time::Duration;

/// A bus under test, and whoever writes on it.
struct Subject {
    bus: Box<dyn Bus>,
    /// As a board sees it.
    board: Box<dyn Bus>,
    _server: Option<(LocalServer, tempfile::TempDir)>,
}

async fn memory() -> Subject {
    let bus = MemoryBus::real_time(Layout::default());
    bus.ensure(4).await.unwrap();
    Subject { bus: Box::new(bus.clone()), board: Box::new(bus), _server: None }
}

/// On a server of its own, with the generated accounts: the admin sets the streams up, the owner is tested.
async fn jetstream() -> Subject {
    let data = tempfile::tempdir().unwrap();
    let options = ServerOptions {
        data: data.path().to_owned(),
        port: None,
        layout: Layout::default(),
        agent: "local".to_owned(),
    };
    let server = LocalServer::start(options).await.unwrap();
    let admin = JetStream::connect(server.options(Role::Admin)).await.unwrap();
    admin.ensure(4).await.unwrap();
    let bus = JetStream::connect(server.options(Role::Owner)).await.unwrap();
    let board = JetStream::connect(server.options(Role::Board)).await.unwrap();
    Subject { bus: Box::new(bus), board: Box::new(board), _server: Some((server, data)) }
}

fn message(subject: &str, payload: &str) -> Outgoing {
    Outgoing {
        subject: subject.to_owned(),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        ..Outgoing::default()
    }
}

fn expecting(subject: &str, sequence: u64) -> Outgoing {
    Outgoing { expect: Some(Expect { subject: None, sequence }), ..message(subject, "x") }
}

fn fenced(subject: &str, fence: &str, sequence: u64) -> Outgoing {
    let expect = Some(Expect { subject: Some(fence.to_owned()), sequence });
    Outgoing { expect, ..message(subject, "x") }
}

async fn take(reader: &mut dyn Reader, count: usize) -> Vec<Message> {
    let mut messages = Vec::new();
    while messages.len() < count {
        let next = tokio::time::timeout(Duration::from_secs(20), reader.next(&mut messages));
        next.await.expect("a reader delivers what is stored").unwrap();
    }
    messages
}

const PATIENT: WorkOptions =
    WorkOptions { ack_wait: Duration::from_secs(30), in_flight_max: 10, only_new: false };

macro_rules! conformance {
    ($($name:ident)*) => {
        mod on_memory {
            $(#[tokio::test] async fn $name() { super::$name(&super::memory().await).await; })*
        }
        mod on_jetstream {
            $(#[tokio::test] async fn $name() { super::$name(&super::jetstream().await).await; })*
        }
    };
}

conformance! {
    sequences_rise_by_one_and_times_do_not_fall
    subjects_are_listed_in_order
    compare_and_set_lets_one_writer_win
    a_fence_on_another_subject_refuses_a_zombie
    a_batch_is_stored_whole_or_not_at_all
    a_batch_is_checked_against_the_state_before_it
    a_batch_of_a_thousand_is_the_largest
    what_no_bus_takes_is_refused_as_invalid
    a_repeat_by_message_id_is_stored_once
    the_last_of_a_subject_is_found_also_by_wildcard
    an_empty_stream_has_bounds_too
    a_reader_starts_where_it_is_told_and_follows
    a_reader_keeps_to_its_filter
    a_reader_that_is_given_up_waiting_loses_nothing
    a_purged_start_shows_as_a_jump
    purging_keeps_the_newest
    the_first_message_at_a_time_is_found
    work_comes_again_until_it_is_done
    work_that_waits_for_later_comes_later
    only_new_work_starts_at_the_end
    ensuring_again_changes_nothing_and_other_shards_are_refused
    what_is_kept_for_ever_can_be_stored_in_logs_and_events
}

async fn sequences_rise_by_one_and_times_do_not_fall(on: &Subject) {
    let mut stored = Vec::new();
    for _ in 0..5 {
        stored.push(on.bus.publish(message("ops.log.0.tick", "")).await.unwrap().sequence);
    }
    assert_eq!(stored, [1, 2, 3, 4, 5]);
    let mut reader = on.bus.read(Stream::Log, None, 1).await.unwrap();
    let read = take(&mut *reader, 5).await;
    assert!(read.windows(2).all(|pair| pair[0].time <= pair[1].time));
    let last = on.bus.last(Stream::Log, "ops.log.0.tick").await.unwrap().unwrap();
    assert_eq!(&last, read.last().unwrap(), "both ways of reading agree to the nanosecond");
}

async fn subjects_are_listed_in_order(on: &Subject) {
    for subject in ["ops.alive.b", "ops.alive.a", "ops.alive.b"] {
        on.bus.publish(message(subject, "")).await.unwrap();
    }
    let listed = on.bus.subjects(Stream::Alive, "ops.alive.*").await.unwrap();
    assert_eq!(listed, ["ops.alive.a", "ops.alive.b"]);
    assert_eq!(on.bus.subjects(Stream::Alive, "ops.alive.c").await.unwrap(), [""; 0]);
}

async fn compare_and_set_lets_one_writer_win(on: &Subject) {
    let first = on.bus.publish(expecting("ops.commit.0", 0)).await.unwrap().sequence;
    let refused = on.bus.publish(expecting("ops.commit.0", 0)).await;
    assert!(
        matches!(&refused, Err(BusError::Conflict { subject }) if subject == "ops.commit.0"),
        "{refused:?}"
    );
    on.bus.publish(expecting("ops.commit.0", first)).await.unwrap();
    on.bus.publish(expecting("ops.commit.1", 0)).await.unwrap();
}

async fn a_fence_on_another_subject_refuses_a_zombie(on: &Subject) {
    let fence = on.bus.publish(message("ops.own.0", "me")).await.unwrap().sequence;
    on.bus.publish(fenced("ops.transition.0", "ops.own.0", fence)).await.unwrap();
    on.bus.publish(message("ops.own.0", "another")).await.unwrap();
    let alone = on.bus.publish(fenced("ops.transition.0", "ops.own.0", fence)).await;
    assert!(matches!(alone, Err(BusError::Conflict { .. })), "{alone:?}");
    let batch = vec![
        message("ops.transition.0", "a"),
        fenced("ops.transition.0", "ops.own.0", fence),
        message("ops.commit.0", "b"),
    ];
    let batch = on.bus.commit(batch).await;
    assert!(matches!(batch, Err(BusError::Conflict { .. })), "{batch:?}");
    assert_eq!(on.bus.state(Stream::Events).await.unwrap().last, 3);
}

async fn a_batch_is_stored_whole_or_not_at_all(on: &Subject) {
    let batch = |n: u64| {
        vec![
            message("ops.transition.0", "a"),
            message("ops.transition.0", "b"),
            Outgoing { keep_forever: true, ..expecting("ops.commit.0", n) },
        ]
    };
    assert_eq!(on.bus.commit(batch(0)).await.unwrap(), 3);
    let refused = on.bus.commit(batch(0)).await;
    assert!(matches!(refused, Err(BusError::Conflict { .. })), "{refused:?}");
    assert_eq!(on.bus.state(Stream::Events).await.unwrap().last, 3);
    assert_eq!(on.bus.commit(batch(3)).await.unwrap(), 6);
    let mut reader = on.bus.read(Stream::Events, None, 1).await.unwrap();
    let read = take(&mut *reader, 6).await;
    let subjects: Vec<_> = read.iter().map(|m| String::from_utf8_lossy(&m.subject)).collect();
    assert_eq!(subjects[3..], ["ops.transition.0", "ops.transition.0", "ops.commit.0"]);
}

async fn a_batch_is_checked_against_the_state_before_it(on: &Subject) {
    let batch = vec![
        message("ops.own.desk", "me"),
        fenced("ops.transition.0", "ops.own.0", 0),
        expecting("ops.commit.desk", 0),
    ];
    assert_eq!(on.bus.commit(batch).await.unwrap(), 3);
    assert_eq!(on.bus.commit(vec![expecting("ops.commit.desk", 3)]).await.unwrap(), 4);
}

async fn a_batch_of_a_thousand_is_the_largest(on: &Subject) {
    let batch = |count: usize| vec![message("ops.transition.0", "x"); count];
    assert_eq!(on.bus.commit(batch(1000)).await.unwrap(), 1000);
    let refused = on.bus.commit(batch(1001)).await;
    assert!(matches!(refused, Err(BusError::Invalid(_))), "{refused:?}");
    let refused = on.bus.commit(Vec::new()).await;
    assert!(matches!(refused, Err(BusError::Invalid(_))), "{refused:?}");
}

async fn what_no_bus_takes_is_refused_as_invalid(on: &Subject) {
    for subject in ["", "ops..x", "ops.log.*", "ops.log.>", "ops.log.a b"] {
        let refused = on.bus.publish(message(subject, "")).await;
        assert!(matches!(refused, Err(BusError::Invalid(_))), "{subject:?}: {refused:?}");
    }
    let two_streams = vec![message("ops.transition.0", ""), message("ops.desk.tick", "")];
    let refused = on.bus.commit(two_streams).await;
    assert!(matches!(refused, Err(BusError::Invalid(_))), "{refused:?}");
    let with_id = Outgoing { message_id: Some("a".to_owned()), ..message("ops.transition.0", "") };
    let refused = on.bus.commit(vec![with_id.clone(), with_id]).await;
    assert!(matches!(refused, Err(BusError::Invalid(_))), "{refused:?}");
}

async fn a_repeat_by_message_id_is_stored_once(on: &Subject) {
    let with_id =
        |subject: &str| Outgoing { message_id: Some("one".to_owned()), ..message(subject, "x") };
    let first = on.bus.publish(with_id("ops.desk.transition.0")).await.unwrap();
    assert!(!first.duplicate);
    let again = on.bus.publish(with_id("ops.desk.transition.0")).await.unwrap();
    assert!(again.duplicate && again.sequence == first.sequence);
    let elsewhere = on.bus.publish(with_id("ops.desk.transition.1")).await.unwrap();
    assert!(elsewhere.duplicate, "an id counts for the whole stream");
    assert_eq!(on.bus.state(Stream::Desk).await.unwrap().last, 1);
}

async fn the_last_of_a_subject_is_found_also_by_wildcard(on: &Subject) {
    assert_eq!(on.bus.last(Stream::Events, "ops.own.0").await.unwrap(), None);
    on.bus.publish(message("ops.own.0", "a")).await.unwrap();
    on.bus.publish(message("ops.own.1", "b")).await.unwrap();
    let exact = on.bus.last(Stream::Events, "ops.own.0").await.unwrap().unwrap();
    assert_eq!((exact.sequence, &exact.payload[..]), (1, &b"a"[..]));
    let any = on.bus.last(Stream::Events, "ops.own.*").await.unwrap().unwrap();
    assert_eq!((any.sequence, &any.subject[..]), (2, &b"ops.own.1"[..]));
}

async fn an_empty_stream_has_bounds_too(on: &Subject) {
    let empty = on.bus.state(Stream::Events).await.unwrap();
    assert_eq!((empty.first, empty.last), (1, 0));
    on.bus.publish(message("ops.commit.0", "chunk")).await.unwrap();
    let one = on.bus.state(Stream::Events).await.unwrap();
    assert_eq!((one.first, one.last), (1, 1));
    assert!(one.bytes.0 > 0 && one.created == empty.created);
    on.bus.purge(Stream::Events, "ops.commit.>", 0).await.unwrap();
    let purged = on.bus.state(Stream::Events).await.unwrap();
    assert_eq!((purged.first, purged.last), (2, 1));
}

async fn a_reader_starts_where_it_is_told_and_follows(on: &Subject) {
    for n in 0..300 {
        on.bus.publish(message("ops.log.0.tick", &n.to_string())).await.unwrap();
    }
    let mut reader = on.bus.read(Stream::Log, None, 250).await.unwrap();
    let old = take(&mut *reader, 51).await;
    assert_eq!(old.iter().map(|m| m.sequence).collect::<Vec<_>>(), (250..=300).collect::<Vec<_>>());
    assert_eq!(&old[0].payload[..], b"249");
    on.bus.publish(message("ops.log.1.tick", "new")).await.unwrap();
    assert_eq!(take(&mut *reader, 1).await[0].sequence, 301);
    let mut ahead = on.bus.read(Stream::Log, None, 303).await.unwrap();
    on.bus.publish(message("ops.log.1.tick", "302")).await.unwrap();
    on.bus.publish(message("ops.log.1.tick", "303")).await.unwrap();
    assert_eq!(take(&mut *ahead, 1).await[0].sequence, 303, "never before where it was told");
}

async fn a_reader_keeps_to_its_filter(on: &Subject) {
    for shard in [0, 1, 2, 1, 0] {
        on.bus.publish(message(&format!("ops.log.{shard}.tick"), "")).await.unwrap();
    }
    let filter = Subjects::default().entries(LogId::Shard(1));
    let mut reader = on.bus.read(Stream::Log, Some(&filter), 1).await.unwrap();
    let read = take(&mut *reader, 2).await;
    assert_eq!(read.iter().map(|m| m.sequence).collect::<Vec<_>>(), [2, 4]);
}

async fn a_reader_that_is_given_up_waiting_loses_nothing(on: &Subject) {
    let mut reader = on.bus.read(Stream::Log, None, 1).await.unwrap();
    let mut read = Vec::new();
    for _ in 0..100 {
        on.bus.publish(message("ops.log.0.tick", "")).await.unwrap();
        // Given up at any point: whatever was appended stays.
        let _ = tokio::time::timeout(Duration::from_micros(200), reader.next(&mut read)).await;
    }
    let missing = 100 - read.len();
    read.extend(take(&mut *reader, missing).await);
    assert_eq!(read.iter().map(|m| m.sequence).collect::<Vec<_>>(), (1..=100).collect::<Vec<_>>());
}

async fn a_purged_start_shows_as_a_jump(on: &Subject) {
    for _ in 0..10 {
        on.bus.publish(message("ops.commit.0", "")).await.unwrap();
    }
    on.bus.purge(Stream::Events, "ops.commit.>", 3).await.unwrap();
    let mut reader = on.bus.read(Stream::Events, None, 2).await.unwrap();
    assert_eq!(take(&mut *reader, 3).await[0].sequence, 8);
}

async fn purging_keeps_the_newest(on: &Subject) {
    for _ in 0..5 {
        on.bus.publish(message("ops.commit.0", "a")).await.unwrap();
        on.bus.publish(message("ops.commit.1", "b")).await.unwrap();
    }
    on.bus.purge(Stream::Events, "ops.commit.0", 1).await.unwrap();
    let mut reader = on.bus.read(Stream::Events, None, 1).await.unwrap();
    let left: Vec<_> = take(&mut *reader, 6).await.iter().map(|m| m.sequence).collect();
    assert_eq!(left, [2, 4, 6, 8, 9, 10]);
    on.bus.publish(expecting("ops.commit.0", 9)).await.unwrap();
}

async fn the_first_message_at_a_time_is_found(on: &Subject) {
    assert_eq!(on.board.first_at(Stream::Rollups, stages::time::Time(1)).await.unwrap(), 1);
    for _ in 0..5 {
        on.bus.publish(message("ops.rollup.1s.0", "")).await.unwrap();
    }
    let mut reader = on.board.read(Stream::Rollups, None, 1).await.unwrap();
    let read = take(&mut *reader, 5).await;
    let first_with = |time| read.iter().find(|m| m.time >= time).map(|m| m.sequence).unwrap();
    for message in &read {
        let found = on.board.first_at(Stream::Rollups, message.time).await.unwrap();
        assert_eq!(found, first_with(message.time));
    }
    let after = read[4].time.plus(stages::time::Span::from_secs(1));
    assert_eq!(on.board.first_at(Stream::Rollups, after).await.unwrap(), 6);
    assert_eq!(on.board.first_at(Stream::Rollups, stages::time::Time(0)).await.unwrap(), 1);
}

async fn work_comes_again_until_it_is_done(on: &Subject) {
    let hasty = WorkOptions { ack_wait: Duration::from_millis(300), ..PATIENT };
    for plan in ["a", "b"] {
        on.bus.publish(message(&format!("ops.rollback.{plan}.withdraw"), plan)).await.unwrap();
    }
    let filter = "ops.rollback.*.withdraw";
    let mut worker = on.bus.work(Stream::Events, filter, "withdraw", hasty).await.unwrap();
    let first = worker.next().await.unwrap();
    assert_eq!((first.message.sequence, first.delivery), (1, 1));
    let second = worker.next().await.unwrap();
    assert_eq!((second.message.sequence, second.delivery), (2, 1));
    second.answer.done().await.unwrap();
    let again = worker.next().await.unwrap();
    assert_eq!((again.message.sequence, again.delivery), (1, 2), "it was not acked in time");
    again.answer.working().await.unwrap();
    again.answer.done().await.unwrap();
    drop(worker);
    // Made once, then found: it goes on where it was.
    let mut worker = on.bus.work(Stream::Events, filter, "withdraw", hasty).await.unwrap();
    on.bus.publish(message("ops.rollback.c.withdraw", "c")).await.unwrap();
    assert_eq!(worker.next().await.unwrap().message.sequence, 3);
}

async fn work_that_waits_for_later_comes_later(on: &Subject) {
    on.bus.publish(message("ops.rollback.a.withdraw", "")).await.unwrap();
    let filter = "ops.rollback.*.withdraw";
    let mut worker = on.bus.work(Stream::Events, filter, "withdraw", PATIENT).await.unwrap();
    let first = worker.next().await.unwrap();
    first.answer.later(Duration::from_millis(100)).await.unwrap();
    let again = worker.next().await.unwrap();
    assert_eq!((again.message.sequence, again.delivery), (1, 2));
}

async fn only_new_work_starts_at_the_end(on: &Subject) {
    on.bus.publish(message("ops.rollback.a.withdraw", "")).await.unwrap();
    let options = WorkOptions { only_new: true, ..PATIENT };
    let filter = "ops.rollback.*.withdraw";
    let mut worker = on.bus.work(Stream::Events, filter, "withdraw", options).await.unwrap();
    on.bus.publish(message("ops.rollback.b.withdraw", "")).await.unwrap();
    assert_eq!(worker.next().await.unwrap().message.sequence, 2);
}

async fn ensuring_again_changes_nothing_and_other_shards_are_refused(on: &Subject) {
    on.bus.ensure(4).await.unwrap();
    match on.bus.ensure(8).await {
        Err(BusError::Mismatch { stream, field, remedy, .. }) => {
            assert_eq!((stream.as_str(), field.as_str()), ("OPS_LOG", "subject_transform"));
            assert!(remedy.contains("shards"));
        }
        other => panic!("{other:?}"),
    }
}

async fn what_is_kept_for_ever_can_be_stored_in_logs_and_events(on: &Subject) {
    for subject in ["ops.own.0", "ops.desk.tick", "ops.log.0.settings", "ops.exec.p.i"] {
        let forever = Outgoing { keep_forever: true, ..message(subject, "x") };
        on.bus.publish(forever).await.unwrap();
    }
    on.bus.publish(message("ops.rollup.1s.0", "x")).await.unwrap();
    on.bus.publish(message("ops.alive.me", "x")).await.unwrap();
    on.bus.publish(message("ops.deadletter.bad_ts", "x")).await.unwrap();
}
