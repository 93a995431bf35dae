//! Why a sample was not taken: one enum for log text, counters, dead letters and the collector's answers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a sample was not taken.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RefusalReason {
    /// The bytes are not JSON, or end too early.
    NotJson,
    /// JSON, but a field is missing, unknown or of the wrong type.
    WrongType,
    /// The name is not allowed.
    BadName,
    /// The name differs from the subject it was published under.
    NameMismatch,
    /// Too many labels, or one that is not allowed.
    BadLabels,
    /// The value is not a finite number.
    BadValue,
    /// The time cannot be read.
    BadTs,
    /// The time lies before 1970.
    NegativeTs,
    /// The time is further ahead than `max_future`.
    TooFarFuture,
    /// The kind is neither `gauge` nor `counter`.
    UnknownKind,
    /// The id is empty or too long.
    BadId,
    /// More samples in one message than are taken.
    TooMany,
    /// A new series where the limit of its metric or shard is reached.
    SeriesLimit,
}

impl RefusalReason {
    /// The token used in `ops.deadletter.<reason>`, in counters and in JSON.
    pub const fn token(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::WrongType => "wrong_type",
            Self::BadName => "bad_name",
            Self::NameMismatch => "name_mismatch",
            Self::BadLabels => "bad_labels",
            Self::BadValue => "bad_value",
            Self::BadTs => "bad_ts",
            Self::NegativeTs => "negative_ts",
            Self::TooFarFuture => "too_far_future",
            Self::UnknownKind => "unknown_kind",
            Self::BadId => "bad_id",
            Self::TooMany => "too_many",
            Self::SeriesLimit => "series_limit",
        }
    }

    /// What to write instead.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::NotJson => {
                "send one JSON object like {\"name\": \"county_api_ms\", \"val\": 112}, an array of them, or one a line"
            }
            Self::WrongType => {
                "write name (text), val (number) and, if wanted, ts, id, labels (texts by name), kind; nothing else"
            }
            Self::BadName => "write letters, digits, _ : . - and begin with a letter, _ or :",
            Self::NameMismatch => "publish each metric under its own name: ops.metric.<name>",
            Self::BadLabels => {
                "at most 32 labels, names like [A-Za-z_][A-Za-z0-9_]*, values of at most 1024 bytes"
            }
            Self::BadValue => "write a finite number; leave the sample out where there is no value",
            Self::BadTs => {
                "write Unix time as a number (seconds, milliseconds, microseconds or nanoseconds), or leave ts out"
            }
            Self::NegativeTs => "write a time after 1970, or leave ts out",
            Self::TooFarFuture => "set the sender's clock, or leave ts out",
            Self::UnknownKind => "write gauge or counter, or leave kind out",
            Self::BadId => "write an id of 1 to 128 bytes, or leave it out",
            Self::TooMany => "send at most 100000 samples in one message",
            Self::SeriesLimit => "use fewer label values, or raise limits.series_per_metric",
        }
    }
}

/// One sample that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    /// Its place in the message, from 0.
    pub index: usize,
    /// Why.
    pub reason: RefusalReason,
    /// What is wrong, for people. Never longer than a line.
    pub message: String,
}

impl Refusal {
    /// A refusal of sample `index`; a long message is cut.
    pub fn new(index: usize, reason: RefusalReason, message: impl Into<String>) -> Self {
        let mut message: String = message.into();
        if message.len() > MESSAGE_BYTES_MAX {
            let end = (0..=MESSAGE_BYTES_MAX).rev().find(|at| message.is_char_boundary(*at));
            message.truncate(end.unwrap_or(0));
            message.push('…');
        }
        Self { index, reason, message }
    }
}

/// A message quotes what was sent, and what was sent may be 10 MB long.
const MESSAGE_BYTES_MAX: usize = 300;

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { index, reason, message } = self;
        write!(f, "sample {index}: {}: {message}; {}", reason.token(), reason.remedy())
    }
}
