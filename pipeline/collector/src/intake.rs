//! From the bytes of a request to checked samples, sorted by shard, and refusals.

use serde_json::value::RawValue;
use stages::batch::{self, Kind};
use stages::decode::{Refusal, RefusalReason, parse_samples};
use stages::series::series_key;
use stages::subject::Subjects;
use stages::time::{Span, Time};
use std::collections::BTreeMap;

/// A checked sample on its way into a log entry.
#[derive(Debug, PartialEq)]
pub(crate) struct Sample {
    key: String,
    kind: Kind,
    time: Option<Time>,
    value: f64,
    id: Option<Box<str>>,
}

impl Sample {
    /// At most this many bytes of a batch.
    pub(crate) fn bytes_max(&self) -> usize {
        // As `BatchBuilder::bytes_max` counts: value and time, a row of the table, the id.
        36 + self.key.len() + self.id.as_ref().map_or(0, |id| id.len() + 2)
    }

    pub(crate) fn as_batch(&self) -> batch::Sample<'_> {
        let Self { key, kind, time, value, id } = self;
        batch::Sample { key, kind: *kind, time: *time, value: *value, id: id.as_deref() }
    }
}

/// What one request brought.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    /// Good samples by shard; no empty ones.
    pub shards: BTreeMap<u32, Vec<Sample>>,
    /// How many good ones.
    pub accepted: usize,
    /// The others.
    pub refused: Vec<Refusal>,
}

/// Where samples belong and what "now" is.
pub(crate) struct Place<'a> {
    pub subjects: &'a Subjects,
    pub shards: u32,
    pub now: Time,
    pub future_max: Span,
}

/// Reads a body: one sample, an array, or one a line.
pub(crate) fn read(body: &[u8], place: &Place<'_>) -> Intake {
    let mut intake = Intake::default();
    if body.trim_ascii().is_empty() {
        intake.refused.push(Refusal::new(0, RefusalReason::NotJson, "the body is empty"));
        return intake;
    }
    for parsed in parse_samples(body) {
        let checked = parsed
            .and_then(|sample| sample.check_future(place.now, place.future_max).map(|()| sample));
        match checked {
            Ok(sample) => {
                let shard = place.subjects.shard_of(&sample.name, place.shards);
                intake.accepted += 1;
                intake.shards.entry(shard).or_default().push(Sample {
                    key: series_key(&sample.name, &sample.labels),
                    kind: sample.kind,
                    time: sample.time,
                    value: sample.value,
                    id: sample.id.map(|id| Box::from(&*id)),
                });
            }
            Err(refusal) => intake.refused.push(refusal),
        }
    }
    intake
}

/// The bytes of each sample of a body, as far as they can be told apart.
pub(crate) struct Pieces<'a> {
    whole: &'a [u8],
    pieces: Vec<&'a str>,
}

impl<'a> Pieces<'a> {
    /// Takes a body apart as [`parse_samples`] does.
    pub(crate) fn of(body: &'a [u8]) -> Self {
        let text = std::str::from_utf8(body).unwrap_or_default().trim_ascii();
        let pieces = if text.starts_with('[') {
            let elements: Vec<&RawValue> = serde_json::from_str(text).unwrap_or_default();
            elements.into_iter().map(RawValue::get).collect()
        } else if serde_json::from_str::<&RawValue>(text).is_ok() {
            vec![text]
        } else {
            text.lines().map(str::trim_ascii).filter(|line| !line.is_empty()).collect()
        };
        Self { whole: body, pieces }
    }

    /// The bytes of sample `index`, or the whole body where it cannot be taken apart.
    pub(crate) fn get(&self, index: usize) -> &'a [u8] {
        self.pieces.get(index).map_or(self.whole, |piece| piece.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(body: &str) -> Intake {
        let subjects = Subjects::default();
        let now = Time::from_millis(1_700_000_000_000);
        let future_max = Span::from_secs(300);
        read(body.as_bytes(), &Place { subjects: &subjects, shards: 4, now, future_max })
    }

    #[test]
    fn samples_go_to_the_shard_the_bus_would_choose() {
        let intake = take(r#"[{"name":"a","val":1},{"name":"b","val":2},{"name":"a","val":3}]"#);
        let shard = Subjects::default().shard_of("a", 4);
        assert_eq!(intake.accepted, 3);
        assert!(intake.shards[&shard].iter().filter(|sample| sample.key == "a").count() == 2);
    }

    #[test]
    fn a_sample_from_the_far_future_is_refused_by_our_own_clock() {
        let intake = take(r#"{"name":"a","val":1,"ts":1700000301}"#);
        assert_eq!(intake.refused[0].reason, RefusalReason::TooFarFuture);
        assert_eq!(take(r#"{"name":"a","val":1,"ts":1700000300}"#).accepted, 1);
    }

    #[test]
    fn a_refused_sample_keeps_its_own_bytes() {
        let array = br#" [{"name":"a"}, {"name":"b"}]"#;
        assert_eq!(Pieces::of(array).get(1), br#"{"name":"b"}"#);
        assert_eq!(Pieces::of(b"x\n\n y \n").get(1), b"y");
        assert_eq!(Pieces::of(b"[1, {").get(1), b"[1, {");
        assert_eq!(Pieces::of(b"\xff").get(0), b"\xff");
    }

    #[test]
    fn the_bytes_of_a_sample_are_never_underestimated() {
        let intake =
            take(r#"{"name":"a_ms","val":1.5e-300,"ts":1,"id":"0123","labels":{"x":"y"}}"#);
        let sample = &intake.shards.values().next().unwrap()[0];
        let mut builder = batch::BatchBuilder::new();
        builder.section("", 0);
        let before = builder.bytes_max();
        builder.push(&sample.as_batch());
        assert_eq!(builder.bytes_max() - before, sample.bytes_max());
    }
}
