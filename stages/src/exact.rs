//! Sums of floats that are exact, so that neither order nor subtraction can change them.
//!
//! Nearly every value fits an `i128` in units of 2^-64: 2 to 3 ns a value, by shifting the mantissa. A value
//! that does not (finer than 2^-64, or 2^60 and beyond), and a sum that would overflow, goes to a wide
//! accumulator that holds every finite float. A [`Sum`] is the exact total of both parts; which part holds
//! what does not matter to it.
//!
//! Compensated sums were tried: they depend on order, and drift when panes are subtracted.

/// Limbs of the wide accumulator: units of 2^-1074 up to 2^1024, with 78 bits for carries.
const LIMBS: usize = 34;

/// An exact sum.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    narrow: i128,
    wide: Option<Box<Wide>>,
}

/// Two's complement, lowest limb first, in units of 2^-1074.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wide([u64; LIMBS]);

impl Sum {
    /// Adds `value`, which is finite.
    #[inline]
    pub fn add(&mut self, value: f64) {
        match fixed(value).and_then(|part| self.narrow.checked_add(part)) {
            Some(sum) => self.narrow = sum,
            None => self.wide().put(value),
        }
    }

    /// Takes `value` away again.
    #[inline]
    pub fn sub(&mut self, value: f64) {
        self.add(-value);
    }

    /// Adds another sum.
    pub fn add_sum(&mut self, other: &Self) {
        self.add_narrow(other.narrow);
        if let Some(wide) = &other.wide {
            self.wide().add(wide);
        }
    }

    /// Takes another sum away.
    pub fn sub_sum(&mut self, other: &Self) {
        match self.narrow.checked_sub(other.narrow) {
            Some(sum) => self.narrow = sum,
            None => {
                let mut taken = Wide::from_narrow(other.narrow);
                taken.negate();
                self.wide().add(&taken);
            }
        }
        if let Some(wide) = &other.wide {
            let mut taken = wide.clone();
            taken.negate();
            self.wide().add(&taken);
        }
    }

    fn add_narrow(&mut self, part: i128) {
        match self.narrow.checked_add(part) {
            Some(sum) => self.narrow = sum,
            None => self.wide().add(&Wide::from_narrow(part)),
        }
    }

    fn wide(&mut self) -> &mut Wide {
        self.wide.get_or_insert_with(|| Box::new(Wide([0; LIMBS])))
    }

    /// The float nearest to the sum, ties to even; infinite if it lies beyond all floats.
    pub fn value(&self) -> f64 {
        match &self.wide {
            None => self.narrow as f64 * POW_MINUS_64,
            Some(wide) => {
                let mut all = wide.clone();
                all.add(&Wide::from_narrow(self.narrow));
                all.value()
            }
        }
    }

    /// A sum of so many units of 2^-64.
    pub(crate) fn of_narrow(narrow: i128) -> Self {
        Self { narrow, wide: None }
    }

    /// A sum of so many units of 2^`unit`, with `unit` from -1074 to 900.
    pub(crate) fn of_units(count: i128, unit: i32) -> Self {
        let mut sum = Self { narrow: 0, wide: Some(Box::new(Wide::from_units(count, unit))) };
        sum.settle();
        sum
    }

    /// The sum in units of 2^-64, if it has no wide part.
    pub(crate) fn narrow(&self) -> Option<i128> {
        self.wide.is_none().then_some(self.narrow)
    }

    /// Gives the wide part up if the rest fits without it.
    pub(crate) fn settle(&mut self) {
        let Some(wide) = self.wide.take() else { return };
        let narrow = wide.to_narrow().and_then(|part| self.narrow.checked_add(part));
        match narrow {
            Some(narrow) => self.narrow = narrow,
            None => self.wide = Some(wide),
        }
    }

    /// The sum as floats that add up to it exactly, largest first.
    fn pieces(&self) -> Vec<f64> {
        let (mut rest, mut pieces) = (self.clone(), Vec::new());
        loop {
            let piece = rest.value();
            if piece == 0.0 || !piece.is_finite() {
                return pieces;
            }
            pieces.push(piece);
            rest.sub(piece);
        }
    }

    /// Adds `a * b` without rounding.
    pub fn add_product(&mut self, a: f64, b: f64) {
        let high = a * b;
        self.add(high);
        self.add(a.mul_add(b, -high));
    }

    /// The parts for saving: narrow, then the limbs of the wide part if there is one.
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.narrow.to_le_bytes());
        out.push(u8::from(self.wide.is_some()));
        for limb in self.wide.iter().flat_map(|wide| wide.0) {
            out.extend_from_slice(&limb.to_le_bytes());
        }
    }

    pub(crate) fn load(
        cursor: &mut crate::batch::varint::Cursor<'_>,
    ) -> Result<Self, crate::batch::BatchError> {
        let narrow = i128::from_le_bytes(cursor.fixed()?);
        let mut wide = None;
        if cursor.byte()? != 0 {
            let mut limbs = [0; LIMBS];
            for limb in &mut limbs {
                *limb = u64::from_le_bytes(cursor.fixed()?);
            }
            wide = Some(Box::new(Wide(limbs)));
        }
        Ok(Self { narrow, wide })
    }
}

