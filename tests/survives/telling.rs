//! What comes in wrong, and who is told.

use crate::events::{all, anonymous, counted, first, local};
use crate::load::{Load, post};
use crate::site::{RULE, Site, caught_up};
use crate::support::browser::Browser;
use bus::accounts::Role;
use bus::{Bus, Outgoing, Stream};
use serde_json::Value;
use std::collections::BTreeSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_samples_on_the_bus_cost_their_neighbours_nothing() {
    let site = Site::new(RULE).await;
    let lab = site.lab().await;
    let service = anonymous(&site).await;
    let good = r#"{"name":"web_ms","val":100}"#;
    let other = r#"{"name":"other_ms","val":100}"#;
    let mixed = format!("[{good},{other},{good}]");
    let (cut_off, wrong) = (r#"{"name":"web_ms","val":"#, r#"{"name":"web_ms","val":"fast"}"#);
    let bodies = [good, "nonsense", cut_off, other, &mixed, wrong, good];
    for body in bodies {
        let payload = body.as_bytes().to_vec().into();
        let subject = "ops.metric.web_ms".to_owned();
        let sample = Outgoing { subject, payload, ..Outgoing::default() };
        service.publish(sample).await.unwrap();
    }
    lab.until(caught_up).await;
    counted(&lab.url(), "web_ms", 4).await;
    let bus = local(&site, Role::Admin).await;
    let letters = all(&bus, Stream::DeadLetter).await;
    let kept: BTreeSet<(String, String)> =
        letters.iter().map(|letter| (text(&letter.subject), text(&letter.payload))).collect();
    let expected = [
        ("not_json", "nonsense"),
        ("not_json", cut_off),
        ("name_mismatch", other),
        ("name_mismatch", &mixed),
        ("wrong_type", wrong),
    ];
    let expected =
        expected.map(|(reason, sent)| (format!("ops.deadletter.{reason}"), sent.to_owned()));
    assert_eq!(kept, BTreeSet::from(expected));
    assert_eq!(letters.len(), kept.len(), "each is kept once");
    assert!(lab.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receivers_are_told_once_of_the_beginning_and_the_end() {
    let site = Site::new(RULE).await;
    let lab = site.lab().await;
    let load = Load::start(&site, lab.url());
    load.more(20).await;
    load.turn_slow();
    let bus = local(&site, Role::Admin).await;
    first(&bus, Stream::Events, "ops.alert.critical.web.resolved").await;
    site.hook.until("hook", |post| post["opsReason"] == "resolved").await;
    site.hook.until("pager", |post| post["event_action"] == "resolve").await;
    load.end().await;
    lab.until(caught_up).await;
    assert!(lab.stop().await.success());

    let posts = site.hook.posts("hook");
    let one = |reason: &str| -> &Value {
        let told: Vec<&Value> = posts.iter().filter(|post| post["opsReason"] == reason).collect();
        assert_eq!(told.len(), 1, "{reason}: {posts:#?}");
        told[0]
    };
    let (fired, resolved) = (one("fired"), one("resolved"));
    for same in ["fingerprint", "labels", "startsAt"] {
        assert_eq!(fired["alerts"][0][same], resolved["alerts"][0][same], "{same}");
    }
    assert_eq!(fired["opsIncident"], resolved["opsIncident"]);
    assert_eq!((&fired["status"], &resolved["status"]), (&"firing".into(), &"resolved".into()));
    let keys: BTreeSet<&str> = posts.iter().map(|post| post["opsKey"].as_str().unwrap()).collect();
    assert_eq!(keys.len(), posts.len(), "nothing was sent twice: {posts:#?}");

    let pages = site.hook.posts("pager");
    let keys: BTreeSet<&str> =
        pages.iter().map(|page| page["dedup_key"].as_str().unwrap()).collect();
    assert_eq!(keys.len(), 1, "one incident: {pages:#?}");
    assert!(pages.iter().all(|page| page["routing_key"] == "secret-routing-key"));
    let actions: Vec<&str> =
        pages.iter().map(|page| page["event_action"].as_str().unwrap()).collect();
    assert_eq!((actions.first(), actions.last()), (Some(&"trigger"), Some(&"resolve")));
    assert_eq!(actions.iter().filter(|action| **action == "resolve").count(), 1, "{actions:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_shows_what_the_rule_watches() {
    let site =
        Site::new("metric: web_ms\nstat: p99\nthreshold: 1000\nwindow: 5m\nnotify: hook\n").await;
    site.write("alerts/calls.yml", "metric: web_ms\nstat: count\nthreshold: 99\nwindow: 5m\n");
    let mut lab = site.lab().await;
    let calls = (0..100).map(|call| if call % 20 == 0 { 4000 } else { 100 });
    let calls: Vec<String> =
        calls.map(|took| format!(r#"{{"name":"web_ms","val":{took}}}"#)).collect();
    post(&lab.url(), &calls.join("\n")).await;
    // The same words in the terminal, on the page and on the board, never the mean of 295 ms.
    let expected = ["web_ms p99 4000 ms (threshold 1000)", "web_ms 100 samples (threshold 99)"];
    for text in expected {
        lab.line(|line| line.contains(&format!("] ALERT {text}  → "))).await;
    }
    let told = site.hook.until("hook", |post| post["opsReason"] == "fired").await;
    assert!(told.to_string().contains(expected[0]), "{told}");
    let browser = Browser::start().await;
    browser.open(&lab.url()).await;
    for text in expected {
        let fired = "[...document.querySelectorAll('#events li[data-state=fired]')]";
        let shown =
            format!("return {fired}.some((line) => line.innerText.endsWith('ALERT {text}'))");
        browser.wait(&shown, "return document.body.innerText").await;
    }
    browser.close().await;
    assert!(lab.stop().await.success());
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
