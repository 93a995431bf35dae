//! A window's histogram as bytes, for snapshots.

use super::bucket::{BUCKETS, Bucket};
use super::{Histo, RAW_MAX};
use crate::batch::BatchError;
use crate::batch::varint::{self, Cursor};

impl Histo {
    /// Appends (slot, bucket, count) of every pane with samples.
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        out.push(u8::from(matches!(self, Self::Counted(_))));
        match self {
            // As they came: that is how panes leave, and sorting costs more than all the rest.
            Self::Raw(raw) => {
                save(raw.iter().map(|(bucket, slot)| (slot, bucket, 1)), raw.len(), out);
            }
            Self::Counted(counted) => {
                let mut all = Vec::new();
                for (slot, pane) in counted.panes.iter().enumerate() {
                    let mut pane = pane.clone();
                    all.extend(pane.merged().iter().map(|(bucket, count)| (slot, *bucket, *count)));
                }
                all.sort_unstable();
                let len = all.len() as u64;
                save(all.into_iter(), len, out);
            }
        }
    }

    pub(crate) fn load(cursor: &mut Cursor<'_>, slots: usize) -> Result<Self, BatchError> {
        const BAD: BatchError = BatchError::Corrupt("a saved histogram");
        let mut histogram = Self::default();
        match cursor.byte()? {
            0 => {}
            1 => histogram.count(slots),
            _ => return Err(BAD),
        }
        let (mut before, rows) = (None, cursor.count(3)?);
        for _ in 0..rows {
            let slot = usize::try_from(cursor.unsigned()?).ok().filter(|slot| *slot < slots);
            let slot = slot.ok_or(BAD)?;
            let last = before.map_or(0, |(_, bucket): (usize, Bucket)| i64::from(bucket.0));
            let bucket = last.checked_add(cursor.signed()?).ok_or(BAD)?;
            let count = u32::try_from(cursor.unsigned()?).map_err(|_| BAD)?;
            if bucket.abs() > i64::from(BUCKETS) || count == 0 {
                return Err(BAD);
            }
            let bucket = Bucket(bucket as i32);
            match &mut histogram {
                Self::Raw(raw) if count == 1 && raw.len() < RAW_MAX as u64 => raw.add(bucket, slot),
                Self::Raw(_) => return Err(BAD),
                Self::Counted(counted) => {
                    if before.is_some_and(|before| before >= (slot, bucket)) {
                        return Err(BAD);
                    }
                    counted.panes[slot].sorted.push((bucket, count));
                    if !counted.total.add_checked(bucket, count) {
                        return Err(BAD);
                    }
                }
            }
            before = Some((slot, bucket));
        }
        Ok(histogram)
    }
}

/// Writes so many rows.
fn save(rows: impl Iterator<Item = (usize, Bucket, u32)>, len: u64, out: &mut Vec<u8>) {
    varint::put(out, len);
    let mut before = Bucket(0);
    for (slot, bucket, count) in rows {
        varint::put(out, slot as u64);
        varint::put_signed(out, i64::from(bucket.0) - i64::from(before.0));
        varint::put(out, u64::from(count));
        before = bucket;
    }
}
