//! Events that expire in two seconds: who owns a log, and how far it got, must not expire with them.

use crate::events::{Happened, all, first};
use crate::load::Load;
use crate::server::Server;
use crate::site::{ASK_EVERY, Running, Site, caught_up};
use crate::support::{PATIENCE, free_port};
use bus::{SharedBus, Stream};
use serde_json::Value;

async fn up(site: &Site, server: &Server, data: &str) -> Running {
    std::fs::create_dir_all(site.path(data)).unwrap();
    let listen = format!("127.0.0.1:{}", free_port());
    let args = ["up", "--listen", &listen, "--nats-url", &server.url];
    site.start(site.command(&args, data), listen).await
}

fn owns_all(health: &Value) -> bool {
    let mut logs = health["logs"].as_array().unwrap().iter();
    caught_up(health) && logs.all(|log| log["owned"] == true)
}

/// Lets events expire after two seconds, as somebody with the rights of the house could.
async fn keep_for_two_seconds(server: &Server) {
    let client = async_nats::connect(&server.url).await.unwrap();
    let call = async |call: &str, body: String| {
        let answer = client.request(format!("$JS.API.STREAM.{call}.OPS_EVENTS"), body.into()).await;
        let answer: Value = serde_json::from_slice(&answer.unwrap().payload).unwrap();
        assert!(answer["error"].is_null(), "{answer}");
        answer
    };
    let mut config = call("INFO", String::new()).await["config"].take();
    config["max_age"] = 2_000_000_000_u64.into();
    config["duplicate_window"] = 1_000_000_000_u64.into();
    call("UPDATE", config.to_string()).await;
}

/// Waits until nothing of the alert is on the bus any more, and the position recorded behind it.
async fn forgotten(bus: &SharedBus) {
    let waiting = async {
        while all(bus, Stream::Events).await.iter().any(|m| m.subject.starts_with(b"ops.alert.")) {
            tokio::time::sleep(ASK_EVERY).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("events expire");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fence_and_position_outlive_a_retention_of_two_seconds() {
    let site = Site::new("metric: web_ms\nthreshold: 1000\nwindow: 2s\nnotify: [hook]\n").await;
    let server = Server::open(&site).await;
    let bus = server.bus().await;
    let owner = up(&site, &server, "data").await;
    owner.until(owns_all).await;
    let next = up(&site, &server, "data2").await;
    next.until(|health| health["ready"] == true && !owns_all(health)).await;
    let shared = |health: &Value| health["logs"][0]["owned"] != health["logs"][1]["owned"];
    next.until(shared).await;
    let load = Load::start(&site, next.url());
    load.more(20).await;
    load.turn_slow();
    let fired = first(&bus, Stream::Events, "ops.alert.critical.web.fired").await;
    keep_for_two_seconds(&server).await;
    forgotten(&bus).await;
    let kept = all(&bus, Stream::Events).await;
    let of = |subject: &str| kept.iter().filter(|m| m.subject == subject.as_bytes()).count();
    for log in ["0", "desk"] {
        assert!(
            of(&format!("ops.own.{log}")) > 0,
            "the fence of log {log} is as old as its tenure"
        );
        assert!(of(&format!("ops.commit.{log}")) > 1, "positions of log {log} stay");
    }
    // Positions are recorded every five seconds; what expired before one would be said again.
    let positions = async || {
        let kept = all(&bus, Stream::Events).await;
        kept.iter().rfind(|m| m.subject == "ops.commit.0").map_or(0, |m| m.sequence)
    };
    let before = positions().await;
    while positions().await == before {
        load.more(10).await;
    }
    owner.kill().await;
    next.until(owns_all).await;
    load.turn_fast();
    let resolved = first(&bus, Stream::Events, "ops.alert.critical.web.resolved").await;
    let incident = |message: &bus::Message| {
        serde_json::from_slice::<stages::wire::AlertEvent>(&message.payload).unwrap().incident
    };
    assert_eq!(
        incident(&resolved),
        incident(&fired),
        "the next owner goes on with the same incident"
    );
    assert_eq!(Happened::so_far(&bus).await.alerts("fired"), [""; 0], "and fires nothing again");
    load.end().await;
    assert!(next.stop().await.success());
}
