//! The window of one rule x group: what its statistic is made of, kept by panes.
//!
//! A sample lands in the pane of its event time: one more in that pane's count and exact sum and in the running
//! totals, whatever the window's length. A pane that leaves is subtracted, exactly. Smallest and largest values
//! are two short lists of panes ([`extreme`]) instead of two numbers in each pane: that halves the memory, and
//! takes late samples too.
//!
//! A sample of a pane that has not begun yet waits and is counted once it begins; [`Window::next_leave`] names
//! that instant like that of a pane leaving, because the value may change then.

mod extreme;
mod read;
mod save;
mod sums;
#[cfg(test)]
mod tests;

pub use read::Reading;

use crate::batch::Kind;
use crate::histogram::Histo;
use crate::pane::Panes;
use crate::rate::Rates;
use crate::settings::Stat;
use crate::time::{Span, Time};
use extreme::Extreme;
use std::collections::BTreeMap;
use sums::PaneSums;

/// Samples that may wait for their pane to begin: clocks are ahead by less than `max_future`, and a source
/// that sends more than this from there has its newest ones dropped and counted.
pub const WAITING_MAX: usize = 16_384;

/// What a window computes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WindowSpec {
    /// The statistic.
    pub stat: Stat,
    /// Length of the window.
    pub window: Span,
    /// For [`Stat::Above`] and [`Stat::Below`]: what samples are held against.
    pub threshold: f64,
}

/// Where a sample went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Into its pane.
    Counted,
    /// Its pane has not begun; it waits.
    Waiting,
    /// Its pane has left: counted late.
    Late,
    /// Before the moment this window counts from.
    TooEarly,
    /// Too many wait already; dropped.
    Dropped,
}

/// The window of one rule x group.
#[derive(Clone, Debug)]
pub struct Window {
    spec: WindowSpec,
    panes: Panes,
    from: Option<Time>,
    /// Oldest pane in the window, by number; no pane before it holds anything.
    oldest: i64,
    /// Newest pane that has begun.
    current: i64,
    counts: Box<[u32]>,
    count: u64,
    /// Filled panes now.
    filled: u32,
    /// First pane filled since the window was last empty.
    began: i64,
    sums: PaneSums,
    squares: Option<Box<PaneSums>>,
    min: Extreme,
    max: Extreme,
    histogram: Option<Box<Histo>>,
    rates: Option<Box<Rates>>,
    /// Event time and value of the newest sample; outlives the panes.
    newest: Option<(Time, f64)>,
    /// Series in the window with the newest pane of each, sorted.
    series: Vec<(u32, i64)>,
    waiting: Option<Box<Waiting>>,
}

/// Samples of panes that have not begun, by pane, in the order they came.
#[derive(Clone, Debug, Default, PartialEq)]
struct Waiting {
    panes: BTreeMap<i64, Vec<Sample>>,
    count: usize,
}

/// One sample as a window sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    pub series: u32,
    pub time: Time,
    pub value: f64,
    pub kind: Kind,
}

impl Window {
    /// An empty window. Samples with an event time before `from` do not count: for edited rules, and for
    /// verifications.
    pub fn new(spec: WindowSpec, from: Option<Time>) -> Self {
        let panes = Panes::of(spec.window);
        let slots = panes.slots();
        Self {
            spec,
            panes,
            from,
            oldest: i64::MIN,
            current: i64::MIN,
            counts: vec![0; slots].into(),
            count: 0,
            filled: 0,
            began: 0,
            sums: PaneSums::new(slots),
            squares: (spec.stat == Stat::Stddev).then(|| Box::new(PaneSums::new(slots))),
            min: Extreme::min(),
            max: Extreme::max(),
            histogram: spec.stat.needs_histogram().then(Box::default),
            rates: (spec.stat == Stat::Rate).then(Box::default),
            newest: None,
            series: Vec::new(),
            waiting: None,
        }
    }

    /// What it computes.
    pub fn spec(&self) -> WindowSpec {
        self.spec
    }

    /// Another threshold for [`Stat::Above`] and [`Stat::Below`]; keeps its panes.
    pub fn set_threshold(&mut self, threshold: f64) {
        self.spec.threshold = threshold;
    }

    /// Adds a sample of `series` at log time `now`. The value is finite; whether it is too far ahead has been
    /// checked.
    #[inline]
    pub fn add(&mut self, series: u32, time: Time, value: f64, kind: Kind, now: Time) -> Placement {
        if self.from.is_some_and(|from| time < from) {
            return Placement::TooEarly;
        }
        self.advance(now);
        let (pane, sample) = (self.panes.number(time), Sample { series, time, value, kind });
        if pane < self.oldest {
            return Placement::Late;
        }
        if pane > self.current {
            return self.wait(pane, sample);
        }
        self.place(pane, &sample);
        Placement::Counted
    }

