//! Writing a batch.

use super::{CLIENT_BYTES_MAX, ID_BYTES_MAX, Kind, MAGIC, VERSION, varint};
use crate::time::Time;
use std::collections::BTreeMap;

/// One sample on its way into a batch, already checked by [`crate::decode`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'a> {
    /// Its series, as [`crate::series::series_key`] writes it.
    pub key: &'a str,
    /// What its value is.
    pub kind: Kind,
    /// Its event time; log time of the batch if none.
    pub time: Option<Time>,
    /// Its value, finite.
    pub value: f64,
    /// Its own id, where the client gave one: repeats are dropped for two minutes.
    pub id: Option<&'a str>,
}

/// Collects samples and writes them as one batch.
///
/// ```
/// use stages::batch::{Batch, BatchBuilder, Kind, Sample};
/// use stages::time::Time;
/// let mut builder = BatchBuilder::new();
/// builder.section("python-7", 42);
/// builder.push(&Sample { key: "county_api_ms", kind: Kind::Gauge, time: None, value: 112.0, id: None });
/// let bytes = builder.finish();
/// let batch = Batch::parse(&bytes).expect("just written");
/// let section = batch.sections().next().expect("one section");
/// assert_eq!((section.client, section.number), ("python-7", 42));
/// ```
#[derive(Debug, Default)]
pub struct BatchBuilder {
    sections: Vec<Draft>,
    samples: usize,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Draft {
    client: String,
    number: u64,
    // Timed and untimed samples of one series are two rows: a block is the one or the other.
    series: BTreeMap<(String, Kind, bool), Vec<Held>>,
}

#[derive(Debug)]
struct Held {
    time: Option<Time>,
    value: f64,
    id: Option<Box<str>>,
}

impl BatchBuilder {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a section: the samples pushed from here on are batch `number` of `client` and are applied
    /// at most once. Numbers of a client rise. An empty client means: not numbered.
    ///
    /// A client's name longer than [`CLIENT_BYTES_MAX`] is cut; the collector refuses it before.
    pub fn section(&mut self, client: &str, number: u64) {
        let client = cut(client, CLIENT_BYTES_MAX).to_owned();
        self.bytes_max += client.len() + 40;
        self.sections.push(Draft { client, number, ..Draft::default() });
    }

    /// Adds a sample to the section begun last (to one without a number if there is none yet). A value
    /// that is not finite is not taken: the answer is false.
    pub fn push(&mut self, sample: &Sample<'_>) -> bool {
        if !sample.value.is_finite() {
            return false;
        }
        if self.sections.is_empty() {
            self.section("", 0);
        }
        let Some(draft) = self.sections.last_mut() else { return false };
        let id = sample.id.map(|id| cut(id, ID_BYTES_MAX));
        let held = Held { time: sample.time, value: sample.value, id: id.map(Box::from) };
        self.bytes_max += 20 + id.map_or(0, |id| id.len() + 2);
        self.samples += 1;
        let row = (sample.key.to_owned(), sample.kind, sample.time.is_some());
        draft
            .series
            .entry(row)
            .or_insert_with(|| {
                self.bytes_max += sample.key.len() + 16;
                Vec::new()
            })
            .push(held);
        true
    }

    /// Number of samples so far.
    pub fn len(&self) -> usize {
        self.samples
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }

    /// The batch has at most this many bytes when finished: to stay below a message's limit.
    pub fn bytes_max(&self) -> usize {
        self.bytes_max + MAGIC.len() + 11
    }

    /// The bytes of the batch.
    pub fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.samples * 6 + 64);
        out.extend_from_slice(&MAGIC);
        out.push(VERSION);
        varint::put(&mut out, self.sections.len() as u64);
        let mut body = Vec::new();
        for draft in &self.sections {
            body.clear();
            draft.write(&mut body);
            varint::put_bytes(&mut out, &body);
        }
        out
    }
}

impl Draft {
    fn write(&self, out: &mut Vec<u8>) {
        varint::put_bytes(out, self.client.as_bytes());
        varint::put(out, self.number);
        let times = self.series.values().flatten().filter_map(|held| held.time);
        let base = times.min().unwrap_or_default();
        varint::put_signed(out, base.0);
        let mut table = Vec::new();
        write_table(&mut table, self.series.keys().map(|(key, kind, _)| (key.as_str(), *kind)));
        varint::put_bytes(out, &table);
        let mut block = Vec::new();
        for samples in self.series.values() {
            block.clear();
            write_block(&mut block, base, samples);
            varint::put_bytes(out, &block);
        }
    }
}

/// Writes a table of series; rollups use the same.
pub(crate) fn write_table<'a>(
    out: &mut Vec<u8>,
    rows: impl ExactSizeIterator<Item = (&'a str, Kind)>,
) {
    varint::put(out, rows.len() as u64);
    let mut before: &str = "";
    for (key, kind) in rows {
        let same = before.bytes().zip(key.bytes()).take_while(|(a, b)| a == b).count();
        let shared = (0..=same).rev().find(|at| key.is_char_boundary(*at)).unwrap_or(0);
        out.push(kind as u8);
        varint::put(out, shared as u64);
        varint::put_bytes(out, &key.as_bytes()[shared..]);
        before = key;
    }
}

const MILLI: i64 = 1_000_000;

fn write_block(out: &mut Vec<u8>, base: Time, samples: &[Held]) {
    let decimals = (0..=6).find(|places| {
        samples.iter().all(|held| as_decimal(held.value, usize::from(*places)).is_some())
    });
    let timed = samples.first().is_some_and(|held| held.time.is_some());
    let in_millis = samples.iter().all(|held| held.time.is_none_or(|time| time.0 % MILLI == 0));
    let unit = if in_millis { MILLI } else { 1 };
    let has_ids = samples.iter().any(|held| held.id.is_some());
    let time_flag = if timed { 1 + u8::from(!in_millis) } else { 0 };
    out.push(decimals.unwrap_or(7) | time_flag << 3 | u8::from(has_ids) << 5);
    varint::put(out, samples.len() as u64);
    let mut last = base.0.div_euclid(unit);
    for held in samples {
        if let Some(time) = held.time {
            let time = time.0.div_euclid(unit);
            varint::put_signed(out, time.wrapping_sub(last));
            last = time;
        }
        match decimals.and_then(|places| as_decimal(held.value, usize::from(places))) {
            Some(number) => varint::put_signed(out, number),
            None => out.extend_from_slice(&held.value.to_le_bytes()),
        }
        if has_ids {
            varint::put_bytes(out, held.id.as_deref().unwrap_or_default().as_bytes());
        }
    }
}

/// Powers of ten the value modes divide by.
pub(crate) const POWERS: [f64; 7] = [1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6];

/// The integer that divided by `10^places` is exactly `value`, sign of zero included.
fn as_decimal(value: f64, places: usize) -> Option<i64> {
    let scaled = (value * POWERS[places]).round();
    // Up to 2^53 every integer is a float, so the reader divides the same two numbers.
    if scaled.abs() > 9_007_199_254_740_992.0 {
        return None;
    }
    let number = scaled as i64;
    (number as f64 / POWERS[places]).to_bits().eq(&value.to_bits()).then_some(number)
}

fn cut(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}
