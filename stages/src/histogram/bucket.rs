//! Buckets: a value's sign, exponent and first ten bits of the mantissa, as a number.

/// Magnitudes below this, and below its bucket, count as zero.
pub const MAGNITUDE_MIN: f64 = 1e-6;
/// Where its bucket begins: what is shown by that edge lies in the bucket again.
const EDGE_MIN: f64 = f64::from_bits((MAGNITUDE_MIN.to_bits() >> 42) << 42);
/// Magnitudes above this count as this.
pub const MAGNITUDE_MAX: f64 = 1e12;

/// 2^-20 is the power of two below 1e-6; 60 of them reach beyond 1e12.
const EXPONENT_MIN: i64 = -20;
const OCTAVES: i64 = 60;
const PER_OCTAVE: i64 = 1024;
/// Buckets of one sign.
pub(super) const BUCKETS: i32 = (OCTAVES * PER_OCTAVE) as i32;

/// A bucket: 0 for zero, positive for positive values, rising with the value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(pub(super) i32);

impl Bucket {
    /// The bucket of a finite value.
    #[inline]
    pub fn of(value: f64) -> Self {
        let size = value.abs();
        if size < EDGE_MIN {
            return Self(0);
        }
        let bits = size.min(MAGNITUDE_MAX).to_bits() as i64;
        let index = ((bits >> 42) - ((EXPONENT_MIN + 1023) << 10)) as i32 + 1;
        Self(if value < 0.0 { -index } else { index })
    }

    /// The value it is shown by: its edge nearer to zero.
    pub fn value(self) -> f64 {
        if self.0 == 0 {
            return 0.0;
        }
        let index = i64::from(self.0.unsigned_abs() - 1);
        let size = f64::from_bits(((index + ((EXPONENT_MIN + 1023) << 10)) << 42) as u64);
        if self.0 < 0 { -size } else { size }
    }

    /// Its other edge; values that lie in it lie between the two.
    pub fn far(self) -> f64 {
        Self(self.0 + self.0.signum()).value()
    }

    /// Whether a value's magnitude lies beyond what buckets tell apart, and was clamped.
    pub fn clamps(value: f64) -> bool {
        value.abs() > MAGNITUDE_MAX
    }
}

/// Rank of a nearest-rank percentile, from 1: the smallest rank with at least `q` percent at or below it.
pub fn rank(count: u64, q: f64) -> u64 {
    // 99.9 % of 1000 is 999, though the product of the floats is a hair above.
    let exact = q * count as f64 / 100.0;
    let near = exact.round();
    let rank = if (exact - near).abs() <= near * 1e-12 { near } else { exact.ceil() };
    (rank as u64).clamp(1, count.max(1))
}
