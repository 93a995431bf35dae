//! Two processes on one bus: each owns a log, and the other's as well when that is gone.

use crate::events::Happened;
use crate::load::Load;
use crate::server::Server;
use crate::site::{Running, Site, caught_up, signal};
use crate::support::free_port;
use bus::SharedBus;
use serde_json::Value;

async fn up(site: &Site, server: &Server, data: &str) -> Running {
    std::fs::create_dir_all(site.path(data)).unwrap();
    let listen = format!("127.0.0.1:{}", free_port());
    let args = ["up", "--listen", &listen, "--nats-url", &server.url];
    site.start(site.command(&args, data), listen).await
}

fn owned(health: &Value) -> Vec<bool> {
    let logs = health["logs"].as_array().unwrap();
    logs.iter().map(|log| log["owned"] == true).collect()
}

fn owns_all(health: &Value) -> bool {
    caught_up(health) && owned(health) == [true, true]
}

/// Shard and desk are shared out: one log each.
fn owns_one(health: &Value) -> bool {
    caught_up(health) && owned(health).into_iter().filter(|owned| *owned).count() == 1
}

async fn seen(bus: &SharedBus, load: &Load, state: &str, times: usize) -> Happened {
    loop {
        let happened = Happened::so_far(bus).await;
        if happened.alerts(state).len() >= times {
            return happened;
        }
        load.more(10).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_process_takes_over_and_the_incident_stays_one() {
    let site = Site::new("metric: web_ms\nthreshold: 1000\nwindow: 2s\nnotify: [hook]\n").await;
    let server = Server::open(&site).await;
    let bus = server.bus().await;
    let first = up(&site, &server, "data").await;
    first.until(owns_all).await;
    let second = up(&site, &server, "data2").await;
    second.until(owns_one).await;
    // Samples come in by the second: any process takes them, the owner decides.
    let load = Load::start(&site, second.url());
    load.more(20).await;
    load.turn_slow();
    seen(&bus, &load, "fired", 1).await;
    first.until(owns_one).await;
    second.until(owns_one).await;
    first.kill().await;
    second.until(owns_all).await;
    load.turn_fast();
    let happened = seen(&bus, &load, "resolved", 1).await;
    let [incident] = happened.alerts("fired")[..] else { panic!("{:#?}", happened.alerts) };
    assert_eq!(happened.alerts("resolved"), [incident]);
    load.turn_slow();
    let happened = seen(&bus, &load, "fired", 2).await;
    let fired = happened.alerts("fired");
    assert_ne!(fired[0], fired[1], "another incident");
    load.end().await;
    second.until(caught_up).await;
    let told = |reason: &str| {
        let posts = site.hook.posts("hook").into_iter();
        posts.filter(|post| post["opsReason"] == reason).count()
    };
    site.hook
        .until("hook", |post| post["opsReason"] == "fired" && post["opsIncident"] == fired[1])
        .await;
    assert_eq!((told("fired"), told("resolved")), (2, 1));
    assert!(second.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_owner_that_wakes_steps_down_and_says_nothing_twice() {
    let site = Site::new("metric: web_ms\nthreshold: 1000\nwindow: 2s\nnotify: [hook]\n").await;
    let server = Server::open(&site).await;
    let bus = server.bus().await;
    let first = up(&site, &server, "data").await;
    first.until(owns_all).await;
    let second = up(&site, &server, "data2").await;
    second.until(owns_one).await;
    let load = Load::start(&site, second.url());
    load.more(20).await;
    load.turn_slow();
    seen(&bus, &load, "fired", 1).await;
    // Frozen with a firing alert in hand, as by a paused machine.
    signal(first.pid(), "STOP").await;
    second.until(owns_all).await;
    load.turn_fast();
    seen(&bus, &load, "resolved", 1).await;
    signal(first.pid(), "CONT").await;
    first.until(owns_one).await;
    load.turn_slow();
    let happened = seen(&bus, &load, "fired", 2).await;
    load.end().await;
    second.until(caught_up).await;
    let (fired, resolved) = (happened.alerts("fired"), happened.alerts("resolved"));
    assert_eq!(fired.len(), 2, "{fired:?}");
    assert_eq!(resolved, [fired[0]]);
    assert_ne!(fired[0], fired[1], "another incident");
    for process in [first, second] {
        assert!(process.stop().await.success());
    }
    let audit = ["audit", "verify", "--nats-url", &server.url];
    let proven = site.command(&audit, "data").output().await.unwrap();
    let said = String::from_utf8_lossy(&proven.stdout).into_owned();
    assert!(proven.status.success(), "{said}");
}