impl PartialEq for Sum {
    fn eq(&self, other: &Self) -> bool {
        let mut difference = self.clone();
        difference.sub_sum(other);
        difference.value() == 0.0
    }
}

const POW_MINUS_64: f64 = 1.0 / (1_u128 << 64) as f64;

/// Mantissa with sign, and the exponent of its last bit: `value = mantissa * 2^exponent`.
#[inline]
pub(crate) fn parts(value: f64) -> (u64, i32, bool) {
    let bits = value.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i32;
    let fraction = bits & ((1 << 52) - 1);
    if exponent == 0 {
        (fraction, -1074, value.is_sign_negative())
    } else {
        (fraction | 1 << 52, exponent - 1075, value.is_sign_negative())
    }
}

/// `value` in units of 2^-64, if it is a whole number of them and small enough.
#[inline]
pub(crate) fn fixed(value: f64) -> Option<i128> {
    let (mantissa, exponent, negative) = parts(value);
    let shift = exponent + 64;
    let size = if (0..72).contains(&shift) {
        i128::from(mantissa) << shift
    } else if mantissa == 0 {
        0
    } else if (-52..0).contains(&shift) && mantissa.trailing_zeros() as i32 >= -shift {
        i128::from(mantissa >> -shift)
    } else {
        return None;
    };
    Some(if negative { -size } else { size })
}

impl Wide {
    fn from_narrow(narrow: i128) -> Self {
        Self::from_units(narrow, -64)
    }

    fn from_units(count: i128, unit: i32) -> Self {
        let (size, bit) = (count.unsigned_abs(), (unit + 1074) as usize);
        let (at, shift) = (bit / 64, bit % 64);
        let low = size << shift;
        let mut wide = Self([0; LIMBS]);
        wide.0[at] = low as u64;
        wide.0[at + 1] = (low >> 64) as u64;
        wide.0[at + 2] = if shift > 0 { (size >> (128 - shift)) as u64 } else { 0 };
        if count < 0 {
            wide.negate();
        }
        wide
    }

    fn to_narrow(&self) -> Option<i128> {
        let low = self.0[15] >> 50 | self.0[16] << 14;
        let high = self.0[16] >> 50 | self.0[17] << 14;
        let narrow = (u128::from(high) << 64 | u128::from(low)) as i128;
        (Self::from_narrow(narrow) == *self).then_some(narrow)
    }

    fn put(&mut self, value: f64) {
        let (mantissa, exponent, negative) = parts(value);
        let bit = (exponent + 1074) as usize;
        let shifted = u128::from(mantissa) << (bit % 64);
        let mut part = Self([0; LIMBS]);
        part.0[bit / 64] = shifted as u64;
        part.0[bit / 64 + 1] = (shifted >> 64) as u64;
        if negative {
            part.negate();
        }
        self.add(&part);
    }

    fn add(&mut self, other: &Self) {
        let mut carry = false;
        for (limb, part) in self.0.iter_mut().zip(other.0) {
            let (sum, first) = limb.overflowing_add(part);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            *limb = sum;
            carry = first || second;
        }
    }

    fn negate(&mut self) {
        let mut carry = true;
        for limb in &mut self.0 {
            let (sum, over) = (!*limb).overflowing_add(u64::from(carry));
            *limb = sum;
            carry = over;
        }
    }

    fn value(mut self) -> f64 {
        let negative = self.0[LIMBS - 1] >> 63 == 1;
        if negative {
            self.negate();
        }
        let sign = if negative { -1.0 } else { 1.0 };
        let Some(top) = self.0.iter().rposition(|limb| *limb != 0) else { return 0.0 };
        let msb = top * 64 + 63 - self.0[top].leading_zeros() as usize;
        if msb <= 52 {
            return sign * f64::from_bits(self.0[0]);
        }
        // 53 bits from `msb` down, then round half to even by what lies below.
        let low = msb - 52;
        let mut mantissa = self.bits(low, 53);
        let half = self.bits(low - 1, 1) == 1;
        let sticky = (0..low - 1).any(|bit| self.0[bit / 64] >> (bit % 64) & 1 == 1);
        if half && (sticky || mantissa & 1 == 1) {
            mantissa += 1;
        }
        // Adding the mantissa to the exponent's place carries over by itself.
        let exponent = (low + 1) as u64;
        let bits = (exponent << 52).wrapping_add(mantissa - (1 << 52));
        if bits >= f64::INFINITY.to_bits() {
            sign * f64::INFINITY
        } else {
            sign * f64::from_bits(bits)
        }
    }

