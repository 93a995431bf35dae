//! What the board answers, on the bus in memory: pages, queries, live events.

#![allow(clippy::unwrap_used)]

use board::{Board, BoardOptions};
use bus::layout::Layout;
use bus::memory::MemoryBus;
use bus::{Bus, Outgoing, Stream};
use futures::StreamExt;
use serde_json::{Value, json};
use stages::batch::Kind;
use stages::rollup::{Detail, Rollups, Tier};
use stages::run::Run;
use stages::subject::Subjects;
use stages::time::Time;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Longest wait for anything on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

struct Site {
    bus: Arc<MemoryBus>,
    subjects: Subjects,
    url: String,
    _board: Board,
}

/// A board on a bus that holds what `before` stored.
async fn site(before: impl AsyncFnOnce(&Arc<MemoryBus>, &Subjects)) -> Site {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let bus = Arc::new(MemoryBus::real_time(Layout::default()));
    bus.ensure(1).await.unwrap();
    let subjects = Subjects::default();
    before(&bus, &subjects).await;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../alerts/runbooks");
    let options = BoardOptions {
        bus: bus.clone(),
        subjects: subjects.clone(),
        shards: 1,
        runbooks: Some(folder),
    };
    let (routes, board) = board::start(options);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    Site { bus, subjects, url, _board: board }
}

