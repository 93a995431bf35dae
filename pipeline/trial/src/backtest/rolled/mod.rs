//! Samples put together again from rollups, for what the log no longer holds. An approximation, and called one wherever it is
//! shown.
//!
//! Ten seconds are the finest panes kept beyond an hour, minutes the longest kept. Each metric is read at ten seconds as far
//! back as there are any, and before that at minutes.

mod values;

use crate::TrialError;
use crate::input::Samples;
use bus::{SharedBus, Stream};
use serde::Serialize;
use stages::batch::Kind;
use stages::rollup::{RollupPack, RollupPane, Tier};
use stages::series::split_key;
use stages::settings::{Rule, Stat};
use stages::subject::Subjects;
use stages::time::{Span, Time};
use std::collections::{BTreeMap, BTreeSet};

/// Parts of a pane come this long after it at most: samples of a minute are taken five minutes late.
const LATE_MAX: Span = Span::from_secs(900);

/// Which rollups.
#[derive(Clone)]
pub struct Rolled {
    /// The bus.
    pub bus: SharedBus,
    /// Subjects on it.
    pub subjects: Subjects,
    /// Number of shards.
    pub shards: u32,
    /// From when to when.
    pub span: (Time, Time),
}

/// That it is an approximation, and what is lost in it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Approximate {
    /// How wide the widest panes are that were read.
    pub pane: Span,
    /// What cannot be told, in words.
    pub lost: Vec<String>,
}

impl Approximate {
    /// The label and what is lost, a line each.
    pub fn lines(&self) -> Vec<String> {
        let label = format!("approximate: judged from rollups in panes of up to {}", self.pane);
        std::iter::once(label).chain(self.lost.iter().cloned()).collect()
    }
}

/// Parts of a pane by series, pane and position of the step that said them: each counts once.
type Parts = BTreeMap<(String, Time, u64), (Kind, RollupPane)>;

/// What was found of one metric.
#[derive(Default)]
struct Metric {
    panes: Vec<(Tier, String, Kind, RollupPane)>,
    /// Panes of more than two samples without a histogram, and all such.
    bare: (u64, u64),
    widest: Option<Tier>,
}

impl Rolled {
    /// The samples of all metrics that `rules` read.
    ///
    /// # Errors
    /// The bus does not answer, or nothing is kept of any of the metrics.
    pub async fn samples(
        &self,
        rules: &[std::sync::Arc<Rule>],
    ) -> Result<(Samples, Approximate), TrialError> {
        let wanted: BTreeSet<&str> = rules.iter().flat_map(|rule| rule.metrics()).collect();
        let mut found: BTreeMap<&str, Metric> = BTreeMap::new();
        for metric in &wanted {
            found.insert(*metric, self.metric(metric).await?);
        }
        let (from, to) = self.span;
        let mut lost = Vec::new();
        for (metric, _) in found.iter().filter(|(_, one)| one.panes.is_empty()) {
            lost.push(format!("no rollups are kept of {metric} from {from} to {to}"));
        }
        let Some(widest) = found.values().filter_map(|one| one.widest).max() else {
            return Err(TrialError::NoRollups(lost.join("; ")));
        };
        for rule in rules {
            lost.extend(said_of(rule, &found));
        }
        let shared = "when within a pane a sample came, and silences, changes and freezes of then, are not known";
        lost.insert(0, shared.to_owned());
        let mut samples = Samples::default();
        for metric in found.into_values() {
            for (tier, key, kind, pane) in metric.panes {
                let all = values::samples(pane, kind, tier.width()).into_iter();
                // The last pane may reach beyond what was asked for.
                for (time, value) in all.take_while(|(time, _)| *time < to) {
                    samples.put((time, value), &key, kind).map_err(TrialError::TooMany)?;
                }
            }
        }
        if samples.is_empty() {
            return Err(TrialError::NoRollups(format!(
                "less than a pane is kept from {from} to {to}"
            )));
        }
        samples.sort();
        Ok((samples, Approximate { pane: widest.width(), lost }))
    }

