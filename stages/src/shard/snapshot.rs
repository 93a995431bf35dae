//! A shard as chunks for snapshots, and back. A restored shard goes on byte for byte.
//!
//! One stream for what is the same on every worker, one per slice for the metrics in it, each cut into chunks. So the
//! chunks do not depend on the number of workers, and a worker reads only its slices. Of the rollups the panes are
//! saved that have not been said yet.
//!
//! The next step waits while this is written, so nothing is packed here: whoever stores it does that on another thread.
//! Everything is written each time. Most series have a new sample within ten seconds, and each snapshot stands by
//! itself: one that cannot be read costs nothing but itself.

use super::limit::Told;
use super::metric::{Group, Metric, Series, View, ViewKey};
use super::repeats::{Clients, Ids};
use super::watches::Watching;
use super::{Place, SLICES, Shard, Whom};
use crate::batch::varint::{Cursor, put, put_bytes, put_signed};
use crate::batch::{BatchError, Kind};
use crate::due::Due;
use crate::error::StageError;
use crate::level::Level;
use crate::matcher::Filter;
use crate::settings::{Rule, Settings};
use crate::time::Time;
use crate::track::Alert;
use crate::verify::Watch;
use crate::window::Window;
use bytes::Bytes;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// First bytes of every chunk, and the version of this layout.
const MAGIC: [u8; 5] = *b"OPSS\x05";
/// The same of chunks as version 3 of the stages made them: streams are compressed.
const MAGIC_PACKED: [u8; 5] = *b"OPSS\x04";
/// Bytes of a chunk without its header.
const CHUNK_BYTES: usize = 500 << 10;
/// Magic, version of the stages, stream, part, parts.
const HEADER_BYTES: usize = MAGIC.len() + 4 + 1 + 4 + 4;
/// The stream of what is the same on every worker, beside one per slice.
const COMMON: u8 = SLICES as u8;

pub(super) const BAD: BatchError = BatchError::Corrupt("a snapshot");

impl Shard {
    /// This worker's part of a snapshot: chunks of at most half a megabyte.
    pub fn snapshot(&self) -> Vec<Bytes> {
        let (mut chunks, mut out) = (Vec::new(), Vec::new());
        if self.place.is_first() {
            self.save_common(&mut out);
            cut(COMMON, &out, &mut chunks);
        }
        for slice in (0..SLICES).filter(|slice| self.place.owns(*slice)) {
            out.clear();
            self.save_slice(slice, &mut out);
            cut(slice as u8, &out, &mut chunks);
        }
        chunks
    }

    /// A shard as the chunks of all workers say, in any order.
    ///
    /// # Errors
    /// The chunks are damaged, of another version, or incomplete.
    pub fn restore(place: Place, chunks: &[Bytes]) -> Result<Self, StageError> {
        let streams = join(chunks)?;
        let mut shard = Self::new(place, Time::default());
        let bad = |error: BatchError| StageError::Snapshot(error.to_string());
        let stream = |number: u8| {
            let bytes = streams.get(&number);
            bytes.ok_or_else(|| StageError::Snapshot(format!("stream {number} is missing")))
        };
        shard.load_common(stream(COMMON)?).map_err(bad)?;
        shard.rollups.resume(shard.now());
        for slice in (0..SLICES).filter(|slice| shard.place.owns(*slice)).collect::<Vec<_>>() {
            shard.load_slice(slice, stream(slice as u8)?).map_err(bad)?;
        }
        shard.show_unknown();
        shard.stand_next(shard.now());
        shard.detail_rollups();
        shard.settle_intakes();
        Ok(shard)
    }

    fn save_common(&self, out: &mut Vec<u8>) {
        save_time(self.now, out);
        put_signed(out, self.armed.0);
        put(out, self.speaker.position);
        put_bytes(out, &json(&*self.settings));
        put_bytes(out, &json(&self.collected));
        put(out, self.sources.len() as u64);
        for (stream, sequence) in &self.sources {
            put_bytes(out, stream.as_bytes());
            put(out, *sequence);
        }
        self.clients.save(out);
        self.speaker.marks.save(out);
    }

