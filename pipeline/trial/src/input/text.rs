//! Text as Prometheus writes it: OpenMetrics with times, or what `promtool tsdb dump` prints.
//!
//! `name{label="value"} 1.5 1700000000.5`; times below 1e11 are seconds, else milliseconds, as with any sample.

use super::{Flaw, Samples};
use rustc_hash::FxHashMap;
use settings::cases::parse_selector;
use stages::batch::Kind;
use stages::decode::time_of;
use stages::series::series_key;
use std::collections::BTreeSet;

const FORM: &str = "write it like county_api_ms{service=\"docket\"} 110 1700000000";

pub(super) fn read(text: &str, samples: &mut Samples) -> Result<(), Flaw> {
    let mut counters: BTreeSet<&str> = BTreeSet::new();
    // Series by their text: each is taken apart once.
    let mut known: FxHashMap<&str, u32> = FxHashMap::default();
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim();
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            counters.extend(rest.strip_suffix(" counter"));
            continue;
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let end = end_of_selector(line);
        let (selector, rest) = line.split_at(end);
        let mut words = rest.split_whitespace();
        let (value, time) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let Ok(value) = value.parse::<f64>() else {
            return Err(Flaw::at(number, end + 1, format!("{value:?} is no number"), FORM));
        };
        let Some(time) = time_of(time) else {
            let message = if time.is_empty() {
                "a sample without a time".to_owned()
            } else {
                format!("{time:?} is no time")
            };
            return Err(Flaw::at(number, end + 1, message, FORM));
        };
        let series = match known.get(selector) {
            Some(series) => *series,
            None => {
                let (name, labels) =
                    parse_selector(selector).map_err(|why| Flaw::at(number, 1, why, FORM))?;
                let counter = counters.contains(name.as_str())
                    || counters.contains(name.trim_end_matches("_total"));
                let kind = if counter { Kind::Counter } else { Kind::Gauge };
                let series = samples.number(&series_key(&name, &labels), kind);
                known.insert(selector, series);
                series
            }
        };
        // NaN is a mark of staleness here, infinities no numbers.
        if value.is_finite() {
            samples.add(time, series, value)?;
        }
    }
    Ok(())
}

/// Where the name with its labels ends.
fn end_of_selector(line: &str) -> usize {
    let (mut quoted, mut escaped, mut braces) = (false, false, false);
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' if !quoted => braces = true,
            b'}' if !quoted => return at + 1,
            b' ' | b'\t' if !braces => return at,
            _ => {}
        }
    }
    line.len()
}
