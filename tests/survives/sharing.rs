//! Three engines share eight shards and the desk: each owns three logs, and only what must moves when one comes or goes.

use crate::events::{Happened, all};
use crate::load::Load;
use crate::server::Server;
use crate::site::{Running, Site, caught_up};
use crate::support::free_port;
use bus::{SharedBus, Stream};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const SHARDS: u32 = 8;
const LOGS: usize = SHARDS as usize + 1;

async fn engine(site: &Site, server: &Server, name: &str) -> Running {
    std::fs::create_dir_all(site.path(name)).unwrap();
    let listen = format!("127.0.0.1:{}", free_port());
    let args = ["up", "--role", "engine,collector", "--name", name, "--listen", &listen];
    let mut command = site.command(&[&args[..], &["--nats-url", &server.url]].concat(), name);
    command.env("OPS_SHARDS", SHARDS.to_string());
    site.start(command, listen).await
}

fn owned(health: &Value) -> BTreeSet<String> {
    let logs = health["logs"].as_array().unwrap().iter();
    let owned = logs.filter(|log| log["owned"] == true);
    owned.map(|log| log["log"].as_str().unwrap().to_owned()).collect()
}

/// Waits until each owns as many; what that is.
async fn shared<const N: usize>(engines: [&Running; N]) -> [BTreeSet<String>; N] {
    let (least, most) = (LOGS / N, LOGS.div_ceil(N));
    loop {
        for engine in engines {
            let even = |health: &Value| (least..=most).contains(&owned(health).len());
            engine.until(|health| caught_up(health) && even(health)).await;
        }
        let mut sets = [const { BTreeSet::new() }; N];
        for (set, engine) in sets.iter_mut().zip(engines) {
            *set = owned(&engine.readiness().await.unwrap());
        }
        if sets.iter().map(BTreeSet::len).sum::<usize>() == LOGS {
            return sets;
        }
    }
}

/// How often each log changed hands, by its own records.
async fn hands(bus: &SharedBus) -> BTreeMap<String, usize> {
    let mut hands = BTreeMap::new();
    for message in all(bus, Stream::Events).await {
        let subject = String::from_utf8(message.subject.to_vec()).unwrap();
        let record: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
        if let Some(log) = subject.strip_prefix("ops.own.")
            && record["released"] == false
        {
            *hands.entry(log.to_owned()).or_default() += 1;
        }
    }
    hands
}

/// The logs that changed hands since.
async fn moved(bus: &SharedBus, before: &BTreeMap<String, usize>) -> BTreeSet<String> {
    let now = hands(bus).await;
    let moved = now.iter().filter(|(log, times)| before.get(*log) != Some(times));
    moved.map(|(log, _)| log.clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_must_moves_when_a_process_comes_or_goes() {
    let site = Site::new("metric: web_ms\nthreshold: 1000\nwindow: 2s\n").await;
    let server = Server::open(&site).await;
    let bus = server.bus().await;
    let first = engine(&site, &server, "a").await;
    let [all] = shared([&first]).await;
    assert_eq!(all.len(), LOGS);
    let before = hands(&bus).await;
    let load = Load::start(&site, first.url());
    let (second, third) = (engine(&site, &server, "b").await, engine(&site, &server, "c").await);
    let [kept, ..] = shared([&first, &second, &third]).await;
    assert_eq!(moved(&bus, &before).await, &all - &kept, "the first keeps what is its share");

    // One dies while a log that another owns is about to speak.
    let [of_first, of_second, of_third] = shared([&first, &second, &third]).await;
    let before = hands(&bus).await;
    load.turn_slow();
    third.kill().await;
    let [more_first, more_second] = shared([&first, &second]).await;
    assert!(more_first.is_superset(&of_first) && more_second.is_superset(&of_second));
    assert_eq!(moved(&bus, &before).await, of_third, "only what was the dead one's");

    // It comes back, and gets a third from the others.
    let before = hands(&bus).await;
    let third = engine(&site, &server, "c").await;
    let [.., of_third] = shared([&first, &second, &third]).await;
    assert_eq!(moved(&bus, &before).await, of_third, "only what it owns now");

    // It goes in good order.
    let before = hands(&bus).await;
    load.turn_fast();
    assert!(third.stop().await.success());
    shared([&first, &second]).await;
    assert_eq!(moved(&bus, &before).await, of_third);
    load.end().await;
    for engine in [&first, &second] {
        engine.until(caught_up).await;
    }
    let happened = Happened::so_far(&bus).await;
    let [incident] = happened.alerts("fired")[..] else { panic!("{:#?}", happened.alerts) };
    assert_eq!(happened.alerts("resolved"), [incident]);
    assert!(first.stop().await.success() && second.stop().await.success());
}
