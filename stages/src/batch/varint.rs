//! Numbers of variable length, shared by batches, rollups and saved windows. Reading never panics.

use super::BatchError;

/// Appends `number` as LEB128.
pub(crate) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a number with a sign, small ones of either sign short.
pub(crate) fn put_signed(out: &mut Vec<u8>, number: i64) {
    put(out, ((number << 1) ^ (number >> 63)) as u64);
}

/// Appends a length and the bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A place in bytes that are read front to back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, BatchError> {
        let (first, rest) = self.rest.split_first().ok_or(BatchError::CutOff)?;
        self.rest = rest;
        Ok(*first)
    }

    #[inline]
    pub(crate) fn unsigned(&mut self) -> Result<u64, BatchError> {
        // Most numbers of a batch take one or two bytes.
        match *self.rest {
            [a, ref rest @ ..] if a < 0x80 => {
                self.rest = rest;
                Ok(u64::from(a))
            }
            [a, b, ref rest @ ..] if b < 0x80 => {
                self.rest = rest;
                Ok(u64::from(a & 0x7f) | u64::from(b) << 7)
            }
            _ => self.unsigned_long(),
        }
    }

    fn unsigned_long(&mut self) -> Result<u64, BatchError> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                break;
            }
            number |= part << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(BatchError::Corrupt("a number of more than 64 bits"))
    }

    #[inline]
    pub(crate) fn signed(&mut self) -> Result<i64, BatchError> {
        let number = self.unsigned()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// A number that counts things of at least `bytes_each` in the rest, so it cannot make us allocate
    /// more than the input could fill.
    pub(crate) fn count(&mut self, bytes_each: usize) -> Result<usize, BatchError> {
        let count = self.unsigned()?;
        match usize::try_from(count) {
            Ok(count) if count <= self.rest.len() / bytes_each.max(1) => Ok(count),
            _ => Err(BatchError::CutOff),
        }
    }

    pub(crate) fn fixed<const N: usize>(&mut self) -> Result<[u8; N], BatchError> {
        let (first, rest) = self.rest.split_first_chunk::<N>().ok_or(BatchError::CutOff)?;
        self.rest = rest;
        Ok(*first)
    }

    #[inline]
    pub(crate) fn float(&mut self) -> Result<f64, BatchError> {
        self.fixed().map(f64::from_le_bytes)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], BatchError> {
        let length = self.count(1)?;
        let (first, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok(first)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, BatchError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| BatchError::Corrupt("a text is not UTF-8"))
    }

    /// What has not been read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }
}
