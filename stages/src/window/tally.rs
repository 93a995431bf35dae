//! Counts and sums by pane: 12 bytes a pane where that holds them exactly, else as much as it takes.

use super::lean::Lean;
use super::sums::PaneSums;
use crate::batch::BatchError;
use crate::batch::varint::{Cursor, put};
use crate::exact::Sum;
use crate::run::Sums;

/// Counts and sums by slot, and the sum of all.
#[derive(Clone, Debug)]
pub(super) enum Tally {
    /// Nearly always.
    Lean(Lean),
    /// Values too far apart, or a million samples in a pane.
    Full(Box<Full>),
}

#[derive(Clone, Debug)]
pub(super) struct Full {
    counts: Box<[u64]>,
    sums: PaneSums,
}

impl Tally {
    pub(super) fn new(slots: usize) -> Self {
        Self::Lean(Lean::new(slots))
    }

    /// Adds samples to the pane in `slot`.
    #[inline]
    pub(super) fn add(&mut self, slot: usize, sums: &Sums) {
        if let Self::Lean(lean) = self {
            if lean.add(slot, sums) {
                return;
            }
            *self = Self::Full(Box::new(Full::of(lean)));
        }
        if let Self::Full(full) = self {
            full.counts[slot] += u64::from(sums.count);
            full.sums.add_sum(slot, &sums.exact());
        }
    }

    /// Samples of a pane.
    #[inline]
    pub(super) fn count(&self, slot: usize) -> u64 {
        match self {
            Self::Lean(lean) => lean.count(slot),
            Self::Full(full) => full.counts[slot],
        }
    }

    /// Samples of all panes.
    pub(super) fn count_of_all(&self) -> u64 {
        (0..self.slots()).map(|slot| self.count(slot)).sum()
    }

    /// Empties a pane and says how many samples it held.
    #[inline]
    pub(super) fn drop_pane(&mut self, slot: usize) -> u64 {
        match self {
            Self::Lean(lean) => lean.drop_pane(slot),
            Self::Full(full) => {
                full.sums.drop_pane(slot);
                std::mem::take(&mut full.counts[slot])
            }
        }
    }

    /// Back to the small form; for a window that holds nothing.
    #[inline]
    pub(super) fn slim(&mut self) {
        if let Self::Full(full) = self {
            *self = Self::new(full.counts.len());
        }
    }

    /// The sum of all.
    pub(super) fn sum(&self) -> Sum {
        match self {
            Self::Lean(lean) => lean.sum_of_all(),
            Self::Full(full) => full.sums.total().clone(),
        }
    }

    /// The float nearest to the sum of all.
    pub(super) fn value(&self) -> f64 {
        match self {
            Self::Lean(lean) => lean.value(),
            Self::Full(full) => full.sums.total().value(),
        }
    }

    #[inline]
    pub(super) fn slots(&self) -> usize {
        match self {
            Self::Lean(lean) => lean.slots(),
            Self::Full(full) => full.counts.len(),
        }
    }

    /// Memory it holds beside itself.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Lean(lean) => lean.bytes(),
            Self::Full(full) => {
                size_of::<Full>() + full.counts.len() * size_of::<u64>() + full.sums.bytes()
            }
        }
    }

    pub(super) fn save(&self, out: &mut Vec<u8>) {
        match self {
            Self::Lean(lean) => {
                out.push(0);
                lean.save(out);
            }
            Self::Full(full) => {
                out.push(1);
                let filled = || full.counts.iter().enumerate().filter(|(_, count)| **count > 0);
                put(out, filled().count() as u64);
                for (slot, count) in filled() {
                    put(out, slot as u64);
                    put(out, *count);
                    full.sums.pane(slot).save(out);
                }
            }
        }
    }

    pub(super) fn load(cursor: &mut Cursor<'_>, slots: usize) -> Result<Self, BatchError> {
        const BAD: BatchError = BatchError::Corrupt("saved panes");
        match cursor.byte()? {
            0 => Lean::load(cursor, slots).map(Self::Lean),
            1 => {
                let mut full = Full::of(&Lean::new(slots));
                for _ in 0..cursor.count(19)? {
                    let slot = usize::try_from(cursor.unsigned()?).map_err(|_| BAD)?;
                    let count = full.counts.get_mut(slot).ok_or(BAD)?;
                    *count = cursor.unsigned()?;
                    // Sums of all panes stay within their type.
                    if *count == 0 || *count > u64::MAX >> 12 {
                        return Err(BAD);
                    }
                    full.sums.add_sum(slot, &Sum::load(cursor)?);
                }
                Ok(Self::Full(Box::new(full)))
            }
            _ => Err(BAD),
        }
    }
}

impl Full {
    fn of(lean: &Lean) -> Self {
        let slots = lean.slots();
        let mut full = Self { counts: vec![0; slots].into(), sums: PaneSums::new(slots) };
        for slot in 0..slots {
            full.counts[slot] = lean.count(slot);
            full.sums.add_sum(slot, &lean.pane(slot));
        }
        full
    }
}
