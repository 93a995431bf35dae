//! Moments as people type them: a date with its time, `now`, or how long ago.

use crate::exit::{Failure, Kind};
use serde_json::json;
use stages::time::{Span, Time};
use std::time::SystemTime;

/// This moment, by the clock here.
pub fn now() -> Time {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(now.as_nanos()).unwrap_or(i64::MAX))
}

/// Reads `2026-11-20T16:00:00Z`, `now`, or `10m`, which is that long before now.
pub fn read(text: &str) -> Result<Time, Failure> {
    if text == "now" {
        return Ok(now());
    }
    if let Ok(ago) = Span::parse(text) {
        return Ok(now().minus(ago));
    }
    serde_json::from_value(json!(text)).map_err(|_| {
        let text = format!(
            "{text:?} is no moment: write it like 2026-11-20T16:00:00Z, or 10m for ten minutes ago, or now"
        );
        Failure::new(Kind::Usage, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_date_with_its_time_or_how_long_ago() {
        let dated = read("2026-11-20T16:00:00Z").unwrap();
        assert_eq!(dated.to_string(), "2026-11-20T16:00:00.000000000Z");
        let before = now();
        assert!(read("now").unwrap() >= before);
        let ago = read("1h30m").unwrap();
        assert!(ago >= before.minus(Span::from_secs(5_400)) && ago < before);
        for text in ["", "yesterday", "-5m", "16:00", "2026-13-01T00:00:00Z"] {
            assert!(read(text).is_err(), "{text:?}");
        }
    }
}
