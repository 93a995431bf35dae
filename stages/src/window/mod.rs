//! The window of one rule x group: what its statistic is made of, kept by panes.
//!
//! A sample, or a run of them ([`crate::run`]), lands in the pane of its event time: in that pane's count and exact sum
//! and in the running totals ([`tally`]), whatever the window's length. A pane that leaves is subtracted, exactly. Smallest and largest
//! values are two short lists of panes ([`extreme`]) instead of two numbers in each pane: that halves the memory,
//! and takes late samples too.
//!
//! A sample of a pane that has not begun yet waits and is counted once it begins; [`Window::next_leave`] names
//! that instant like that of a pane leaving, because the value may change then.
//!
//! ```
//! use stages::batch::Kind;
//! use stages::settings::Stat;
//! use stages::time::{Span, Time};
//! use stages::window::{Placement, Window, WindowSpec};
//! let spec = WindowSpec { stat: Stat::Mean, window: Span::from_secs(60), threshold: 1000.0 };
//! let mut window = Window::new(spec, None);
//! let (early, now) = (Time::from_millis(500_000), Time::from_millis(530_000));
//! assert_eq!(window.add(0, early, 110.0, Kind::Gauge, early), Placement::Counted);
//! assert_eq!(window.add(0, now, 4000.0, Kind::Gauge, now), Placement::Counted);
//! assert_eq!(window.read(now).value, Some(2055.0));
//! // The pane of the first sample leaves: one pane later than the window is long.
//! assert_eq!(window.next_leave(), Some(Time::from_millis(561_000)));
//! assert_eq!(window.read(Time::from_millis(561_000)).value, Some(4000.0));
//! ```

mod extreme;
mod lean;
mod read;
mod save;
mod seen;
mod short;
mod sums;
mod tally;
#[cfg(test)]
mod tests;

pub use read::{Glance, Reading};

use crate::batch::Kind;
use crate::histogram::Histo;
use crate::pane::Panes;
use crate::rate::Rates;
use crate::run::{Run, Sums};
use crate::settings::Stat;
use crate::time::{Span, Time};
use extreme::Extreme;
use seen::Seen;
use std::collections::BTreeMap;
use sums::PaneSums;
use tally::Tally;

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
    /// First instant at which panes leave or begin; before it, all below holds.
    turns: Time,
    /// Event time samples count from.
    from: Time,
    /// Start of the newest pane that has begun, and its slot.
    start: Time,
    slot: u32,
    /// Filled panes now.
    filled: u32,
    panes: Panes,
    /// Newest pane that has begun.
    current: i64,
    /// Oldest pane in the window, by number; no pane before it holds anything.
    oldest: i64,
    /// First pane filled since the window was last empty.
    began: i64,
    /// Oldest pane that holds anything, while one does.
    first: i64,
    count: u64,
    /// Event time and value of the newest sample; outlives the panes.
    newest: Option<(Time, f64)>,
    tally: Tally,
    min: Extreme<false>,
    max: Extreme<true>,
    seen: Seen,
    squares: Option<Box<PaneSums>>,
    histogram: Option<Box<Histo>>,
    rates: Option<Box<Rates>>,
    waiting: Option<Box<Waiting>>,
    spec: WindowSpec,
}

