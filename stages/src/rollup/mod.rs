//! Rollups: count, sum, smallest and largest value of every series and pane, for the board and for history.
//!
//! Three tiers ([`Tier`]), packed per shard into one message each, at most once a second of log time. A pane is
//! emitted once the log has passed its end, then it is forgotten: samples of it that come later are emitted as a
//! further *part* of it. Whoever reads adds up the parts of a pane, each known by the position of the step that
//! said it, so publishing twice does no harm and nothing is kept for what may still come. (Panes kept for late
//! samples and emitted again whole were tried: 4 KiB a series, and the order of messages mattered.)
//!
//! A sample goes to the second it is of; closed seconds make the ten seconds, and those the minutes, so that only
//! late samples touch more than one pane. Metrics with a percentile rule carry histograms from ten seconds up,
//! those somebody looks at in every tier ([`Detail`]).
//!
//! # Layout of a pack, version 2 (numbers as in [`crate::batch`])
//!
//! ```text
//! pack = "OPSR" version:u8 tier:u8 position:varint table_length:varint table row*
//! table = as in a batch
//! row  = length:varint pane*                  one row per series of the table, in its order
//! pane = number:zigzag count:varint (value:f64 | sum:f64 min:f64 max:f64) [histogram:u8 [counts]]
//!                                             number = start / width, as difference from the one before; a single
//!                                             sample is its value; a histogram from three samples on: up to two
//!                                             are the smallest and the largest
//! ```

mod pack;
mod pane;
mod save;
#[cfg(test)]
mod tests;

pub use pack::{RollupPack, RollupPane, RollupRow};

use crate::batch::Kind;
use crate::run::Run;
use crate::series::split_key;
use crate::time::{Span, Time};
use bytes::Bytes;
use pack::Writer;
use pane::Slice;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// First bytes of every pack.
pub const MAGIC: [u8; 4] = *b"OPSR";
/// Version this code writes and reads.
pub const VERSION: u8 = 2;
/// A pack is ended past this many bytes, below the bus's default message of 1 MiB by more than any row.
const PACK_BYTES: usize = 512 << 10;
/// Emptied slices kept for their memory: of the second that just closed, and of a late one.
const SPARE_MAX: usize = 2;

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

    /// When the pane at or after `time` begins.
    pub fn next(self, time: Time) -> Time {
        let floor = time.floor(self.width());
        if floor < time { floor.plus(self.width()) } else { floor }
    }

    /// How many panes back late samples are taken: half a minute, two and five minutes.
    const fn late(self) -> i64 {
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

/// Which tiers of a metric carry histograms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// None.
    #[default]
    Sums,
    /// Ten seconds and up: a rule computes percentiles.
    Coarse,
    /// All: somebody looks.
    Fine,
}

