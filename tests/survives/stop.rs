//! Told to stop.

use crate::events::{fired, local};
use crate::load::Load;
use crate::site::{Site, caught_up};
use bus::accounts::Role;

fn rule(threshold: u64) -> String {
    format!("metric: web_ms\nstat: count\nthreshold: {threshold}\nwindow: 5m\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_loses_no_sample_and_leaves_nothing_behind() {
    let site = Site::new(&rule(1_000_000)).await;
    let lab = site.lab().await;
    let load = Load::start(&site, lab.url());
    load.more(100).await;
    assert!(!site.servers().is_empty());
    let status = lab.stop().await;
    assert_eq!(status.code(), Some(0), "{}", site.lines("ops.log").join("\n"));
    assert_eq!(site.servers(), [0; 0], "no nats-server outlives us");
    let lab = site.lab().await;
    load.more(100).await;
    let sent = load.end().await;
    lab.until(caught_up).await;
    // The window is asked what it holds: a lower threshold keeps its panes, and fires at once.
    site.write("alerts/web.yml", &rule(1));
    assert!(site.run(&["rules", "apply"]).await.status.success());
    let fired = fired(&local(&site, Role::Admin).await, "web").await;
    assert_eq!(fired.evidence.count, sent);
    assert!(lab.stop().await.success());
    assert_eq!(site.servers(), [0; 0]);
}
