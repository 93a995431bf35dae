//! One label set of a rule: its samples, and what is to be seen of them at any moment.

use super::alert::Seen;
use super::graded::Graded;
use super::{Kept, numbers};
use stages::settings::{NoData, Rule, Stat};
use stages::time::{Span, Time};
use stages::wire::{DataFlag, Evidence};
use std::collections::BTreeSet;

#[derive(Clone, Debug)]
pub struct Group {
    pub armed: Time,
    /// Samples of an earlier time of their own do not count.
    pub from: Time,
    pub last: Option<Time>,
    pub samples: Vec<Kept>,
    /// Those that came too late for the window; a history may want them.
    pub older: Vec<Kept>,
    pub alert: Graded,
    pub touched: bool,
    /// Samples in the window, when it was last looked at, and the sum of their places.
    pub inside: (usize, usize),
}

/// Width of a rule's panes: the smallest of the list that is at least a sixtieth of the window.
pub fn width(rule: &Rule) -> i64 {
    let widths = [100, 200, 500, 1_000, 2_000, 5_000, 10_000].map(|millis| millis * 1_000_000);
    widths.into_iter().find(|width| width * 60 >= rule.window.0).unwrap()
}

/// Start of the pane a moment lies in.
pub fn pane(rule: &Rule, time: Time) -> i64 {
    time.0.div_euclid(width(rule)) * width(rule)
}

/// Panes that start later than this are in the window.
pub fn edge(rule: &Rule, now: Time) -> i64 {
    now.0 - rule.window.0 - width(rule)
}

impl Group {
    pub fn new(rule: &Rule, armed: Time) -> Self {
        let alert = Graded::of(rule);
        Self {
            armed,
            from: Time(i64::MIN),
            last: None,
            samples: Vec::new(),
            older: Vec::new(),
            alert,
            touched: true,
            inside: (0, 0),
        }
    }

    /// One that sees only what came from `begun` on.
    pub fn since(rule: &Rule, armed: Time, begun: Option<Time>) -> Self {
        Self { from: begun.unwrap_or(Time(i64::MIN)), ..Self::new(rule, armed) }
    }

    /// Since when there is silence.
    fn silent_since(&self) -> Time {
        self.last.map_or(self.armed, |last| last.max(self.armed))
    }

    /// Whether samples have come into the window or left it.
    pub fn turn(&mut self, rule: &Rule, now: Time) -> bool {
        let (edge, width) = (edge(rule, now), width(rule));
        let mut inside = (0, 0);
        for (at, kept) in self.samples.iter().enumerate() {
            let start = kept.time.0 - kept.time.0.rem_euclid(width);
            if start > edge && start <= now.0 {
                inside = (inside.0 + 1, inside.1 + at);
            }
        }
        std::mem::replace(&mut self.inside, inside) != inside
    }

    /// Whether a clock runs out at `now`. Siblings that come and go are no reason to look at a silent group.
    pub fn is_due(&self, rule: &Rule, now: Time) -> bool {
        let silent = now.0 - self.silent_since().0;
        // Only among siblings there is something to see later on, where absence is not what is looked for.
        let among = !rule.group_by.is_empty() && rule.absent.is_none();
        let again = among && silent > 0 && silent % rule.window.0 == 0;
        let looks = self.inside.0 == 0 && (again || silent == rule.window.0);
        let missing = self.alert.first.data == DataFlag::MissingSeries;
        (looks && !(missing && silent > rule.window.0 * 2))
            || self.last.is_some_and(|last| last.plus(rule.fresh_for) == now)
            || (self.alert.first.is_kept()
                && rule.no_data == NoData::Keep
                && rule.absent.is_none()
                && silent == rule.keep_max.0)
            || rule.absent.is_some_and(|absent| silent == absent.0)
            || self.alert.is_due(rule, now)
    }

