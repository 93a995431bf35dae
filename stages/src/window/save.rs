//! A window as bytes, for snapshots: only panes that hold something. Its version is the stages' own.

use super::extreme::Extreme;
use super::seen::Seen;
use super::short;
use super::tally::Tally;
use super::{ALWAYS, Sample, WAITING_MAX, Waiting, Window, WindowSpec};
use crate::batch::varint::{Cursor, put, put_signed};
use crate::batch::{BatchError, Kind};
use crate::exact::Sum;
use crate::histogram::Histo;
use crate::pane::Panes;
use crate::rate::Rates;
use crate::settings::Stat;
use crate::time::{Span, Time};

const BAD: BatchError = BatchError::Corrupt("a saved window");

impl Window {
    /// Appends the window to a snapshot.
    pub fn save(&self, out: &mut Vec<u8>) {
        let length_at = out.len();
        out.extend_from_slice(&[0; 4]);
        save_spec(self.spec, out);
        put_signed(out, self.from.0);
        for number in [self.oldest, self.current, self.began.clamp(self.oldest, self.current)] {
            put_signed(out, number);
        }
        save_option(self.newest.map(|(time, _)| time.0), out);
        if let Some((_, value)) = self.newest {
            out.extend_from_slice(&value.to_le_bytes());
        }
        self.tally.save(out);
        if let Some(squares) = &self.squares {
            let filled = (0..self.tally.slots()).filter(|slot| self.tally.count(*slot) > 0);
            filled.for_each(|slot| squares.pane(slot).save(out));
        }
        self.save_extreme(&self.min, out);
        self.save_extreme(&self.max, out);
        let oldest = short::of(self.oldest);
        let seen = || self.seen.iter().filter(|(_, pane)| !short::is_before(*pane, oldest));
        put(out, seen().count() as u64);
        for (series, pane) in seen() {
            put(out, u64::from(series));
            put_signed(out, short::long(pane, self.oldest));
        }
        if let Some(histogram) = &self.histogram {
            histogram.save(out);
        }
        if let Some(rates) = &self.rates {
            rates.save(out);
        }
        self.save_waiting(out);
        let length = (out.len() - length_at - 4) as u32;
        out[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
    }

    fn save_extreme<const LARGEST: bool>(&self, extreme: &Extreme<LARGEST>, out: &mut Vec<u8>) {
        put(out, extreme.iter().len() as u64);
        for (pane, value) in extreme.iter() {
            put_signed(out, short::long(pane, self.oldest));
            out.extend_from_slice(&value.to_le_bytes());
        }
    }

    fn save_waiting(&self, out: &mut Vec<u8>) {
        let samples = || self.waiting.iter().flat_map(|waiting| waiting.panes.values()).flatten();
        put(out, samples().count() as u64);
        for sample in samples() {
            put(out, u64::from(sample.series));
            put_signed(out, sample.time.0);
            out.extend_from_slice(&sample.value.to_le_bytes());
            out.push(sample.kind as u8);
        }
    }

    /// Reads what [`Self::save`] appended; answers the bytes after it too.
    ///
    /// # Errors
    /// The bytes are not that.
    pub fn load(bytes: &[u8]) -> Result<(Self, &[u8]), BatchError> {
        let (length, rest) = bytes.split_first_chunk::<4>().ok_or(BatchError::CutOff)?;
        let length = u32::from_le_bytes(*length) as usize;
        let (own, rest) = rest.split_at_checked(length).ok_or(BatchError::CutOff)?;
        let mut cursor = Cursor::new(own);
        let spec = load_spec(&mut cursor)?;
        let mut window = Self::new(spec, None);
        window.from = Time(cursor.signed()?);
        window.load_place(&mut cursor)?;
        if let Some(time) = load_option(&mut cursor)? {
            window.newest = Some((Time(time), finite(&mut cursor)?));
        }
        window.load_tally(&mut cursor)?;
        window.load_extreme(|window| &mut window.min, &mut cursor)?;
        window.load_extreme(|window| &mut window.max, &mut cursor)?;
        window.load_seen(&mut cursor)?;
        let slots = window.tally.slots();
        if window.histogram.is_some() {
            window.histogram = Some(Box::new(Histo::load(&mut cursor, slots)?));
        }
        if window.rates.is_some() {
            window.rates = Some(Box::new(Rates::load(&mut cursor)?));
        }
        window.load_waiting(&mut cursor)?;
        window.check_histogram()?;
        if cursor.is_empty() { Ok((window, rest)) } else { Err(BAD) }
    }

    /// Where in time it stands. Arithmetic with what is taken here cannot overflow.
    fn load_place(&mut self, cursor: &mut Cursor<'_>) -> Result<(), BatchError> {
        let slots = self.tally.slots() as i64;
        (self.oldest, self.current) = (cursor.signed()?, cursor.signed()?);
        let began = cursor.signed()?;
        if (self.oldest, self.current) == (i64::MIN, i64::MIN) {
            return Ok(());
        }
        let farthest = i64::MAX / self.panes.width.0 - slots;
        let held = self.current.checked_sub(self.oldest).ok_or(BAD)?;
        if !(-farthest..farthest).contains(&self.current) || !(0..slots).contains(&held) {
            return Err(BAD);
        }
        self.began = began.clamp(self.oldest, self.current);
        (self.start, self.turns) = (self.panes.start(self.current), ALWAYS);
        self.slot = self.current.rem_euclid(slots) as u32;
        Ok(())
    }

    fn load_tally(&mut self, cursor: &mut Cursor<'_>) -> Result<(), BatchError> {
        let slots = self.tally.slots();
        self.tally = Tally::load(cursor, slots)?;
        self.count = self.tally.count_of_all();
        let held = self.current.wrapping_sub(self.oldest) as usize;
        for slot in 0..slots {
            if self.tally.count(slot) == 0 {
                continue;
            }
            // A pane that is not in the window would never leave it.
            let behind = (self.slot as usize + slots - slot) % slots;
            if self.oldest == i64::MIN || behind > held {
                return Err(BAD);
            }
            self.filled += 1;
            let pane = self.current - behind as i64;
            self.first = if self.filled == 1 { pane } else { self.first.min(pane) };
            if let Some(squares) = &mut self.squares {
                squares.add_sum(slot, &Sum::load(cursor)?);
            }
        }
        Ok(())
    }

    fn load_extreme<const LARGEST: bool>(
        &mut self,
        which: impl Fn(&mut Self) -> &mut Extreme<LARGEST>,
        cursor: &mut Cursor<'_>,
    ) -> Result<(), BatchError> {
        for _ in 0..cursor.count(9)? {
            let pane = self.load_pane(cursor)?;
            which(self).add(short::of(pane), finite(cursor)?);
        }
        Ok(())
    }

    fn load_seen(&mut self, cursor: &mut Cursor<'_>) -> Result<(), BatchError> {
        self.seen = Seen::None;
        for _ in 0..cursor.count(2)? {
            let series = u32::try_from(cursor.unsigned()?).map_err(|_| BAD)?;
            let pane = self.load_pane(cursor)?;
            self.seen.add(series, short::of(pane), short::of(self.oldest));
        }
        Ok(())
    }

    /// The number of a pane in the window.
    fn load_pane(&self, cursor: &mut Cursor<'_>) -> Result<i64, BatchError> {
        let pane = cursor.signed()?;
        if (self.oldest..=self.current).contains(&pane) { Ok(pane) } else { Err(BAD) }
    }

    /// A pane takes what it holds out of the histogram when it leaves: the two must agree.
    fn check_histogram(&self) -> Result<(), BatchError> {
        let Some(histogram) = &self.histogram else { return Ok(()) };
        let agrees = |slot| histogram.pane_len(slot) == self.tally.count(slot);
        if (0..self.tally.slots()).all(agrees) { Ok(()) } else { Err(BAD) }
    }

    fn load_waiting(&mut self, cursor: &mut Cursor<'_>) -> Result<(), BatchError> {
        let count = cursor.count(11)?;
        if count > WAITING_MAX {
            return Err(BAD);
        }
        for _ in 0..count {
            let series = u32::try_from(cursor.unsigned()?).map_err(|_| BAD)?;
            let (time, value) = (Time(cursor.signed()?), finite(cursor)?);
            let kind = if cursor.byte()? == 0 { Kind::Gauge } else { Kind::Counter };
            let sample = Sample { series, time, value, kind };
            let pane = self.panes.number(time);
            if pane <= self.current {
                return Err(BAD);
            }
            let waiting = self.waiting.get_or_insert_with(|| Box::new(Waiting::default()));
            waiting.count += 1;
            waiting.panes.entry(pane).or_default().push(sample);
        }
        Ok(())
    }
}

fn finite(cursor: &mut Cursor<'_>) -> Result<f64, BatchError> {
    let value = cursor.float()?;
    if value.is_finite() { Ok(value) } else { Err(BAD) }
}

fn save_option(number: Option<i64>, out: &mut Vec<u8>) {
    out.push(u8::from(number.is_some()));
    number.into_iter().for_each(|number| put_signed(out, number));
}

fn load_option(cursor: &mut Cursor<'_>) -> Result<Option<i64>, BatchError> {
    if cursor.byte()? == 0 { Ok(None) } else { cursor.signed().map(Some) }
}

fn save_spec(spec: WindowSpec, out: &mut Vec<u8>) {
    let (tag, q) = match spec.stat {
        Stat::Mean => (0, 0.0),
        Stat::Min => (1, 0.0),
        Stat::Max => (2, 0.0),
        Stat::Sum => (3, 0.0),
        Stat::Count => (4, 0.0),
        Stat::Rate => (5, 0.0),
        Stat::Last => (6, 0.0),
        Stat::Stddev => (7, 0.0),
        Stat::Percentile(q) => (8, q),
        Stat::Above => (9, 0.0),
        Stat::Below => (10, 0.0),
    };
    out.push(tag);
    out.extend_from_slice(&q.to_le_bytes());
    put_signed(out, spec.window.0);
    out.extend_from_slice(&spec.threshold.to_le_bytes());
}

fn load_spec(cursor: &mut Cursor<'_>) -> Result<WindowSpec, BatchError> {
    let (tag, q) = (cursor.byte()?, cursor.float()?);
    let stat = match tag {
        0 => Stat::Mean,
        1 => Stat::Min,
        2 => Stat::Max,
        3 => Stat::Sum,
        4 => Stat::Count,
        5 => Stat::Rate,
        6 => Stat::Last,
        7 => Stat::Stddev,
        8 => Stat::Percentile(q),
        9 => Stat::Above,
        10 => Stat::Below,
        _ => return Err(BAD),
    };
    // A percentile outside of its range, or a threshold that is no number, is none of ours.
    if !(0.0..=100.0).contains(&q) {
        return Err(BAD);
    }
    let window = Span(cursor.signed()?);
    // A thousand slots at most: far more than any window of the settings has.
    if window.0 <= 0 || Panes::of(window).slots() > 1000 {
        return Err(BAD);
    }
    Ok(WindowSpec { stat, window, threshold: finite(cursor)? })
}
