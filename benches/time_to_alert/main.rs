//! From publishing the sample that makes a condition true until the alert is stored on the bus, until a webhook got
//! it, and until the rollback script runs: isolated, and under a steady 10 000 samples a second.
//!
//! Bus, engine, notifier and agent run as the product runs them, each under its own permissions, the bus waiting for
//! the disk at each message. Every run has a rule of its own, so nothing needs to resolve first.

#[path = "../support/allocator.rs"]
mod allocator;
#[path = "../support/mod.rs"]
mod support;

mod house;

use bus::accounts::Role;
use bus::{Outgoing, SharedBus};
use house::{House, Places, Seen, connect, probe};
use stages::subject::Subjects;
use stages::time::Span;
use std::time::{Duration, Instant};
use support::load::{self, METRICS, Values};
use support::spread::Spread;
use support::table::{Goal, Table, short};
use tokio::sync::mpsc::UnboundedReceiver;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);
/// Messages of 100 samples a second.
const MESSAGES_A_SECOND: u32 = 100;

/// Durations of all runs, for each place.
#[derive(Default)]
struct Times {
    stored: Vec<Duration>,
    alert: Vec<Duration>,
    hook: Vec<Duration>,
    script: Vec<Duration>,
}

fn main() {
    if !support::asked_for("time_to_alert") {
        return;
    }
    // The notifier wants a TLS provider chosen, as `ops` does.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runs = support::from_env("OPS_BENCH_RUNS", 200) as usize;
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut table = Table::new("time_to_alert");
    runtime.block_on(async {
        let (house, mut places) = House::start(2 * runs + 1).await;
        let services = connect(&house.server, Role::Publisher).await;
        // The first alert finds everything cold; it is not counted.
        measure(&services, &mut places, 2 * runs..2 * runs + 1).await;
        let isolated = measure(&services, &mut places, 0..runs).await;
        rows(&mut table, "isolated", isolated, [30.0, 60.0, 100.0]);
        let load = tokio::spawn(steady(connect(&house.server, Role::Publisher).await));
        tokio::time::sleep(Duration::from_secs(3)).await;
        let loaded = measure(&services, &mut places, runs..2 * runs).await;
        load.abort();
        rows(&mut table, "under 10 000 samples/s", loaded, [150.0, 200.0, 250.0]);
        house.stop().await;
    });
    table.finish();
}

async fn measure(bus: &SharedBus, places: &mut Places, probes: std::ops::Range<usize>) -> Times {
    let (subjects, mut times) = (Subjects::default(), Times::default());
    for number in probes {
        // Not in step with the log's 100 ms, and long enough for the shard to be quiet again.
        let pause = 220 + number as u64 * 37 % 100;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let payload = format!("{{\"name\":\"{}\",\"val\":1580}}", probe(number));
        let subject = subjects.metric(&probe(number));
        let message = Outgoing { subject, payload: payload.into(), ..Outgoing::default() };
        let began = Instant::now();
        bus.publish(message).await.expect("a sample is stored");
        times.stored.push(began.elapsed());
        times.alert.push(seen(&mut places.alerts, number).await - began);
        times.hook.push(seen(&mut places.hooks, number).await - began);
        times.script.push(seen(&mut places.scripts, number).await - began);
    }
    times
}

/// When the probe was seen at a place.
async fn seen(place: &mut UnboundedReceiver<Seen>, number: usize) -> Instant {
    let waiting = async {
        loop {
            let seen = place.recv().await.expect("the place is watched");
            if seen.probe == number {
                return seen.at;
            }
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("{} is lost", probe(number)))
}

/// 100 services' arrays of 100 samples each second, evenly.
async fn steady(bus: SharedBus) {
    let (subjects, mut values) = (Subjects::default(), Values::new(3));
    let mut clock = tokio::time::interval(Duration::from_secs(1) / MESSAGES_A_SECOND);
    for number in (0..METRICS).cycle() {
        clock.tick().await;
        let payload = load::json_array(number, load::now(), Span::from_secs(1), &mut values);
        let subject = subjects.metric(&load::metric(number));
        let message = Outgoing { subject, payload, ..Outgoing::default() };
        let bus = bus.clone();
        tokio::spawn(async move { bus.publish(message).await });
    }
}

fn rows(table: &mut Table, how: &str, times: Times, goals: [f64; 3]) {
    let stored = Spread::of(times.stored);
    let figure = format!("p99 {} ms", short(stored.percentile_ms(99.0)));
    let ratio = format!("p50 {} ms", short(stored.percentile_ms(50.0)));
    table.note(format!("the sample's own ack, {how}"), figure, ratio);
    let places = [
        ("alert on the bus", times.alert),
        ("webhook has it", times.hook),
        ("rollback script runs", times.script),
    ];
    for ((what, times), goal) in places.into_iter().zip(goals) {
        let spread = Spread::of(times);
        let name = format!("until {what}, {how}, p99 of {}", spread.len());
        let ratio = format!(
            "p50 {} ms, most {} ms",
            short(spread.percentile_ms(50.0)),
            short(spread.percentile_ms(100.0))
        );
        table.goal(name, (spread.percentile_ms(99.0), "ms"), Goal::AtMost(goal), ratio);
    }
}
