//! Receivers changed while it runs.

use crate::load::post;
use crate::site::{ASK_EVERY, Running, Site, caught_up, signal};
use crate::support::{PATIENCE, free_port};

fn rule(receiver: &str) -> String {
    format!("metric: web_ms\nthreshold: 1000\nwindow: 3s\nnotify: [{receiver}]\n")
}

fn receivers(site: &Site, named: &[(&str, &str)]) {
    let mut text = "fallback: hook\nreceivers:\n".to_owned();
    for (name, path) in named {
        let url = site.hook.url();
        text += &format!("  {name}:\n    channels: [{{kind: webhook, url: \"{url}/{path}\"}}]\n");
    }
    site.write("config/receivers.yml", &text);
}

async fn logged(site: &Site, wanted: &str) {
    let there = async {
        while !site.lines("ops.log").iter().any(|line| line.contains(wanted)) {
            tokio::time::sleep(ASK_EVERY).await;
        }
    };
    tokio::time::timeout(PATIENCE, there).await.unwrap_or_else(|_| panic!("never said: {wanted}"));
}

/// `ops up` with all roles on the site's data folder.
async fn up(site: &Site) -> Running {
    let listen = format!("127.0.0.1:{}", free_port());
    site.start(site.command(&["up", "--listen", &listen], "data"), listen).await
}

async fn slow(at: &Running) {
    at.until(caught_up).await;
    post(&at.url(), r#"{"name":"web_ms","val":1500}"#).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hangup_reads_addresses_again_and_refused_files_change_nothing() {
    let site = Site::new(&rule("hook")).await;
    let lab = site.lab().await;
    receivers(&site, &[("hook", "moved")]);
    signal(lab.pid(), "HUP").await;
    logged(&site, "receivers, pacing and mail server are read again").await;
    receivers(&site, &[("hook", "moved again"), ("hook", "twice")]);
    signal(lab.pid(), "HUP").await;
    logged(&site, "receivers.yml:").await;
    slow(&lab).await;
    site.hook.until("moved", |post| post["opsReason"] == "fired").await;
    assert!(site.hook.posts("hook").is_empty(), "nobody is told at the old address");
    assert!(lab.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hangup_of_ops_up_leaves_the_rules_alone() {
    let site = Site::new(&rule("hook")).await;
    let running = up(&site).await;
    // A rule that would never fire, were it applied.
    site.write("alerts/web.yml", &rule("hook").replace("1000", "5000"));
    receivers(&site, &[("hook", "moved")]);
    signal(running.pid(), "HUP").await;
    logged(&site, "rules and plans stay as they are in force: `ops rules apply` changes them")
        .await;
    slow(&running).await;
    site.hook.until("moved", |post| post["opsReason"] == "fired").await;
    assert!(running.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_applied_receiver_is_found_without_a_signal() {
    let site = Site::new(&rule("hook")).await;
    let running = up(&site).await;
    receivers(&site, &[("hook", "hook"), ("night", "night")]);
    site.write("alerts/web.yml", &rule("night"));
    let applied = site.run(&["rules", "apply"]).await;
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    slow(&running).await;
    site.hook.until("night", |post| post["opsReason"] == "fired").await;
    assert!(site.hook.posts("hook").is_empty(), "the fallback was not needed");
    assert!(running.stop().await.success());
}
