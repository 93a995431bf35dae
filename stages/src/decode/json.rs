//! Samples as JSON: one object, an array of them, or one a line.
//!
//! Every sample stands or falls by itself. Most are objects of the usual form, read by [`super::plain`] without a
//! parser; whatever that does not know goes through serde. Both end at the same limits ([`super::check`]).

use super::check::{Fields, Ts};
use super::plain::Plain;
use super::refusal::{Refusal, RefusalReason};
use crate::batch::Kind;
use crate::series::{Labels, extend_key};
use crate::time::{Span, Time};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Most samples of one message: 10 MB of the shortest ones.
pub const SAMPLES_MAX: usize = 100_000;

/// A sample that may be counted.
#[derive(Clone, Debug, PartialEq)]
pub struct ParsedSample<'a> {
    /// Its place in the message, from 0.
    pub index: usize,
    /// Name of its metric.
    pub name: Cow<'a, str>,
    /// Its labels.
    pub labels: Labels,
    /// What its value is.
    pub kind: Kind,
    /// Event time, none for log time.
    pub time: Option<Time>,
    /// Its value, finite.
    pub value: f64,
    /// Its own id, for dropping repeats.
    pub id: Option<Cow<'a, str>>,
}

impl ParsedSample<'_> {
    /// Whether it may be counted at `now`: not further ahead than `max_future`.
    ///
    /// # Errors
    /// It is; the message says by how much.
    pub fn check_future(&self, now: Time, max_future: Span) -> Result<(), Refusal> {
        match self.time {
            Some(time) if time > now.plus(max_future) => {
                let ahead = Span::from_secs(time.since(now).0 / 1_000_000_000);
                let message = format!("ts lies {ahead} ahead; at most {max_future}");
                Err(Refusal::new(self.index, RefusalReason::TooFarFuture, message))
            }
            _ => Ok(()),
        }
    }
}

/// A sample that may be counted, with the key of its series in place of its labels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeyedSample<'a> {
    /// Its place in the message, from 0.
    pub index: usize,
    /// Name of its metric.
    pub name: &'a str,
    /// Its series, as [`crate::series::series_key`] writes it.
    pub key: &'a str,
    /// What its value is.
    pub kind: Kind,
    /// Event time, none for log time.
    pub time: Option<Time>,
    /// Its value, finite.
    pub value: f64,
    /// Its own id, for dropping repeats.
    pub id: Option<&'a str>,
}

impl KeyedSample<'_> {
    /// Whether it was published under its own name: `subject` is the `<name>` of `ops.metric.<name>`.
    ///
    /// # Errors
    /// It was not.
    pub fn check_subject(&self, subject: &str) -> Result<(), Refusal> {
        if self.name == subject {
            return Ok(());
        }
        let message = format!("name {:?} was published under {subject:?}", self.name);
        Err(Refusal::new(self.index, RefusalReason::NameMismatch, message))
    }
}

/// The samples of one message, each by itself, in order; empty only for an empty array or no text.
///
/// ```
/// use stages::decode::{RefusalReason, parse_samples};
/// let read = parse_samples(br#"[{"name": "a_ms", "val": 1}, {"name": "a_ms", "val": null}]"#);
/// assert_eq!(read[0].as_ref().unwrap().value, 1.0);
/// assert_eq!(read[1].as_ref().unwrap_err().reason, RefusalReason::BadValue);
/// ```
pub fn parse_samples(bytes: &[u8]) -> Vec<Result<ParsedSample<'_>, Refusal>> {
    let mut samples = Vec::new();
    walk(bytes, &mut |index, found| {
        samples.push(match found {
            Ok(Found::Plain(plain)) => owned(plain, index),
            Ok(Found::Parsed(sample)) => Ok(sample),
            Err(refusal) => Err(refusal),
        });
    });
    samples
}

