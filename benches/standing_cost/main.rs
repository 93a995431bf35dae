//! What the product costs while nothing happens: CPU seconds a minute of `ops up` and its nats-server together under
//! 10 000 series at a sample a second and 1 000 rules, publishers apart; and idle, without any traffic.
//!
//! `OPS_BENCH_SECONDS` lengthens each measurement (60 by default).

#[path = "../support/mod.rs"]
mod support;

mod product;
mod publish;

use bus::accounts::Role;
use product::{Product, Spent};
use publish::Fleet;
use stages::time::Span;
use std::time::Duration;
use support::table::{Goal, Table, short};

/// From starting a load until it is measured: the collector's clients have all come by twice.
const SETTLE: Duration = Duration::from_secs(10);

fn main() {
    if !support::asked_for("standing_cost") {
        return;
    }
    // The clients of the collector speak HTTP through a library that wants a TLS provider chosen.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let length = Duration::from_secs(support::from_env("OPS_BENCH_SECONDS", 60));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut table = Table::new("standing_cost");
    runtime.block_on(async {
        idle(&mut table, length).await;
        arrays(&mut table, length).await;
        fleet(&mut table, length, ("mean", "1m"), 1.5).await;
        fleet(&mut table, length, ("p99", "10m"), 5.0).await;
    });
    table.finish();
}

/// What `product` costs a minute from now on.
async fn cost(product: &Product, length: Duration) -> Spent {
    tokio::time::sleep(SETTLE).await;
    let before = product.spent();
    tokio::time::sleep(length).await;
    product.spent().a_minute_since(before, length)
}

async fn idle(table: &mut Table, length: Duration) {
    let product = Product::start_as_delivered();
    let spent = cost(&product, length).await;
    let (ops, server) = product.resident_mib();
    let share = spent.ops / 60.0 * 100.0;
    let beside = format!("nats-server {} %", short(spent.server / 60.0 * 100.0));
    table.goal(
        "idle ops up, all roles: CPU of ops",
        (share, "% of a core"),
        Goal::AtMost(0.2),
        beside,
    );
    let beside = format!("nats-server {} MiB", short(server));
    table.goal("idle ops up: resident memory of ops", (ops, "MiB"), Goal::AtMost(60.0), beside);
}

async fn arrays(table: &mut Table, length: Duration) {
    let product = Product::start("mean", "1m", "engine");
    let publisher = tokio::spawn(publish::arrays(product.connect(Role::Publisher).await));
    let spent = cost(&product, length).await;
    assert!(!publisher.is_finished(), "the publisher went on to the end");
    publisher.abort();
    row(table, "mean over 1 min, 100-sample JSON messages", spent, 4.0, &product, "");
}

async fn fleet(table: &mut Table, length: Duration, (stat, window): (&str, &str), goal: f64) {
    let product = Product::start(stat, window, "engine");
    let bus = product.connect(Role::Collector).await;
    publish::fill(&bus, Span::parse(window).expect("a span")).await;
    let fleet = Fleet::start(bus).await;
    tokio::time::sleep(SETTLE).await;
    let (entries, _) = fleet.stored();
    let spent = cost(&product, length).await;
    let entries = (fleet.stored().0 - entries) as f64 / (length + SETTLE).as_secs_f64();
    fleet.stop().await;
    let what = format!("{stat} over {window}, windows full, through the collector");
    let how = format!(", {} entries/s", short(entries));
    row(table, &what, spent, goal, &product, &how);
}

fn row(table: &mut Table, what: &str, spent: Spent, goal: f64, product: &Product, how: &str) {
    let (ops, server) = (short(spent.ops), short(spent.server));
    let memory = short(product.resident_mib().0);
    let parts = format!("engine {ops}, nats-server {server}{how}; ops holds {memory} MiB");
    let both = (spent.ops + spent.server, "CPU s/min");
    table.goal(format!("standing cost, {what}"), both, Goal::AtMost(goal), parts);
}