impl Site {
    async fn get(&self, path: &str) -> (u16, String) {
        let answer = reqwest::get(format!("{}{path}", self.url)).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn json(&self, path: &str) -> Value {
        let (status, text) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Asks until the answer is as wanted: the board follows the bus in its own time.
    async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let asking = async {
            loop {
                let answer = self.json(path).await;
                if wanted(&answer) {
                    return answer;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{path} never"))
    }

    async fn publish(&self, subject: String, body: Value) {
        publish(&self.bus, subject, body).await;
    }
}

async fn publish(bus: &Arc<MemoryBus>, subject: String, body: Value) {
    let payload = body.to_string().into();
    bus.publish(Outgoing { subject, payload, ..Outgoing::default() }).await.unwrap();
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Time(since.as_nanos() as i64)
}

fn alert(state: &str, time: Time, level: f64) -> Value {
    json!({
        "schema": 1, "state": state, "incident": "6c1d", "rule": "county_api",
        "metric": "county_api_ms", "group": {}, "severity": "critical", "time": time,
        "position": 7, "opened": time, "axis": if state == "resolved" { "ok" } else { "firing" },
        "data": "fresh", "cause": "breach", "level": level, "threshold": 1000.0, "unit": "ms",
        "evidence": {
            "value": level, "level": level, "threshold": 1000.0, "count": 100, "mean": level,
            "min": 1.0, "max": level, "percentiles": null, "window_start": time,
            "window_end": time, "panes": 60, "panes_filled": 60, "series": 1, "log_range": [1, 7],
        },
        "runbook": "wiki/slow-county-api", "labels": {}, "notified": ["oncall@opm.gov"],
        "untold": null, "detail": null,
    })
}

/// Rollups as the engine packs them: two series of one metric, one pane, and another metric.
fn packs(start: Time, histograms: bool) -> Vec<(Tier, bytes::Bytes)> {
    let mut rollups = Rollups::new();
    if histograms {
        rollups.detail([("county_api_ms".to_owned(), Detail::Fine)]);
    }
    rollups.name(0, "county_api_ms\u{1f}pod\u{1e}a".into(), Kind::Gauge);
    rollups.name(1, "county_api_ms\u{1f}pod\u{1e}b".into(), Kind::Gauge);
    rollups.name(2, "other".into(), Kind::Gauge);
    for (series, value) in [(0, 100.0), (0, 110.0), (0, 120.0), (1, 1500.0), (2, 9.0)] {
        let run = Run::of(start, value, stages::time::Span::from_secs(1));
        rollups.add(series, &run, &[(start, value)]);
    }
    rollups.take(start.plus(stages::time::Span::from_secs(120)), 1)
}

async fn store(bus: &Arc<MemoryBus>, subjects: &Subjects, packs: Vec<(Tier, bytes::Bytes)>) {
    for (tier, payload) in packs {
        let subject = subjects.rollup(tier.token(), 0);
        bus.publish(Outgoing { subject, payload, ..Outgoing::default() }).await.unwrap();
    }
}

#[tokio::test]
async fn history_merges_the_series_of_a_metric() {
    let start = now().floor(stages::time::Span::from_secs(60));
    let site = site(async |bus, subjects| store(bus, subjects, packs(start, true)).await).await;
    for (window, seconds) in [("15m", 1), ("6h", 10), ("7d", 60)] {
        let path = format!("/api/metric/county_api_ms?window={window}");
        let answer = site.json(&path).await;
        assert_eq!(answer["pane_seconds"], seconds, "{window}");
        let panes = &answer["panes"];
        assert_eq!(panes["count"], json!([4]), "{window}: {panes}");
        assert_eq!(panes["max"], json!([1500.0]));
        assert_eq!(panes["mean"], json!([1830.0 / 4.0]));
        // The 50th of 100, 110, 120, 1500 by nearest rank, from merged histograms.
        assert_eq!(panes["p50"], json!([110.0]), "{panes}");
    }
    let none = site.json("/api/metric/nothing?window=1h").await;
    assert_eq!(none["panes"]["count"], json!([]));
}

#[tokio::test]
async fn percentiles_are_missing_where_no_histogram_was_kept() {
    let start = now().floor(stages::time::Span::from_secs(60));
    let site = site(async |bus, subjects| store(bus, subjects, packs(start, false)).await).await;
    let answer = site.json("/api/metric/county_api_ms?window=15m").await;
    assert_eq!(answer["panes"]["p99"], json!([null]));
    assert_eq!(answer["panes"]["count"], json!([4]));
}

#[tokio::test]
async fn alerts_move_the_state_and_shade_the_time_between() {
    let site = site(async |_, _| {}).await;
    let rule = std::sync::Arc::new(rule());
    let settings = stages::settings::Settings {
        revision: "r1".into(),
        rules: vec![rule],
        ..Default::default()
    };
    site.publish(site.subjects.of("desk.settings"), serde_json::to_value(settings).unwrap()).await;
    let (fired, resolved) = (Time::from_millis(1_000_000), Time::from_millis(1_060_000));
    let subject = |state| site.subjects.alert("critical", "county_api", state);
    site.publish(subject("fired"), alert("fired", fired, 1580.0)).await;
    let path = "/api/metric/county_api_ms?window=15m";
    let answer = site.until(path, |answer| !answer["events"].as_array().unwrap().is_empty()).await;
    assert_eq!(answer["firing"], json!([{ "from": fired, "to": null }]));
    assert_eq!(answer["rules"][0]["alerts"][0]["axis"], "firing");
    assert_eq!(answer["unit"], "ms");
    site.publish(subject("resolved"), alert("resolved", resolved, 112.0)).await;
    let answer = site.until(path, |answer| answer["events"].as_array().unwrap().len() == 2).await;
    assert_eq!(answer["firing"], json!([{ "from": fired, "to": resolved }]));
    let overview = site.json("/api/overview").await;
    assert_eq!(overview["revision"], "r1");
    assert_eq!(overview["rules"][0]["alerts"][0]["axis"], "ok");
    assert_eq!(overview["events"][0]["state"], "resolved", "newest first");
}

#[tokio::test]
async fn a_healthy_alert_is_shown_as_ok_before_anybody_was_ever_told_of_it() {
    let site = site(async |bus, subjects| {
        let rules = vec![std::sync::Arc::new(rule())];
        let settings = stages::settings::Settings { rules, ..Default::default() };
        let settings = serde_json::to_value(settings).unwrap();
        publish(bus, subjects.of("desk.settings"), settings).await;
        let seen = alert("calm", Time::from_millis(1_000_000), 110.0);
        let moved = json!({
            "type": "transition", "schema": 1, "shard": 0, "position": 7, "time": seen["time"],
            "rule": "county_api", "group": {}, "severity": "critical", "from": "unknown",
            "to": "ok", "cause": "first_data", "data": "fresh", "flapping": false,
            "incident": null, "evidence": seen["evidence"],
        });
        publish(bus, subjects.transition(0), moved).await;
    })
    .await;
    let state = |answer: &Value| answer["rules"][0]["alerts"][0]["axis"].clone();
    let answer = site.until("/api/overview", |answer| state(answer) == "ok").await;
    assert_eq!(answer["rules"][0]["alerts"][0]["level"], 110.0);
    assert_eq!(answer["events"], json!([]), "nobody is told");
}

fn rule() -> stages::settings::Rule {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let loaded = settings::load_with(&settings::Layout::at(root), |_| None).unwrap();
    (*loaded.settings.rules[0]).clone()
}

#[tokio::test]
async fn a_viewer_hears_of_panes_and_events_and_asks_for_percentiles() {
    let site = site(async |_, _| {}).await;
    let path = format!("{}/api/live?metric=county_api_ms", site.url);
    let mut stream = reqwest::get(path).await.unwrap().bytes_stream();
    let looks = site.bus.messages(Stream::Log);
    assert_eq!(looks.len(), 1, "the viewer is said in the log");
    assert_eq!(looks[0].subject, "ops.log.0.look");
    let start = now().floor(stages::time::Span::from_secs(60));
    store(&site.bus, &site.subjects, packs(start, true)).await;
    let subject = site.subjects.alert("critical", "county_api", "fired");
    site.publish(subject, alert("fired", start, 1580.0)).await;
    let mut heard = String::new();
    let listening = async {
        while !(heard.contains("event: pane") && heard.contains("event: event")) {
            heard.push_str(std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap());
        }
    };
    tokio::time::timeout(PATIENCE, listening).await.expect("pane and event arrive");
    assert!(heard.contains(r#""count":4"#), "{heard}");
    assert!(!heard.contains(r#""mean":9.0"#), "other metrics are not sent: {heard}");
}

#[tokio::test]
async fn pages_load_from_here_alone_and_bad_requests_are_told_why() {
    let site = site(async |_, _| {}).await;
    for page in ["/", "/board/county_api_ms", "/d/board/county_api_ms?window=1h"] {
        let answer = reqwest::get(format!("{}{page}", site.url)).await.unwrap();
        assert_eq!(answer.status(), 200);
        let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'self'"), "{policy}");
        let html = answer.text().await.unwrap();
        assert!(!html.contains("http://") && !html.contains("https://"), "works offline: {html}");
    }
    for asset in ["style.css", "common.js", "overview.js", "metric.js", "uplot.js", "uplot.css"] {
        assert_eq!(site.get(&format!("/assets/{asset}")).await.0, 200, "{asset}");
    }
    assert_eq!(site.get("/assets/secret").await.0, 404);
    for (path, why) in [
        ("/api/metric/a..b", "metric: "),
        ("/api/metric/a_ms?window=3%20min", "write 3m"),
        ("/api/metric/a_ms?window=0s", "above zero"),
    ] {
        let (status, text) = site.get(path).await;
        assert_eq!(status, 400, "{path}");
        assert!(text.contains(why), "{path}: {text}");
    }
    assert_eq!(site.get("/runbook/slow-county-api").await.0, 200);
    for name in ["..%2F..%2FCargo", "nothing", "%2Fetc%2Fpasswd"] {
        assert_eq!(site.get(&format!("/runbook/{name}")).await.0, 404, "{name}");
    }
}
