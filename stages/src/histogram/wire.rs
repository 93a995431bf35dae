//! Counts in the form of the wire: HDR's V2 encoding.

use super::bucket::Bucket;
use super::counts::Counts;
use crate::batch::BatchError;
use crate::batch::varint::{self, Cursor};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;

/// What magnitudes are multiplied with before HDR records them: from 1 up, below 1.
pub(super) const SCALES: [f64; 2] = [1024.0, (1_u64 << 30) as f64];

/// Where HDR counts a recorded value: 2048 buckets of one, then 1024 of two, 1024 of four, and so on.
fn place(recorded: u64) -> u64 {
    let doubled = u64::from(recorded.ilog2().max(10) - 10);
    1024 * doubled + (recorded >> doubled)
}

/// One histogram in HDR's V2 encoding: a header of 40 bytes, then by rising place each count, and in between how
/// many places are empty, as a number below zero. The crate's own writer goes through 42 000 counters for that;
/// a test holds this one to it, byte for byte.
fn put_v2(out: &mut Vec<u8>, counts: &[(u64, u32)]) {
    let mut body = Vec::with_capacity(counts.len() * 4);
    let mut next = 0;
    for (recorded, count) in counts {
        let at = place(*recorded);
        match at - next {
            0 => {}
            // The crate writes a single empty place as a count of none.
            1 => body.push(0),
            empty => varint::put_signed(&mut body, -(empty as i64)),
        }
        varint::put_signed(&mut body, i64::from(*count));
        next = at + 1;
    }
    varint::put(out, 40 + body.len() as u64);
    out.extend_from_slice(&0x1c84_9313_u32.to_be_bytes());
    out.extend_from_slice(&(body.len() as u32).to_be_bytes());
    // No offset; three digits; lowest and highest value; a ratio of one.
    out.extend_from_slice(&0_u32.to_be_bytes());
    out.extend_from_slice(&3_u32.to_be_bytes());
    out.extend_from_slice(&1_u64.to_be_bytes());
    out.extend_from_slice(&(1_u64 << 51).to_be_bytes());
    out.extend_from_slice(&1_f64.to_be_bytes());
    out.append(&mut body);
}

impl Counts {
    /// Appends it in the form of the wire: `zeros:varint parts:u8`, then for each bit of `parts` (1: from 1 up,
    /// 2: below 1, 4 and 8: the same of negative values) a length and a histogram in HDR's V2 encoding.
    /// Recorded there is the magnitude times 2^10 (from 1 up) or 2^30 (below 1).
    pub fn save(&mut self, out: &mut Vec<u8>) {
        let mut zeros = 0;
        let mut parts: [Vec<(u64, u32)>; 4] = Default::default();
        for (bucket, count) in self.merged() {
            if bucket.0 == 0 {
                zeros += u64::from(*count);
                continue;
            }
            let size = bucket.value().abs();
            let part = usize::from(size < 1.0) + 2 * usize::from(bucket.0 < 0);
            parts[part].push(((size * SCALES[part & 1]) as u64, *count));
        }
        varint::put(out, zeros);
        out.push((0..4).map(|at| u8::from(!parts[at].is_empty()) << at).sum());
        for (at, part) in parts.iter_mut().enumerate().filter(|(_, part)| !part.is_empty()) {
            // Negative values come with their magnitude falling.
            if at >= 2 {
                part.reverse();
            }
            put_v2(out, part);
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
        Ok(Self { sorted, ..Self::default() })
    }
}
