//! A backtest of the rules that were in force says what the engine said: the same transitions, to the byte.

#[path = "../../engine/tests/support/mod.rs"]
mod support;

use bus::layout::Layout;
use bus::memory::MemoryBus;
use bus::{SharedBus, Stream};
use serde_json::Value;
use stages::settings::Settings;
use stages::time::{Span, Time};
use stages::wire::{AlertEvent, ShardEvent};
use std::sync::Arc;
use support::*;
use trial::Setup;
use trial::backtest::retained::Retained;
use trial::backtest::seen::Seen;
use trial::backtest::{Backtest, Variant};

async fn backtest(
    bus: &SharedBus,
    settings: &[Settings],
    span: (Time, Time),
) -> (Vec<Value>, Vec<Seen>) {
    let retained = Retained { bus: bus.clone(), subjects: subjects(), shards: 1, span };
    let created = retained.created().await.unwrap();
    let setup = Setup { subjects: subjects(), created, shards: 1, keep: false, stored: true };
    let variants =
        settings.iter().map(|one| Variant { label: one.revision.clone(), settings: one.clone() });
    let mut backtest = Backtest::new(setup, variants.collect());
    let mut told = Vec::new();
    let mut progress = |done, whole, _: u64| told.push((done, whole));
    retained.play(&mut backtest, &mut progress).await.unwrap().expect("there are entries");
    assert!(told.is_sorted() && told.last().is_some_and(|(done, whole)| done == whole));
    let transitions = backtest.spoken().iter().filter_map(|one| one.transition());
    let transitions = transitions.filter(|moved| moved.rule == "county_api");
    let transitions = transitions.map(|moved| {
        serde_json::to_value(ShardEvent::Transition(Box::new(moved.clone()))).unwrap()
    });
    let transitions = transitions.collect();
    (transitions, backtest.finish(span.0))
}

fn live_transitions(memory: &MemoryBus) -> Vec<Value> {
    let events = memory.messages(Stream::Events);
    let shard = subjects().transition(0);
    let said = events.iter().filter(|message| message.subject == shard.as_bytes());
    let bodies = said.map(|message| serde_json::from_slice::<Value>(&message.payload).unwrap());
    bodies.filter(|body| body["type"] == "transition").collect()
}

/// Two Fridays with an engine that is stopped and started between them.
async fn two_fridays() -> (MemoryBus, SharedBus) {
    let memory = MemoryBus::real_time(Layout::default());
    let bus: SharedBus = Arc::new(memory.clone());
    bus.ensure(1).await.unwrap();
    engine::apply_settings(&bus, &subjects(), &friday()).await.unwrap();
    for process in ["ops-1", "ops-2"] {
        let engine = engine::Engine::start(options(&bus, 1, process)).unwrap();
        owns_all(&engine).await;
        if process == "ops-1" {
            is_calm(&bus).await;
            World::of(&bus).play_friday().await;
        } else {
            for value in [1500.0; 400] {
                sample(&*bus, METRIC, value).await;
            }
            let fired = subjects().alert("critical", "county_api", "fired");
            let mut said = bus.read(Stream::Events, Some(&fired), 1).await.unwrap();
            let mut messages = Vec::new();
            while messages.len() < 2 {
                within("the second firing", said.next(&mut messages)).await.unwrap();
            }
        }
        engine.shutdown(PATIENCE).await;
    }
    (memory, bus)
}

/// Sends a healthy sample and waits until the alert is known to be Ok.
async fn is_calm(bus: &SharedBus) {
    sample(&**bus, METRIC, 110.0).await;
    let mut said = bus.read(Stream::Events, Some(&subjects().transition(0)), 1).await.unwrap();
    within("the first move", said.next(&mut Vec::new())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backtest_of_the_rules_in_force_says_what_the_engine_said() {
    let (memory, bus) = two_fridays().await;
    let live = live_transitions(&memory);
    assert!(live.len() >= 3, "{live:#?}");
    let (again, seen) = backtest(&bus, &[friday()], (Time(0), Time(i64::MAX))).await;
    assert_eq!(again, live);
    // What agents did then is not in the log of samples, but the incident is the one that was opened.
    let events = memory.messages(Stream::Events);
    let fired =
        events.iter().find(|message| message.subject.ends_with(b"county_api.fired")).unwrap();
    let fired: AlertEvent = serde_json::from_slice(&fired.payload).unwrap();
    assert_eq!(Some(&seen[0].incidents[0].id), fired.incident.as_ref());
    assert_eq!(
        seen[0].transitions as usize,
        live.iter().filter(|one| one["from"] != one["to"]).count()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn variants_do_not_get_into_each_others_way() {
    let (_memory, bus) = two_fridays().await;
    let with = |revision: &str, threshold: f64| {
        let mut settings = Settings { revision: revision.to_owned(), ..friday() };
        Arc::make_mut(&mut settings.rules[0]).threshold = threshold;
        settings
    };
    let all = [with("as it is", 1000.0), with("high", 1e6), with("low", 300.0)];
    let whole = (Time(0), Time(i64::MAX));
    let (_, seen) = backtest(&bus, &all, whole).await;
    for (settings, together) in all.iter().zip(&seen) {
        let (_, alone) = backtest(&bus, std::slice::from_ref(settings), whole).await;
        let facts = |seen: &Seen| -> Vec<(Time, Option<Span>, u64, usize)> {
            let fact = |one: &trial::backtest::seen::Incident| {
                (one.opened, one.detected_after, one.pages, one.rollbacks.len())
            };
            seen.incidents.iter().map(fact).collect()
        };
        assert_eq!(facts(&alone[0]), facts(together), "{}", settings.revision);
    }
    assert!(seen[1].incidents.is_empty() && seen[1].pages() == 0);
    assert!(!seen[0].incidents.is_empty() && seen[0].pages() > 0 && seen[0].rollbacks() == 1);
}
