//! Rollups: count, sum, smallest and largest value of every series and pane, for the board and for history.
//!
//! Three tiers ([`Tier`]), packed per shard into one message each time panes of a tier have closed. A pane is
//! emitted once the log has passed its end, and again, whole, when a late sample changes it: the last one wins,
//! so publishing twice does no harm. Metrics in the set the shard passes to [`Rollups::want_histograms`] carry a histogram too.
//!
//! # Layout of a pack, version 1 (numbers as in [`crate::batch`])
//!
//! ```text
//! pack = "OPSR" version:u8 tier:u8 table_length:varint table row*
//! table = as in a batch
//! row  = length:varint pane*                  one row per series of the table, in its order
//! pane = number:zigzag count:varint sum:f64 min:f64 max:f64 histogram:u8 [histogram]
//!                                             number = start / width, as difference from the one before
//! ```

use crate::batch::varint::{self, Cursor};
use crate::batch::{BatchError, Kind, Table, write_table};
use crate::exact::Sum;
use crate::histogram::{Bucket, Counts};
use crate::time::{Span, Time};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// First bytes of every pack.
pub const MAGIC: [u8; 4] = *b"OPSR";
/// Version this code writes, and the newest it reads.
pub const VERSION: u8 = 1;
/// A pack is ended past this many bytes, below the bus's default message of 1 MiB by more than any row.
const PACK_BYTES: usize = 512 << 10;
/// Closed panes kept per series and tier for late samples: a minute of the finest tier.
const KEPT: i64 = 60;

/// How wide the panes of a rollup are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// A second.
    Second,
    /// Ten seconds.
    TenSeconds,
    /// A minute.
    Minute,
}

impl Tier {
    /// All of them, finest first.
    pub const ALL: [Self; 3] = [Self::Second, Self::TenSeconds, Self::Minute];

    /// Width of a pane.
    pub const fn width(self) -> Span {
        match self {
            Self::Second => Span::from_secs(1),
            Self::TenSeconds => Span::from_secs(10),
            Self::Minute => Span::from_secs(60),
        }
    }

    /// The token in `ops.rollup.<tier>.<shard>`.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Second => "1s",
            Self::TenSeconds => "10s",
            Self::Minute => "1m",
        }
    }
}

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

/// The rollups of one shard, or of the metrics one worker owns of it.
#[derive(Debug, Default)]
pub struct Rollups {
    tiers: [OneTier; 3],
    /// By key, so that packs are sorted; the metric decides about histograms.
    names: BTreeMap<u32, (String, Kind)>,
    histograms: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct OneTier {
    /// Panes open or kept for late samples, by (number, series).
    panes: BTreeMap<i64, BTreeMap<u32, Pane>>,
    /// Panes before this have been emitted.
    emitted: i64,
    /// Emitted panes that have changed since.
    changed: BTreeSet<(i64, u32)>,
}

#[derive(Clone, Debug)]
struct Pane {
    count: u64,
    sum: Sum,
    min: f64,
    max: f64,
    histogram: Option<Box<Counts>>,
}

impl Rollups {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The metrics whose panes carry histograms from their next pane on.
    pub fn want_histograms(&mut self, metrics: BTreeSet<String>) {
        self.histograms = metrics;
    }

    /// Names the series `series`; once, before its first sample.
    pub fn name(&mut self, series: u32, key: &str, kind: Kind) {
        self.names.insert(series, (key.to_owned(), kind));
    }

    /// Forgets a series whose place was freed.
    pub fn forget(&mut self, series: u32) {
        self.names.remove(&series);
        for tier in &mut self.tiers {
            tier.panes.values_mut().for_each(|panes| drop(panes.remove(&series)));
            tier.changed.retain(|(_, changed)| *changed != series);
        }
    }

