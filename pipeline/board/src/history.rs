//! What a metric was: panes read back from the rollups, all its series merged.

use crate::Shared;
use bus::{BusError, Stream};
use serde::Serialize;
use stages::histogram::Counts;
use stages::rollup::{RollupPack, RollupPane, Tier};
use stages::series::split_key;
use stages::time::{Span, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Longest window a page may ask for: what the coarsest tier keeps.
pub const WINDOW_MAX: Span = Span::from_secs(30 * 86_400);
/// Longest wait for a stream to hand over what it has.
const READ_MAX: Duration = Duration::from_secs(5);

/// One pane of a metric, ready for the chart.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PaneOut {
    /// Width in seconds.
    pub seconds: i64,
    /// Start, milliseconds of Unix time.
    pub start: i64,
    /// Samples.
    pub count: u64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Percentiles, where all series carried a histogram.
    pub p50: Option<f64>,
    /// See `p50`.
    pub p95: Option<f64>,
    /// See `p50`.
    pub p99: Option<f64>,
}

/// Panes as columns, the shape a chart wants.
#[derive(Debug, Default, Serialize)]
pub struct Columns {
    start: Vec<i64>,
    count: Vec<u64>,
    mean: Vec<f64>,
    min: Vec<f64>,
    max: Vec<f64>,
    p50: Vec<Option<f64>>,
    p95: Vec<Option<f64>>,
    p99: Vec<Option<f64>>,
}

/// Panes of one metric being merged: parts of a pane add up, each series' and each step's once.
#[derive(Default)]
pub struct Merged {
    seconds: i64,
    panes: BTreeMap<Time, Parts>,
}

/// Parts of a pane by series, and by the position of the step that said them.
type Parts = BTreeMap<(String, u64), RollupPane>;

impl Merged {
    /// Takes the panes of `metric` that began at or after `since` out of a pack; which ones they were.
    pub fn add_pack(&mut self, pack: &RollupPack, metric: &str, since: Time) -> BTreeSet<Time> {
        self.seconds = seconds(pack.tier);
        let mut touched = BTreeSet::new();
        for row in pack.rows.iter().filter(|row| split_key(&row.key).0 == metric) {
            for pane in row.panes.iter().filter(|pane| pane.start >= since) {
                let part = (row.key.clone(), pack.position);
                self.panes.entry(pane.start).or_default().insert(part, pane.clone());
                touched.insert(pane.start);
            }
        }
        touched
    }

    /// Takes all parts of `other`, which is of the same metric and tier.
    pub fn add_all(&mut self, other: Self) {
        self.seconds = other.seconds;
        for (start, parts) in other.panes {
            self.panes.entry(start).or_default().extend(parts);
        }
    }

    /// Keeps the newest `most` panes.
    pub fn trim(&mut self, most: usize) {
        while self.panes.len() > most {
            self.panes.pop_first();
        }
    }

    /// One pane, if it is kept.
    pub fn pane(&self, start: Time) -> Option<PaneOut> {
        self.panes.get(&start).map(|parts| merge(self.seconds, start, parts))
    }

    /// The panes, oldest first.
    pub fn panes(&self) -> impl Iterator<Item = PaneOut> {
        self.panes.iter().map(|(start, parts)| merge(self.seconds, *start, parts))
    }

    /// The panes as columns. One without percentiles shows those of the `coarser` pane around it: seconds carry
    /// histograms only while somebody looks.
    pub fn columns(&self, coarser: &Self) -> Columns {
        let mut columns = Columns::default();
        let around: BTreeMap<i64, PaneOut> =
            coarser.panes().map(|pane| (pane.start, pane)).collect();
        for mut pane in self.panes() {
            let before = around.range(..=pane.start).next_back();
            if let Some((start, other)) = before
                && pane.p50.is_none()
                && start + other.seconds * 1000 > pane.start
            {
                (pane.p50, pane.p95, pane.p99) = (other.p50, other.p95, other.p99);
            }
            columns.start.push(pane.start);
            columns.count.push(pane.count);
            columns.mean.push(pane.mean);
            columns.min.push(pane.min);
            columns.max.push(pane.max);
            columns.p50.push(pane.p50);
            columns.p95.push(pane.p95);
            columns.p99.push(pane.p99);
        }
        columns
    }
}

/// Merges series: counts and sums add up, percentiles come from merged histograms, never from percentiles.
fn merge(seconds: i64, start: Time, parts: &Parts) -> PaneOut {
    let count = parts.values().map(|part| part.count).sum();
    let sum: f64 = parts.values().map(|part| part.sum).sum();
    let mut merged = Some(Counts::default());
    for part in parts.values() {
        merged = match (merged, part.histogram.clone()) {
            (Some(mut merged), Some(mut histogram)) => {
                merged.add_all(&mut histogram);
                Some(merged)
            }
            _ => None,
        };
    }
    let mut percentile = |q: f64| merged.as_mut().and_then(|counts| counts.percentile(q));
    PaneOut {
        seconds,
        start: start.as_millis(),
        count,
        mean: if count == 0 { 0.0 } else { sum / count as f64 },
        min: parts.values().map(|part| part.min).fold(f64::INFINITY, f64::min),
        max: parts.values().map(|part| part.max).fold(f64::NEG_INFINITY, f64::max),
        p50: percentile(50.0),
        p95: percentile(95.0),
        p99: percentile(99.0),
    }
}

/// Width of a tier's panes in seconds.
pub fn seconds(tier: Tier) -> i64 {
    tier.width().0 / 1_000_000_000
}

/// The finest tier that still holds `window` and keeps the chart below some thousand panes.
pub fn tier_for(window: Span) -> Tier {
    if window <= Span::from_secs(15 * 60) {
        Tier::Second
    } else if window <= Span::from_secs(12 * 3600) {
        Tier::TenSeconds
    } else {
        Tier::Minute
    }
}

/// Reads back the panes of `metric` that began after `since`.
pub async fn history(
    shared: &Shared,
    metric: &str,
    tier: Tier,
    since: Time,
) -> Result<Merged, BusError> {
    let mut merged = Merged { seconds: seconds(tier), ..Merged::default() };
    let shard = shared.subjects.shard_of(metric, shared.shards);
    let subject = shared.subjects.rollup(tier.token(), shard);
    // A pane is published after it ended, so one that began later was stored later.
    let from = shared.bus.first_at(Stream::Rollups, since).await?;
    let Some(last) = shared.bus.last(Stream::Rollups, &subject).await? else { return Ok(merged) };
    if last.sequence < from {
        return Ok(merged);
    }
    let mut reader = shared.bus.read(Stream::Rollups, Some(&subject), from).await?;
    let (mut messages, mut read) = (Vec::new(), 0);
    while read < last.sequence {
        let next = tokio::time::timeout(READ_MAX, reader.next(&mut messages)).await;
        next.map_err(|_| BusError::Unavailable {
            what: format!("reading {subject}"),
            why: "the bus takes too long".to_owned(),
        })??;
        for message in messages.drain(..) {
            read = message.sequence;
            match RollupPack::decode(&message.payload) {
                Ok(pack) => drop(merged.add_pack(&pack, metric, since)),
                Err(error) => tracing::warn!(%error, read, "a rollup cannot be read; passed over"),
            }
        }
    }
    Ok(merged)
}
