//! The load all benches play: metrics `m0`, `m1`, ... with a few series each, and rules that watch them.

use bytes::Bytes;
use stages::batch::{BatchBuilder, Kind, Sample};
use stages::settings::{Budget, Compare, Guards, Limits, NoData, Receiver, Rule, Settings, Stat};
use stages::time::{Span, Time};
use std::ops::Range;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Metrics, and rules.
pub const METRICS: usize = 1_000;
/// Series of each metric.
pub const SERIES_EACH: usize = 10;
/// Series of all.
pub const SERIES: usize = METRICS * SERIES_EACH;

/// Name of a metric.
pub fn metric(number: usize) -> String {
    format!("svc_{number:04}.request_ms")
}

/// Key of a series; the first ten are of the first metric, and so on.
pub fn key(series: usize) -> String {
    let (metric_number, host) = (series / SERIES_EACH, series % SERIES_EACH);
    format!("{}\u{1f}host\u{1e}app-{host:02}.example.gov", metric(metric_number))
}

/// The keys of all series.
pub fn keys() -> Vec<String> {
    (0..SERIES).map(key).collect()
}

/// One rule for each metric, with a threshold that ordinary values never reach.
pub fn settings(stat: Stat, window: Span, group_by: &[&str]) -> Settings {
    let rule_of = |number| {
        let name = format!("rule_{number:04}");
        let group_by = group_by.iter().map(|label| (*label).to_owned()).collect();
        Arc::new(Rule { group_by, ..rule(&name, &metric(number), stat, window) })
    };
    Settings {
        revision: format!("bench-{}", window),
        author: "bench".to_owned(),
        rules: (0..METRICS).map(rule_of).collect(),
        ..Settings::default()
    }
}

/// A rule as a file with name, metric, stat, window and threshold 1 000 would make it.
pub fn rule(name: &str, metric: &str, stat: Stat, window: Span) -> Rule {
    Rule {
        name: name.to_owned(),
        metric: metric.to_owned(),
        matchers: Vec::new(),
        any_of: Vec::new(),
        group_by: Vec::new(),
        stat,
        compare: Compare::Greater,
        threshold: 1000.0,
        share: None,
        window,
        hold: Span::ZERO,
        recover: None,
        keep_firing_for: Span::ZERO,
        reopen_within: Span::ZERO,
        min_samples: 1,
        fresh_for: Span((window.0 / 3).max(10_000_000_000)),
        gap_tolerance: Span(window.0 / 3),
        no_data: NoData::Keep,
        keep_max: Span(window.0 * 5),
        absent: None,
        flap_window: Span((window.0 * 20).max(3_600_000_000_000)),
        severity: "critical".to_owned(),
        grades: Vec::new(),
        action_severity: None,
        unit: None,
        action: None,
        action_min_samples: 10,
        guards: Guards::default(),
        runbook: None,
        notify: Vec::new(),
        repeat: Span::from_secs(14_400),
        labels: [].into(),
        annotations: [].into(),
        mode: Default::default(),
        hours: None,
    }
}

/// A receiver whose budget is never spent.
pub fn receiver(name: &str, channel: &str) -> Receiver {
    let (refill, digest_every) = (Span::from_millis(1), Span::from_secs(300));
    let budget = Budget { burst: 1_000_000, refill, reserve: 0, digest_every };
    Receiver { name: name.to_owned(), channels: vec![channel.to_owned()], budget }
}

/// Bounds that no bench reaches.
pub fn wide_limits() -> Limits {
    Limits { rollbacks_per_hour: 1_000_000, ..Limits::default() }
}

/// Numbers that look like latencies, the same in every run.
pub struct Values(u64);

impl Values {
    /// A sequence of its own for each seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// About 110, whole milliseconds, sometimes four times that.
    pub fn next_ms(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let random = self.0 >> 33;
        let value = 80 + random % 61;
        (if random.is_multiple_of(50) { value * 4 } else { value }) as f64
    }
}

/// A batch of `each` samples of every series in `range`. Without a time they count when they are stored.
pub fn batch(
    keys: &[String],
    range: Range<usize>,
    each: usize,
    time: Option<Time>,
    value: &mut impl FnMut(usize) -> f64,
) -> Bytes {
    let mut builder = BatchBuilder::new();
    for series in range {
        for _ in 0..each {
            let (key, value) = (keys[series].as_str(), value(series));
            builder.push(&Sample { key, kind: Kind::Gauge, time, value, id: None });
        }
    }
    builder.finish().into()
}

/// One sample as a service writes it, in the brief's form.
pub fn json_sample(series: usize, value: f64, time: Option<Time>) -> String {
    let (metric_number, host) = (series / SERIES_EACH, series % SERIES_EACH);
    let ts = time.map_or(String::new(), |time| format!("\"ts\":{},", time.as_millis()));
    format!(
        "{{\"name\":\"{}\",\"labels\":{{\"host\":\"app-{host:02}.example.gov\"}},{ts}\"val\":{value}}}",
        metric(metric_number)
    )
}

/// Samples of one metric as a JSON array: its ten series, ten moments each, `every` apart up to `until`.
pub fn json_array(metric_number: usize, until: Time, every: Span, values: &mut Values) -> Bytes {
    let mut samples = Vec::with_capacity(100);
    for back in (0..10).rev() {
        let time = Some(until.minus(Span(every.0 * back)));
        for host in 0..SERIES_EACH {
            samples.push(json_sample(metric_number * SERIES_EACH + host, values.next_ms(), time));
        }
    }
    format!("[{}]", samples.join(",")).into()
}

/// The wall clock.
pub fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