    /// What is to be seen at `now`.
    pub fn see(&self, rule: &Rule, reporting: Time, now: Time) -> Seen {
        let inside = |kept: &&Kept| {
            let start = pane(rule, kept.time);
            start > edge(rule, now) && start <= now.0
        };
        let window: Vec<&Kept> = self.samples.iter().filter(inside).collect();
        let silent = self.silent_since();
        let fresh = self.last.is_some_and(|last| now.0 - last.0 < rule.fresh_for.0);
        // Absence goes by when samples came, not by what they say of themselves.
        let gone = window.is_empty() && now.0 - silent.0 >= rule.window.0;
        let missing = gone
            && !rule.group_by.is_empty()
            && rule.absent.is_none()
            && now.0 - silent.0 >= 2 * rule.window.0
            && now.0 - reporting.0 < rule.window.0;
        let data = match (window.is_empty(), fresh) {
            (false, false) => DataFlag::Stale,
            (false, true) if (window.len() as u64) < rule.min_samples => DataFlag::Insufficient,
            (false, true) => DataFlag::Fresh,
            (true, _) if missing => DataFlag::MissingSeries,
            (true, _) if gone || self.last.is_none() => DataFlag::NoData,
            (true, true) => DataFlag::Insufficient,
            (true, false) => DataFlag::Stale,
        };
        let kept = gone && !missing && rule.no_data == NoData::Keep && rule.absent.is_none();
        let level = numbers::level(&self.samples);
        Seen {
            now,
            data,
            gone: gone && !missing,
            absent_for: Span(now.0 - silent.0),
            reported: self.last.is_some(),
            overdue: kept && now.0 - silent.0 >= rule.keep_max.0,
            evidence: Evidence { level, ..self.evidence(rule, &window, now) },
            said: None,
        }
    }

    /// What the window holds at `now`.
    pub fn evidence_at(&self, rule: &Rule, now: Time) -> Evidence {
        let inside = |kept: &&Kept| {
            let start = pane(rule, kept.time);
            start > edge(rule, now) && start <= now.0
        };
        let window: Vec<&Kept> = self.samples.iter().filter(inside).collect();
        self.evidence(rule, &window, now)
    }

    fn evidence(&self, rule: &Rule, window: &[&Kept], now: Time) -> Evidence {
        let values: Vec<f64> = window.iter().map(|kept| kept.value).collect();
        let some = |value: f64| (!values.is_empty()).then_some(value);
        let count = values.len() as u64;
        let panes: BTreeSet<i64> = window.iter().map(|kept| pane(rule, kept.time)).collect();
        let series: BTreeSet<&str> = window.iter().map(|kept| kept.series.as_str()).collect();
        let bucketed = rule.stat.needs_histogram() && !values.is_empty();
        let first = edge(rule, now).div_euclid(width(rule)) * width(rule) + width(rule);
        let began = self.began(rule, now).max(first);
        Evidence {
            value: numbers::statistic(rule, window),
            level: None,
            threshold: match rule.stat {
                Stat::Above | Stat::Below => rule.share.unwrap(),
                _ => rule.threshold,
            },
            count,
            mean: some(numbers::sum(&values) / count as f64),
            min: values.iter().copied().reduce(f64::min),
            max: values.iter().copied().reduce(f64::max),
            percentiles: bucketed
                .then(|| [50.0, 95.0, 99.0].map(|q| numbers::percentile(&values, q))),
            window_start: Time(first).max(self.from),
            window_end: now,
            panes: match values.is_empty() {
                true => 0,
                false => ((pane(rule, now) - began) / width(rule) + 1) as u32,
            },
            panes_filled: panes.len() as u32,
            series: series.len() as u32,
            log_range: (0, 0),
            terms: Vec::new(),
        }
    }

    /// First pane since the window was last empty.
    fn began(&self, rule: &Rule, now: Time) -> i64 {
        // In the order in which they began to count: when they came, or when their pane began.
        let counts = |kept: &Kept| kept.arrived.0.max(pane(rule, kept.time));
        let mut counted: Vec<&Kept> =
            self.samples.iter().filter(|kept| pane(rule, kept.time) <= now.0).collect();
        counted.sort_by_key(|kept| (counts(kept), kept.arrived.0 >= pane(rule, kept.time)));
        let (mut began, mut newest) = (i64::MAX, i64::MIN);
        for kept in counted {
            let start = pane(rule, kept.time);
            let empty = newest <= edge(rule, Time(counts(kept)));
            began = if empty { start } else { began.min(start) };
            newest = newest.max(start);
        }
        began
    }
}