    /// Adds a sample of a named series by its event time. Samples older than what is kept, and samples of
    /// series without a name, do not count.
    pub fn add(&mut self, series: u32, time: Time, value: f64) {
        let Some((key, _)) = self.names.get(&series) else { return };
        let metric = key.split('\u{1f}').next().unwrap_or_default();
        let wanted = !self.histograms.is_empty() && self.histograms.contains(metric);
        for (tier, one) in Tier::ALL.into_iter().zip(&mut self.tiers) {
            let number = time.0.div_euclid(tier.width().0);
            if number < one.emitted.saturating_sub(KEPT) {
                continue;
            }
            one.add(number, series, value, wanted);
        }
    }

    /// The packs due at log time `now`: panes that have closed, and emitted ones that have changed.
    pub fn take(&mut self, now: Time) -> Vec<(Tier, Bytes)> {
        let mut packs = Vec::new();
        for (tier, one) in Tier::ALL.into_iter().zip(&mut self.tiers) {
            let closed = now.0.div_euclid(tier.width().0);
            if closed <= one.emitted && one.changed.is_empty() {
                continue;
            }
            let mut rows: BTreeMap<(&str, u32), Vec<i64>> = BTreeMap::new();
            let fresh = one.panes.range(one.emitted.min(closed)..closed);
            let fresh =
                fresh.flat_map(|(number, panes)| panes.keys().map(|series| (*number, *series)));
            for (number, series) in one.changed.iter().copied().chain(fresh) {
                if let Some((key, _)) = self.names.get(&series) {
                    rows.entry((key, series)).or_default().push(number);
                }
            }
            one.changed.clear();
            one.emitted = one.emitted.max(closed);
            pack(tier, &rows, &self.names, &mut one.panes, &mut packs);
            one.panes = one.panes.split_off(&one.emitted.saturating_sub(KEPT));
        }
        packs
    }
}

impl OneTier {
    fn add(&mut self, number: i64, series: u32, value: f64, wanted: bool) {
        let pane = self.panes.entry(number).or_default().entry(series).or_insert_with(|| Pane {
            count: 0,
            sum: Sum::default(),
            min: value,
            max: value,
            histogram: wanted.then(Box::default),
        });
        pane.count += 1;
        pane.sum.add(value);
        pane.min = pane.min.min(value);
        pane.max = pane.max.max(value);
        if let Some(histogram) = &mut pane.histogram {
            histogram.add(Bucket::of(value));
        }
        if number < self.emitted {
            self.changed.insert((number, series));
        }
    }
}

fn pack(
    tier: Tier,
    rows: &BTreeMap<(&str, u32), Vec<i64>>,
    names: &BTreeMap<u32, (String, Kind)>,
    panes: &mut BTreeMap<i64, BTreeMap<u32, Pane>>,
    packs: &mut Vec<(Tier, Bytes)>,
) {
    let (mut table, mut body) = (Vec::new(), Vec::new());
    let mut close = |table: &mut Vec<(&str, Kind)>, body: &mut Vec<u8>| {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&[VERSION, tier as u8]);
        let mut names = Vec::new();
        write_table(&mut names, std::mem::take(table).into_iter());
        varint::put_bytes(&mut out, &names);
        out.append(body);
        packs.push((tier, Bytes::from(out)));
    };
    for ((key, series), numbers) in rows {
        let Some((_, kind)) = names.get(series) else { continue };
        let (mut row, mut before) = (Vec::new(), 0);
        for number in numbers {
            let pane = panes.get_mut(number).and_then(|panes| panes.get_mut(series));
            if let Some(pane) = pane {
                varint::put_signed(&mut row, number - before);
                before = *number;
                pane.write(&mut row);
            }
        }
        table.push((*key, *kind));
        varint::put_bytes(&mut body, &row);
        if body.len() >= PACK_BYTES {
            close(&mut table, &mut body);
        }
    }
    if !table.is_empty() {
        close(&mut table, &mut body);
    }
}