/// From the beginning of time.
const ALWAYS: Time = Time(i64::MIN);

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
            turns: ALWAYS,
            from: from.unwrap_or(ALWAYS),
            start: ALWAYS,
            slot: 0,
            filled: 0,
            panes,
            current: i64::MIN,
            oldest: i64::MIN,
            began: 0,
            first: 0,
            count: 0,
            newest: None,
            tally: Tally::new(slots),
            min: Extreme::new(),
            max: Extreme::new(),
            seen: Seen::None,
            squares: (spec.stat == Stat::Stddev).then(|| Box::new(PaneSums::new(slots))),
            histogram: spec.stat.needs_histogram().then(Box::default),
            rates: (spec.stat == Stat::Rate).then(Box::default),
            waiting: None,
            spec,
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
    pub fn add(&mut self, series: u32, time: Time, value: f64, kind: Kind, now: Time) -> Placement {
        let sums = Sums::of(value);
        let run = Run { start: time, first: time, newest: (time, value), sums };
        self.add_run((series, kind), &run, &[(time, value)], now)
    }

    /// The same for a run of samples, which lie in one pane and to one side of the moment this window counts from.
    /// They are `each`, in the order they came, where [`Stat::needs_each`] says so, and where their pane has not begun.
    #[inline]
    pub fn add_run(
        &mut self,
        (series, kind): (u32, Kind),
        run: &Run,
        each: &[(Time, f64)],
        now: Time,
    ) -> Placement {
        if run.first < self.from {
            return Placement::TooEarly;
        }
        self.advance(now);
        // Nearly always the newest pane: found without a division.
        let behind = run.first.0.wrapping_sub(self.start.0);
        let pane = if (0..self.panes.width.0).contains(&behind) {
            self.current
        } else {
            self.panes.number(run.first)
        };
        if pane < self.oldest {
            return Placement::Late;
        }
        if pane > self.current {
            return self.wait(pane, (series, kind), each);
        }
        self.place(pane, (series, kind), run, each);
        Placement::Counted
    }

    #[inline]
    fn place(&mut self, pane: i64, (series, kind): (u32, Kind), run: &Run, each: &[(Time, f64)]) {
        let (slot, sums) = (self.slot(pane), &run.sums);
        if self.count == 0 {
            (self.began, self.first) = (pane, pane);
        }
        self.began = self.began.min(pane);
        self.first = self.first.min(pane);
        self.count += u64::from(sums.count);
        self.filled += u32::from(self.tally.count(slot) == 0);
        self.tally.add(slot, sums);
        let short = short::of(pane);
        self.min.add(short, sums.min);
        self.max.add(short, sums.max);
        self.seen.add(series, short, short::of(self.oldest));
        // Of two with one time, the one that came later.
        if self.newest.is_none_or(|(newest, _)| run.newest.0 >= newest) {
            self.newest = Some(run.newest);
        }
        if self.spec.stat.needs_each() {
            self.place_each((pane, slot), (series, kind), each);
        }
    }

    /// What needs to see samples one by one.
    fn place_each(
        &mut self,
        (pane, slot): (i64, usize),
        (series, kind): (u32, Kind),
        each: &[(Time, f64)],
    ) {
        if let Some(histogram) = &mut self.histogram {
            let slots = self.tally.slots();
            for (_, value) in each {
                histogram.add(*value, slot, slots);
            }
        }
        if let Some(squares) = &mut self.squares {
            each.iter().for_each(|(_, value)| squares.add_square(slot, *value));
        }
        if let Some(rates) = &mut self.rates {
            each.iter().for_each(|(time, value)| rates.add(pane, series, *time, *value, kind));
        }
    }

    #[cold]
    fn wait(&mut self, pane: i64, (series, kind): (u32, Kind), each: &[(Time, f64)]) -> Placement {
        let waiting = self.waiting.get_or_insert_with(Box::default);
        if waiting.count + each.len() > WAITING_MAX {
            return Placement::Dropped;
        }
        waiting.count += each.len();
        let sample = |&(time, value): &(Time, f64)| Sample { series, time, value, kind };
        waiting.panes.entry(pane).or_default().extend(each.iter().map(sample));
        Placement::Waiting
    }

    /// Lets log time pass: panes leave, and those that begin take the samples waiting for them.
    #[inline]
    pub fn advance(&mut self, now: Time) {
        if now >= self.turns {
            self.turn(now);
        }
    }

    #[inline(never)]
    fn turn(&mut self, now: Time) {
        let next = self.start.plus(self.panes.width);
        let slots = self.tally.slots();
        if now >= next && now < next.plus(self.panes.width) {
            (self.current, self.start) = (self.current + 1, next);
            self.slot = if self.slot as usize + 1 < slots { self.slot + 1 } else { 0 };
        } else if now >= next || self.start == ALWAYS {
            self.current = self.panes.number(now).max(self.current);
            self.start = self.panes.start(self.current);
            self.slot = self.current.rem_euclid(slots as i64) as u32;
        }
        let oldest = self.panes.oldest_of(self.current, now).max(self.oldest);
        if self.count > 0 {
            self.leave(oldest);
        }
        self.oldest = oldest;
        self.turns = self.start.plus(self.panes.width).min(self.panes.leaves(oldest));
        if self.waiting.is_some() {
            self.begin_waiting();
        }
    }

    /// Lets the panes before `oldest` leave.
    fn leave(&mut self, oldest: i64) {
        let slots = self.tally.slots();
        let gone = oldest.saturating_sub(self.oldest).min(slots as i64);
        if gone <= 0 {
            return;
        }
        let mut slot = self.oldest.rem_euclid(slots as i64) as usize;
        for _ in 0..gone {
            self.drop_pane(slot);
            slot = if slot + 1 < slots { slot + 1 } else { 0 };
        }
        if self.count == 0 {
            self.tally.slim();
            self.min.clear();
            self.max.clear();
            self.seen = Seen::None;
        } else {
            self.first = self.first_filled(oldest);
            let oldest = short::of(oldest);
            self.min.drop_before(oldest);
            self.max.drop_before(oldest);
        }
        if let Some(rates) = &mut self.rates {
            rates.drop_before(oldest);
        }
    }

    /// The first pane from `oldest` on that holds anything; the window does.
    fn first_filled(&self, oldest: i64) -> i64 {
        let mut filled = self.first.max(oldest)..=self.current;
        filled.find(|pane| self.tally.count(self.slot(*pane)) > 0).unwrap_or(self.current)
    }

    #[inline]
    fn drop_pane(&mut self, slot: usize) {
        let count = self.tally.drop_pane(slot);
        if count == 0 {
            return;
        }
        self.filled -= 1;
        self.count -= count;
        if let Some(squares) = &mut self.squares {
            squares.drop_pane(slot);
        }
        if let Some(histogram) = &mut self.histogram {
            histogram.drop_pane(slot, count);
        }
    }

    #[cold]
    fn begin_waiting(&mut self) {
        let Some(waiting) = &mut self.waiting else { return };
        let later = waiting.panes.split_off(&(self.current + 1));
        let begun = std::mem::replace(&mut waiting.panes, later);
        waiting.count -= begun.values().map(Vec::len).sum::<usize>();
        if waiting.panes.is_empty() {
            self.waiting = None;
        }
        let oldest = self.oldest;
        for (pane, samples) in begun.into_iter().filter(|(pane, _)| *pane >= oldest) {
            for Sample { series, time, value, kind } in samples {
                let sums = Sums::of(value);
                let run = Run { start: time, first: time, newest: (time, value), sums };
                self.place(pane, (series, kind), &run, &[(time, value)]);
            }
        }
    }

    /// The slot of a pane in the window.
    #[inline]
    fn slot(&self, pane: i64) -> usize {
        let (newest, behind) = (self.slot as usize, (self.current - pane) as usize);
        if newest >= behind { newest - behind } else { newest + self.tally.slots() - behind }
    }

    /// The next instant at which the value may change without a sample: the oldest filled pane leaves, or one
    /// with waiting samples begins.
    pub fn next_leave(&self) -> Option<Time> {
        let leaves = (self.count > 0).then(|| self.panes.leaves(self.first));
        let waiting = self.waiting.as_ref().and_then(|waiting| waiting.panes.keys().next());
        let begins = waiting.map(|pane| self.panes.start(*pane));
        leaves.into_iter().chain(begins).min()
    }

    /// Event time of the newest sample ever counted.
    pub fn newest(&self) -> Option<Time> {
        self.newest.map(|(time, _)| time)
    }

    /// Reads a little of it: see [`Self::touch_panes`].
    #[inline]
    pub(crate) fn touch(&self) -> u64 {
        let newest = self.newest.map_or(0, |(time, _)| time.0 as u64);
        let boxes = u64::from(self.histogram.is_some()) ^ u64::from(self.waiting.is_some());
        self.turns.0 as u64 ^ self.count ^ newest ^ boxes ^ self.seen.len() as u64
    }

    /// Reads a little of what lies elsewhere and the next sample will touch, so that it is near by then. What it
    /// answers means nothing.
    #[inline]
    pub(crate) fn touch_panes(&self) -> u64 {
        let histogram = self.histogram.as_ref().map_or(0, |histogram| histogram.touch());
        self.tally.count(self.slot as usize) ^ self.min.touch() ^ self.max.touch() ^ histogram
    }

    /// Memory it holds, in bytes, itself included.
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.tally.bytes()
            + self.squares.as_ref().map_or(0, |squares| size_of::<PaneSums>() + squares.bytes())
            + self.min.bytes()
            + self.max.bytes()
            + self.seen.bytes()
            + self.histogram.as_ref().map_or(0, |histogram| size_of::<Histo>() + histogram.bytes())
            + self.rates.as_ref().map_or(0, |rates| rates.bytes())
            + self
                .waiting
                .as_ref()
                .map_or(0, |waiting| size_of::<Waiting>() + waiting.count * 2 * size_of::<Sample>())
    }
}
