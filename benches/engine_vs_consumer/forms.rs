//! The forms samples come in, and a stream of each.

use crate::drain::read_json;
use crate::support::consumer::read_batch;
use crate::support::load::{self, METRICS, SERIES, SERIES_EACH, Values};
use bytes::Bytes;
use stages::log::LogId;
use stages::subject::Subjects;
use stages::time::Span;

/// A form of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One sample a message, in the brief's form without a time, on `ops.metric.<name>`.
    One,
    /// A hundred of one metric as a JSON array: ten series, ten moments.
    Hundred,
    /// The collector's entries: a thousand series, a sample each, in the binary encoding.
    Batch,
}

/// Batches that differ; they are published again and again.
const DISTINCT: usize = 200;

impl Form {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::One, Self::Hundred, Self::Batch];

    /// Its name between processes.
    pub fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Hundred => "hundred",
            Self::Batch => "batch",
        }
    }

    /// The form of this name.
    pub fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|form| form.name() == name).expect("a form's name")
    }

    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::One => "1-sample JSON",
            Self::Hundred => "100-sample JSON",
            Self::Batch => "collector's encoding, 1 000 samples",
        }
    }

    /// Messages of one stream.
    pub fn messages(self) -> usize {
        match self {
            Self::One => 600_000,
            Self::Hundred => 60_000,
            Self::Batch => 20_000,
        }
    }

    /// Messages the bare consumer pulls at one time: what it is fastest with, below the server's 64 MiB.
    pub fn pull(self) -> usize {
        match self {
            Self::One => 5_000,
            Self::Hundred => 2_000,
            Self::Batch => 1_000,
        }
    }

    /// What the bare consumer does with a message: nothing with a single sample, decoding with many.
    pub fn read(self, payload: &[u8]) -> u64 {
        match self {
            Self::One => 1,
            Self::Hundred => read_json(payload),
            Self::Batch => read_batch(payload),
        }
    }

    /// A stream of it, as of now.
    pub fn stream(self) -> Box<dyn Iterator<Item = (String, Bytes)>> {
        let (subjects, now, mut values) = (Subjects::default(), load::now(), Values::new(7));
        match self {
            Self::One => Box::new((0..self.messages()).map(move |at| {
                // Neighbouring messages are of different metrics, as of different services.
                let series = at * SERIES_EACH % SERIES + at / METRICS % SERIES_EACH;
                let metric = load::metric(series / SERIES_EACH);
                let payload = load::json_sample(series, values.next_ms(), None);
                (subjects.metric(&metric), payload.into())
            })),
            Self::Hundred => {
                let arrays: Vec<(String, Bytes)> = (0..METRICS)
                    .map(|metric| {
                        let payload =
                            load::json_array(metric, now, Span::from_secs(1), &mut values);
                        (subjects.metric(&load::metric(metric)), payload)
                    })
                    .collect();
                Box::new((0..self.messages()).map(move |at| arrays[at % arrays.len()].clone()))
            }
            Self::Batch => {
                let (keys, subject) = (load::keys(), subjects.entry(LogId::Shard(0), "batch"));
                let batch = |at: usize| {
                    let first = at * 1000 % SERIES;
                    let time = Some(now.plus(Span::from_millis(at as i64 * 10)));
                    load::batch(&keys, first..first + 1000, 1, time, &mut |_| values.next_ms())
                };
                let batches: Vec<Bytes> = (0..DISTINCT).map(batch).collect();
                Box::new(
                    (0..self.messages())
                        .map(move |at| (subject.clone(), batches[at % DISTINCT].clone())),
                )
            }
        }
    }
}
