//! A large house: a thousand metrics, each of a hundred hosts, ten rules a metric as people write them.

use crate::support::load::{self, METRICS, Values};
use bytes::Bytes;
use stages::settings::{Compare, NoData, Rule, Settings, Stat};
use stages::time::Span;
use std::sync::Arc;

/// Hosts, each with a series of every metric.
pub const HOSTS: usize = 100;
/// Series of all.
pub const SERIES: usize = METRICS * HOSTS;
/// Rules of each metric.
pub const RULES_EACH: usize = 10;
/// The longest window of the mix.
pub const LONGEST: Span = minutes(5);
/// A tenth of the hosts report in each step.
pub const HOSTS_A_STEP: usize = HOSTS / 10;

const fn minutes(count: i64) -> Span {
    Span::from_secs(60 * count)
}

/// What one of the ten rules of a metric is: statistic, window in minutes, labels to group by, `for` in seconds, threshold,
/// severity. Ordinary values are about 110, one in fifty four times that; nothing here fires.
type Kind = (Stat, i64, &'static [&'static str], i64, f64, &'static str);

const MIX: [Kind; RULES_EACH] = [
    (Stat::Mean, 5, &[], 0, 1_000.0, "critical"),
    (Stat::Mean, 5, &[], 120, 500.0, "warning"),
    (Stat::Percentile(99.0), 5, &[], 60, 2_000.0, "critical"),
    (Stat::Percentile(99.0), 5, &[], 300, 1_000.0, "warning"),
    (Stat::Percentile(95.0), 5, &["region"], 120, 1_000.0, "warning"),
    (Stat::Max, 1, &[], 0, 10_000.0, "warning"),
    (Stat::Count, 1, &[], 60, 1.0, "critical"),
    (Stat::Above, 5, &["region"], 60, 1_000.0, "critical"),
    (Stat::Mean, 1, &["host"], 60, 1_500.0, "warning"),
    (Stat::Last, 1, &["host"], 300, 5_000.0, "info"),
];

/// Rule number `at` of a metric.
pub fn rule(metric: usize, at: usize) -> Rule {
    let (stat, window, group_by, hold, threshold, severity) = MIX[at];
    let (name, of) = (format!("rule_{metric:04}_{at}"), load::metric(metric));
    let few = stat == Stat::Count;
    Rule {
        group_by: group_by.iter().map(|label| (*label).to_owned()).collect(),
        compare: if few { Compare::Less } else { Compare::Greater },
        no_data: if few { NoData::Alert } else { NoData::Keep },
        threshold,
        share: (stat == Stat::Above).then_some(0.5),
        hold: Span::from_secs(hold),
        severity: severity.to_owned(),
        notify: vec!["county-oncall".to_owned()],
        runbook: Some(format!("https://runbooks.county.example/{name}")),
        labels: [("team".to_owned(), "county".to_owned())].into(),
        annotations: [("summary".to_owned(), "{{ value }} of {{ threshold }}".to_owned())].into(),
        ..load::rule(&name, &of, stat, minutes(window))
    }
}

/// All ten rules of all metrics, each as `change` leaves it.
pub fn settings(revision: &str, change: impl Fn(usize, &mut Rule)) -> Settings {
    let numbers = (0..METRICS).flat_map(|metric| (0..RULES_EACH).map(move |at| (metric, at)));
    let rules = numbers.map(|(metric, at)| {
        let mut rule = rule(metric, at);
        change(metric * RULES_EACH + at, &mut rule);
        Arc::new(rule)
    });
    Settings {
        revision: revision.to_owned(),
        author: "bench".to_owned(),
        rules: rules.collect(),
        receivers: vec![Arc::new(load::receiver("county-oncall", "webhook:oncall"))],
        ..Settings::default()
    }
}

/// The keys of all series, those of a host one after the other.
pub fn keys() -> Vec<String> {
    let key = |series: usize| {
        let (host, metric) = (series / METRICS, load::metric(series % METRICS));
        format!("{metric}\u{1f}host\u{1e}app-{host:02}\u{1f}region\u{1e}r{}", host % 5)
    };
    (0..SERIES).map(key).collect()
}

/// What each host sends in one second: an entry of a sample of each of its series.
pub fn second(keys: &[String], seed: u64) -> Vec<Bytes> {
    let mut values = Values::new(seed);
    let mut value = |_| values.next_ms();
    let entry = |host| load::batch(keys, host * METRICS..(host + 1) * METRICS, 1, None, &mut value);
    (0..HOSTS).map(entry).collect()
}
