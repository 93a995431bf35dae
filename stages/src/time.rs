//! Log time as values: [`Time`], a nanosecond of Unix time, and [`Span`], a length of it.
//!
//! Both are plain integers so that arithmetic is exact. On the wire a time is RFC 3339 in UTC with
//! nine decimals (nothing is lost) and a span is the text people write in rules (`3m`, `1m30s`, `100ms`).

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;

/// A moment of log time or event time: nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

/// A length of time in nanoseconds, never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub i64);

impl Time {
    /// A moment given in milliseconds of Unix time.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis * 1_000_000)
    }

    /// Milliseconds of Unix time, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The moment `span` later; stops at the end of the range instead of wrapping.
    #[must_use]
    pub const fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The moment `span` earlier; stops at the start of the range instead of wrapping.
    #[must_use]
    pub const fn minus(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }

    /// How long this moment lies after `earlier`; zero if it does not.
    pub const fn since(self, earlier: Self) -> Span {
        let nanos = self.0.saturating_sub(earlier.0);
        Span(if nanos < 0 { 0 } else { nanos })
    }

    /// The start of the interval of length `width` this moment lies in, aligned to Unix time.
    #[must_use]
    pub const fn floor(self, width: Span) -> Self {
        Self(self.0 - self.0.rem_euclid(width.0))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(stamp) => write!(f, "{stamp:.9}"),
            Err(_) => write!(f, "{}ns", self.0),
        }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let stamp: jiff::Timestamp = text.parse().map_err(D::Error::custom)?;
        i64::try_from(stamp.as_nanosecond())
            .map(Self)
            .map_err(|_| D::Error::custom("time out of range"))
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// A length given in milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis * 1_000_000)
    }

    /// A length given in seconds.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs * 1_000_000_000)
    }

    /// The length in seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The length for an interface that wants the standard type.
    pub const fn as_std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(if self.0 < 0 { 0 } else { self.0 as u64 })
    }

    /// Reads `3m`, `1h30m`, `100ms`, `0s`: whole numbers with units `ms s m h d w`, largest first, each once.
    ///
    /// # Errors
    /// A text that says what is wrong and, where it can be guessed, what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text;
        let (mut total, mut last_unit) = (0_i64, UNITS.len());
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let tail = &rest[digits..];
            let letters =
                tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
            let unit = UNITS.iter().position(|(name, _)| *name == &tail[..letters]);
            let Some(unit) = unit.filter(|unit| digits > 0 && *unit < last_unit) else {
                return Err(bad_span(text));
            };
            last_unit = unit;
            total = rest[..digits]
                .parse::<i64>()
                .ok()
                .and_then(|count| count.checked_mul(UNITS[unit].1))
                .and_then(|nanos| total.checked_add(nanos))
                .ok_or_else(|| {
                    format!("duration {text:?} is too long: write less than 292 years")
                })?;
            rest = &tail[letters..];
        }
        if text.is_empty() { Err(bad_span(text)) } else { Ok(Self(total)) }
    }
}

/// Units by rising length, in nanoseconds.
const UNITS: [(&str, i64); 6] = [
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
    ("w", 604_800_000_000_000),
];

fn bad_span(text: &str) -> String {
    let squeezed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let lower = squeezed.to_ascii_lowercase();
    let count = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &lower[count.len()..] {
        "min" | "mins" | "minute" | "minutes" | "m" => "m",
        "sec" | "secs" | "second" | "seconds" | "s" | "" => "s",
        "hour" | "hours" | "hr" | "hrs" | "h" => "h",
        "day" | "days" | "d" => "d",
        "ms" | "millis" | "msec" => "ms",
        _ => "",
    };
    if unit.is_empty() || count.parse::<u64>().is_err() {
        format!(
            "duration {text:?}: write a number and a unit (ms, s, m, h, d, w), like 3m or 1h30m"
        )
    } else {
        format!("duration {text:?}: write {count}{unit}")
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1_000_000 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (name, nanos) in UNITS.iter().rev().filter(|(name, _)| *name != "w") {
            if rest >= *nanos {
                write!(f, "{}{name}", rest / nanos)?;
                rest %= nanos;
            }
        }
        Ok(())
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

/// Both types are text on the wire, and their schemas say so.
macro_rules! text_schema {
    ($type:ty, $name:literal, $schema:tt) => {
        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    };
}
text_schema!(Time, "Time", { "type": "string", "format": "date-time" });
text_schema!(Span, "Span", { "type": "string", "pattern": "^([0-9]+(ms|s|m|h|d|w))+$" });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_reads_back_as_it_is_written() {
        for text in ["0s", "100ms", "3m", "1h30m", "1d2h", "1m30s500ms"] {
            let span = Span::parse(text).expect("valid");
            assert_eq!(span.to_string(), text);
        }
        assert_eq!(Span::parse("2w").expect("valid").to_string(), "14d");
    }

    #[test]
    fn a_wrong_span_is_told_what_to_write() {
        assert_eq!(Span::parse("3 min").unwrap_err(), "duration \"3 min\": write 3m");
        assert_eq!(Span::parse("180").unwrap_err(), "duration \"180\": write 180s");
        for text in ["", "m", "3m3m", "30s1m", "-3m", "1.5h", "99999999999999999999s", "é"] {
            assert!(Span::parse(text).is_err(), "{text:?} must be refused");
        }
    }

    #[test]
    fn a_time_reads_back_to_the_nanosecond() {
        let time = Time(1_700_000_000_123_456_789);
        let text = serde_json::to_string(&time).expect("serialises");
        assert_eq!(text, "\"2023-11-14T22:13:20.123456789Z\"");
        assert_eq!(serde_json::from_str::<Time>(&text).expect("reads"), time);
    }

    #[test]
    fn floor_is_aligned_before_1970_too() {
        assert_eq!(Time(-1).floor(Span(10)), Time(-10));
        assert_eq!(Time(19).floor(Span(10)), Time(10));
    }
}