    #[inline]
    fn place(&mut self, pane: i64, sample: &Sample) {
        let &Sample { series, time, value, kind } = sample;
        let slot = self.slot(pane);
        if self.count == 0 {
            self.began = pane;
        }
        self.began = self.began.min(pane);
        self.filled += u32::from(self.counts[slot] == 0);
        self.counts[slot] = self.counts[slot].saturating_add(1);
        self.count += 1;
        self.sums.add(slot, value);
        if let Some(squares) = &mut self.squares {
            squares.add_square(slot, value);
        }
        self.min.add(pane, value);
        self.max.add(pane, value);
        if let Some(histogram) = &mut self.histogram {
            histogram.add(value, slot, self.counts.len());
        }
        if let Some(rates) = &mut self.rates {
            rates.add(pane, series, time, value, kind);
        }
        // Of two with one time, the one that came later.
        if self.newest.is_none_or(|(newest, _)| time >= newest) {
            self.newest = Some((time, value));
        }
        self.see(series, pane);
    }

    #[inline]
    fn see(&mut self, series: u32, pane: i64) {
        match self.series.binary_search_by_key(&series, |(series, _)| *series) {
            Ok(at) => self.series[at].1 = self.series[at].1.max(pane),
            Err(at) => {
                if self.series.len() == self.series.capacity() {
                    self.series.reserve_exact(self.series.len() / 4 + 1);
                }
                self.series.insert(at, (series, pane));
            }
        }
    }

    #[cold]
    fn wait(&mut self, pane: i64, sample: Sample) -> Placement {
        let waiting = self.waiting.get_or_insert_with(Box::default);
        if waiting.count >= WAITING_MAX {
            return Placement::Dropped;
        }
        waiting.count += 1;
        waiting.panes.entry(pane).or_default().push(sample);
        Placement::Waiting
    }

    /// Lets log time pass: panes leave, and those that begin take the samples waiting for them.
    #[inline]
    pub fn advance(&mut self, now: Time) {
        let current = self.panes.number(now);
        let oldest = self.panes.oldest(now);
        if oldest > self.oldest || current > self.current {
            self.turn(oldest.max(self.oldest), current.max(self.current));
        }
    }

    #[cold]
    fn turn(&mut self, oldest: i64, current: i64) {
        if self.count > 0 {
            let last = oldest.min(self.oldest.saturating_add(self.counts.len() as i64));
            for pane in self.oldest..last {
                self.drop_pane(pane);
            }
            self.min.drop_before(oldest);
            self.max.drop_before(oldest);
            if let Some(rates) = &mut self.rates {
                rates.drop_before(oldest);
            }
            self.series.retain(|(_, newest)| *newest >= oldest);
        }
        (self.oldest, self.current) = (oldest, current);
        let Some(waiting) = &mut self.waiting else { return };
        let later = waiting.panes.split_off(&(current + 1));
        let begun = std::mem::replace(&mut waiting.panes, later);
        waiting.count -= begun.values().map(Vec::len).sum::<usize>();
        if waiting.panes.is_empty() {
            self.waiting = None;
        }
        for (pane, samples) in begun.into_iter().filter(|(pane, _)| *pane >= oldest) {
            samples.iter().for_each(|sample| self.place(pane, sample));
        }
    }

    fn drop_pane(&mut self, pane: i64) {
        let slot = self.slot(pane);
        let count = std::mem::take(&mut self.counts[slot]);
        if count == 0 {
            return;
        }
        self.filled -= 1;
        self.count -= u64::from(count);
        self.sums.drop_pane(slot);
        if let Some(squares) = &mut self.squares {
            squares.drop_pane(slot);
        }
        if let Some(histogram) = &mut self.histogram {
            histogram.drop_pane(slot);
        }
    }

    fn slot(&self, pane: i64) -> usize {
        pane.rem_euclid(self.counts.len() as i64) as usize
    }

    /// The next instant at which the value may change without a sample: the oldest filled pane leaves, or one
    /// with waiting samples begins.
    pub fn next_leave(&self) -> Option<Time> {
        let leaves = (self.count > 0)
            .then(|| (self.oldest..=self.current).find(|pane| self.counts[self.slot(*pane)] > 0))
            .flatten()
            .map(|pane| self.panes.leaves(pane));
        let waiting = self.waiting.as_ref().and_then(|waiting| waiting.panes.keys().next());
        let begins = waiting.map(|pane| self.panes.start(*pane));
        leaves.into_iter().chain(begins).min()
    }

    /// Event time of the newest sample ever counted.
    pub fn newest(&self) -> Option<Time> {
        self.newest.map(|(time, _)| time)
    }

    /// Memory it holds, in bytes, itself included.
    pub fn bytes(&self) -> usize {
        let slots = self.counts.len();
        size_of::<Self>()
            + slots * size_of::<u32>()
            + self.sums.bytes()
            + self.squares.as_ref().map_or(0, |squares| size_of::<PaneSums>() + squares.bytes())
            + self.min.bytes()
            + self.max.bytes()
            + self.histogram.as_ref().map_or(0, |histogram| size_of::<Histo>() + histogram.bytes())
            + self.rates.as_ref().map_or(0, |rates| rates.bytes())
            + self.series.capacity() * size_of::<(u32, i64)>()
            + self
                .waiting
                .as_ref()
                .map_or(0, |waiting| size_of::<Waiting>() + waiting.count * 2 * size_of::<Sample>())
    }
}
