//! How long alerts are silent after the owner of a shard with 10 000 series is killed, and what a commit costs, on one
//! server and on three, with and without waiting for the disk.
//!
//! Fail-over is from `kill -9` until an alert whose first bad sample was published after it is stored on the bus.
//! `OPS_BENCH_KILLS` kills more or fewer (20 by default); `OPS_BENCH_PART` measures `kills` or `commits` alone.

#[path = "../support/mod.rs"]
mod support;

mod engines;
mod servers;

use bus::{Outgoing, SharedBus, Stream};
use bytes::Bytes;
use engines::{Engines, PATIENCE, probe};
use servers::{Keeping, Servers};
use stages::subject::Subjects;
use std::time::{Duration, Instant};
use support::load::{self, SERIES, Values};
use support::spread::Spread;
use support::table::{Goal, Table, short};

const ALWAYS_ALONE: Keeping = Keeping { servers: 1, always: true };
const ALWAYS_THREE: Keeping = Keeping { servers: 3, always: true };
const ALONE: Keeping = Keeping { servers: 1, always: false };
const THREE: Keeping = Keeping { servers: 3, always: false };

/// Commits measured of each kind.
const COMMITS: usize = 500;
/// Messages of a batch: an alert with its page and its rollback, and what comes with them.
const BATCH: usize = 20;
/// Series of one entry of the load.
const SERIES_EACH_ENTRY: usize = 1_000;

fn main() {
    if !support::asked_for("failover") {
        return;
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let kills = support::from_env("OPS_BENCH_KILLS", 20) as usize;
    let part = std::env::var("OPS_BENCH_PART").unwrap_or_default();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut table = Table::new("failover");
    let busy = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let busy = busy.split(' ').take(2).collect::<Vec<_>>().join(" and ");
    table.note("load of the machine before it began", busy, "over 1 and 5 min");
    runtime.block_on(async {
        if part != "kills" {
            for keeping in [ALWAYS_ALONE, ALONE, ALWAYS_THREE, THREE] {
                commits(&mut table, keeping).await;
            }
        }
        if part != "commits" {
            for keeping in [ALWAYS_ALONE, ALWAYS_THREE] {
                fail_over(&mut table, keeping, kills).await;
            }
        }
    });
    table.finish();
}

async fn fail_over(table: &mut Table, keeping: Keeping, kills: usize) {
    let servers = Servers::start(keeping).await;
    let bus = servers.bus().await;
    let mut engines = Engines::start(servers.url(), kills).await;
    let load = tokio::spawn(steady(bus.clone()));
    // A snapshot with all series is stored before the first kill.
    tokio::time::sleep(Duration::from_secs(15)).await;
    let mut silent = Vec::new();
    for number in 0..kills {
        let owner = engines.shared().await;
        // Not in step with heartbeats.
        tokio::time::sleep(Duration::from_millis(number as u64 * 370 % 1_000)).await;
        let fired = Subjects::default().of(&format!("alert.critical.{}.fired", probe(number)));
        let mut alerts = bus.read(Stream::Events, Some(&fired), 1).await.expect("events are read");
        engines.kill(owner);
        let killed = Instant::now();
        let calls = tokio::spawn(slow_calls(bus.clone(), number));
        let mut found = Vec::new();
        let heard = tokio::time::timeout(PATIENCE, alerts.next(&mut found)).await;
        heard.expect("the alert comes").expect("events are read");
        silent.push(killed.elapsed());
        calls.abort();
        engines.start_again(owner);
    }
    assert!(!load.is_finished(), "the load went on to the end");
    load.abort();
    let spread = Spread::of(silent);
    let seconds = |percent| spread.percentile_ms(percent) / 1e3;
    let name = format!("alerts silent after a kill, {keeping}, p99 of {}", spread.len());
    let beside = format!("p50 {} s, most {} s", short(seconds(50.0)), short(seconds(100.0)));
    table.goal(name, (seconds(99.0), "s"), Goal::AtMost(8.0), beside);
}

/// Calls of one probe, all bad, ten a second.
async fn slow_calls(bus: SharedBus, number: usize) {
    let (subject, mut clock) = (
        Subjects::default().metric(&probe(number)),
        tokio::time::interval(Duration::from_millis(100)),
    );
    loop {
        clock.tick().await;
        let payload = format!("{{\"name\":\"{}\",\"val\":1580}}", probe(number)).into();
        let message = Outgoing { subject: subject.clone(), payload, ..Outgoing::default() };
        // One that is refused during an election is followed by the next.
        let _ = bus.publish(message).await;
    }
}

/// All 10 000 series once a second, as the collector packs them.
async fn steady(bus: SharedBus) {
    let (keys, mut values) = (load::keys(), Values::new(3));
    let entries = SERIES / SERIES_EACH_ENTRY;
    let mut clock = tokio::time::interval(Duration::from_secs(1) / entries as u32);
    for entry in (0..entries).cycle() {
        clock.tick().await;
        let range = entry * SERIES_EACH_ENTRY..(entry + 1) * SERIES_EACH_ENTRY;
        let payload = load::batch(&keys, range, 1, None, &mut |_| values.next_ms());
        let subject = "ops.log.0.batch".to_owned();
        let message = Outgoing { subject, payload, ..Outgoing::default() };
        let bus = bus.clone();
        tokio::spawn(async move { bus.publish(message).await });
    }
}

/// What an acknowledgement takes: of one message, and of an atomic batch, one after the other.
async fn commits(table: &mut Table, keeping: Keeping) {
    let servers = Servers::start(keeping).await;
    let bus = servers.bus().await;
    let event = || Outgoing {
        subject: Subjects::default().transition(0),
        payload: Bytes::from(vec![b'x'; 500]),
        ..Outgoing::default()
    };
    for _ in 0..20 {
        bus.publish(event()).await.expect("a message is stored");
    }
    let (mut single, mut batch) = (Vec::new(), Vec::new());
    for _ in 0..COMMITS {
        let began = Instant::now();
        bus.publish(event()).await.expect("a message is stored");
        single.push(began.elapsed());
        let messages = (0..BATCH).map(|_| event()).collect();
        let began = Instant::now();
        bus.commit(messages).await.expect("a batch is stored");
        batch.push(began.elapsed());
    }
    for (what, times) in [("one message", single), ("a batch of 20", batch)] {
        let spread = Spread::of(times);
        let figure = format!("p99 {} ms", short(spread.percentile_ms(99.0)));
        let beside = format!("p50 {} ms, of {}", short(spread.percentile_ms(50.0)), spread.len());
        table.note(format!("commit of {what}, {keeping}"), figure, beside);
    }
}
