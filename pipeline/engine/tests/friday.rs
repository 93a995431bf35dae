//! Friday, 4 p.m., from the sample to the resolved alert, through a whole engine.

mod support;

use bus::Stream;
use bus::layout::Layout;
use bus::memory::MemoryBus;
use bus::{Bus, Expect, Outgoing, SharedBus};
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

/// The next message of `stream` whose subject is `wanted`, with what it says.
async fn next(bus: &SharedBus, stream: Stream, wanted: &str) -> serde_json::Value {
    let mut reader = bus.read(stream, None, 1).await.unwrap();
    let mut fetched = Vec::new();
    within(wanted, async {
        loop {
            reader.next(&mut fetched).await.unwrap();
            if let Some((_, body)) = said(&fetched).iter().find(|(subject, _)| subject == wanted) {
                return serde_json::from_str(body).unwrap();
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_is_no_json_is_heard_of() {
    let (memory, bus) = memory(1).await;
    let engine = start(&bus, 1, "ops-1").await;
    for _ in 0..20 {
        sample(&memory, METRIC, 1500.0).await;
    }
    let service = bus.clone();
    let slow = tokio::spawn(async move {
        loop {
            sample(&*service, METRIC, 1500.0).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let command = next(&bus, Stream::Events, "ops.rollback.DOCKET_RULE.command").await;
    let incident = command["incident"].as_str().unwrap();
    // Longer than anything the bus would take once it is wrapped.
    let mut payload = b"taken by jenkins \xff".to_vec();
    payload.resize(1 << 20, b'"');
    let claim = Outgoing {
        subject: subjects().ledger("DOCKET_RULE", incident),
        payload: payload.into(),
        expect: Some(Expect { subject: None, sequence: 0 }),
        ..Outgoing::default()
    };
    memory.publish(claim).await.unwrap();
    let claimed = next(&bus, Stream::Events, "ops.rollback.DOCKET_RULE.claimed").await;
    assert_eq!(claimed["detail"], "by somebody whose record cannot be read");
    slow.abort();
    drop(engine);
}
