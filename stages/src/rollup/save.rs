//! Panes that were not emitted yet as bytes, for snapshots. Without them a restart would lose their samples.

use super::{Rollups, Tier};
use crate::batch::BatchError;
use crate::batch::varint::{Cursor, put, put_signed};
use crate::time::Time;

impl Rollups {
    /// Appends the panes of a series to a snapshot.
    pub(crate) fn save(&self, series: u32, out: &mut Vec<u8>) {
        for one in &self.tiers {
            let held = || {
                let slices = one.slices.iter();
                slices.filter_map(|(number, slice)| Some((*number, slice, slice.get(series)?)))
            };
            put(out, held().count() as u64);
            for (number, slice, pane) in held() {
                put_signed(out, number);
                slice.save(pane, out);
            }
        }
    }

    /// Reads what [`Self::save`] appended; the series has its name.
    pub(crate) fn load(&mut self, series: u32, cursor: &mut Cursor<'_>) -> Result<(), BatchError> {
        for one in &mut self.tiers {
            for _ in 0..cursor.count(27)? {
                let number = cursor.signed()?;
                one.slices.entry(number).or_default().load(series, cursor)?;
            }
        }
        Ok(())
    }

    /// Everything closed by `now` was emitted before a restart.
    pub(crate) fn resume(&mut self, now: Time) {
        for (tier, one) in Tier::ALL.into_iter().zip(&mut self.tiers) {
            one.emitted = now.0.div_euclid(tier.width().0);
        }
    }
}