impl Pane {
    fn write(&mut self, out: &mut Vec<u8>) {
        varint::put(out, self.count);
        for value in [self.sum.value(), self.min, self.max] {
            out.extend_from_slice(&value.to_le_bytes());
        }
        out.push(u8::from(self.histogram.is_some()));
        if let Some(histogram) = &mut self.histogram {
            histogram.save(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: i64) -> Time {
        Time::from_millis(millis)
    }

    fn packs(rollups: &mut Rollups, now: Time) -> Vec<RollupPack> {
        let packs = rollups.take(now);
        packs.iter().map(|(_, bytes)| RollupPack::decode(bytes).expect("just written")).collect()
    }

    fn named() -> Rollups {
        let mut rollups = Rollups::new();
        rollups.name(1, "a_ms\u{1f}x\u{1e}y", Kind::Gauge);
        rollups.name(2, "b", Kind::Counter);
        rollups
    }

    #[test]
    fn closed_panes_are_emitted_once() {
        let mut rollups = named();
        for (series, time, value) in
            [(1, 1000, 5.0), (1, 1900, 7.0), (2, 1500, 1.0), (1, 2100, 9.0)]
        {
            rollups.add(series, millis(time), value);
        }
        let first = packs(&mut rollups, millis(2100));
        assert_eq!((first.len(), first[0].tier, first[0].rows.len()), (1, Tier::Second, 2));
        let row = &first[0].rows[0];
        assert_eq!((row.key.as_str(), row.kind), ("a_ms\u{1f}x\u{1e}y", Kind::Gauge));
        let pane = &row.panes[0];
        assert_eq!(
            (pane.start, pane.count, pane.sum, pane.min, pane.max),
            (millis(1000), 2, 12.0, 5.0, 7.0)
        );
        assert!(packs(&mut rollups, millis(2200)).is_empty());
        let later = packs(&mut rollups, millis(60_000));
        let tiers: Vec<_> = later.iter().map(|pack| pack.tier).collect();
        assert_eq!(tiers, Tier::ALL);
        assert_eq!(later[2].rows[0].panes[0].count, 3);
    }

    #[test]
    fn a_late_sample_emits_its_pane_again_whole() {
        let mut rollups = named();
        rollups.add(2, millis(1000), 1.0);
        packs(&mut rollups, millis(3000));
        rollups.add(2, millis(1500), 4.0);
        let again = packs(&mut rollups, millis(3000));
        assert_eq!(again[0].rows.len(), 1);
        assert_eq!((again[0].rows[0].panes[0].count, again[0].rows[0].panes[0].sum), (2, 5.0));
        assert!(packs(&mut rollups, millis(3000)).is_empty());
    }

    #[test]
    fn wanted_metrics_carry_histograms() {
        let mut rollups = named();
        rollups.want_histograms(BTreeSet::from(["a_ms".to_owned()]));
        (0..100).for_each(|n| rollups.add(1, millis(1000 + n), n as f64));
        rollups.add(2, millis(1000), 1.0);
        let mut pack = packs(&mut rollups, millis(2000)).remove(0);
        let histogram = pack.rows[0].panes[0].histogram.as_mut().expect("wanted");
        assert_eq!(histogram.percentile(99.0), Some(98.0));
        assert_eq!(pack.rows[1].panes[0].histogram, None);
    }

    #[test]
    fn many_series_make_several_packs() {
        let mut rollups = Rollups::new();
        for series in 0..30_000 {
            rollups.name(series, &format!("metric_{series:06}"), Kind::Gauge);
            rollups.add(series, millis(1000), 1.5);
        }
        let packs = packs(&mut rollups, millis(2000));
        assert!(packs.len() > 1);
        assert_eq!(packs.iter().map(|pack| pack.rows.len()).sum::<usize>(), 30_000);
    }

    #[test]
    fn a_broken_pack_is_refused() {
        let mut rollups = named();
        rollups.want_histograms(BTreeSet::from(["b".to_owned()]));
        rollups.add(2, millis(1000), 1.0);
        let (_, bytes) = rollups.take(millis(2000)).remove(0);
        for end in 0..bytes.len() {
            assert!(RollupPack::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
        for at in 0..bytes.len() {
            let mut bad = bytes.to_vec();
            bad[at] ^= 0x55;
            let _ = RollupPack::decode(&bad);
        }
    }
}
