//! Several shards, several metrics, an alert for each group of labels.

use crate::events::{Happened, counted, local};
use crate::load::Load;
use crate::site::{Site, caught_up};
use bus::accounts::Role;
use stages::subject::Subjects;
use std::collections::BTreeSet;

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
