//! Several shards, several metrics, an alert for each group of labels.

use crate::events::{Happened, anonymous, counted, fired, first, local};
use crate::load::Load;
use crate::site::{ASK_EVERY, Site, caught_up};
use bus::accounts::Role;
use bus::{Bus, Outgoing, Stream};
use serde_json::{Value, json};
use stages::subject::Subjects;
use stages::time::{Span, Time};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const SHARDS: u32 = 3;
const METRICS: [&str; 5] = ["web_ms", "db_ms", "disk_ms", "queue_ms", "court.api_ms"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_alert_of_every_shard_and_group_fires_and_resolves_once() {
    let site = Site::new("metric: web_ms\nthreshold: 1000\nwindow: 2s\n").await;
    for metric in &METRICS[1..] {
        let rule = format!("metric: {metric}\nthreshold: 1000\nwindow: 2s\ngroup_by: [region]\n");
        site.write(&format!("alerts/{}.yml", metric.replace('.', "_")), &rule);
    }
    let listen = format!("127.0.0.1:{}", crate::support::free_port());
    let mut command = site.command(&["lab", "--listen", &listen], "data");
    command.env("OPS_SHARDS", SHARDS.to_string());
    let lab = site.start(command, listen).await;
    let subjects = Subjects::default();
    let used: BTreeSet<u32> =
        METRICS.iter().map(|metric| subjects.shard_of(metric, SHARDS)).collect();
    assert_eq!(used.len() as u32, SHARDS, "the metrics lie on all shards");

    let mut series = vec![r#""name":"web_ms""#.to_owned()];
    for metric in &METRICS[1..] {
        for region in ["north", "south"] {
            series.push(format!(r#""name":"{metric}","labels":{{"region":"{region}"}}"#));
        }
    }
    let series: Vec<&str> = series.iter().map(String::as_str).collect();
    let load = Load::of(&site, lab.url(), &series);
    load.more(20).await;
    let bus = local(&site, Role::Admin).await;
    for (slow, state) in [(true, "fired"), (false, "resolved")] {
        if slow {
            load.turn_slow()
        } else {
            load.turn_fast()
        }
        while Happened::so_far(&bus).await.alerts(state).len() < series.len() {
            load.more(20).await;
        }
        // Else what leaves the window of two seconds moves the mean over the threshold once more.
        let settled = std::time::Instant::now();
        while settled.elapsed() < std::time::Duration::from_secs(3) {
            load.more(20).await;
        }
    }
    let sent = load.end().await;
    lab.until(caught_up).await;
    let happened = Happened::so_far(&bus).await;
    for state in ["fired", "resolved"] {
        let seen: Vec<String> = happened
            .alerts
            .iter()
            .filter(|event| event.state.token() == state)
            .map(|event| format!("{} {:?}", event.rule, event.group))
            .collect();
        let distinct: BTreeSet<&String> = seen.iter().collect();
        assert_eq!((seen.len(), distinct.len()), (series.len(), series.len()), "{seen:#?}");
    }
    counted(&lab.url(), "web_ms", sent).await;
    counted(&lab.url(), "court.api_ms", 2 * sent).await;
    assert!(lab.stop().await.success());
}

/// Two conditions, one in each of two shards.
const APART: &str = "all:\n  - {metric: web_ms, threshold: 1000, window: 3s}\n  \
    - {metric: requests, stat: count, threshold: 5, window: 3s}\nnotify: [hook]\n";

/// A service that publishes a sample of both metrics again and again, slow ones while told so.
fn publish(
    site_bus: bus::jetstream::JetStream,
    slow: Arc<AtomicBool>,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            let web_ms = if slow.load(Ordering::SeqCst) { 4000 } else { 110 };
            for (name, value) in [("web_ms", web_ms), ("requests", 1)] {
                let payload = json!({ "name": name, "val": value }).to_string().into();
                let subject = format!("ops.metric.{name}");
                let sample = Outgoing { subject, payload, ..Outgoing::default() };
                site_bus.publish(sample).await.unwrap();
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_across_two_shards_fires_is_explained_and_found_again() {
    let site = Site::new(APART).await;
    site.write("config/ops.yml", "bus:\n  shards: 2\n");
    let subjects = Subjects::default();
    assert_ne!(subjects.shard_of("web_ms", 2), subjects.shard_of("requests", 2));
    let listen = format!("127.0.0.1:{}", crate::support::free_port());
    let up = site.start(site.command(&["up", "--listen", &listen], "data"), listen).await;
    let slow = Arc::new(AtomicBool::new(false));
    let service = publish(anonymous(&site).await, slow.clone());
    let bus = local(&site, Role::Admin).await;
    up.until(caught_up).await;
    slow.store(true, Ordering::SeqCst);
    let alert = fired(&bus, "web").await;
    let incident = alert.incident.expect("it has an incident");
    slow.store(false, Ordering::SeqCst);
    first(&bus, Stream::Events, "ops.alert.critical.web.resolved").await;
    site.hook.until("hook", |post| post["opsReason"] == "resolved").await;
    service.abort();
    up.until(caught_up).await;
    assert_eq!(Happened::so_far(&bus).await.alerts("fired"), [incident.as_str()]);

    let said = site.run(&["why", &incident]).await;
    let (told, trouble) = (text(&said.stdout), text(&said.stderr));
    assert!(said.status.success(), "{told}{trouble}");
    for words in ["-> firing: breach", "web_ms", "requests", "hook fired", "log desk: "] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(told.contains("say what was recorded"), "{told}");

    let rule = site.path("alerts/web.yml");
    let backtest = ["backtest", rule.to_str().unwrap(), "--since", "1h", "--format", "json"];
    let said = site.run(&backtest).await;
    let (told, trouble) = (text(&said.stdout), text(&said.stderr));
    assert!(said.status.success(), "{told}{trouble}");
    let told: Value = serde_json::from_str(&told).unwrap();
    let incidents = told["variants"][0]["incidents"].as_array().unwrap();
    assert_eq!(incidents.len(), 1, "{told}");
    // The desk's log names what it judges by, and ticks come a little late; a backtest has neither.
    let judged = alert.evidence.window_end;
    let opened: Time = serde_json::from_value(incidents[0]["opened"].clone()).unwrap();
    let between = judged.since(opened).max(opened.since(judged));
    assert!(incidents[0]["rule"] == "web" && between < Span::from_secs(1), "{judged}: {told}");
    assert!(up.stop().await.success());
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
