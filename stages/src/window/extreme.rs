//! The smallest or largest value of a window: only panes that can still matter are kept.
//!
//! A value is kept while no pane at or after its own holds one that beats it. So the list falls (or rises) from
//! oldest to newest, its first is the extreme, and a late value is inserted in its place like any other.

use super::short::{self, Short};

/// The list of the largest value, or of the smallest.
#[derive(Clone, Debug)]
pub(super) struct Extreme<const LARGEST: bool>(Vec<Entry>);

/// 12 bytes: a float of 8, aligned to 4.
#[derive(Clone, Copy, Debug)]
struct Entry {
    pane: Short,
    value: [u32; 2],
}

impl Entry {
    fn new(pane: Short, value: f64) -> Self {
        let bits = value.to_bits();
        Self { pane, value: [bits as u32, (bits >> 32) as u32] }
    }

    #[inline]
    fn value(self) -> f64 {
        f64::from_bits(u64::from(self.value[1]) << 32 | u64::from(self.value[0]))
    }
}

impl<const LARGEST: bool> Extreme<LARGEST> {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    #[inline]
    pub(super) fn add(&mut self, pane: Short, value: f64) {
        // Nearly always the newest pane is that of the newest entry, and seldom beaten.
        match self.0.last() {
            Some(last) if last.pane == pane && beats::<LARGEST>(last.value(), value) => {}
            _ => self.insert(pane, value),
        }
    }

    fn insert(&mut self, pane: Short, value: f64) {
        let kept = &mut self.0;
        let mut at = kept.len();
        while at > 0 && short::is_before(pane, kept[at - 1].pane) {
            at -= 1;
        }
        if kept.get(at).is_some_and(|later| beats::<LARGEST>(later.value(), value)) {
            return;
        }
        let mut first = at;
        while first > 0 && beats::<LARGEST>(value, kept[first - 1].value()) {
            first -= 1;
        }
        if first > 0 && kept[first - 1].pane == pane {
            return;
        }
        if first == at {
            if kept.len() == kept.capacity() {
                kept.reserve_exact(2 + kept.len() / 4);
            }
            kept.insert(at, Entry::new(pane, value));
        } else {
            kept[first] = Entry::new(pane, value);
            kept.drain(first + 1..at);
        }
    }

    #[inline]
    pub(super) fn drop_before(&mut self, oldest: Short) {
        let is_old = |entry: &&Entry| short::is_before(entry.pane, oldest);
        if self.0.first().as_ref().is_some_and(is_old) {
            let old = self.0.iter().take_while(is_old).count();
            self.0.drain(..old);
        }
    }

    /// Reads a little of it.
    #[inline]
    pub(super) fn touch(&self) -> u64 {
        self.0.last().map_or(0, |entry| u64::from(entry.pane))
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn value(&self) -> Option<f64> {
        self.0.first().map(|entry| entry.value())
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<Entry>()
    }

    /// (pane, value) from oldest to newest.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (Short, f64)> {
        self.0.iter().map(|entry| (entry.pane, entry.value()))
    }
}

/// Whether `one` makes `other` superfluous.
#[inline]
fn beats<const LARGEST: bool>(one: f64, other: f64) -> bool {
    if LARGEST { one >= other } else { one <= other }
}
