//! Writing many batches of the same series, one sample each: what a fleet does that reports once a second.

use super::build::write_table;
use super::{Kind, MAGIC, VERSION, varint};
use crate::time::Time;

/// Writes batches of the series it was given, at most one sample of each and none with a time or an id of its own:
/// they are counted at the log time of the entry.
///
/// ```
/// use stages::batch::{Batch, Frame, Kind};
/// let mut frame = Frame::new(["a_ms", "b_ms"].map(|key| (key.to_owned(), Kind::Gauge)).to_vec());
/// let bytes = frame.write(&[Some(1.0), None]);
/// let batch = Batch::parse(&bytes).expect("just written");
/// assert_eq!(batch.sections().next().expect("one section").blocks().count(), 1);
/// ```
#[derive(Debug)]
pub struct Frame {
    /// Sorted by key.
    series: Vec<(String, Kind)>,
    /// Place in `series` of what was given first, second, and so on.
    order: Vec<usize>,
    /// Which of them the table is of.
    there: Vec<bool>,
    table: Vec<u8>,
}

/// Value as a float, no time, no id; one sample.
const BLOCK_HEAD: [u8; 3] = [10, 7, 1];

impl Frame {
    /// A writer for these series, keys as [`crate::series::series_key`] writes them.
    pub fn new(series: Vec<(String, Kind)>) -> Self {
        let mut order: Vec<usize> = (0..series.len()).collect();
        order.sort_by(|one, other| series[*one].cmp(&series[*other]));
        let sorted = order.iter().map(|at| series[*at].clone()).collect();
        Self { series: sorted, order, there: Vec::new(), table: Vec::new() }
    }

    /// A batch of one value for each series, in the order they were given; none where there is no sample, or one
    /// that is not finite.
    pub fn write(&mut self, values: &[Option<f64>]) -> Vec<u8> {
        let value = |at: usize| values.get(at).copied().flatten().filter(|value| value.is_finite());
        let same = self.there.len() == self.order.len()
            && self.order.iter().zip(&self.there).all(|(at, there)| value(*at).is_some() == *there);
        if !same {
            self.there = self.order.iter().map(|at| value(*at).is_some()).collect();
            let rows = self.series.iter().zip(&self.there).filter(|(_, there)| **there);
            let rows: Vec<_> = rows.map(|((key, kind), _)| (key.as_str(), *kind)).collect();
            self.table.clear();
            write_table(&mut self.table, rows.into_iter());
        }
        let mut body = Vec::with_capacity(self.table.len() + self.order.len() * 11 + 16);
        varint::put_bytes(&mut body, b"");
        varint::put(&mut body, 0);
        varint::put_signed(&mut body, 0);
        varint::put_bytes(&mut body, &self.table);
        for value in self.order.iter().filter_map(|at| value(*at)) {
            body.extend_from_slice(&BLOCK_HEAD);
            body.extend_from_slice(&value.to_le_bytes());
        }
        framed(&body)
    }
}

/// Writes batches of samples that have their own times, of series known beforehand.
#[derive(Debug)]
pub struct TimedFrame<'a> {
    series: &'a [(String, Kind)],
    /// Numbers of the series when sorted by key, and place of each among them.
    order: Vec<u32>,
    rank: Vec<u32>,
    /// The ranks the table is of, and their series.
    there: Vec<u32>,
    table: Vec<u8>,
    /// Kept for their memory.
    sorted: Vec<(u32, Time, f64)>,
    blocks: Vec<u8>,
}

/// Value as a float, a time in nanoseconds, no id.
const TIMED: u8 = 7 | 2 << 3;