/// The samples of one message as [`parse_samples`] reads them, handed to `take` one by one without making
/// anything for them. `key` is room for the keys, kept between messages for its memory.
///
/// ```
/// let mut keys = Vec::new();
/// let text = br#"{"name": "a_ms", "labels": {"host": "b"}, "val": 1}"#;
/// stages::decode::each_sample(text, &mut String::new(), &mut |sample| {
///     keys.push(sample.unwrap().key.to_owned());
/// });
/// assert_eq!(keys, ["a_ms\u{1f}host\u{1e}b"]);
/// ```
pub fn each_sample(
    bytes: &[u8],
    key: &mut String,
    take: &mut impl FnMut(Result<KeyedSample<'_>, Refusal>),
) {
    walk(bytes, &mut |index, found| match found {
        Ok(Found::Plain(plain)) => {
            let time = match plain.fields().check(plain.labels_sorted(), index) {
                Ok(time) => time,
                Err(refusal) => return take(Err(refusal)),
            };
            write_key(key, plain.name, plain.labels_sorted());
            let Fields { name, value, id, .. } = plain.fields();
            take(Ok(KeyedSample { index, name, key, kind: plain.kind, time, value, id }));
        }
        Ok(Found::Parsed(sample)) => {
            let ParsedSample { index, name, labels, kind, time, value, id } = sample;
            write_key(key, &name, labels.iter().map(|(name, value)| (&**name, &**value)));
            let (name, id) = (&*name, id.as_deref());
            take(Ok(KeyedSample { index, name, key, kind, time, value, id }));
        }
        Err(refusal) => take(Err(refusal)),
    });
}

fn write_key<'l>(key: &mut String, name: &str, labels: impl Iterator<Item = (&'l str, &'l str)>) {
    key.clear();
    key.push_str(name);
    labels.for_each(|(name, value)| extend_key(key, name, value));
}

fn owned<'a>(plain: &Plain<'a>, index: usize) -> Result<ParsedSample<'a>, Refusal> {
    let time = plain.fields().check(plain.labels_sorted(), index)?;
    let labels = plain.labels_sorted().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let (name, id) = (Cow::Borrowed(plain.name), plain.id.map(Cow::Borrowed));
    let (labels, kind, value) = (labels.collect(), plain.kind, plain.value);
    Ok(ParsedSample { index, name, labels, kind, time, value, id })
}

/// A sample as it was found.
enum Found<'a, 'p> {
    /// In the usual form, its limits not checked yet.
    Plain(&'p Plain<'a>),
    /// In any other form.
    Parsed(ParsedSample<'a>),
}

/// Takes a message apart; each sample goes to `take` with its place.
fn walk<'a>(bytes: &'a [u8], take: &mut impl FnMut(usize, Result<Found<'a, '_>, Refusal>)) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return take(0, Err(not_json(0, "the bytes are not UTF-8")));
    };
    let (text, mut plain) = (text.trim_ascii(), Plain::EMPTY);
    if text.starts_with('[') {
        return walk_array(text, &mut plain, take);
    }
    if plain.read(text).is_some_and(str::is_empty) {
        return take(0, Ok(Found::Plain(&plain)));
    }
    // An object over several lines is one object; several objects are one a line.
    if !text.contains('\n') || serde_json::from_str::<&RawValue>(text).is_ok() {
        if !text.is_empty() {
            take(0, parse_one(text, 0).map(Found::Parsed));
        }
        return;
    }
    let lines = text.lines().map(str::trim_ascii).filter(|line| !line.is_empty());
    for (index, line) in lines.enumerate() {
        if index == SAMPLES_MAX {
            return take(index, Err(too_many(index)));
        }
        if plain.read(line).is_some_and(str::is_empty) {
            take(index, Ok(Found::Plain(&plain)));
        } else {
            take(index, parse_one(line, index).map(Found::Parsed));
        }
    }
}

/// Element by element, so that an array cut off at its end keeps what came whole.
fn walk_array<'a>(
    text: &'a str,
    plain: &mut Plain<'a>,
    take: &mut impl FnMut(usize, Result<Found<'a, '_>, Refusal>),
) {
    let (mut rest, mut index) = (&text[1..], 0);
    loop {
        rest = rest.trim_ascii_start();
        if let Some(tail) = rest.strip_prefix(']') {
            if !tail.is_empty() {
                take(index, Err(not_json(index, "there is text after the array")));
            }
            return;
        }
        if index > 0 {
            let Some(tail) = rest.strip_prefix(',') else {
                let text = "the array is cut off, or a comma is missing";
                return take(index, Err(not_json(index, text)));
            };
            rest = tail.trim_ascii_start();
        }
        if index == SAMPLES_MAX {
            return take(index, Err(too_many(index)));
        }
        if let Some(tail) = plain.read(rest) {
            take(index, Ok(Found::Plain(plain)));
            rest = tail;
        } else {
            let mut elements = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
            match elements.next() {
                Some(Ok(element)) => {
                    take(index, parse_one(element.get(), index).map(Found::Parsed));
                    rest = &rest[elements.byte_offset()..];
                }
                Some(Err(error)) => return take(index, Err(not_json(index, &error.to_string()))),
                None => return take(index, Err(not_json(index, "the array is cut off"))),
            }
        }
        index += 1;
    }
}

