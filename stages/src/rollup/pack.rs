//! Packs: panes of one tier as a message.

use super::pane::{IMPLIED_MAX, Pane};
use super::{MAGIC, Named, PACK_BYTES, Tier, VERSION};
use crate::batch::varint::{self, Cursor};
use crate::batch::{BatchError, Kind, Table, write_table};
use crate::histogram::{Bucket, Counts};
use crate::time::Time;
use bytes::Bytes;

/// One pane of one series, or a part of it: parts said by different steps add up.
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
    /// Their histogram, where one was wanted; of one or two samples always.
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
    /// Position of the step that said it: parts of one series and pane with one position are the same.
    pub position: u64,
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
        let position = cursor.unsigned()?;
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
            Ok(Self { tier, position, rows })
        } else {
            Err(BatchError::Corrupt("bytes after the last row"))
        }
    }
}

fn read_pane(cursor: &mut Cursor<'_>, number: i64, tier: Tier) -> Result<RollupPane, BatchError> {
    let start = number.checked_mul(tier.width().0);
    let start = Time(start.ok_or(BatchError::Corrupt("a time out of range"))?);
    let count = cursor.unsigned()?;
    let (sum, min, max) = match count {
        1 => {
            let value = cursor.float()?;
            (value, value, value)
        }
        _ => (cursor.float()?, cursor.float()?, cursor.float()?),
    };
    let histogram = if count <= u64::from(IMPLIED_MAX) {
        let mut counts = Counts::default();
        [min, max].iter().take(count as usize).for_each(|value| counts.add(Bucket::of(*value)));
        Some(counts)
    } else if cursor.byte()? != 0 {
        Some(Counts::load(cursor)?)
    } else {
        None
    };
    Ok(RollupPane { start, count, sum, min, max, histogram })
}

/// Writes packs row by row.
#[derive(Debug, Default)]
pub(super) struct Writer {
    tier: u8,
    position: u64,
    /// Ids of the rows' series.
    table: Vec<u32>,
    body: Vec<u8>,
    row: Vec<u8>,
    /// Number of the last pane of the row.
    before: i64,
    /// The table written last, and of which ids: a fleet that sends steadily has the same one again.
    written: (Vec<u32>, Vec<u8>),
}

impl Writer {
    /// Begins packs of a tier, said by the step at `position`.
    pub(super) fn begin(&mut self, tier: Tier, position: u64) {
        (self.tier, self.position) = (tier as u8, position);
    }

    /// Ids have changed their meaning.
    pub(super) fn forget_table(&mut self) {
        self.written = (Vec::new(), Vec::new());
    }

    /// Appends a pane to the row.
    pub(super) fn pane(&mut self, number: i64, pane: &Pane, histogram: Option<&mut Counts>) {
        let out = &mut self.row;
        varint::put_signed(out, number - self.before);
        self.before = number;
        varint::put(out, u64::from(pane.count));
        if pane.count == 1 {
            out.extend_from_slice(&pane.min.to_le_bytes());
        } else {
            for value in [pane.sum, pane.min, pane.max] {
                out.extend_from_slice(&value.to_le_bytes());
            }
        }
        if pane.count > IMPLIED_MAX {
            out.push(u8::from(histogram.is_some()));
            if let Some(histogram) = histogram {
                histogram.save(out);
            }
        }
    }

    /// Ends the row: its panes were of this series. The answer is whether the pack is full.
    pub(super) fn end_row(&mut self, series: u32) -> bool {
        self.table.push(series);
        varint::put_bytes(&mut self.body, &self.row);
        self.row.clear();
        self.before = 0;
        self.body.len() >= PACK_BYTES
    }

    /// The pack so far, if there is one.
    pub(super) fn close(&mut self, series: &[Option<Named>]) -> Option<(Tier, Bytes)> {
        if self.table.is_empty() {
            return None;
        }
        let (ids, names) = &mut self.written;
        if *ids != self.table {
            ids.clone_from(&self.table);
            names.clear();
            let rows = self.table.iter().map(|id| {
                let named = series[*id as usize].as_ref();
                named.map_or(("", Kind::Gauge), |named| (&*named.key, named.kind))
            });
            write_table(names, rows);
        }
        let mut out = Vec::with_capacity(names.len() + self.body.len() + 24);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[VERSION, self.tier]);
        varint::put(&mut out, self.position);
        varint::put_bytes(&mut out, names);
        out.append(&mut self.body);
        self.table.clear();
        Some((Tier::ALL[self.tier as usize], Bytes::from(out)))
    }
}
