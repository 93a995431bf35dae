//! One pane of one series, and the panes of all series over one span of time.

use crate::batch::BatchError;
use crate::batch::varint::{self, Cursor};
use crate::histogram::{Bucket, Counts};
use crate::run::Sums;

/// Up to this many samples, smallest and largest say it all: their histogram need not be kept or written.
pub(super) const IMPLIED_MAX: u32 = 2;

/// No histogram: [`Pane::histogram`].
const NONE: u32 = u32::MAX;

/// One pane of one series. Sums are plain floats: rollups are for display, and in the order of the log they come out
/// the same each time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pane {
    pub(super) sum: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) count: u32,
    /// Place of its histogram in the slice's list.
    histogram: u32,
}

impl Pane {
    const EMPTY: Self =
        Self { sum: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY, count: 0, histogram: NONE };

    #[inline]
    fn add(&mut self, sums: &Sums) {
        self.count = self.count.saturating_add(sums.count);
        self.sum += sums.sum();
        self.min = self.min.min(sums.min);
        self.max = self.max.max(sums.max);
    }

    /// The buckets of its samples, where smallest and largest are all of them.
    fn implied(&self) -> impl Iterator<Item = Bucket> {
        let both = [self.min, self.max];
        both.into_iter().take(self.count as usize).map(Bucket::of)
    }
}

/// The panes of all series over one span of time. They lie in the order their first samples came, which is that
/// of the batches: both adding and emitting walk memory forwards. By series and then by time was tried: ten
/// thousand series then cost a handful of cache misses each, every second.
#[derive(Debug, Default)]
pub(super) struct Slice {
    /// By series: place of its pane, from 1; 0 for none.
    places: Vec<u32>,
    /// Series of the panes.
    pub(super) ids: Vec<u32>,
    pub(super) panes: Vec<Pane>,
    histograms: Vec<Counts>,
}

impl Slice {
    /// Adds samples of a series.
    #[inline]
    pub(super) fn add(&mut self, series: u32, sums: &Sums) {
        let at = self.place(series);
        self.panes[at].add(sums);
    }

    /// Adds one sample of a series whose histogram is wanted.
    pub(super) fn add_counted(&mut self, series: u32, value: f64) {
        let at = self.place(series);
        let pane = &mut self.panes[at];
        if pane.count == IMPLIED_MAX && pane.histogram == NONE {
            let implied = pane.implied();
            pane.histogram = put(&mut self.histograms, implied);
        }
        if pane.histogram != NONE {
            self.histograms[pane.histogram as usize].add(Bucket::of(value));
        }
        pane.add(&Sums::of(value));
    }

    /// Adds all of a pane of `part`, which lies within this span.
    pub(super) fn add_pane(&mut self, series: u32, part: &Pane, of: &mut Self, wanted: bool) {
        let at = self.place(series);
        let pane = &mut self.panes[at];
        let whole = |pane: &Pane| pane.histogram != NONE || pane.count <= IMPLIED_MAX;
        if !(wanted && whole(pane) && whole(part)) {
            // Of some of its samples only: better none.
            pane.histogram = NONE;
        } else if pane.count + part.count > IMPLIED_MAX {
            if pane.histogram == NONE {
                let implied = pane.implied();
                pane.histogram = put(&mut self.histograms, implied);
            }
            let histogram = &mut self.histograms[pane.histogram as usize];
            match of.histogram(part) {
                Some(counts) => histogram.add_all(counts),
                None => part.implied().for_each(|bucket| histogram.add(bucket)),
            }
        }
        pane.add(&Sums::whole(part.count, part.sum, part.min, part.max));
    }

    #[inline]
    fn place(&mut self, series: u32) -> usize {
        let at = series as usize;
        if at >= self.places.len() {
            // At once for all there are, nearly always.
            self.places.resize(at + 1 + at / 4, 0);
        }
        if self.places[at] == 0 {
            if self.panes.len() == self.panes.capacity() {
                let more = self.panes.len() / 8 + 8;
                self.panes.reserve_exact(more);
                self.ids.reserve_exact(more);
            }
            self.ids.push(series);
            self.panes.push(Pane::EMPTY);
            self.places[at] = self.panes.len() as u32;
        }
        self.places[at] as usize - 1
    }

    /// The pane of a series, if there is one.
    pub(super) fn get(&self, series: u32) -> Option<&Pane> {
        let place = *self.places.get(series as usize)?;
        self.panes.get((place as usize).checked_sub(1)?)
    }

    /// The histogram of one of its panes, if that has one.
    pub(super) fn histogram(&mut self, pane: &Pane) -> Option<&mut Counts> {
        self.histograms.get_mut(pane.histogram as usize)
    }

    /// Forgets a series; its pane stays as a hole until the slice goes.
    pub(super) fn forget(&mut self, series: u32) {
        if let Some(place) = self.places.get_mut(series as usize).filter(|place| **place > 0) {
            self.panes[*place as usize - 1] = Pane::EMPTY;
            *place = 0;
        }
    }

    /// Empties it, keeping its memory.
    pub(super) fn clear(&mut self) {
        for id in self.ids.drain(..) {
            self.places[id as usize] = 0;
        }
        self.panes.clear();
        self.histograms.clear();
    }

    /// Appends a pane to a snapshot.
    pub(super) fn save(&self, pane: &Pane, out: &mut Vec<u8>) {
        varint::put(out, u64::from(pane.count));
        for value in [pane.sum, pane.min, pane.max] {
            out.extend_from_slice(&value.to_le_bytes());
        }
        let histogram = self.histograms.get(pane.histogram as usize);
        out.push(u8::from(histogram.is_some()));
        if let Some(histogram) = histogram {
            // Writing sorts what has been added lately; a snapshot changes nothing.
            histogram.clone().save(out);
        }
    }

    /// Reads what [`Self::save`] appended as the pane of `series`.
    pub(super) fn load(&mut self, series: u32, cursor: &mut Cursor<'_>) -> Result<(), BatchError> {
        let count = u32::try_from(cursor.unsigned()?).ok().filter(|count| *count > 0);
        let count = count.ok_or(BatchError::Corrupt("a saved pane of rollups"))?;
        let (sum, min, max) = (cursor.float()?, cursor.float()?, cursor.float()?);
        let mut histogram = NONE;
        if cursor.byte()? != 0 {
            let counts = Counts::load(cursor)?;
            histogram = put(&mut self.histograms, std::iter::empty());
            self.histograms[histogram as usize] = counts;
        }
        let at = self.place(series);
        self.panes[at] = Pane { sum, min, max, count, histogram };
        Ok(())
    }
}

/// Appends a histogram of these buckets; its place.
fn put(list: &mut Vec<Counts>, buckets: impl Iterator<Item = Bucket>) -> u32 {
    let mut counts = Counts::default();
    buckets.for_each(|bucket| counts.add(bucket));
    list.push(counts);
    (list.len() - 1) as u32
}