    fn bits(&self, from: usize, count: usize) -> u64 {
        let both = u128::from(self.0[from / 64])
            | u128::from(self.0.get(from / 64 + 1).copied().unwrap_or(0)) << 64;
        (both >> (from % 64)) as u64 & ((1_u64 << count) - 1)
    }
}

/// Beyond this, squares would leave the floats: larger values are counted as this in a standard deviation.
const SQUARED_MAX: f64 = 1e150;

/// Adds the square of `value` without rounding (values below 1e-140 may lose their last bits).
#[inline]
pub fn add_square(squares: &mut Sum, value: f64) {
    let value = value.clamp(-SQUARED_MAX, SQUARED_MAX);
    squares.add_product(value, value);
}

/// Population standard deviation from exact sums: the squares of the distances from the rounded mean, worked
/// out without rounding, so that large values with small differences lose nothing.
pub fn stddev(count: u64, sum: &Sum, squares: &Sum) -> f64 {
    if count < 2 {
        return 0.0;
    }
    let n = count as f64;
    let mean = sum.value() / n;
    if !mean.is_finite() || mean.abs() > SQUARED_MAX {
        return (squares.value() / n).sqrt();
    }
    let mut distances = squares.clone();
    let mut offset = sum.clone();
    for piece in sum.pieces() {
        distances.add_product(-2.0 * mean, piece);
    }
    let square = mean * mean;
    distances.add_product(n, square);
    distances.add_product(n, mean.mul_add(mean, -square));
    offset.add_product(-n, mean);
    let offset = offset.value();
    ((distances.value() - offset * offset / n) / n).max(0.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(values: &[f64]) -> Sum {
        let mut sum = Sum::default();
        values.iter().for_each(|value| sum.add(*value));
        sum
    }

    #[test]
    fn what_floats_lose_is_kept() {
        assert_eq!(sum(&[1e300, 1.0, -1e300]).value(), 1.0);
        assert_eq!(sum(&[1e16, 1.0, -1e16]).value(), 1.0);
        assert_eq!(sum(&[f64::MAX, f64::MAX, -f64::MAX]).value(), f64::MAX);
        assert_eq!(sum(&[f64::MAX, f64::MAX]).value(), f64::INFINITY);
        assert_eq!(sum(&[5e-324, 5e-324]).value(), 1e-323);
        assert_eq!(sum(&[-0.25, -0.5]).value(), -0.75);
        assert_eq!(sum(&[0.1; 10]).value(), 1.0);
    }

    #[test]
    fn half_way_is_rounded_to_even() {
        for scale in [1.0, 1e-30, 1e200_f64] {
            let one = 2_f64.powi(scale.log2() as i32);
            let half = one * f64::EPSILON / 2.0;
            assert_eq!(sum(&[one, half]).value(), one);
            assert_eq!(sum(&[one, half, half / 1024.0]).value(), one + one * f64::EPSILON);
            assert_eq!(sum(&[one, half, half, half]).value(), one + 2.0 * one * f64::EPSILON);
        }
    }

    #[test]
    fn a_spread_far_from_zero_is_seen() {
        let values = [1e9, 1e9 + 1.0, 1e9 + 2.0];
        let mut squares = Sum::default();
        values.iter().for_each(|value| add_square(&mut squares, *value));
        let found = stddev(3, &sum(&values), &squares);
        assert!((found - (2.0_f64 / 3.0).sqrt()).abs() < 1e-15, "{found}");
    }

    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<f64>().prop_filter("finite", |value| value.is_finite()),
            -1e6..1e6,
            -1e-6..1e-6,
            -1e18..1e18
        ]
    }

    proptest! {
        #[test]
        fn a_value_alone_comes_back(value in any_value()) {
            prop_assert_eq!(sum(&[value]).value(), value);
            let mut wide = Wide([0; LIMBS]);
            wide.put(value);
            prop_assert_eq!(wide.value(), value);
        }

        #[test]
        fn order_and_subtraction_change_nothing(values in proptest::collection::vec(any_value(), 0..40),
                                                more in proptest::collection::vec(any_value(), 0..40)) {
            let plain = sum(&values);
            let mut mixed = sum(&more);
            for value in values.iter().rev() { mixed.add(*value); }
            for value in &more { mixed.sub(*value); }
            prop_assert_eq!(mixed.value().to_bits() << 1, plain.value().to_bits() << 1);
            let mut by_sums = plain.clone();
            by_sums.add_sum(&sum(&more));
            by_sums.sub_sum(&sum(&more));
            prop_assert!(by_sums == plain);
        }

        #[test]
        fn integers_sum_like_integers(values in proptest::collection::vec(any::<i32>(), 0..100)) {
            let expected: i64 = values.iter().map(|value| i64::from(*value)).sum();
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            prop_assert_eq!(sum(&values).value(), expected as f64);
        }
    }
}