impl<'a> TimedFrame<'a> {
    /// A writer for these series, keys as [`crate::series::series_key`] writes them.
    pub fn new(series: &'a [(String, Kind)]) -> Self {
        let mut order: Vec<u32> = (0..series.len() as u32).collect();
        order.sort_by(|one, other| series[*one as usize].cmp(&series[*other as usize]));
        let mut rank = vec![0; series.len()];
        for (at, number) in order.iter().enumerate() {
            rank[*number as usize] = at as u32;
        }
        let (there, table, sorted, blocks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { series, order, rank, there, table, sorted, blocks }
    }

    /// A batch of samples: time, number of the series, value. Values that are not finite are left out.
    pub fn write(&mut self, samples: &[(Time, u32, f64)]) -> Vec<u8> {
        self.sorted.clear();
        let rank = &self.rank;
        let finite = samples.iter().filter(|(.., value)| value.is_finite());
        self.sorted
            .extend(finite.map(|(time, number, value)| (rank[*number as usize], *time, *value)));
        // Stable: what a series says in one instant stays in order.
        self.sorted.sort_by_key(|(rank, ..)| *rank);
        let base = self.sorted.iter().map(|(_, time, _)| *time).min().unwrap_or_default();
        let of_series = || self.sorted.chunk_by(|one, other| one.0 == other.0);
        if !of_series().map(|chunk| chunk[0].0).eq(self.there.iter().copied()) {
            self.there = of_series().map(|chunk| chunk[0].0).collect();
            let row = |rank: &u32| &self.series[self.order[*rank as usize] as usize];
            let rows = self.there.iter().map(row);
            self.table.clear();
            write_table(&mut self.table, rows.map(|(key, kind)| (key.as_str(), *kind)));
        }
        let mut body = Vec::with_capacity(self.table.len() + self.sorted.len() * 14 + 32);
        varint::put_bytes(&mut body, b"");
        varint::put(&mut body, 0);
        varint::put_signed(&mut body, base.0);
        varint::put_bytes(&mut body, &self.table);
        for chunk in self.sorted.chunk_by(|one, other| one.0 == other.0) {
            self.blocks.clear();
            self.blocks.push(TIMED);
            varint::put(&mut self.blocks, chunk.len() as u64);
            let mut last = base.0;
            for (_, time, value) in chunk {
                varint::put_signed(&mut self.blocks, time.0.wrapping_sub(last));
                last = time.0;
                self.blocks.extend_from_slice(&value.to_le_bytes());
            }
            varint::put_bytes(&mut body, &self.blocks);
        }
        framed(&body)
    }
}

/// The only section of a batch.
fn framed(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 16);
    out.extend_from_slice(&MAGIC);
    out.push(VERSION);
    varint::put(&mut out, 1);
    varint::put_bytes(&mut out, body);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Batch, BatchBuilder, Sample, Table};

    fn read(bytes: &[u8]) -> Vec<(String, Vec<f64>)> {
        let batch = Batch::parse(bytes).unwrap();
        let section = batch.sections().next().unwrap();
        let mut table = Table::new(section.table).unwrap();
        section
            .blocks()
            .map(|block| {
                let key = table.next_row().unwrap().unwrap().key.to_owned();
                let mut values = Vec::new();
                block.for_each(|_, value, _| values.push(value)).unwrap();
                (key, values)
            })
            .collect()
    }

    #[test]
    fn a_frame_says_what_a_builder_says() {
        let keys = ["b_ms", "a_ms", "c_ms"];
        let mut frame = Frame::new(keys.map(|key| (key.to_owned(), Kind::Gauge)).to_vec());
        let all = [
            [Some(1.5), Some(-2.0), Some(1e300)],
            [Some(0.1), None, Some(3.0)],
            [None, None, Some(f64::NAN)],
            [Some(4.0), Some(5.0), Some(6.0)],
        ];
        for values in all {
            let mut builder = BatchBuilder::new();
            builder.section("", 0);
            for (key, value) in keys.iter().zip(values) {
                let Some(value) = value else { continue };
                builder.push(&Sample { key, kind: Kind::Gauge, time: None, value, id: None });
            }
            assert_eq!(read(&frame.write(&values)), read(&builder.finish()));
        }
    }
}
