//! Open panes as bytes, for snapshots. Without them a restart would emit those panes again in part, over whole ones.
//!
//! Closed ones are not saved: they have been emitted whole, and late samples do not change them after a restart.

use super::{Rollups, Tier};
use crate::batch::BatchError;
use crate::batch::varint::{Cursor, put, put_signed};
use crate::time::Time;

impl Rollups {
    /// Appends the open panes of a series to a snapshot.
    pub(crate) fn save(&self, series: u32, out: &mut Vec<u8>) {
        for one in &self.tiers {
            let open = || {
                let slices = one.slices.range(one.emitted..);
                slices.filter_map(|(number, slice)| Some((*number, slice.get(series)?)))
            };
            put(out, open().count() as u64);
            for (number, pane) in open() {
                put_signed(out, number);
                pane.save(out);
            }
        }
    }

    /// Reads what [`Self::save`] appended; the series has its name.
    pub(crate) fn load(&mut self, series: u32, cursor: &mut Cursor<'_>) -> Result<(), BatchError> {
        for one in &mut self.tiers {
            for _ in 0..cursor.count(36)? {
                let number = cursor.signed()?;
                one.slices.entry(number).or_default().pane(series, false).load(cursor)?;
            }
        }
        Ok(())
    }

    /// Everything closed by `now` was emitted before a restart.
    pub(crate) fn resume(&mut self, now: Time) {
        for (tier, one) in Tier::ALL.into_iter().zip(&mut self.tiers) {
            one.emitted = now.0.div_euclid(tier.width().0);
            one.gone = one.emitted;
        }
    }
}
