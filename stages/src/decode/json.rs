//! Samples as JSON: one object, an array of them, or one a line.
//!
//! Every sample stands or falls by itself. Most messages are one object in the usual order of fields,
//! read by [`super::plain`] without a parser; whatever that does not know goes through serde.

use super::plain;
use super::refusal::{Refusal, RefusalReason};
use crate::batch::{ID_BYTES_MAX, Kind};
use crate::series::{Labels, check_labels, check_name};
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
    if let Some(said) = plain::read(bytes) {
        return vec![said.check(0)];
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return vec![Err(Refusal::new(0, RefusalReason::NotJson, "the bytes are not UTF-8"))];
    };
    let text = text.trim_ascii();
    if text.starts_with('[') {
        return parse_array(text);
    }
    // An object over several lines is one object; several objects are one a line.
    if !text.contains('\n') || serde_json::from_str::<&RawValue>(text).is_ok() {
        return if text.is_empty() { Vec::new() } else { vec![parse_one(text, 0)] };
    }
    let lines = text.lines().map(str::trim_ascii).filter(|line| !line.is_empty());
    bounded(lines.enumerate().map(|(index, line)| parse_one(line, index)))
}

/// Stops at [`SAMPLES_MAX`] with a refusal in place of the rest.
fn bounded<'a>(
    mut samples: impl Iterator<Item = Result<ParsedSample<'a>, Refusal>>,
) -> Vec<Result<ParsedSample<'a>, Refusal>> {
    let mut taken: Vec<_> = samples.by_ref().take(SAMPLES_MAX).collect();
    if samples.next().is_some() {
        let message = format!("the samples from number {SAMPLES_MAX} on were not read");
        taken.push(Err(Refusal::new(SAMPLES_MAX, RefusalReason::TooMany, message)));
    }
    taken
}

fn parse_array(text: &str) -> Vec<Result<ParsedSample<'_>, Refusal>> {
    let mut rest = &text[1..];
    let (mut taken, mut index) = (Vec::new(), 0);
    // Element by element, so that an array cut off at its end keeps what came whole.
    loop {
        rest = rest.trim_ascii_start();
        if let Some(tail) = rest.strip_prefix(']') {
            if !tail.is_empty() {
                taken.push(Err(not_json(index, "there is text after the array")));
            }
            return taken;
        }
        if index > 0 {
            let Some(tail) = rest.strip_prefix(',') else {
                taken.push(Err(not_json(index, "the array is cut off, or a comma is missing")));
                return taken;
            };
            rest = tail.trim_ascii_start();
        }
        if index == SAMPLES_MAX {
            let message = format!("the samples from number {SAMPLES_MAX} on were not read");
            taken.push(Err(Refusal::new(index, RefusalReason::TooMany, message)));
            return taken;
        }
        let mut elements = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
        match elements.next() {
            Some(Ok(element)) => {
                taken.push(parse_one(element.get(), index));
                rest = &rest[elements.byte_offset()..];
            }
            Some(Err(error)) => {
                taken.push(Err(not_json(index, &error.to_string())));
                return taken;
            }
            None => {
                taken.push(Err(not_json(index, "the array is cut off")));
                return taken;
            }
        }
        index += 1;
    }
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
    if let Some(said) = plain::read(text.as_bytes()) {
        return said.check(index);
    }
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
        Some(ts) => Some(read_ts(ts.get()).ok_or_else(|| {
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
    Unchecked { name, labels, kind, time, value, id }.check(index)
}

/// A sample whose fields have their types, not yet their limits.
pub(super) struct Unchecked<'a> {
    pub name: Cow<'a, str>,
    pub labels: Labels,
    pub kind: Kind,
    pub time: Option<Ts>,
    pub value: f64,
    pub id: Option<Cow<'a, str>>,
}

impl<'a> Unchecked<'a> {
    pub(super) fn check(self, index: usize) -> Result<ParsedSample<'a>, Refusal> {
        let Self { name, labels, kind, time, value, id } = self;
        use RefusalReason::{BadId, BadLabels, BadName, BadTs, BadValue, NegativeTs};
        let refuse = |reason, message: String| Refusal::new(index, reason, message);
        check_name(&name).map_err(|error| refuse(BadName, error.to_string()))?;
        check_labels(&labels).map_err(|error| refuse(BadLabels, error.to_string()))?;
        if !value.is_finite() {
            return Err(refuse(BadValue, "val is too large for a number of 64 bits".into()));
        }
        let time = match time.map(Ts::time) {
            None => None,
            Some(Some(Time(nanos))) if nanos < 0 => {
                return Err(refuse(NegativeTs, "ts lies before 1970".into()));
            }
            Some(Some(time)) => Some(time),
            Some(None) => return Err(refuse(BadTs, "ts is out of range".into())),
        };
        if id.as_ref().is_some_and(|id| id.is_empty() || id.len() > ID_BYTES_MAX) {
            return Err(refuse(BadId, "id is empty or too long".into()));
        }
        Ok(ParsedSample { index, name, labels, kind, time, value, id })
    }
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

/// A time as it was written: whole units, so that nanoseconds keep all their digits, or a fraction.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ts {
    Whole(i64),
    Fraction(f64),
}

/// Below these, numbers are seconds, milliseconds, microseconds; else nanoseconds.
const UNITS: [(f64, i64); 3] = [(1e11, 1_000_000_000), (1e14, 1_000_000), (1e17, 1_000)];

impl Ts {
    fn time(self) -> Option<Time> {
        let size = match self {
            Self::Whole(number) => number as f64,
            Self::Fraction(number) => number,
        };
        let unit = UNITS.iter().find(|(below, _)| size.abs() < *below).map_or(1, |(_, unit)| *unit);
        match self {
            Self::Whole(number) => number.checked_mul(unit).map(Time),
            Self::Fraction(number) => {
                // Whole part and fraction apart: 1700000000.1 keeps its nanoseconds as well as it had them.
                let whole = number.floor();
                let rest = ((number - whole) * unit as f64).round() as i64;
                if whole.abs() >= 9.2e18 {
                    return None;
                }
                (whole as i64).checked_mul(unit)?.checked_add(rest).map(Time)
            }
        }
    }
}

fn read_ts(text: &str) -> Option<Ts> {
    if let Ok(number) = text.parse() {
        return Some(Ts::Whole(number));
    }
    let digits = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    text.parse::<f64>().ok().filter(|_| digits).map(Ts::Fraction)
}
