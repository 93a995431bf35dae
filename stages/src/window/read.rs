//! What a window says at an instant.

use super::{Window, short};
use crate::exact;
use crate::settings::Stat;
use crate::time::Time;

/// What a window says at an instant: the statistic, and the evidence for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// The statistic; none where there is nothing to compute it from (for `count`: 0, never none).
    pub value: Option<f64>,
    /// Samples in the window.
    pub count: u64,
    /// Their mean.
    pub mean: Option<f64>,
    /// The smallest.
    pub min: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
    /// 50th, 95th and 99th percentile, where the statistic keeps a histogram.
    pub percentiles: Option<[f64; 3]>,
    /// Panes of the window, or since its first sample after an empty window if those are fewer.
    pub panes: u32,
    /// How many of those hold samples.
    pub panes_filled: u32,
    /// Start of the oldest pane, or the moment the window counts from if that is later.
    pub window_start: Time,
    /// Event time of the newest sample ever counted.
    pub newest: Option<Time>,
    /// Series that contributed.
    pub series: u32,
}

/// What a rule is judged by: the part of a [`Reading`] that every evaluation needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Glance {
    /// The statistic, as in a reading.
    pub value: Option<f64>,
    /// Samples in the window.
    pub count: u64,
    /// Panes, as in a reading.
    pub panes: u32,
    /// How many of those hold samples.
    pub panes_filled: u32,
}

impl Reading {
    /// What is to be seen at `now` where nothing ever was.
    pub fn nothing(now: Time) -> Self {
        Self {
            value: None,
            count: 0,
            mean: None,
            min: None,
            max: None,
            percentiles: None,
            panes: 0,
            panes_filled: 0,
            window_start: now,
            newest: None,
            series: 0,
        }
    }
}

impl Window {
    /// What a rule is judged by at `now`, after [`Window::advance`] to it.
    #[inline]
    pub fn glance(&mut self, now: Time) -> Glance {
        self.advance(now);
        Glance {
            value: self.statistic(),
            count: self.count,
            panes: self.panes_since_first(),
            panes_filled: self.filled,
        }
    }

    fn panes_since_first(&self) -> u32 {
        let first = self.began.max(self.oldest);
        if self.count > 0 { (self.current - first + 1) as u32 } else { 0 }
    }

    /// All that the window says at `now`, after [`Window::advance`] to it.
    pub fn read(&mut self, now: Time) -> Reading {
        self.advance(now);
        self.seen.drop_before(short::of(self.oldest));
        let count = self.count;
        let some = |value: f64| (count > 0).then_some(value);
        let sum = self.tally.value();
        let start = self.panes.start(self.oldest);
        Reading {
            value: self.statistic(),
            count,
            mean: some(sum / count as f64),
            min: self.min.value(),
            max: self.max.value(),
            percentiles: self.histogram.as_ref().and_then(|histogram| {
                let [p50, p95, p99] = [50.0, 95.0, 99.0].map(|q| histogram.percentile(q));
                Some([p50?, p95?, p99?])
            }),
            panes: self.panes_since_first(),
            panes_filled: self.filled,
            window_start: start.max(self.from),
            newest: self.newest(),
            series: self.seen.len() as u32,
        }
    }

    #[inline]
    fn statistic(&mut self) -> Option<f64> {
        let count = self.count;
        if self.spec.stat == Stat::Count {
            return Some(count as f64);
        }
        if count == 0 {
            return None;
        }
        let histogram = self.histogram.as_ref();
        let share = |part: u64| part as f64 / count as f64;
        match self.spec.stat {
            Stat::Mean => Some(self.tally.value() / count as f64),
            Stat::Min => self.min.value(),
            Stat::Max => self.max.value(),
            Stat::Sum => Some(self.tally.value()),
            Stat::Count => Some(count as f64),
            Stat::Rate => self.rates.as_ref().and_then(|rates| rates.value()),
            Stat::Last => self.newest.map(|(_, value)| value),
            Stat::Stddev => self.squares.as_ref().map(|squares| {
                if self.min.value() == self.max.value() {
                    return 0.0;
                }
                exact::stddev(count, &self.tally.sum(), squares.total())
            }),
            Stat::Percentile(q) => {
                self.histogram.as_mut().and_then(|histogram| histogram.follow(q))
            }
            Stat::Above => histogram.map(|histogram| share(histogram.above(self.spec.threshold))),
            Stat::Below => histogram.map(|histogram| share(histogram.below(self.spec.threshold))),
        }
    }
}