fn too_many(index: usize) -> Refusal {
    let message = format!("the samples from number {SAMPLES_MAX} on were not read");
    Refusal::new(index, RefusalReason::TooMany, message)
}

fn not_json(index: usize, message: &str) -> Refusal {
    Refusal::new(index, RefusalReason::NotJson, message)
}

/// What was said: each field as it stands, so that each gets its own answer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    val: Option<&'a RawValue>,
    #[serde(borrow)]
    ts: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    labels: Option<&'a RawValue>,
    #[serde(borrow)]
    kind: Option<&'a RawValue>,
}

fn parse_one(text: &str, index: usize) -> Result<ParsedSample<'_>, Refusal> {
    use RefusalReason::{BadId, BadLabels, BadTs, BadValue, NotJson, UnknownKind, WrongType};
    let refuse = |reason, message: String| Refusal::new(index, reason, message);
    let said: Said<'_> = serde_json::from_str(text).map_err(|error| {
        let reason = if error.is_data() { WrongType } else { NotJson };
        refuse(reason, error.to_string())
    })?;
    let name = said.name.ok_or_else(|| refuse(WrongType, "name is missing".into()))?;
    let name = read_text(name).ok_or_else(|| refuse(WrongType, "name is not a text".into()))?;
    let value = said.val.ok_or_else(|| refuse(BadValue, "val is missing or null".into()))?.get();
    let value = read_number(value).map_err(|(reason, why)| refuse(reason, format!("val {why}")))?;
    let time = match said.ts {
        None => None,
        Some(ts) => Some(Ts::parse(ts.get()).ok_or_else(|| {
            refuse(BadTs, format!("ts {} is not a number of Unix time", ts.get()))
        })?),
    };
    let id = match said.id {
        None => None,
        Some(id) => Some(read_text(id).ok_or_else(|| refuse(BadId, "id is not a text".into()))?),
    };
    let labels = match said.labels {
        None => Labels::new(),
        Some(labels) => serde_json::from_str(labels.get())
            .map_err(|error| refuse(BadLabels, format!("labels: {error}")))?,
    };
    let kind = match said.kind.map(|kind| (kind.get(), read_text(kind))) {
        None => Kind::Gauge,
        Some((_, Some(kind))) if kind == "gauge" => Kind::Gauge,
        Some((_, Some(kind))) if kind == "counter" => Kind::Counter,
        Some((text, _)) => {
            return Err(refuse(UnknownKind, format!("kind {text} is neither gauge nor counter")));
        }
    };
    let fields = Fields { name: &name, time, value, id: id.as_deref() };
    let pairs = labels.iter().map(|(name, value)| (&**name, &**value));
    let time = fields.check(pairs, index)?;
    Ok(ParsedSample { index, name, labels, kind, time, value, id })
}

fn read_text(raw: &RawValue) -> Option<Cow<'_, str>> {
    // Borrowed where nothing is escaped.
    let text = raw.get();
    match serde_json::from_str::<&str>(text) {
        Ok(text) => Some(Cow::Borrowed(text)),
        Err(_) => serde_json::from_str::<String>(text).ok().map(Cow::Owned),
    }
}

fn read_number(text: &str) -> Result<f64, (RefusalReason, String)> {
    if text == "null" {
        return Err((RefusalReason::BadValue, "is null".into()));
    }
    if !text.starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']) {
        let not_finite = ["NaN", "Infinity", "inf", "nan"].iter().any(|word| text.contains(word));
        let reason = if not_finite { RefusalReason::BadValue } else { RefusalReason::WrongType };
        let shown: String = text.chars().take(40).collect();
        return Err((reason, format!("{shown} is not a number")));
    }
    // Correctly rounded; beyond the range it is infinite and refused with the other limits.
    text.parse().map_err(|_| (RefusalReason::BadValue, "is not a number".into()))
}
