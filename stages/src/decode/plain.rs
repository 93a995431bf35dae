//! The usual sample without a parser: one object with `name`, `labels`, `ts`, `val`, `id`, `kind` in any order,
//! each once, no escapes. A shortcut, never another opinion: whatever it does not know it leaves to serde.
//!
//! It reads in place and allocates nothing. Texts are searched eight bytes at a time and numbers are added up
//! while they are searched, because these two had most of what decoding costs.

use super::check::{Fields, Ts};
use crate::batch::Kind;

/// Most labels of the usual form; samples with more go through serde. Few have ten.
const LABELS_PLAIN: usize = 16;

/// One sample, borrowed from its text. Made once a message and filled for each of its samples.
#[derive(Debug)]
pub(super) struct Plain<'a> {
    pub name: &'a str,
    labels: [(&'a str, &'a str); LABELS_PLAIN],
    labels_used: usize,
    pub kind: Kind,
    pub time: Option<Ts>,
    pub value: f64,
    pub id: Option<&'a str>,
}

/// A field an object may have; as a number its bit in the set of those met.
#[derive(Clone, Copy)]
enum Field {
    Name = 1,
    Val = 2,
    Ts = 4,
    Id = 8,
    Labels = 16,
    Kind = 32,
}

impl<'a> Plain<'a> {
    /// One to be filled.
    pub(super) const EMPTY: Self = Self {
        name: "",
        labels: [("", ""); LABELS_PLAIN],
        labels_used: 0,
        kind: Kind::Gauge,
        time: None,
        value: 0.0,
        id: None,
    };

