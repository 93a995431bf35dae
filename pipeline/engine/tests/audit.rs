//! The audit proves what was said, and finds what was not.

mod support;

use bus::layout::Layout;
use bus::memory::MemoryBus;
use bus::{Outgoing, SharedBus, Stream};
use engine::{Audit, AuditOptions, EngineOptions, audit};
use stages::log::LogId;
use stages::time::Time;
use std::sync::Arc;
use std::time::Duration;
use support::*;

const LOGS: [LogId; 2] = [LogId::Shard(0), LogId::Desk];

/// A Friday on a bus of its own, with an anchor a second.
async fn friday_on(memory: &MemoryBus) -> SharedBus {
    let bus: SharedBus = Arc::new(memory.clone());
    bus.ensure(1).await.unwrap();
    let often = EngineOptions { anchor_every: Duration::from_secs(1), ..options(&bus, 1, "ops-1") };
    let engine = engine::Engine::start(often).unwrap();
    engine::apply_settings(&bus, &subjects(), &friday()).await.unwrap();
    owns_all(&engine).await;
    World::of(&bus).play_friday().await;
    engine.shutdown(PATIENCE).await;
    bus
}

async fn verify(bus: &SharedBus, log: LogId, since: Time) -> Audit {
    let options = AuditOptions {
        bus: bus.clone(),
        subjects: subjects(),
        shards: 1,
        since,
        stages: Default::default(),
    };
    let mut told = Vec::new();
    let progress: engine::Progress<'_> = &mut |done, whole| told.push((done, whole));
    let found = within("the audit", audit(&options, log, progress)).await.unwrap();
    assert!(told.is_sorted() && told.last().is_none_or(|(done, whole)| done == whole), "{told:?}");
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_word_of_a_friday_is_proven_from_the_start_and_from_a_snapshot() {
    let memory = MemoryBus::real_time(Layout::default());
    let bus = friday_on(&memory).await;
    for log in LOGS {
        let said = said_by(&memory.messages(Stream::Events), log).len() as u64;
        let found = verify(&bus, log, Time(0)).await;
        assert_eq!((found.proven, found.difference, found.by_owner), (said, None, 0));
        assert_eq!(found.from.unwrap().1, 0, "from the log's start");
        let end = found.to.unwrap().0;
        let found = verify(&bus, log, end).await;
        assert!(found.from.unwrap().1 > 0, "from a snapshot");
        assert!(found.unproven.is_empty() && found.difference.is_none(), "{found:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_left_the_log_is_named_as_not_proven() {
    let memory = MemoryBus::real_time(Layout::default());
    let bus = friday_on(&memory).await;
    memory.expire_before(Stream::Log, 10);
    let found = verify(&bus, LogId::Shard(0), Time(0)).await;
    let [span] = &found.unproven[..] else { panic!("{found:#?}") };
    assert_eq!((span.from, span.to), (Time(0), found.from.unwrap().0));
    assert!(span.why.contains("left the log"), "{}", span.why);
    assert_eq!(found.difference, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_word_too_many_or_too_few_is_shown_with_the_entries_it_is_about() {
    let memory = MemoryBus::real_time(Layout::default());
    let bus = friday_on(&memory).await;
    let events = memory.messages(Stream::Events);
    let fired = events.iter().find(|message| message.subject.ends_with(b".fired")).unwrap();
    let subject = String::from_utf8(fired.subject.to_vec()).unwrap();
    let forged = Outgoing {
        subject: subject.clone(),
        payload: fired.payload.clone(),
        ..Outgoing::default()
    };
    bus.publish(forged).await.unwrap();
    let twice = verify(&bus, LogId::Desk, Time(0)).await.difference.unwrap();
    assert_eq!((twice.recomputed, twice.found.unwrap().0), (None, subject.clone()));
    bus.purge(Stream::Events, &subject, 0).await.unwrap();
    let gone = verify(&bus, LogId::Desk, Time(0)).await.difference.unwrap();
    assert_eq!(gone.recomputed.unwrap().0, subject);
    assert!(gone.entries.0 < gone.entries.1);
}
