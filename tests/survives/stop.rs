//! Told to stop.

use crate::events::{Happened, fired, first, local};
use crate::load::Load;
use crate::site::{RULE, Running, Site, caught_up, signal};
use bus::Stream;
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

/// A lab whose script runs and is held, told to stop.
async fn told_to_stop_while_the_script_runs(site: &Site) -> (Running, Load) {
    site.write("data/hold", "");
    let lab = site.lab().await;
    let load = Load::start(site, lab.url());
    load.more(20).await;
    load.turn_slow();
    site.made("data/starts").await;
    site.script().await;
    signal(lab.pid(), "TERM").await;
    site.logged("waiting for the script of rollback PARACHUTE").await;
    (lab, load)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_waits_for_the_script_and_everything_else_goes_on() {
    let site = Site::new(RULE).await;
    let (lab, load) = told_to_stop_while_the_script_runs(&site).await;
    load.more(20).await;
    std::fs::remove_file(site.path("data/hold")).unwrap();
    assert!(lab.ended().await.success());
    assert!(site.path("data/cured").exists(), "the script ran to its end");
    let lab = site.lab().await;
    let bus = local(&site, Role::Admin).await;
    first(&bus, Stream::Events, "ops.rollback.PARACHUTE.recovered").await;
    load.end().await;
    let happened = Happened::so_far(&bus).await;
    let states: Vec<&str> = happened.outcomes.iter().map(|one| one.state.token()).collect();
    assert_eq!(states, ["running", "succeeded"]);
    assert_eq!(site.lines("data/starts").len(), 1);
    assert!(lab.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_stop_leaves_the_script_to_the_next_start() {
    let site = Site::new(RULE).await;
    let (lab, load) = told_to_stop_while_the_script_runs(&site).await;
    signal(lab.pid(), "TERM").await;
    assert!(lab.ended().await.success());
    assert!(!site.path("data/cured").exists(), "the script is still at it");
    std::fs::remove_file(site.path("data/hold")).unwrap();
    site.made("data/cured").await;
    let lab = site.lab().await;
    let bus = local(&site, Role::Admin).await;
    first(&bus, Stream::Events, "ops.rollback.PARACHUTE.recovered").await;
    load.end().await;
    let happened = Happened::so_far(&bus).await;
    let states: Vec<&str> = happened.outcomes.iter().map(|one| one.state.token()).collect();
    assert_eq!(states, ["running", "succeeded"]);
    assert_eq!(site.lines("data/starts").len(), 1);
    assert!(lab.stop().await.success());
}