    /// Reads the object that `text` begins with and answers what stands behind it; none if it is not of the
    /// usual form.
    pub(super) fn read(&mut self, text: &'a str) -> Option<&'a str> {
        let (mut scan, mut met) = (Scan { text, at: 0 }, 0);
        (self.labels_used, self.kind, self.time, self.id) = (0, Kind::Gauge, None, None);
        scan.take(b'{')?;
        loop {
            scan.space();
            let field = scan.field()?;
            if met & field as u8 != 0 {
                return None;
            }
            met |= field as u8;
            scan.colon()?;
            match field {
                Field::Name => self.name = scan.text()?,
                Field::Val => self.value = scan.number()?.value()?,
                Field::Ts => self.time = Some(scan.number()?.ts()?),
                Field::Id => self.id = Some(scan.text()?),
                Field::Labels => self.labels(&mut scan)?,
                Field::Kind => self.kind = kind(scan.text()?)?,
            }
            scan.space();
            match scan.next()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        let needed = Field::Name as u8 | Field::Val as u8;
        (met & needed == needed).then(|| &text[scan.at..])
    }

    /// Texts by name; kept in the order of their names.
    fn labels(&mut self, scan: &mut Scan<'a>) -> Option<()> {
        scan.take(b'{')?;
        scan.space();
        if scan.peek() == Some(b'}') {
            return scan.take(b'}');
        }
        loop {
            scan.space();
            let name = scan.text()?;
            scan.colon()?;
            let value = scan.text()?;
            let mut place = self.labels_used;
            while place > 0 && self.labels[place - 1].0 >= name {
                if self.labels[place - 1].0 == name {
                    return None;
                }
                place -= 1;
            }
            if self.labels_used == LABELS_PLAIN {
                return None;
            }
            self.labels.copy_within(place..self.labels_used, place + 1);
            self.labels[place] = (name, value);
            self.labels_used += 1;
            scan.space();
            match scan.next()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    /// Its labels by name.
    pub(super) fn labels_sorted(&self) -> impl ExactSizeIterator<Item = (&'a str, &'a str)> {
        self.labels[..self.labels_used].iter().copied()
    }

    /// What has limits.
    pub(super) fn fields(&self) -> Fields<'a> {
        Fields { name: self.name, time: self.time, value: self.value, id: self.id }
    }
}

fn kind(text: &str) -> Option<Kind> {
    match text {
        "gauge" => Some(Kind::Gauge),
        "counter" => Some(Kind::Counter),
        _ => None,
    }
}

/// A place in a text.
struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// The colon behind a name, with the space around it.
    fn colon(&mut self) -> Option<()> {
        self.space();
        self.take(b':')?;
        self.space();
        Some(())
    }

    /// The name of a field.
    fn field(&mut self) -> Option<Field> {
        let (field, length) = match self.text.as_bytes().get(self.at..)? {
            [b'"', b'n', b'a', b'm', b'e', b'"', ..] => (Field::Name, 6),
            [b'"', b'v', b'a', b'l', b'"', ..] => (Field::Val, 5),
            [b'"', b't', b's', b'"', ..] => (Field::Ts, 4),
            [b'"', b'i', b'd', b'"', ..] => (Field::Id, 4),
            [b'"', b'l', b'a', b'b', b'e', b'l', b's', b'"', ..] => (Field::Labels, 8),
            [b'"', b'k', b'i', b'n', b'd', b'"', ..] => (Field::Kind, 6),
            _ => return None,
        };
        self.at += length;
        Some(field)
    }

    /// A text without escapes.
    fn text(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let (from, bytes) = (self.at, self.text.as_bytes());
        let mut end = from;
        while let Some(word) = bytes.get(end..).and_then(|rest| rest.first_chunk()) {
            let ends = ends_of_text(u64::from_le_bytes(*word));
            if ends != 0 {
                end += ends.trailing_zeros() as usize / 8;
                break;
            }
            end += 8;
        }
        // Near the end of the message byte by byte; elsewhere this is where the loop above stopped.
        while bytes.get(end).is_some_and(|byte| !matches!(byte, 0..0x20 | b'"' | b'\\')) {
            end += 1;
        }
        self.at = end;
        self.take(b'"')?;
        self.text.get(from..end)
    }

    /// A number as JSON writes it: no plus sign, no leading zero, digits on both sides of the point.
    fn number(&mut self) -> Option<Number<'a>> {
        let from = self.at;
        let negative = self.peek() == Some(b'-');
        self.at += usize::from(negative);
        let leading_zero = self.peek() == Some(b'0');
        let mut digits = 0;
        let before = self.digits(&mut digits)?;
        if before > 1 && leading_zero {
            return None;
        }
        let (mut decimals, mut plain) = (0, true);
        if self.peek() == Some(b'.') {
            self.at += 1;
            decimals = self.digits(&mut digits)?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits(&mut 0)?;
            plain = false;
        }
        plain &= before + decimals <= DIGITS_EXACT;
        Some(Number { text: self.text.get(from..self.at)?, negative, digits, decimals, plain })
    }

    /// Adds digits up, at least one; how many there were.
    fn digits(&mut self, sum: &mut u64) -> Option<usize> {
        let from = self.at;
        while let Some(byte @ b'0'..=b'9') = self.peek() {
            *sum = sum.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
            self.at += 1;
        }
        (self.at > from).then_some(self.at - from)
    }
}

/// The bytes of a word that end a text or need a parser: a quote, a backslash, a control character. The lowest
/// bit set is exact; those above it may be wrong (a borrow), and nobody looks at them.
fn ends_of_text(word: u64) -> u64 {
    const fn each(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    let below = |word: u64, bound: u8| word.wrapping_sub(each(bound)) & !word;
    let quote = below(word ^ each(b'"'), 1);
    let backslash = below(word ^ each(b'\\'), 1);
    (quote | backslash | below(word, 0x20)) & each(0x80)
}

/// Digits that a sum of 64 bits, signed too, surely holds.
const DIGITS_EXACT: usize = 18;
/// Whole numbers up to here are exact as a float, and so are powers of ten up to [`POWERS`]' last: their quotient
/// is rounded once, which is how a correct parser rounds it.
const WHOLE_EXACT: u64 = 1 << 53;
const POWERS: [f64; DIGITS_EXACT + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18,
];

/// A number and what is known of it already.
struct Number<'a> {
    text: &'a str,
    negative: bool,
    /// All digits as a whole number, where `plain`.
    digits: u64,
    /// How many of them stand behind the point.
    decimals: usize,
    /// No exponent, and few enough digits.
    plain: bool,
}

impl Number<'_> {
    /// Correctly rounded; infinite beyond the range.
    fn value(&self) -> Option<f64> {
        if !self.plain || self.digits > WHOLE_EXACT {
            return self.text.parse().ok();
        }
        let value = self.digits as f64 / POWERS[self.decimals];
        Some(if self.negative { -value } else { value })
    }

    fn ts(&self) -> Option<Ts> {
        if !self.plain || self.decimals > 0 {
            return Ts::parse(self.text);
        }
        let whole = i64::try_from(self.digits).ok()?;
        Some(Ts::Whole(if self.negative { -whole } else { whole }))
    }
}
