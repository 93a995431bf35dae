//! Counts in the form of the wire: HDR's V2 encoding.

use super::bucket::Bucket;
use super::counts::Counts;
use crate::batch::BatchError;
use crate::batch::varint::{self, Cursor};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};

/// What magnitudes are multiplied with before HDR records them: from 1 up, below 1.
pub(super) const SCALES: [f64; 2] = [1024.0, (1_u64 << 30) as f64];

impl Counts {
    /// Appends it in the form of the wire: `zeros:varint parts:u8`, then for each bit of `parts` (1: from 1 up,
    /// 2: below 1, 4 and 8: the same of negative values) a length and a histogram in HDR's V2 encoding.
    /// Recorded there is the magnitude times 2^10 (from 1 up) or 2^30 (below 1).
    pub fn save(&mut self, out: &mut Vec<u8>) {
        let mut zeros = 0;
        let mut parts: [Option<Histogram<u64>>; 4] = [None, None, None, None];
        for (bucket, count) in self.merged() {
            if bucket.0 == 0 {
                zeros += u64::from(*count);
                continue;
            }
            let size = bucket.value().abs();
            let part = usize::from(size < 1.0) + 2 * usize::from(bucket.0 < 0);
            let recorded = (size * SCALES[part & 1]) as u64;
            // 2^51 and three digits are within the crate's bounds, and so is every bucket.
            let histogram = parts[part].get_or_insert_with(|| {
                Histogram::new_with_bounds(1, 1 << 51, 3).expect("bounds HDR allows")
            });
            histogram.record_n(recorded, u64::from(*count)).expect("a bucket within the bounds");
        }
        varint::put(out, zeros);
        let present = (0..4).map(|at| u8::from(parts[at].is_some()) << at).sum();
        out.push(present);
        for histogram in parts.iter().flatten() {
            let mut bytes = Vec::new();
            // Writing to a vector cannot fail, and the encoding holds every histogram of these bounds.
            V2Serializer::new().serialize(histogram, &mut bytes).expect("serialises into memory");
            varint::put_bytes(out, &bytes);
        }
    }

    /// Reads what [`Self::save`] wrote.
    pub(crate) fn load(cursor: &mut Cursor<'_>) -> Result<Self, BatchError> {
        const BAD: BatchError = BatchError::Corrupt("a histogram");
        let mut sorted = Vec::new();
        let zeros = u32::try_from(cursor.unsigned()?).map_err(|_| BAD)?;
        if zeros > 0 {
            sorted.push((Bucket(0), zeros));
        }
        let present = cursor.byte()?;
        for part in (0..4).filter(|part| present >> part & 1 == 1) {
            let mut bytes = cursor.bytes()?;
            // The header says how large the counters become: refuse what we never write before it allocates.
            let bounds = bytes.get(16..32).ok_or(BAD)?;
            let (low, high) = bounds.split_at(8);
            if low != 1_u64.to_be_bytes() || high != (1_u64 << 51).to_be_bytes() {
                return Err(BAD);
            }
            let histogram: Histogram<u64> =
                Deserializer::new().deserialize(&mut bytes).map_err(|_| BAD)?;
            for step in histogram.iter_recorded() {
                let lowest = histogram.lowest_equivalent(step.value_iterated_to());
                let size = lowest as f64 / SCALES[part & 1];
                let value = if part & 2 == 0 { size } else { -size };
                let count = u32::try_from(step.count_at_value()).map_err(|_| BAD)?;
                sorted.push((Bucket::of(value), count));
            }
        }
        sorted.sort_unstable();
        Ok(Self { sorted, waiting: Vec::new() })
    }
}