    fn load_common(&mut self, bytes: &[u8]) -> Result<(), BatchError> {
        let mut cursor = Cursor::new(bytes);
        self.now = load_time(&mut cursor)?;
        self.armed = Time(cursor.signed()?);
        self.speaker.position = cursor.unsigned()?;
        let settings = from_json::<Settings>(cursor.bytes()?)?;
        self.settings = Arc::new(super::rules::check(settings).map_err(|_| BAD)?);
        self.collected = from_json(cursor.bytes()?)?;
        for _ in 0..cursor.count(2)? {
            let stream = cursor.text()?.to_owned();
            self.sources.insert(stream, cursor.unsigned()?);
        }
        self.clients = Clients::load(&mut cursor)?;
        self.speaker.marks = super::marks::Marks::load(&mut cursor)?;
        if cursor.is_empty() { Ok(()) } else { Err(BAD) }
    }

    fn save_slice(&self, slice: usize, out: &mut Vec<u8>) {
        self.ids[slice].save(out);
        self.limits_told[slice].save(out);
        let looks = self.looks.iter().filter(|(name, _)| super::slice_of(name) == slice);
        let looks: Vec<_> = looks.collect();
        put(out, looks.len() as u64);
        for (name, until) in looks {
            put_bytes(out, name.as_bytes());
            put_signed(out, until.0);
        }
        let metrics = self.names.values().map(|id| &self.metrics[*id]);
        let metrics: Vec<&Metric> = metrics.filter(|metric| metric.slice == slice).collect();
        put(out, metrics.len() as u64);
        for metric in metrics {
            self.save_metric(metric, out);
        }
        self.joins.save(slice, out);
    }

    fn load_slice(&mut self, slice: usize, bytes: &[u8]) -> Result<(), BatchError> {
        let mut cursor = Cursor::new(bytes);
        self.ids[slice] = Ids::load(&mut cursor)?;
        self.limits_told[slice] = Told::load(&mut cursor)?;
        for _ in 0..cursor.count(2)? {
            let name = cursor.text()?.to_owned();
            self.looks.insert(name, Time(cursor.signed()?));
        }
        for _ in 0..cursor.count(4)? {
            self.load_metric(&mut cursor)?;
        }
        self.load_joins(slice, &mut cursor)?;
        if cursor.is_empty() { Ok(()) } else { Err(BAD) }
    }

    fn save_metric(&self, metric: &Metric, out: &mut Vec<u8>) {
        put_bytes(out, metric.name.as_bytes());
        put(out, u64::from(metric.next_number));
        metric.limit_told.save(out);
        put_bytes(out, &json(&metric.astray));
        put(out, metric.series.len() as u64);
        for series in metric.series.values().map(|id| &self.series[*id]) {
            put_bytes(out, series.key.as_bytes());
            put(out, u64::from(series.number));
            out.push(u8::from(series.kind == Kind::Counter));
            put_signed(out, series.last.0);
        }
        put(out, metric.views.len() as u64);
        for view in metric.views.iter().map(|id| &self.views[*id]) {
            put(out, view.key.since);
            save_time(view.key.from, out);
            save_time(view.last, out);
            put(out, view.rules.len() as u64);
            view.rules.iter().for_each(|rule| put_bytes(out, rule.name.as_bytes()));
            put(out, view.groups.len() as u64);
            for group in view.groups.values().map(|id| &self.groups[*id]) {
                save_group(group, group.due.at().or(view.due.at()), out);
            }
        }
        put(out, metric.watches.len() as u64);
        metric.watches.iter().for_each(|id| save_watching(&self.watches[*id], out));
        metric.series.values().for_each(|id| self.rollups.save(*id, out));
    }

    fn load_metric(&mut self, cursor: &mut Cursor<'_>) -> Result<(), BatchError> {
        let id = self.metric(cursor.text()?);
        let next_number = u32::try_from(cursor.unsigned()?).map_err(|_| BAD)?;
        let limit_told = Told::load(cursor)?;
        let astray = from_json(cursor.bytes()?)?;
        let mut series = Vec::new();
        for _ in 0..cursor.count(4)? {
            let key: Arc<str> = cursor.text()?.into();
            let number = u32::try_from(cursor.unsigned()?).map_err(|_| BAD)?;
            let kind = if cursor.byte()? == 0 { Kind::Gauge } else { Kind::Counter };
            let last = Time(cursor.signed()?);
            let groups = SmallVec::new();
            series.push(Series { key, metric: id, number, kind, groups, last, run: 0 });
        }
        let metric = &mut self.metrics[id];
        (metric.next_number, metric.limit_told, metric.astray) = (next_number, limit_told, astray);
        for _ in 0..cursor.count(4)? {
            self.load_view(id, cursor)?;
        }
        for one in series {
            self.load_series(id, one);
        }
        for _ in 0..cursor.count(4)? {
            self.load_watching(id, cursor)?;
        }
        for series in self.metrics[id].series.values() {
            self.rollups.load(*series, cursor)?;
        }
        Ok(())
    }

