//! A window as bytes, for snapshots: only panes that hold something. Its version is the stages' own.

use super::extreme::Extreme;
use super::{Sample, Waiting, Window, WindowSpec};
use crate::batch::varint::{Cursor, put, put_signed};
use crate::batch::{BatchError, Kind};
use crate::exact::Sum;
use crate::histogram::Histo;
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
        save_option(self.from.map(|time| time.0), out);
        for number in [self.oldest, self.current, self.began] {
            put_signed(out, number);
        }
        save_option(self.newest.map(|(time, _)| time.0), out);
        if let Some((_, value)) = self.newest {
            out.extend_from_slice(&value.to_le_bytes());
        }
        put(out, u64::from(self.filled));
        for (slot, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            put(out, slot as u64);
            put(out, u64::from(*count));
            self.sums.pane(slot).save(out);
            if let Some(squares) = &self.squares {
                squares.pane(slot).save(out);
            }
        }
        for extreme in [&self.min, &self.max] {
            put(out, extreme.iter().len() as u64);
            for (pane, value) in extreme.iter() {
                put_signed(out, pane);
                out.extend_from_slice(&value.to_le_bytes());
            }
        }
        put(out, self.series.len() as u64);
        for (series, pane) in &self.series {
            put(out, u64::from(*series));
            put_signed(out, *pane);
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
        let from = load_option(&mut cursor)?.map(Time);
        let mut window = Self::new(spec, from);
        window.oldest = cursor.signed()?;
        window.current = cursor.signed()?;
        window.began = cursor.signed()?;
        if let Some(time) = load_option(&mut cursor)? {
            window.newest = Some((Time(time), cursor.float()?));
        }
        window.load_panes(&mut cursor)?;
        window.min = load_extreme(Extreme::min(), &mut cursor)?;
        window.max = load_extreme(Extreme::max(), &mut cursor)?;
        for _ in 0..cursor.count(2)? {
            let series = u32::try_from(cursor.unsigned()?).map_err(|_| BAD)?;
            window.series.push((series, cursor.signed()?));
        }
        if window.histogram.is_some() {
            window.histogram = Some(Box::new(Histo::load(&mut cursor, window.counts.len())?));
        }
        if window.rates.is_some() {
            window.rates = Some(Box::new(Rates::load(&mut cursor)?));
        }
        window.load_waiting(&mut cursor)?;
        if cursor.is_empty() { Ok((window, rest)) } else { Err(BAD) }
    }

    fn load_panes(&mut self, cursor: &mut Cursor<'_>) -> Result<(), BatchError> {
        for _ in 0..cursor.count(19)? {
            let slot = usize::try_from(cursor.unsigned()?).map_err(|_| BAD)?;
            let count = u32::try_from(cursor.unsigned()?).map_err(|_| BAD)?;
            *self.counts.get_mut(slot).ok_or(BAD)? = count;
            self.count += u64::from(count);
            self.filled += 1;
            self.sums.add_sum(slot, &Sum::load(cursor)?);
            if let Some(squares) = &mut self.squares {
                squares.add_sum(slot, &Sum::load(cursor)?);
            }
        }
        Ok(())
    }

    fn load_waiting(&mut self, cursor: &mut Cursor<'_>) -> Result<(), BatchError> {
        for _ in 0..cursor.count(11)? {
            let series = u32::try_from(cursor.unsigned()?).map_err(|_| BAD)?;
            let (time, value) = (Time(cursor.signed()?), cursor.float()?);
            let kind = if cursor.byte()? == 0 { Kind::Gauge } else { Kind::Counter };
            let sample = Sample { series, time, value, kind };
            let pane = self.panes.number(time);
            let waiting = self.waiting.get_or_insert_with(|| Box::new(Waiting::default()));
            waiting.count += 1;
            waiting.panes.entry(pane).or_default().push(sample);
        }
        Ok(())
    }
}

fn load_extreme(mut extreme: Extreme, cursor: &mut Cursor<'_>) -> Result<Extreme, BatchError> {
    for _ in 0..cursor.count(9)? {
        let pane = cursor.signed()?;
        extreme.add(pane, cursor.float()?);
    }
    Ok(extreme)
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
    let window = Span(cursor.signed()?);
    // A thousand slots at most: far more than any window of the settings has.
    if window.0 <= 0 || crate::pane::Panes::of(window).slots() > 1000 {
        return Err(BAD);
    }
    Ok(WindowSpec { stat, window, threshold: cursor.float()? })
}
