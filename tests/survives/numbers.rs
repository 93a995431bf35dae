//! What a scraper reads: `/healthz` and `/metrics`.

use crate::load::post;
use crate::site::{RULE, Site, caught_up};
use std::collections::{BTreeMap, BTreeSet};

/// The samples of a page in Prometheus's text format 0.0.4, each checked against its family.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let (mut kinds, mut helped, mut samples) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
    assert!(page.ends_with('\n'), "the last line ends");
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (family, text) = help.split_once(' ').unwrap();
            assert!(helped.insert(family) && !text.is_empty(), "{line}");
            continue;
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (family, kind) = kind.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(kinds.insert(family, kind).is_none(), "a family stands together: {line}");
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        assert!(labels.ends_with('}'), "{line}");
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(name.starts_with("ops_") && name.chars().all(plain), "{line}");
        let whole = |name: &str| {
            ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|it| name.strip_suffix(it))
                .map(str::to_owned)
        };
        let family = if kinds.contains_key(name) { name.to_owned() } else { whole(name).unwrap() };
        let kind = kinds.get(&*family).unwrap_or_else(|| panic!("no TYPE: {line}"));
        assert_eq!(*kind == "histogram", family != name, "{line}");
        assert_eq!(*kind == "counter", name.ends_with("_total"), "{line}");
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        assert!(samples.insert(series.to_owned(), value).is_none(), "twice: {line}");
    }
    samples
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scraper_reads_what_is_true() {
    let site = Site::new(RULE).await;
    let lab = site.lab().await;
    let three = [r#"{"name":"web_ms","val":100}"#; 3].join("\n");
    post(&lab.url(), &three).await;
    lab.until(caught_up).await;
    let alive = reqwest::get(format!("{}/healthz", lab.url())).await.unwrap();
    assert_eq!((alive.status().as_u16(), alive.text().await.unwrap().as_str()), (200, "ok\n"));
    let page = reqwest::get(format!("{}/metrics", lab.url())).await.unwrap();
    assert_eq!(page.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let read = samples(&page.text().await.unwrap());
    for (series, value) in [
        ("ops_bus_connected", 1.0),
        ("ops_collector_samples_total", 3.0),
        ("ops_samples_total{log=\"0\"}", 3.0),
        ("ops_log_owned{log=\"desk\"}", 1.0),
        ("ops_log_stopped{log=\"0\"}", 0.0),
        ("ops_series{log=\"0\"}", 1.0),
        ("ops_alerts{log=\"0\",state=\"ok\"}", 1.0),
        ("ops_notifications_failed_total", 0.0),
        ("ops_rollbacks_in_flight", 0.0),
    ] {
        assert_eq!(read.get(series), Some(&value), "{series}: {read:#?}");
    }
    // A histogram's buckets rise to its count.
    let steps = |series: &str| read[&format!("ops_step_seconds{series}")];
    assert_eq!(steps("_bucket{log=\"0\",le=\"+Inf\"}"), steps("_count{log=\"0\"}"));
    assert!(steps("_count{log=\"0\"}") > 0.0);
    assert!(lab.stop().await.success());
}
