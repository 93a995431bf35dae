//! An entry that makes a stage panic: its shard alone stops, and goes on without it once an operator says so.

use crate::events::{fired, first, local};
use crate::load::post;
use crate::site::{Running, Site, caught_up};
use bus::Stream;
use bus::accounts::Role;
use stages::subject::Subjects;

const SHARDS: u32 = 2;
/// Makes a debug build panic over the entry that holds it.
const POISON: &str = "no-stage-survives-this";

async fn lab(site: &Site) -> Running {
    let listen = format!("127.0.0.1:{}", crate::support::free_port());
    let mut command = site.command(&["lab", "--listen", &listen], "data");
    command.env("OPS_SHARDS", SHARDS.to_string()).env("OPS_FAILPOINT_PANIC_OVER", POISON);
    site.start(command, listen).await
}

async fn slow(lab: &Running, metric: &str) {
    post(&lab.url(), &format!(r#"{{"name":"{metric}","val":5000}}"#)).await;
}

/// The entry shard `shard` stands still before.
async fn stands_still(lab: &Running, shard: u32) -> u64 {
    let stop = |health: &serde_json::Value| {
        health["logs"][shard as usize]["stopped"]["entries"][1].as_u64()
    };
    lab.until(|health| health["ready"] == false && stop(health).is_some()).await;
    stop(&lab.readiness().await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_shard_stops_alone_and_goes_on_once_its_entry_is_skipped() {
    let site = Site::new("metric: web_ms\nthreshold: 1000\nwindow: 3s\nnotify: [hook]\n").await;
    site.write("alerts/disk.yml", "metric: disk_ms\nthreshold: 1000\nwindow: 3s\nnotify: [hook]\n");
    let subjects = Subjects::default();
    let (bad, good) = (subjects.shard_of("web_ms", SHARDS), subjects.shard_of("disk_ms", SHARDS));
    assert_ne!(bad, good, "each has a shard of its own");
    let running = lab(&site).await;
    let bus = local(&site, Role::Admin).await;
    let poison = format!(r#"{{"name":"web_ms","val":1,"labels":{{"host":"{POISON}"}}}}"#);
    post(&running.url(), &poison).await;
    let entry = stands_still(&running, bad).await;
    slow(&running, "web_ms").await;
    slow(&running, "disk_ms").await;
    fired(&bus, "disk").await;
    first(&bus, Stream::Events, "ops.alert.warning.log_stopped.notice").await;

    // Started again it stands at the same place, and does not die of it.
    running.kill().await;
    let running = lab(&site).await;
    let bus = local(&site, Role::Admin).await;
    assert_eq!(stands_still(&running, bad).await, entry);
    let (log, sequence) = (bad.to_string(), entry.to_string());
    let looked = site.run(&["doctor"]).await;
    let said = String::from_utf8(looked.stdout).unwrap();
    let remedy = format!("`ops shard skip {log} --sequence {sequence}`");
    assert!(looked.status.code() == Some(9) && said.contains(&remedy), "{said}");

    for (log, sequence) in [(&*log, "1"), ("desk", &*sequence)] {
        let refused = site.run(&["shard", "skip", log, "--sequence", sequence]).await;
        let why = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{why}");
        assert!(why.contains("does not stand still before entry"), "{why}");
    }
    let reason = ["--reason", "a broken probe", "--author", "anna"];
    let args = [&["shard", "skip", &log, "--sequence", &sequence][..], &reason].concat();
    let skipped = site.run(&args).await;
    assert!(skipped.status.success(), "{}", String::from_utf8_lossy(&skipped.stderr));
    fired(&bus, "web").await;
    let told = first(&bus, Stream::Events, "ops.alert.warning.entry_skipped.notice").await;
    let told = String::from_utf8(told.payload.to_vec()).unwrap();
    assert!(told.contains("left out by anna (a broken probe)"), "{told}");
    running.until(caught_up).await;
    let proven = site.run(&["audit", "verify", "--since", "1h"]).await;
    let said = String::from_utf8(proven.stdout).unwrap();
    assert!(proven.status.success() && !said.contains("not proven"), "{said}");
    assert!(running.stop().await.success());
}
