//! Panes: those open, and closed ones kept for late samples.

use crate::batch::BatchError;
use crate::batch::varint::{self, Cursor};
use crate::exact::Sum;
use crate::histogram::{Bucket, Counts};

/// One pane of one series.
#[derive(Clone, Debug)]
pub(super) struct Pane {
    count: u64,
    min: f64,
    max: f64,
    sum: Sum,
    histogram: Option<Box<Counts>>,
    /// Listed among those to be emitted.
    pub(super) listed: bool,
}

impl Pane {
    fn new(wanted: bool) -> Self {
        Self {
            count: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            sum: Sum::default(),
            histogram: wanted.then(Box::default),
            listed: false,
        }
    }

    #[inline]
    pub(super) fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum.add(value);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        if let Some(histogram) = &mut self.histogram {
            histogram.add(Bucket::of(value));
        }
    }

    /// Adds all of a pane within this one.
    pub(super) fn add_all(&mut self, part: &mut Self) {
        self.count += part.count;
        self.sum.add_sum(&part.sum);
        self.min = self.min.min(part.min);
        self.max = self.max.max(part.max);
        match (&mut self.histogram, &mut part.histogram) {
            (Some(histogram), Some(part)) => histogram.add_all(part),
            // Of some of its samples only: better none.
            (histogram, None) => *histogram = None,
            (None, Some(_)) => {}
        }
    }

    /// Appends it to a snapshot, with its sum as exact as it is.
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        varint::put(out, self.count);
        self.sum.save(out);
        for value in [self.min, self.max] {
            out.extend_from_slice(&value.to_le_bytes());
        }
        out.push(u8::from(self.histogram.is_some()));
        if let Some(histogram) = &self.histogram {
            // Writing sorts what has been added lately; a snapshot changes nothing.
            histogram.clone().save(out);
        }
    }

    /// Reads what [`Self::save`] appended over what is there.
    pub(super) fn load(&mut self, cursor: &mut Cursor<'_>) -> Result<(), BatchError> {
        self.count = cursor.unsigned()?;
        self.sum = Sum::load(cursor)?;
        (self.min, self.max) = (cursor.float()?, cursor.float()?);
        self.histogram = match cursor.byte()? {
            0 => None,
            _ => Some(Box::new(Counts::load(cursor)?)),
        };
        Ok(())
    }

    pub(super) fn write(&mut self, out: &mut Vec<u8>) {
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

/// The panes of all series over one span of time. They lie in the order their first samples came, which is that
/// of the batches: both adding and emitting walk memory forwards. By series and then by time was tried: ten
/// thousand series then cost a handful of cache misses each, every second.
#[derive(Debug, Default)]
pub(super) struct Slice {
    /// By series: place of its pane, from 1; 0 for none.
    places: Vec<u32>,
    panes: Vec<Pane>,
    /// Series whose pane is to be emitted.
    pub(super) listed: Vec<u32>,
}

impl Slice {
    /// The pane of a series, made if it is not there; listed from now on.
    #[inline]
    pub(super) fn pane(&mut self, series: u32, wanted: bool) -> &mut Pane {
        let at = series as usize;
        if at >= self.places.len() {
            // At once for all there are, nearly always.
            self.places.resize(at + 1 + at / 4, 0);
        }
        if self.places[at] == 0 {
            self.panes.push(Pane::new(wanted));
            self.places[at] = self.panes.len() as u32;
        }
        let pane = &mut self.panes[self.places[at] as usize - 1];
        if !std::mem::replace(&mut pane.listed, true) {
            self.listed.push(series);
        }
        pane
    }

    /// The pane of a series, if there is one.
    pub(super) fn get(&self, series: u32) -> Option<&Pane> {
        let place = *self.places.get(series as usize)?;
        self.panes.get((place as usize).checked_sub(1)?)
    }

    /// The same, to be changed.
    #[inline]
    pub(super) fn find(&mut self, series: u32) -> Option<&mut Pane> {
        let place = *self.places.get(series as usize)?;
        self.panes.get_mut((place as usize).checked_sub(1)?)
    }

    /// Forgets a series; its pane stays as a hole until the slice goes.
    pub(super) fn forget(&mut self, series: u32) {
        if let Some(place) = self.places.get_mut(series as usize) {
            *place = 0;
        }
        self.listed.retain(|other| *other != series);
    }
}
