//! A site that is copied while it works, lost, and goes on elsewhere in the middle of an incident.

use crate::events::{Happened, fired, first, local, local_in};
use crate::load::Load;
use crate::site::{Running, Site, caught_up};
use crate::support::free_port;
use bus::Stream;
use bus::accounts::Role;
use std::fs;
use std::process::Output;

const RULE: &str = "metric: web_ms\nthreshold: 1000\nwindow: 3s\nnotify: hook\n";
/// Where the site goes on.
const ELSEWHERE: &str = "restored";

/// What `ops` said, which must have ended with `code`.
fn said(output: &Output, code: i32) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

async fn elsewhere(site: &Site) -> Running {
    let listen = format!("127.0.0.1:{}", free_port());
    site.start(site.command(&["lab", "--listen", &listen], ELSEWHERE), listen).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_site_goes_on_in_the_middle_of_its_incident() {
    let site = Site::new(RULE).await;
    let lab = site.lab().await;
    let load = Load::start(&site, lab.url());
    load.more(20).await;
    load.turn_slow();
    let bus = local(&site, Role::Admin).await;
    let incident = fired(&bus, "web").await.incident.unwrap();
    site.hook.until("hook", |body| body["status"] == "firing").await;
    let backup = site.path("backup");
    let folder = backup.to_str().unwrap();
    let text = said(&site.run(&["backup", folder]).await, 0);
    assert!(text.contains("OPS_EVENTS") && text.contains("stood still"), "{text}");
    let refused = said(&site.run(&["backup", folder]).await, 7);
    assert!(refused.contains("not empty"), "{refused}");

    // Who was interrupted goes on, and says nothing else than if it had not been.
    load.more(20).await;
    load.end().await;
    lab.until(caught_up).await;
    said(&site.run(&["audit", "verify"]).await, 0);
    assert!(lab.stop().await.success());

    let file = backup.join("OPS_EVENTS.copy");
    let right = fs::read(&file).unwrap();
    let mut wrong = right.clone();
    *wrong.last_mut().unwrap() ^= 1;
    fs::write(&file, wrong).unwrap();
    let refused = said(&site.run_in(ELSEWHERE, &["restore", folder]).await, 7);
    assert!(refused.contains("OPS_EVENTS.copy") && refused.contains("another backup"), "{refused}");
    fs::write(&file, right).unwrap();
    said(&site.run_in(ELSEWHERE, &["restore", folder]).await, 0);
    let refused = said(&site.run_in(ELSEWHERE, &["restore", folder]).await, 8);
    assert!(refused.contains("already"), "{refused}");

    let lab = elsewhere(&site).await;
    let load = Load::start(&site, lab.url());
    let bus = local_in(&site, ELSEWHERE, Role::Admin).await;
    first(&bus, Stream::Events, "ops.alert.critical.web.resolved").await;
    site.hook.until("hook", |body| body["status"] == "resolved").await;
    load.end().await;
    let happened = Happened::so_far(&bus).await;
    assert_eq!(happened.alerts("fired"), [&*incident]);
    assert_eq!(happened.alerts("resolved"), [&*incident]);
    let told = site.hook.posts("hook");
    let firing = told.iter().filter(|body| body["status"] == "firing").count();
    assert_eq!(firing, 1, "nobody is told twice: {told:#?}");
    lab.until(caught_up).await;
    said(&site.run_in(ELSEWHERE, &["audit", "verify"]).await, 0);
    assert!(lab.stop().await.success());
}
