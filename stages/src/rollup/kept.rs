//! The panes of one series: those open, and closed ones kept for late samples.

use super::Tier;
use crate::batch::{Kind, varint};
use crate::exact::Sum;
use crate::histogram::{Bucket, Counts};
use std::collections::VecDeque;

/// One pane of one series.
#[derive(Clone, Debug)]
pub(super) struct Pane {
    count: u64,
    min: f64,
    max: f64,
    sum: Sum,
    histogram: Option<Box<Counts>>,
    /// Listed among those to be emitted.
    pub(super) listed: bool,
}

impl Pane {
    fn new(wanted: bool) -> Self {
        Self {
            count: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            sum: Sum::default(),
            histogram: wanted.then(Box::default),
            listed: false,
        }
    }

    #[inline]
    pub(super) fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum.add(value);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        if let Some(histogram) = &mut self.histogram {
            histogram.add(Bucket::of(value));
        }
    }

    /// Adds all of a pane within this one.
    pub(super) fn add_all(&mut self, part: &mut Self) {
        self.count += part.count;
        self.sum.add_sum(&part.sum);
        self.min = self.min.min(part.min);
        self.max = self.max.max(part.max);
        match (&mut self.histogram, &mut part.histogram) {
            (Some(histogram), Some(part)) => histogram.add_all(part),
            // Of some of its samples only: better none.
            (histogram, None) => *histogram = None,
            (None, Some(_)) => {}
        }
    }

    pub(super) fn write(&mut self, out: &mut Vec<u8>) {
        varint::put(out, self.count);
        for value in [self.sum.value(), self.min, self.max] {
            out.extend_from_slice(&value.to_le_bytes());
        }
        out.push(u8::from(self.histogram.is_some()));
        if let Some(histogram) = &mut self.histogram {
            histogram.save(out);
        }
    }
}

/// A series with its panes.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) key: Box<str>,
    pub(super) kind: Kind,
    /// New panes carry histograms.
    pub(super) wanted: bool,
    /// By tier, oldest first, with their numbers.
    panes: [VecDeque<(i64, Pane)>; 3],
}

impl Kept {
    pub(super) fn new(key: &str, kind: Kind, wanted: bool) -> Self {
        Self { key: key.into(), kind, wanted, panes: Default::default() }
    }

    /// A pane, made if it is not there; those before `oldest` are given up for it.
    #[inline]
    pub(super) fn pane(&mut self, tier: Tier, number: i64, oldest: i64) -> &mut Pane {
        let panes = &mut self.panes[tier as usize];
        let mut at = panes.len();
        while at > 0 && panes[at - 1].0 > number {
            at -= 1;
        }
        if at > 0 && panes[at - 1].0 == number {
            return &mut panes[at - 1].1;
        }
        while at > 0 && panes[0].0 < oldest {
            panes.pop_front();
            at -= 1;
        }
        panes.insert(at, (number, Pane::new(self.wanted)));
        &mut panes[at].1
    }

    /// A pane that may be gone.
    pub(super) fn find(&mut self, tier: Tier, number: i64) -> Option<&mut Pane> {
        let panes = &mut self.panes[tier as usize];
        panes.iter_mut().rev().find(|(other, _)| *other == number).map(|(_, pane)| pane)
    }

    /// Adds a closed pane to that of the next tier around it.
    pub(super) fn feed(
        &mut self,
        from: Tier,
        number: i64,
        to: (Tier, i64, i64),
    ) -> Option<&mut Pane> {
        let (tier, around, oldest) = to;
        // Taken out for the while: both are parts of one series.
        let mut part = std::mem::replace(self.find(from, number)?, Pane::new(false));
        let whole = self.pane(tier, around, oldest);
        whole.add_all(&mut part);
        *self.find(from, number)? = part;
        self.find(tier, around)
    }
}
