//! Reading a batch: the frame is checked whole before any sample is handed out.

use super::build::POWERS;
use super::varint::Cursor;
use super::{
    BATCH_BYTES_MAX, BatchError, CLIENT_BYTES_MAX, ID_BYTES_MAX, Kind, MAGIC, SECTIONS_MAX, VERSION,
};
use crate::series::{
    LABEL_NAME_BYTES_MAX, LABEL_VALUE_BYTES_MAX, LABELS_MAX, NAME_BYTES_MAX, check_labels,
    check_name, split_key,
};
use crate::time::Time;

/// Longest key a table may hold: every limit of [`crate::series`] reached at once.
const KEY_BYTES_MAX: usize =
    NAME_BYTES_MAX + LABELS_MAX * (LABEL_NAME_BYTES_MAX + LABEL_VALUE_BYTES_MAX + 2);

/// A batch whose frame is sound.
#[derive(Clone, Debug)]
pub struct Batch<'a> {
    sections: Vec<Section<'a>>,
}

/// What one client sent: applied once, if it is numbered.
#[derive(Clone, Debug)]
pub struct Section<'a> {
    /// The client; empty if the section is not numbered.
    pub client: &'a str,
    /// Its number, rising per client.
    pub number: u64,
    /// The series, see [`TableCache`](super::TableCache) and [`Table`].
    pub table: &'a [u8],
    base: Time,
    series: usize,
    blocks: &'a [u8],
}

/// The samples of one series in a section, not yet read.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    bytes: &'a [u8],
    base: Time,
}

impl<'a> Batch<'a> {
    /// Checks the frame: magic, version, and every length down to the blocks.
    ///
    /// # Errors
    /// What is wrong; nothing of such a batch is used.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BatchError> {
        if bytes.len() > BATCH_BYTES_MAX {
            return Err(BatchError::TooLarge("bytes"));
        }
        let mut cursor = Cursor::new(bytes);
        if cursor.fixed::<4>().map_err(|_| BatchError::Magic)? != MAGIC {
            return Err(BatchError::Magic);
        }
        let version = cursor.byte()?;
        if version != VERSION {
            return Err(BatchError::Version(version));
        }
        let count = cursor.count(5)?;
        if count > SECTIONS_MAX {
            return Err(BatchError::TooLarge("sections"));
        }
        let sections =
            (0..count).map(|_| Section::parse(cursor.bytes()?)).collect::<Result<_, _>>()?;
        if cursor.is_empty() {
            Ok(Self { sections })
        } else {
            Err(BatchError::Corrupt("bytes after the last section"))
        }
    }

    /// Its sections in order.
    pub fn sections(&self) -> impl ExactSizeIterator<Item = &Section<'a>> {
        self.sections.iter()
    }
}

impl<'a> Section<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let mut cursor = Cursor::new(bytes);
        let client = cursor.text()?;
        if client.len() > CLIENT_BYTES_MAX {
            return Err(BatchError::TooLarge("bytes in a client's name"));
        }
        let number = cursor.unsigned()?;
        let base = Time(cursor.signed()?);
        let table = cursor.bytes()?;
        let series = Cursor::new(table).count(3)?;
        let blocks = cursor.rest();
        for _ in 0..series {
            cursor.bytes()?;
        }
        if cursor.is_empty() {
            Ok(Self { client, number, table, base, series, blocks })
        } else {
            Err(BatchError::Corrupt("bytes after the last block"))
        }
    }

    /// Number of series, and of blocks.
    pub fn series(&self) -> usize {
        self.series
    }

    /// The blocks, in the order of the table.
    pub fn blocks(&self) -> impl Iterator<Item = Block<'a>> + use<'a> {
        let (mut cursor, base) = (Cursor::new(self.blocks), self.base);
        // `parse` has walked these lengths: none of them fails.
        (0..self.series).map_while(move |_| cursor.bytes().ok().map(|bytes| Block { bytes, base }))
    }
}

impl<'a> Block<'a> {
    /// Number of samples it says it holds.
    pub fn count(&self) -> u64 {
        let mut cursor = Cursor::new(self.bytes);
        cursor.byte().and_then(|_| cursor.unsigned()).unwrap_or(0)
    }