    /// The panes of one metric: of ten seconds where they are kept, else of minutes.
    async fn metric(&self, metric: &str) -> Result<Metric, TrialError> {
        let fine = self.parts(metric, Tier::TenSeconds).await?;
        let coarse = self.parts(metric, Tier::Minute).await?;
        let begin = fine.keys().map(|(_, start, _)| *start).min().unwrap_or(Time(i64::MAX));
        // Whole minutes come from one or the other.
        let cut = if begin.0 == i64::MAX { begin } else { Tier::Minute.next(begin) };
        let mut found = Metric::default();
        for (tier, parts) in [(Tier::Minute, coarse), (Tier::TenSeconds, fine)] {
            for (key, kind, pane) in added(parts) {
                if (pane.start < cut) == (tier == Tier::Minute) {
                    let counted = pane.count > 2;
                    found.bare.0 += u64::from(counted && pane.histogram.is_none());
                    found.bare.1 += u64::from(counted);
                    found.widest = found.widest.max(Some(tier));
                    found.panes.push((tier, key, kind, pane));
                }
            }
        }
        Ok(found)
    }

    /// The parts of panes of `metric` that begin within the span.
    async fn parts(&self, metric: &str, tier: Tier) -> Result<Parts, TrialError> {
        let (from, to) = self.span;
        let shard = self.subjects.shard_of(metric, self.shards);
        let subject = self.subjects.rollup(tier.token(), shard);
        let mut parts = Parts::new();
        // A pane is published after it ended, so one that began later was stored later.
        let first = self.bus.first_at(Stream::Rollups, from).await?;
        let Some(last) = self.bus.last(Stream::Rollups, &subject).await? else { return Ok(parts) };
        if last.sequence < first {
            return Ok(parts);
        }
        let mut reader = self.bus.read(Stream::Rollups, Some(&subject), first).await?;
        let (mut messages, mut done) = (Vec::new(), false);
        while !done {
            reader.next(&mut messages).await?;
            for message in messages.drain(..) {
                done |= message.sequence >= last.sequence || message.time > to.plus(LATE_MAX);
                let Ok(pack) = RollupPack::decode(&message.payload) else { continue };
                let of_metric = pack.rows.into_iter().filter(|row| split_key(&row.key).0 == metric);
                for row in of_metric {
                    for pane in
                        row.panes.into_iter().filter(|pane| (from..to).contains(&pane.start))
                    {
                        let key = (row.key.clone(), pane.start, pack.position);
                        parts.insert(key, (row.kind, pane));
                    }
                }
            }
        }
        Ok(parts)
    }
}

/// Whole panes: the parts of each added up.
fn added(parts: Parts) -> Vec<(String, Kind, RollupPane)> {
    let mut whole: Vec<(String, Kind, RollupPane)> = Vec::new();
    for ((key, start, _), (kind, mut part)) in parts {
        match whole.last_mut().filter(|(other, _, pane)| *other == key && pane.start == start) {
            Some((_, _, pane)) => {
                pane.count += part.count;
                pane.sum += part.sum;
                (pane.min, pane.max) = (pane.min.min(part.min), pane.max.max(part.max));
                pane.histogram = match (pane.histogram.take(), &mut part.histogram) {
                    (Some(mut counts), Some(more)) => {
                        counts.add_all(more);
                        Some(counts)
                    }
                    _ => None,
                };
            }
            None => whole.push((key, kind, part)),
        }
    }
    whole
}

/// What cannot be told of a rule.
fn said_of(rule: &Rule, found: &BTreeMap<&str, Metric>) -> Vec<String> {
    let (name, mut lost) = (&rule.name, Vec::new());
    let metrics = rule.metrics();
    let read = || metrics.iter().filter_map(|metric| Some((metric, found.get(metric)?)));
    let Some(pane) = read().filter_map(|(_, one)| one.widest).max().map(Tier::width) else {
        return lost;
    };
    for (what, span) in [("for", rule.hold), ("window", rule.window)] {
        if span > Span::ZERO && span < pane {
            lost.push(format!(
                "rule {name}: {what} {span} is shorter than a pane of {pane}, so what it decides cannot be told"
            ));
        }
    }
    let stats = rule.terms().map(|term| term.stat).chain([rule.stat]);
    let stats: Vec<Stat> = stats.collect();
    let counted = |stat: &Stat| {
        matches!(stat, Stat::Percentile(_) | Stat::Above | Stat::Below | Stat::Stddev)
    };
    for (metric, one) in read().filter(|(_, one)| stats.iter().any(counted) && one.bare.0 > 0) {
        let (bare, all) = one.bare;
        lost.push(format!(
            "rule {name}: {bare} of {all} panes of {metric} kept no histogram; there its statistic comes from count, \
             sum, smallest and largest alone"
        ));
    }
    if stats.iter().any(|stat| matches!(stat, Stat::Last | Stat::Rate)) {
        lost.push(format!("rule {name}: the order of samples, which last and rate go by, is lost"));
    }
    lost
}
