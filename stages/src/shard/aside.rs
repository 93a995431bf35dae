//! Refused samples of a batch, put aside as JSON in the form in which they could be sent again.
//!
//! A batch may hold a hundred thousand samples of a clock that is off. Whoever looks for the cause needs a few of
//! them, so what is kept is bounded; counted are all.

use super::said::Speaker;
use super::slice_of;
use crate::batch::Kind;
use crate::decode::RefusalReason;
use crate::series::split_key;
use crate::time::Time;
use bytes::Bytes;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Samples kept of one batch, for each reason and slice. By slice, so that the number of workers does not show.
pub(super) const SAMPLES_MAX: usize = 100;
/// Bytes after which no more are kept: with the largest key (40 KiB, six times that where all of it is escaped) half
/// of a message of 1 MiB.
const BYTES_MAX: usize = 192 << 10;

/// A refused sample.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused<'a> {
    /// Its series.
    pub(super) key: &'a str,
    /// What its value is.
    pub(super) kind: Kind,
    /// Event time, none for log time.
    pub(super) time: Option<Time>,
    /// Its value.
    pub(super) value: f64,
    /// Its own id.
    pub(super) id: Option<&'a str>,
}

/// What was put aside of one batch.
#[derive(Debug, Default)]
pub(super) struct Aside {
    letters: BTreeMap<(RefusalReason, usize), Letter>,
}

#[derive(Debug)]
struct Letter {
    /// Metric of the first sample.
    metric: String,
    samples: usize,
    /// An array, not yet closed.
    json: Vec<u8>,
}

impl Aside {
    /// Puts a sample aside, if there is room.
    pub(super) fn put(&mut self, reason: RefusalReason, sample: &Refused<'_>) {
        let (name, _) = split_key(sample.key);
        let letter = self.letters.entry((reason, slice_of(name))).or_insert_with(|| Letter {
            metric: name.to_owned(),
            samples: 0,
            json: vec![b'['],
        });
        if letter.samples == SAMPLES_MAX || letter.json.len() > BYTES_MAX {
            return;
        }
        if letter.samples > 0 {
            letter.json.push(b',');
        }
        letter.samples += 1;
        // Into memory, text keys: nothing of it can fail.
        serde_json::to_writer(&mut letter.json, &json(sample)).expect("a sample serialises");
    }

    /// Says it: a dead letter for each reason and slice.
    pub(super) fn say(self, speaker: &mut Speaker, at: Time) {
        for ((reason, _), mut letter) in self.letters {
            letter.json.push(b']');
            speaker.dead_letter(at, &letter.metric, reason.token(), Bytes::from(letter.json));
        }
    }
}

fn json(sample: &Refused<'_>) -> Value {
    let (name, labels) = split_key(sample.key);
    let labels: Map<String, Value> =
        labels.map(|(name, value)| (name.to_owned(), value.into())).collect();
    let mut fields = Map::new();
    fields.insert("name".to_owned(), name.into());
    if !labels.is_empty() {
        fields.insert("labels".to_owned(), labels.into());
    }
    if let Some(time) = sample.time {
        fields.insert("ts".to_owned(), ts(time));
    }
    fields.insert("val".to_owned(), sample.value.into());
    if let Some(id) = sample.id {
        fields.insert("id".to_owned(), id.into());
    }
    if sample.kind == Kind::Counter {
        fields.insert("kind".to_owned(), "counter".into());
    }
    fields.into()
}

/// A number that is read as this time again: its size says the unit.
fn ts(time: Time) -> Value {
    const SECOND: i64 = 1_000_000_000;
    const MILLI: i64 = 1_000_000;
    match time.0 {
        nanos if nanos % MILLI == 0 && nanos / MILLI >= 100_000_000_000 => (nanos / MILLI).into(),
        nanos if nanos % SECOND == 0 => (nanos / SECOND).into(),
        nanos if nanos >= 100_000_000_000_000_000 => nanos.into(),
        // Before 1973 the smaller units would be read as larger ones.
        nanos => (nanos as f64 / SECOND as f64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::each_sample;

    #[test]
    fn a_sample_put_aside_reads_as_what_it_was() {
        let times = [
            None,
            Some(Time(1_700_000_000_123_456_789)),
            Some(Time::from_millis(1_700_000_000_123)),
            Some(Time::from_millis(1_700_000_000_000)),
            Some(Time::from_millis(5_000)),
            Some(Time::from_millis(1_500)),
        ];
        for time in times {
            let (key, id) = ("a_ms\u{1f}host\u{1e}\"b\"", Some("7f"));
            let sample = Refused { key, kind: Kind::Counter, time, value: -0.5, id };
            let text = json(&sample).to_string();
            let mut read = 0;
            each_sample(text.as_bytes(), &mut String::new(), &mut |found| {
                let found = found.expect("it was one");
                assert_eq!((found.key, found.kind, found.id), (key, Kind::Counter, id), "{text}");
                assert_eq!((found.time, found.value), (time, -0.5), "{text}");
                read += 1;
            });
            assert_eq!(read, 1);
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut aside = Aside::default();
        let long = format!("a_ms\u{1f}host\u{1e}{}", "\"".repeat(40_000));
        for key in ["a_ms", &long] {
            for _ in 0..1_000 {
                let sample = Refused { key, kind: Kind::Gauge, time: None, value: 1.0, id: None };
                aside.put(RefusalReason::TooFarFuture, &sample);
                aside.put(RefusalReason::SeriesLimit, &sample);
            }
        }
        let kept: Vec<_> = aside.letters.values().map(|letter| letter.samples).collect();
        assert_eq!(kept, [SAMPLES_MAX; 2]);
        let mut aside = Aside::default();
        let sample = Refused { key: &long, kind: Kind::Gauge, time: None, value: 1.0, id: None };
        (0..1_000).for_each(|_| aside.put(RefusalReason::SeriesLimit, &sample));
        assert!(aside.letters.values().all(|letter| letter.json.len() < 512 << 10));
    }
}