    /// Hands each sample to `each` as (event time or none for log time, value, id).
    ///
    /// # Errors
    /// The block is corrupt; the samples before that place have been handed out.
    pub fn for_each(
        &self,
        mut each: impl FnMut(Option<Time>, f64, Option<&'a str>),
    ) -> Result<(), BatchError> {
        let mut cursor = Cursor::new(self.bytes);
        let flags = cursor.byte()?;
        let count = cursor.count(1)?;
        let (mode, has_ids) = (usize::from(flags & 7), flags & 0x20 != 0);
        if flags & 0xc0 != 0 {
            return Err(BatchError::Corrupt("unknown flags"));
        }
        let unit = match flags >> 3 & 3 {
            0 => None,
            1 => Some(1_000_000),
            2 => Some(1),
            _ => return Err(BatchError::Corrupt("unknown unit of time")),
        };
        let mut last = unit.map_or(0, |unit| self.base.0.div_euclid(unit));
        for _ in 0..count {
            let time = match unit {
                None => None,
                Some(unit) => {
                    last = last.wrapping_add(cursor.signed()?);
                    let nanos = last.checked_mul(unit);
                    Some(Time(nanos.ok_or(BatchError::Corrupt("a time out of range"))?))
                }
            };
            let value = match POWERS.get(mode) {
                Some(power) => cursor.signed()? as f64 / power,
                None => cursor.float()?,
            };
            if !value.is_finite() {
                return Err(BatchError::Corrupt("a value is not finite"));
            }
            let id = if has_ids { Some(read_id(&mut cursor)?) } else { None };
            each(time, value, id.filter(|id| !id.is_empty()));
        }
        if cursor.is_empty() { Ok(()) } else { Err(BatchError::Corrupt("bytes after a block")) }
    }
}

fn read_id<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, BatchError> {
    let id = cursor.text()?;
    if id.len() > ID_BYTES_MAX { Err(BatchError::TooLarge("bytes in an id")) } else { Ok(id) }
}

/// One series of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// As [`crate::series::series_key`] writes it; name and labels have been checked.
    pub key: &'a str,
    /// What its values are.
    pub kind: Kind,
}

/// Reads the table of a section row by row.
#[derive(Debug)]
pub struct Table<'a> {
    cursor: Cursor<'a>,
    rows: usize,
    key: String,
}

impl<'a> Table<'a> {
    /// A reader of `bytes`, a section's [`Section::table`].
    ///
    /// # Errors
    /// It does not begin with a number of rows it could hold.
    pub fn new(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let mut cursor = Cursor::new(bytes);
        let rows = cursor.count(3)?;
        Ok(Self { cursor, rows, key: String::new() })
    }

    /// The next row, none after the last.
    ///
    /// # Errors
    /// The table is corrupt, or a name or label is not allowed.
    pub fn next_row(&mut self) -> Result<Option<Row<'_>>, BatchError> {
        let Some(kind) = self.advance()? else { return Ok(None) };
        let (name, labels) = split_key(&self.key);
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        if check_name(name).is_err() || check_labels(&labels).is_err() {
            return Err(BatchError::Corrupt("a name or label that is not allowed"));
        }
        Ok(Some(Row { key: &self.key, kind }))
    }

    /// The next row of a table that was read before: its names and labels need no further look.
    pub(crate) fn next_known_row(&mut self) -> Result<Option<Row<'_>>, BatchError> {
        let kind = self.advance()?;
        Ok(kind.map(|kind| Row { key: &self.key, kind }))
    }

    fn advance(&mut self) -> Result<Option<Kind>, BatchError> {
        if self.rows == 0 {
            return if self.cursor.is_empty() {
                Ok(None)
            } else {
                Err(BatchError::Corrupt("bytes after the table"))
            };
        }
        self.rows -= 1;
        let kind = match self.cursor.byte()? {
            0 => Kind::Gauge,
            1 => Kind::Counter,
            _ => return Err(BatchError::Corrupt("unknown kind of series")),
        };
        let shared = self.cursor.unsigned()?;
        let shared = usize::try_from(shared).ok().filter(|at| self.key.is_char_boundary(*at));
        self.key.truncate(shared.ok_or(BatchError::Corrupt("a shared length beyond the key"))?);
        self.key.push_str(self.cursor.text()?);
        if self.key.len() > KEY_BYTES_MAX {
            return Err(BatchError::TooLarge("bytes in a key"));
        }
        Ok(Some(kind))
    }
}