impl Detail {
    /// Whether panes of `tier` are written with their histograms.
    fn shows(self, tier: Tier) -> bool {
        match self {
            Self::Sums => false,
            Self::Coarse => tier != Tier::Second,
            Self::Fine => true,
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
    details: FxHashMap<String, Detail>,
    spare: Vec<Slice>,
    writer: Writer,
}

#[derive(Debug)]
struct Named {
    key: Arc<str>,
    kind: Kind,
    detail: Detail,
}

#[derive(Debug, Default)]
struct OneTier {
    /// By number of the panes; none of them has been emitted.
    slices: BTreeMap<i64, Slice>,
    /// Panes before this have been emitted, and fed to the coarser tier: what is added now is a further part.
    emitted: i64,
}

/// A pane to emit: the rank of its series, its number, and its place in the slice.
type Row = (u32, i64, u32);

impl Rollups {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Which metrics carry histograms from now on; the others have sums alone. Whether that is news.
    pub fn detail(&mut self, details: impl IntoIterator<Item = (String, Detail)>) -> bool {
        let details: FxHashMap<String, Detail> = details.into_iter().collect();
        let changed = details != self.details;
        if changed {
            self.details = details;
            for named in self.series.iter_mut().flatten() {
                named.detail = detail_of(&self.details, &named.key);
            }
        }
        changed
    }

    /// Whether samples of a metric must be added one by one, for its histograms.
    pub fn needs_each(&self, metric: &str) -> bool {
        self.details.get(metric).is_some_and(|detail| *detail > Detail::Sums)
    }

    /// Names the series `series`; once, before its first sample.
    pub fn name(&mut self, series: u32, key: Arc<str>, kind: Kind) {
        let at = series as usize;
        if at >= self.series.len() {
            self.series.resize_with(at + 1, || None);
        }
        let detail = detail_of(&self.details, &key);
        self.series[at] = Some(Named { key, kind, detail });
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
        self.writer.forget_table();
        self.ranked = false;
    }

    /// Adds samples of a named series by their event times: all of `run`, which are `each` where
    /// [`Rollups::needs_each`] says so. Samples older than what is taken late, and samples of series without a name, do
    /// not count.
    #[inline]
    pub fn add(&mut self, series: u32, run: &Run, each: &[(Time, f64)]) {
        let Some(Some(named)) = self.series.get(series as usize) else { return };
        for (tier, one) in Tier::ALL.into_iter().zip(&mut self.tiers) {
            let number = run.start.0.div_euclid(tier.width().0);
            if number >= one.emitted.saturating_sub(tier.late()) {
                let slice = one.slices.entry(number);
                let slice = slice.or_insert_with(|| self.spare.pop().unwrap_or_default());
                if named.detail == Detail::Sums {
                    slice.add(series, &run.sums);
                } else {
                    each.iter().for_each(|(_, value)| slice.add_counted(series, *value));
                }
            }
            // A pane not emitted yet will be fed to the coarser tier whole.
            if number >= one.emitted {
                return;
            }
        }
    }

    /// The packs due at log time `now`, said by the step at `position`: once a second, what has closed.
    pub fn take(&mut self, now: Time, position: u64) -> Vec<(Tier, Bytes)> {
        let mut packs = Vec::new();
        if now.0.div_euclid(Tier::Second.width().0) <= self.tiers[0].emitted {
            return packs;
        }
        for tier in Tier::ALL {
            let one = &mut self.tiers[tier as usize];
            let before = one.emitted;
            one.emitted = before.max(now.0.div_euclid(tier.width().0));
            let later = one.slices.split_off(&one.emitted);
            let mut closed = std::mem::replace(&mut one.slices, later);
            if closed.is_empty() {
                continue;
            }
            let rows = self.rows(&closed);
            if let Some(coarser) = tier.coarser() {
                self.feed(closed.range_mut(before..), (tier, coarser));
            }
            self.write((tier, position), &rows, &mut closed, &mut packs);
            for mut slice in closed.into_values() {
                if self.spare.len() < SPARE_MAX {
                    slice.clear();
                    self.spare.push(slice);
                }
            }
        }
        packs
    }

    /// The panes of these slices, sorted by key and number.
    fn rows(&mut self, closed: &BTreeMap<i64, Slice>) -> Vec<Row> {
        self.rank();
        let mut rows = Vec::with_capacity(closed.values().map(|slice| slice.ids.len()).sum());
        for (number, slice) in closed {
            let places = (0..).zip(&slice.ids).zip(&slice.panes);
            let filled = places.filter(|(_, pane)| pane.count > 0);
            rows.extend(filled.map(|((at, id), _)| (self.ranks[*id as usize], *number, at)));
        }
        // Batches bring series by key, so this is nearly sorted already.
        rows.sort_unstable();
        rows
    }

    /// Adds panes that are emitted for the first time to the panes around them.
    fn feed<'a>(
        &mut self,
        closed: impl Iterator<Item = (&'a i64, &'a mut Slice)>,
        (from, to): (Tier, Tier),
    ) {
        let ratio = to.width().0 / from.width().0;
        for (number, slice) in closed {
            let around = self.tiers[to as usize].slices.entry(number.div_euclid(ratio));
            let around = around.or_insert_with(|| self.spare.pop().unwrap_or_default());
            for at in 0..slice.ids.len() {
                let (id, pane) = (slice.ids[at], slice.panes[at]);
                if pane.count > 0 {
                    let named = self.series[id as usize].as_ref();
                    let wanted = named.is_some_and(|named| named.detail > Detail::Sums);
                    around.add_pane(id, &pane, slice, wanted);
                }
            }
        }
    }

    /// Writes the panes of `rows`.
    fn write(
        &mut self,
        (tier, position): (Tier, u64),
        rows: &[Row],
        closed: &mut BTreeMap<i64, Slice>,
        packs: &mut Vec<(Tier, Bytes)>,
    ) {
        let writer = &mut self.writer;
        writer.begin(tier, position);
        for row in rows.chunk_by(|one, other| one.0 == other.0) {
            let mut series = None;
            for (_, number, at) in row {
                let Some(slice) = closed.get_mut(number) else { continue };
                let (id, pane) = (slice.ids[*at as usize], slice.panes[*at as usize]);
                let named = self.series[id as usize].as_ref();
                let shows = named.is_some_and(|named| named.detail.shows(tier));
                let histogram = slice.histogram(&pane).filter(|_| shows);
                writer.pane(*number, &pane, histogram);
                series = Some(id);
            }
            if let Some(id) = series
                && writer.end_row(id)
            {
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

fn detail_of(details: &FxHashMap<String, Detail>, key: &str) -> Detail {
    details.get(split_key(key).0).copied().unwrap_or_default()
}
