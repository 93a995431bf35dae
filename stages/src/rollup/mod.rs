//! Rollups: count, sum, smallest and largest value of every series and pane, for the board and for history.
//!
//! Three tiers ([`Tier`]), packed per shard into one message each time panes of a tier have closed. A pane is
//! emitted once the log has passed its end, and again, whole, when a late sample changes it: the last one wins,
//! so publishing twice does no harm. A sample goes to the second it is of; closed seconds make the ten seconds, and
//! those the minutes, so that only late samples touch more than one pane. Metrics in the set the shard passes to [`Rollups::want_histograms`] carry a histogram too.
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

mod kept;
mod pack;
mod save;
#[cfg(test)]
mod tests;

pub use pack::{RollupPack, RollupPane, RollupRow};

use crate::batch::Kind;
use crate::series::split_key;
use crate::time::{Span, Time};
use bytes::Bytes;
use kept::Slice;
use pack::Writer;
use std::collections::{BTreeMap, BTreeSet};

/// First bytes of every pack.
pub const MAGIC: [u8; 4] = *b"OPSR";
/// Version this code writes, and the newest it reads.
pub const VERSION: u8 = 1;
/// A pack is ended past this many bytes, below the bus's default message of 1 MiB by more than any row.
const PACK_BYTES: usize = 512 << 10;

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

    /// Closed panes kept per series for late samples: half a minute, two and five minutes. Some 4 KiB a series.
    const fn kept(self) -> i64 {
        match self {
            Self::Second => 30,
            Self::TenSeconds => 12,
            Self::Minute => 5,
        }
    }

    /// The tier made of this one's panes.
    const fn coarser(self) -> Option<Self> {
        match self {
            Self::Second => Some(Self::TenSeconds),
            Self::TenSeconds => Some(Self::Minute),
            Self::Minute => None,
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

/// The rollups of one shard, or of the metrics one worker owns of it.
#[derive(Debug, Default)]
pub struct Rollups {
    /// By id; ids are places of a table, so they lie close together.
    series: Vec<Option<Named>>,
    tiers: [OneTier; 3],
    /// Place of each id when sorted by key, so that packs are sorted; made anew after names have changed.
    ranks: Vec<u32>,
    ranked: bool,
    histograms: BTreeSet<String>,
}

#[derive(Debug)]
struct Named {
    key: Box<str>,
    kind: Kind,
    /// New panes carry histograms.
    wanted: bool,
}

#[derive(Debug, Default)]
struct OneTier {
    /// By number of the panes.
    slices: BTreeMap<i64, Slice>,
    /// Panes before this have been emitted, and fed to the coarser tier.
    emitted: i64,
    /// Panes before this are gone since a restart: a late sample would say them anew in part.
    gone: i64,
}

/// A pane to emit: the rank of its series, its series, its number.
type Row = (u32, u32, i64);

impl Rollups {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The metrics whose panes carry histograms from their next pane on.
    pub fn want_histograms(&mut self, metrics: BTreeSet<String>) {
        if metrics != self.histograms {
            self.histograms = metrics;
            for named in self.series.iter_mut().flatten() {
                named.wanted = self.histograms.contains(split_key(&named.key).0);
            }
        }
    }

    /// Names the series `series`; once, before its first sample.
    pub fn name(&mut self, series: u32, key: &str, kind: Kind) {
        let at = series as usize;
        if at >= self.series.len() {
            self.series.resize_with(at + 1, || None);
        }
        let wanted = self.histograms.contains(split_key(key).0);
        self.series[at] = Some(Named { key: key.into(), kind, wanted });
        self.ranked = false;
    }

    /// Forgets a series whose place was freed.
    pub fn forget(&mut self, series: u32) {
        if let Some(named) = self.series.get_mut(series as usize) {
            *named = None;
        }
        for slice in self.tiers.iter_mut().flat_map(|one| one.slices.values_mut()) {
            slice.forget(series);
        }
        self.ranked = false;
    }

    /// Adds a sample of a named series by its event time. Samples older than what is kept, and samples of
    /// series without a name, do not count.
    #[inline]
    pub fn add(&mut self, series: u32, time: Time, value: f64) {
        let Some(Some(named)) = self.series.get(series as usize) else { return };
        for (tier, one) in Tier::ALL.into_iter().zip(&mut self.tiers) {
            let number = time.0.div_euclid(tier.width().0);
            if number >= one.emitted.saturating_sub(tier.kept()).max(one.gone) {
                one.slices.entry(number).or_default().pane(series, named.wanted).add(value);
            }
            // A pane not emitted yet will be fed to the coarser tier whole.
            if number >= one.emitted {
                return;
            }
        }
    }

    /// The packs due at log time `now`: panes that have closed, and emitted ones that have changed.
    pub fn take(&mut self, now: Time) -> Vec<(Tier, Bytes)> {
        let mut packs = Vec::new();
        for tier in Tier::ALL {
            let one = &mut self.tiers[tier as usize];
            let before = one.emitted;
            one.emitted = before.max(now.0.div_euclid(tier.width().0));
            let emitted = one.emitted;
            if one.slices.range(..emitted).any(|(_, slice)| !slice.listed.is_empty()) {
                let rows = self.rows(tier);
                if let Some(coarser) = tier.coarser() {
                    self.feed(&rows, before, (tier, coarser));
                }
                self.write(tier, &rows, &mut packs);
            }
            let oldest = emitted.saturating_sub(tier.kept());
            let slices = &mut self.tiers[tier as usize].slices;
            while slices.first_key_value().is_some_and(|(number, _)| *number < oldest) {
                slices.pop_first();
            }
        }
        packs
    }

    /// The listed panes of what has closed, sorted.
    fn rows(&mut self, tier: Tier) -> Vec<Row> {
        self.rank();
        let one = &mut self.tiers[tier as usize];
        let mut rows = Vec::new();
        for (number, slice) in one.slices.range_mut(..one.emitted) {
            rows.extend(slice.listed.drain(..).map(|id| (self.ranks[id as usize], id, *number)));
        }
        rows.sort_unstable();
        rows
    }

    /// Adds the panes of `rows` that are emitted for the first time to the panes around them.
    fn feed(&mut self, rows: &[Row], before: i64, (from, to): (Tier, Tier)) {
        let (fine, coarse) = self.tiers.split_at_mut(to as usize);
        let (fine, coarse) = (&mut fine[from as usize], &mut coarse[0]);
        let ratio = to.width().0 / from.width().0;
        for (_, id, number) in rows.iter().filter(|(_, _, number)| *number >= before) {
            let wanted = self.series[*id as usize].as_ref().is_some_and(|named| named.wanted);
            let part = fine.slices.get_mut(number).and_then(|slice| slice.find(*id));
            if let Some(part) = part {
                let around = coarse.slices.entry(number.div_euclid(ratio)).or_default();
                around.pane(*id, wanted).add_all(part);
            }
        }
    }

    /// Writes the panes of `rows`.
    fn write(&mut self, tier: Tier, rows: &[Row], packs: &mut Vec<(Tier, Bytes)>) {
        let slices = &mut self.tiers[tier as usize].slices;
        let mut writer = Writer::new(tier);
        for row in rows.chunk_by(|one, other| one.1 == other.1) {
            let id = row[0].1;
            for (_, _, number) in row {
                let pane = slices.get_mut(number).and_then(|slice| slice.find(id));
                if let Some(pane) = pane {
                    pane.listed = false;
                    writer.pane(*number, pane);
                }
            }
            if writer.end_row(id) {
                packs.extend(writer.close(&self.series));
            }
        }
        packs.extend(writer.close(&self.series));
    }

    fn rank(&mut self) {
        if self.ranked {
            return;
        }
        let mut named: Vec<(&str, u32)> = Vec::new();
        for (id, one) in self.series.iter().enumerate() {
            named.extend(one.as_ref().map(|one| (&*one.key, id as u32)));
        }
        named.sort_unstable();
        self.ranks = vec![0; self.series.len()];
        for (rank, (_, id)) in named.into_iter().enumerate() {
            self.ranks[id as usize] = rank as u32;
        }
        self.ranked = true;
    }
}