    fn load_view(&mut self, metric: u32, cursor: &mut Cursor<'_>) -> Result<(), BatchError> {
        let (since, from, last) = (cursor.unsigned()?, load_time(cursor)?, load_time(cursor)?);
        let mut rules: Vec<Arc<Rule>> = Vec::new();
        for _ in 0..cursor.count(1)? {
            let name = cursor.text()?;
            rules.push(Arc::clone(self.settings.rule(name).ok_or(BAD)?));
        }
        let key = ViewKey::of(rules.first().ok_or(BAD)?, since, from);
        let count = rules.len();
        let mut view = View { last, ..View::new(key) };
        view.judge_by(rules);
        let view = self.views.insert(view);
        self.metrics[metric].views.push(view);
        for _ in 0..cursor.count(4)? {
            let group = load_group(view, count, cursor)?;
            group.alerts.iter().for_each(|alert| {
                self.axes.came(alert.state.axis());
                self.views[view].axes.came(alert.state.axis());
            });
            let (text, at) = (group.text.clone(), group.due.at());
            let id = self.groups.insert(group);
            self.views[view].groups.insert(text, id);
            self.dues.set(&mut self.groups[id].due, at, Whom::Group(id));
        }
        Ok(())
    }

    fn load_series(&mut self, metric: u32, mut series: Series) {
        let views = self.metrics[metric].views.clone();
        let key = Arc::clone(&series.key);
        series.groups = self.join_all(&key, &views, series.last);
        let (slice, kind) = (self.metrics[metric].slice, series.kind);
        let id = self.series.insert(series);
        self.series_known[slice] += 1;
        self.metrics[metric].series.insert(Arc::clone(&key), id);
        self.rollups.name(id, Arc::clone(&key), kind);
        self.by_key.insert(key, id);
    }

    fn load_watching(&mut self, metric: u32, cursor: &mut Cursor<'_>) -> Result<(), BatchError> {
        let (request, rule) = (from_json(cursor.bytes()?)?, from_json(cursor.bytes()?)?);
        let state = from_json(cursor.bytes()?)?;
        let (text, last, at) = (cursor.text()?.into(), load_time(cursor)?, load_time(cursor)?);
        let (window, level) = load_panes(cursor)?;
        let watch = Watch { request, rule, window, level, last, state };
        let filter = Filter::of(&watch.rule.matchers).map_err(|_| BAD)?;
        let id = self.watches.insert(Watching { watch, metric, text, filter, due: Due::default() });
        self.metrics[metric].watches.push(id);
        self.dues.set(&mut self.watches[id].due, at, Whom::Watch(id));
        Ok(())
    }
}

fn save_group(group: &Group, due: Option<Time>, out: &mut Vec<u8>) {
    put_bytes(out, group.text.as_bytes());
    save_time(group.last, out);
    put_signed(out, group.armed.0);
    save_time(due, out);
    group.alerts.iter().for_each(|alert| alert.save(out));
    save_panes(&group.window, &group.level, out);
}

fn load_group(view: u32, rules: usize, cursor: &mut Cursor<'_>) -> Result<Group, BatchError> {
    let text = cursor.text()?.into();
    let (last, armed) = (load_time(cursor)?, Time(cursor.signed()?));
    let at = load_time(cursor)?;
    let alerts = (0..rules).map(|_| Alert::load(cursor)).collect::<Result<_, _>>()?;
    let (window, level) = load_panes(cursor)?;
    let due = Due::unqueued(at);
    let (restless, series, dirty) = (None, 0, false);
    Ok(Group { view, text, window, level, alerts, restless, last, armed, series, due, dirty })
}

fn save_watching(watching: &Watching, out: &mut Vec<u8>) {
    let watch = &watching.watch;
    put_bytes(out, &json(&watch.request));
    put_bytes(out, &json(&watch.rule));
    put_bytes(out, &json(&watch.state));
    put_bytes(out, watching.text.as_bytes());
    save_time(watch.last, out);
    save_time(watching.due.at(), out);
    save_panes(&watch.window, &watch.level, out);
}

fn save_panes(window: &Window, level: &Level, out: &mut Vec<u8>) {
    let mut bytes = Vec::new();
    window.save(&mut bytes);
    level.save(&mut bytes);
    put_bytes(out, &bytes);
}

