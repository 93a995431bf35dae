//! Packs: panes of one tier as a message.

use super::kept::Pane;
use super::{MAGIC, Named, PACK_BYTES, Tier, VERSION};
use crate::batch::varint::{self, Cursor};
use crate::batch::{BatchError, Kind, Table, write_table};
use crate::histogram::Counts;
use crate::time::Time;
use bytes::Bytes;

/// One pane of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct RollupPane {
    /// Its start.
    pub start: Time,
    /// Samples.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// Their histogram, where one was wanted.
    pub histogram: Option<Counts>,
}

/// The panes of one series in a pack.
#[derive(Clone, Debug, PartialEq)]
pub struct RollupRow {
    /// The series, as [`crate::series::series_key`] writes it.
    pub key: String,
    /// What its values are.
    pub kind: Kind,
    /// Its panes by rising time.
    pub panes: Vec<RollupPane>,
}

/// A pack as read.
#[derive(Clone, Debug, PartialEq)]
pub struct RollupPack {
    /// Width of its panes.
    pub tier: Tier,
    /// Its series, by key.
    pub rows: Vec<RollupRow>,
}

impl RollupPack {
    /// Reads a pack.
    ///
    /// # Errors
    /// The bytes are not a pack of this version.
    pub fn decode(bytes: &[u8]) -> Result<Self, BatchError> {
        let mut cursor = Cursor::new(bytes);
        if cursor.fixed::<4>().map_err(|_| BatchError::Magic)? != MAGIC {
            return Err(BatchError::Magic);
        }
        let version = cursor.byte()?;
        if version != VERSION {
            return Err(BatchError::Version(version));
        }
        let tier = usize::from(cursor.byte()?);
        let tier = *Tier::ALL.get(tier).ok_or(BatchError::Corrupt("unknown tier"))?;
        let mut table = Table::new(cursor.bytes()?)?;
        let mut rows = Vec::new();
        while let Some(row) = table.next_row()? {
            let mut own = Cursor::new(cursor.bytes()?);
            let (key, kind) = (row.key.to_owned(), row.kind);
            let (mut number, mut panes) = (0_i64, Vec::new());
            while !own.is_empty() {
                number = number.wrapping_add(own.signed()?);
                panes.push(read_pane(&mut own, number, tier)?);
            }
            rows.push(RollupRow { key, kind, panes });
        }
        if cursor.is_empty() {
            Ok(Self { tier, rows })
        } else {
            Err(BatchError::Corrupt("bytes after the last row"))
        }
    }
}

fn read_pane(cursor: &mut Cursor<'_>, number: i64, tier: Tier) -> Result<RollupPane, BatchError> {
    let start = number.checked_mul(tier.width().0);
    Ok(RollupPane {
        start: Time(start.ok_or(BatchError::Corrupt("a time out of range"))?),
        count: cursor.unsigned()?,
        sum: cursor.float()?,
        min: cursor.float()?,
        max: cursor.float()?,
        histogram: match cursor.byte()? {
            0 => None,
            _ => Some(Counts::load(cursor)?),
        },
    })
}

/// Writes packs row by row.
#[derive(Debug)]
pub(super) struct Writer {
    tier: Tier,
    /// Ids of the rows' series.
    table: Vec<u32>,
    body: Vec<u8>,
    row: Vec<u8>,
    /// Number of the last pane of the row.
    before: i64,
}

impl Writer {
    pub(super) fn new(tier: Tier) -> Self {
        Self { tier, table: Vec::new(), body: Vec::new(), row: Vec::new(), before: 0 }
    }

    /// Appends a pane to the row.
    pub(super) fn pane(&mut self, number: i64, pane: &mut Pane) {
        varint::put_signed(&mut self.row, number - self.before);
        self.before = number;
        pane.write(&mut self.row);
    }

    /// Ends the row: its panes were of this series. The answer is whether the pack is full.
    pub(super) fn end_row(&mut self, series: u32) -> bool {
        if !self.row.is_empty() {
            self.table.push(series);
            varint::put_bytes(&mut self.body, &self.row);
            self.row.clear();
            self.before = 0;
        }
        self.body.len() >= PACK_BYTES
    }

    /// The pack so far, if there is one.
    pub(super) fn close(&mut self, series: &[Option<Named>]) -> Option<(Tier, Bytes)> {
        let rows = self.table.drain(..).map(|id| {
            series[id as usize]
                .as_ref()
                .map_or(("", Kind::Gauge), |named| (&*named.key, named.kind))
        });
        if rows.len() == 0 {
            return None;
        }
        let mut names = Vec::with_capacity(rows.len() * 16);
        write_table(&mut names, rows);
        let mut out = Vec::with_capacity(names.len() + self.body.len() + 16);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[VERSION, self.tier as u8]);
        varint::put_bytes(&mut out, &names);
        out.append(&mut self.body);
        Some((self.tier, Bytes::from(out)))
    }
}
