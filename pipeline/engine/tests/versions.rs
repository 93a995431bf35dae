//! A rolling upgrade: each version of the stages goes on from what is its own, and no word is said twice.

mod support;

use bus::layout::Layout;
use bus::memory::{Faults, MemoryBus, WriteFault};
use bus::{Bus, Outgoing, SharedBus, Stream};
use engine::{AuditOptions, Engine, EngineOptions, StagesVersion, audit};
use stages::log::LogId;
use stages::time::Time;
use stages::wire::{AlertState, CommitRecord};
use std::sync::Arc;
use support::*;

const LOG: LogId = LogId::Shard(0);
const OLD: StagesVersion = StagesVersion { is: stages::VERSION, reads_from: stages::VERSION };
/// Takes up what the old version saved.
const NEW: StagesVersion = StagesVersion { is: stages::VERSION + 1, reads_from: stages::VERSION };
/// Does not.
const STRANGE: StagesVersion =
    StagesVersion { is: stages::VERSION + 1, reads_from: stages::VERSION + 1 };

async fn memory() -> (MemoryBus, SharedBus) {
    let memory = MemoryBus::real_time(Layout::default());
    memory.ensure(1).await.unwrap();
    (memory.clone(), Arc::new(memory))
}

fn engine(bus: &SharedBus, stages: StagesVersion, process: &str) -> Engine {
    Engine::start(EngineOptions { stages, ..options(bus, 1, process) }).unwrap()
}

async fn record(bus: &SharedBus) -> CommitRecord {
    let newest = bus.last(Stream::Events, &subjects().commit(LOG)).await.unwrap().unwrap();
    serde_json::from_slice(&newest.payload).unwrap()
}

/// An alert fires under the old version, which then ends: in good order, or as in a crash.
async fn fired_by_the_old_one(bus: &SharedBus, in_order: bool) {
    let old = start(bus, 1, "ops-1").await;
    let saved = old.until(|health| health.logs[0].snapshots > 0);
    within("a snapshot", saved).await;
    sample(&**bus, METRIC, 5_000.0).await;
    alerts_until(bus, AlertState::Fired).await;
    if in_order {
        old.shutdown(PATIENCE).await;
    }
}

async fn resolves(bus: &SharedBus) {
    for _ in 0..10 {
        sample(&**bus, METRIC, 1.0).await;
    }
    let alerts = alerts_until(bus, AlertState::Resolved).await;
    let fired = alerts.iter().filter(|alert| alert.state == AlertState::Fired).count();
    assert_eq!(fired, 1);
}

async fn changes_the_version(in_order: bool) {
    let (_, bus) = memory().await;
    fired_by_the_old_one(&bus, in_order).await;
    let before = record(&bus).await;
    assert_eq!(before.stages, OLD.is);
    let new = engine(&bus, NEW, "ops-1");
    owns_all(&new).await;
    resolves(&bus).await;
    new.shutdown(PATIENCE).await;
    let after = record(&bus).await;
    assert_eq!((after.stages, after.snapshot.unwrap().stages), (NEW.is, NEW.is));

    // The older one does not take it back, and says what to do.
    let old = engine(&bus, OLD, "ops-2");
    let refused = old.until(|health| {
        let why = health.logs[0].elsewhere.as_deref().unwrap_or_default();
        why.contains("start the newer version of ops here too")
    });
    let health = within("a refusal", refused).await;
    assert!(health.not_ready(PATIENCE).is_some() && !health.logs[0].owned);
    old.shutdown(PATIENCE).await;
    assert_eq!(record(&bus).await.stages, NEW.is);

    // What the older one said, the newer one cannot prove, and says so; it proves the rest.
    for log in engine::all_logs(1) {
        let (bus, since) = (bus.clone(), Time(0));
        let with = AuditOptions { bus, subjects: subjects(), shards: 1, since, stages: NEW };
        let found = within("the audit", audit(&with, log, &mut |_, _| ())).await.unwrap();
        let [span] = &found.unproven[..] else { panic!("log {log}: {found:#?}") };
        assert!(span.why.contains(&format!("said by version {}", OLD.is)), "{}", span.why);
        assert_eq!(found.difference, None, "log {log}");
        assert!(found.proven > 0, "log {log}: {found:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_version_goes_on_where_the_older_one_stopped() {
    changes_the_version(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_version_goes_on_where_the_older_one_died() {
    changes_the_version(false).await;
}

/// No snapshot is stored.
struct NoSnapshots;

impl Faults for NoSnapshots {
    fn write(&mut self, batch: &[Outgoing]) -> WriteFault {
        let state = batch.iter().any(|message| message.subject.starts_with("ops.state."));
        if state { WriteFault::Unavailable } else { WriteFault::None }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_its_first_snapshot_a_newer_version_says_nothing_and_can_be_undone() {
    let (memory, bus) = memory().await;
    start(&bus, 1, "ops-1").await.shutdown(PATIENCE).await;
    memory.set_faults(NoSnapshots);
    let new = engine(&bus, NEW, "ops-1");
    within("taking up", new.until(|health| health.logs.iter().all(|log| log.owned))).await;
    let last = sample(&*bus, METRIC, 5_000.0).await;
    let worked_off = new.until(|health| health.logs[0].read >= last && health.trouble.is_some());
    within("the sample", worked_off).await;
    drop(new);
    assert_eq!(record(&bus).await.stages, OLD.is);
    let said = said_by(&memory.messages(Stream::Events), LOG);
    assert!(!said.iter().any(|(_, body)| body.contains("firing")), "{said:#?}");
    memory.set_faults(Fine);
    let old = engine(&bus, OLD, "ops-1");
    owns_all(&old).await;
    alerts_until(&bus, AlertState::Fired).await;
    resolves(&bus).await;
    old.shutdown(PATIENCE).await;
}

struct Fine;

impl Faults for Fine {
    fn write(&mut self, _: &[Outgoing]) -> WriteFault {
        WriteFault::None
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_takes_up_no_older_snapshot_replays_the_log_while_it_is_whole() {
    let (memory, bus) = memory().await;
    fired_by_the_old_one(&bus, true).await;
    let strange = engine(&bus, STRANGE, "ops-1");
    owns_all(&strange).await;
    resolves(&bus).await;
    strange.shutdown(PATIENCE).await;
    assert_eq!(record(&bus).await.snapshot.unwrap().stages, STRANGE.is);
    drop(memory);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_takes_up_no_older_snapshot_refuses_a_log_that_is_not_whole() {
    let (memory, bus) = memory().await;
    fired_by_the_old_one(&bus, true).await;
    memory.expire_before(Stream::Log, memory.state(Stream::Log).await.unwrap().last);
    let strange = engine(&bus, STRANGE, "ops-1");
    let refused = strange.until(|health| {
        let why = health.logs[0].elsewhere.as_deref().unwrap_or_default();
        why.contains(&format!("was made by version {} of the stages", OLD.is))
    });
    within("a refusal", refused).await;
    strange.shutdown(PATIENCE).await;
    // The one that can goes on.
    let old = engine(&bus, OLD, "ops-1");
    let taken = old.until(|health| health.logs[0].owned && !health.logs[0].replaying);
    within("taking it up", taken).await;
    old.shutdown(PATIENCE).await;
}