fn load_panes(cursor: &mut Cursor<'_>) -> Result<(Window, Level), BatchError> {
    let (window, rest) = Window::load(cursor.bytes()?)?;
    let (level, rest) = Level::load(rest)?;
    if rest.is_empty() { Ok((window, level)) } else { Err(BAD) }
}

pub(super) fn save_time(time: Option<Time>, out: &mut Vec<u8>) {
    out.push(u8::from(time.is_some()));
    time.into_iter().for_each(|time| put_signed(out, time.0));
}

pub(super) fn load_time(cursor: &mut Cursor<'_>) -> Result<Option<Time>, BatchError> {
    if cursor.byte()? == 0 { Ok(None) } else { Ok(Some(Time(cursor.signed()?))) }
}

pub(super) fn json(value: &impl serde::Serialize) -> Vec<u8> {
    // Plain fields and text keys: serde_json cannot fail on them.
    serde_json::to_vec(value).expect("state serialises")
}

pub(super) fn from_json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, BatchError> {
    serde_json::from_slice(bytes).map_err(|_| BAD)
}

/// Cuts a stream into chunks that say which part of what they are.
fn cut(stream: u8, bytes: &[u8], chunks: &mut Vec<Bytes>) {
    let parts = bytes.len().div_ceil(CHUNK_BYTES).max(1) as u32;
    for part in 0..parts {
        let from = part as usize * CHUNK_BYTES;
        let body = &bytes[from..bytes.len().min(from + CHUNK_BYTES)];
        let mut chunk = Vec::with_capacity(HEADER_BYTES + body.len());
        chunk.extend_from_slice(&MAGIC);
        chunk.extend_from_slice(&crate::VERSION.to_be_bytes());
        chunk.push(stream);
        chunk.extend_from_slice(&part.to_be_bytes());
        chunk.extend_from_slice(&parts.to_be_bytes());
        chunk.extend_from_slice(body);
        chunks.push(Bytes::from(chunk));
    }
}

/// The streams behind chunks in any order.
fn join(chunks: &[Bytes]) -> Result<BTreeMap<u8, Vec<u8>>, StageError> {
    let mut parts: BTreeMap<(u8, u32), (u32, bool, &[u8])> = BTreeMap::new();
    for chunk in chunks {
        let (header, body) =
            chunk.split_first_chunk::<HEADER_BYTES>().ok_or_else(|| bad("a chunk is cut off"))?;
        let (stream, part, count, packed) = read_header(header)?;
        parts.insert((stream, part), (count, packed, body));
    }
    let mut streams: BTreeMap<u8, (u32, u32, bool, Vec<u8>)> = BTreeMap::new();
    for ((stream, part), (count, packed, body)) in parts {
        let (found, wanted, is_packed, bytes) = streams.entry(stream).or_default();
        if part != *found {
            return Err(bad("a chunk is missing"));
        }
        (*found, *wanted, *is_packed) = (*found + 1, count, packed);
        bytes.extend_from_slice(body);
    }
    let whole = |(stream, (found, wanted, packed, bytes)): (u8, (u32, u32, bool, Vec<u8>))| {
        if found != wanted {
            return Err(bad("a chunk is missing"));
        }
        let unpacked = if packed { zstd::stream::decode_all(&*bytes) } else { Ok(bytes) };
        Ok((stream, unpacked.map_err(|_| bad("a chunk is damaged"))?))
    };
    streams.into_iter().map(whole).collect()
}

/// Stream, part, number of parts, and whether the stream is compressed.
fn read_header(header: &[u8; HEADER_BYTES]) -> Result<(u8, u32, u32, bool), StageError> {
    let mut cursor = Cursor::new(header);
    let cut_off = |_| bad("a chunk is cut off");
    let packed = match cursor.fixed().map_err(cut_off)? {
        MAGIC => false,
        MAGIC_PACKED => true,
        _ => return Err(bad("not a chunk of a shard, or of another version")),
    };
    let version = u32::from_be_bytes(cursor.fixed().map_err(cut_off)?);
    if !(crate::READS_FROM..=crate::VERSION).contains(&version) {
        return Err(bad("taken by another version of the stages"));
    }
    let stream = cursor.byte().map_err(cut_off)?;
    let mut number = || cursor.fixed().map(u32::from_be_bytes).map_err(cut_off);
    Ok((stream, number()?, number()?, packed))
}

fn bad(text: &str) -> StageError {
    StageError::Snapshot(text.to_owned())
}
