//! Exact sums by pane, and their running total.
//!
//! For what [`super::lean`] cannot hold: squares, and values far apart. A pane keeps 16 bytes; the values that do
//! not fit [`crate::exact`]'s narrow form go to a table beside it.

use crate::exact::{Sum, add_square};
use std::collections::BTreeMap;

/// Sums by slot, and of all.
#[derive(Clone, Debug)]
pub(super) struct PaneSums {
    /// Low and high half of an `i128` each: aligned to 8 bytes, not to 16.
    narrow: Box<[[u64; 2]]>,
    /// Boxed because it is rare: an empty pointer in every cell is all it costs.
    #[expect(clippy::box_collection, reason = "16 bytes fewer in every cell without wide sums")]
    wide: Option<Box<BTreeMap<usize, Sum>>>,
    total: Sum,
}

impl PaneSums {
    pub(super) fn new(slots: usize) -> Self {
        Self { narrow: vec![[0; 2]; slots].into(), wide: None, total: Sum::default() }
    }

    pub(super) fn add_square(&mut self, slot: usize, value: f64) {
        let mut square = Sum::default();
        add_square(&mut square, value);
        self.add_sum(slot, &square);
    }

    pub(super) fn add_sum(&mut self, slot: usize, sum: &Sum) {
        self.total.add_sum(sum);
        match sum.narrow().and_then(|part| self.get(slot).checked_add(part)) {
            Some(sum) => self.set(slot, sum),
            None => self.beside(slot).add_sum(sum),
        }
    }

    pub(super) fn drop_pane(&mut self, slot: usize) {
        let sum = self.pane(slot);
        self.total.sub_sum(&sum);
        self.set(slot, 0);
        if let Some(wide) = &mut self.wide {
            wide.remove(&slot);
            if wide.is_empty() {
                self.wide = None;
                // Nothing wide is left in any pane, so the total has none either.
                self.total.settle();
            }
        }
    }

    pub(super) fn total(&self) -> &Sum {
        &self.total
    }

    pub(super) fn pane(&self, slot: usize) -> Sum {
        let mut sum = Sum::of_narrow(self.get(slot));
        if let Some(beside) = self.wide.as_ref().and_then(|wide| wide.get(&slot)) {
            sum.add_sum(beside);
        }
        sum
    }

    pub(super) fn bytes(&self) -> usize {
        // A wide sum: the accumulator and its place in the table.
        self.narrow.len() * 16 + self.wide.as_ref().map_or(0, |wide| wide.len() * 350)
    }

    #[inline]
    fn get(&self, slot: usize) -> i128 {
        let [low, high] = self.narrow[slot];
        i128::from(high as i64) << 64 | i128::from(low)
    }

    #[inline]
    fn set(&mut self, slot: usize, sum: i128) {
        self.narrow[slot] = [sum as u64, (sum >> 64) as u64];
    }

    #[cold]
    fn beside(&mut self, slot: usize) -> &mut Sum {
        self.wide.get_or_insert_with(Box::default).entry(slot).or_default()
    }
}
