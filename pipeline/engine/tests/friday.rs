//! Friday, 4 p.m., from the sample to the resolved alert, through a whole engine.

mod support;

use bus::Stream;
use bus::layout::Layout;
use bus::memory::MemoryBus;
use bus::{Bus, SharedBus};
use stages::wire::AlertState;
use std::sync::Arc;
use std::time::Duration;
use support::*;

async fn memory(shards: u32) -> (MemoryBus, SharedBus) {
    let bus = MemoryBus::real_time(Layout::default());
    bus.ensure(shards).await.unwrap();
    (bus.clone(), Arc::new(bus))
}

async fn friday_on(bus: SharedBus, shards: u32) {
    let engine = start(&bus, shards, "ops-1").await;
    let (command, alerts) = World::of(&bus).play_friday().await;
    let states: Vec<AlertState> = alerts.iter().map(|alert| alert.state).collect();
    let fired = states.iter().position(|state| *state == AlertState::Fired);
    assert!(fired.is_some_and(|at| at < states.len() - 1), "{states:?}");
    assert_eq!(states.iter().filter(|state| **state == AlertState::Fired).count(), 1, "{states:?}");
    assert_eq!((command.plan.as_str(), command.rule.as_str()), ("DOCKET_RULE", "county_api"));
    let health = engine.health();
    assert_eq!(health.not_ready(Duration::from_secs(30)), None);
    assert!(health.logs.iter().map(|log| log.counters.samples).sum::<u64>() > 20);
    engine.shutdown(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_county_is_seen_rolled_back_and_resolved() {
    let (memory, bus) = memory(1).await;
    friday_on(bus, 1).await;
    let commands = said(&memory.messages(Stream::Events));
    let commands = commands.iter().filter(|(subject, _)| subject.ends_with(".command")).count();
    assert_eq!(commands, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_shards_tell_the_same_story() {
    friday_on(memory(3).await.1, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_isolated_bad_sample_alerts_without_waiting_for_anything_else() {
    let (memory, bus) = memory(1).await;
    let engine = start(&bus, 1, "ops-1").await;
    sample(&memory, METRIC, 5000.0).await;
    let alerts = alerts_until(&bus, AlertState::Fired).await;
    assert_eq!(alerts.last().unwrap().rule, "county_api");
    drop(engine);
}
