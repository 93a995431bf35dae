//! Input series of a rule's test: `name{label="value"}`, and values in Prometheus's expanding notation.
//!
//! ```text
//! 1 2 3          three samples, one an interval
//! 110x30         110, then 30 times more
//! 0+10x3         0 10 20 30
//! 5-1x2          5 4 3
//! _              no sample        _x5   five times none
//! stale          none, too: a series ends here by falling silent
//! ```

use crate::fields::{Fields, Said, short};
use crate::problem::{Kind as Fault, Place, Report};
use stages::batch::Kind;
use stages::series::{Labels, check_labels, check_name, series_key};
use stages::time::Span;
use std::ops::RangeInclusive;

/// Samples of one series at most: a second's for four months.
const SAMPLES_MAX: u64 = 10_000_000;
/// Between two samples.
pub(super) const INTERVAL: RangeInclusive<Span> = Span::from_millis(1)..=Span::from_secs(86_400);
/// After the beginning.
pub(super) const OFFSET: RangeInclusive<Span> = Span::ZERO..=Span::from_secs(366 * 86_400);

/// Samples of one series at even intervals.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its identity, as [`series_key`] writes it.
    pub key: String,
    /// Name of its metric.
    pub metric: String,
    /// Gauge or counter.
    pub kind: Kind,
    /// When its first value is stored, after the beginning.
    pub from: Span,
    /// Between two values.
    pub interval: Span,
    /// Its values.
    pub values: Vec<Stretch>,
}

/// Some values in a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stretch {
    /// No samples, so many times.
    None(u64),
    /// `first`, `first + step`, and so on.
    Values {
        /// The first of them.
        first: f64,
        /// From one to the next.
        step: f64,
        /// How many.
        count: u64,
    },
}

impl Stretch {
    /// How many intervals it takes.
    pub const fn len(self) -> u64 {
        match self {
            Self::None(count) | Self::Values { count, .. } => count,
        }
    }

    /// Whether it takes none.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Its value number `at`, from 0.
    pub fn value(self, at: u64) -> Option<f64> {
        match self {
            Self::None(_) => None,
            Self::Values { first, step, .. } => Some(first + step * at as f64),
        }
    }
}

impl Series {
    /// How many intervals its values take.
    pub fn len(&self) -> u64 {
        self.values.iter().map(|stretch| stretch.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When its last value is stored.
    pub fn end(&self) -> Span {
        let steps = i64::try_from(self.len().saturating_sub(1)).unwrap_or(i64::MAX);
        Span(self.from.0.saturating_add(self.interval.0.saturating_mul(steps)))
    }
}

/// Reads one series of a list.
pub(super) fn read(fields: Fields<'_>, interval: Span) -> Option<Series> {
    let name = fields.text("series");
    fields.missing("series", "series: county_api_ms");
    let kind = fields.word("kind", &[("gauge", Kind::Gauge), ("counter", Kind::Counter)]);
    let from = fields.span("from", OFFSET).unwrap_or_default();
    let interval = fields.span("interval", INTERVAL).unwrap_or(interval);
    let values = values(&fields);
    let report = fields.report;
    fields.finish();
    let (metric, labels) = selector(&name?, report)?;
    let (key, kind) = (series_key(&metric, &labels), kind.unwrap_or_default());
    Some(Series { key, metric, kind, from, interval, values: values? })
}

fn values(fields: &Fields<'_>) -> Option<Vec<Stretch>> {
    fields.missing("values", "values: 110x30 1500x60");
    let said = fields.words("values")?;
    let mut stretches: Vec<Stretch> = Vec::new();
    for word in said.text.split_whitespace() {
        match stretch(word) {
            Ok(one) => stretches.push(one),
            Err(remedy) => {
                let message = format!("values: {:?} is no value", short(word));
                fields.report.error(&said.place, Fault::BadValue, message, remedy);
                return None;
            }
        }
    }
    let many: u64 = stretches.iter().fold(0, |sum, one| sum.saturating_add(one.len()));
    if many > SAMPLES_MAX {
        let message = format!("{many} values of one series");
        let remedy = format!("write at most {SAMPLES_MAX}, or a longer interval");
        fields.report.error(&said.place, Fault::TooLarge, message, remedy);
        return None;
    }
    Some(stretches)
}

/// One word of the notation.
fn stretch(word: &str) -> Result<Stretch, String> {
    const WRITE: &str = "write numbers, 110x30 (110 and 30 more), 0+10x5, _ or _x5 for none, stale";
    let write = || WRITE.to_owned();
    if word.contains("{{") {
        return Err("native histograms are not read; write a series of values".to_owned());
    }
    let (body, times) = match word.rsplit_once('x') {
        Some((body, count)) => (body, Some(count.parse::<u64>().map_err(|_| write())?)),
        None => (word, None),
    };
    match (body, times) {
        ("_", times) => return Ok(Stretch::None(times.unwrap_or(1))),
        ("stale", None) => return Ok(Stretch::None(1)),
        _ => {}
    }
    // The sign between first and step; not the one of the number itself, nor of an exponent.
    let sign = body
        .char_indices()
        .skip(1)
        .find(|(at, c)| matches!(c, '+' | '-') && !body[..*at].ends_with(['e', 'E']));
    let number = |text: &str| {
        let number: f64 = text.parse().map_err(|_| write())?;
        if number.is_finite() {
            Ok(number)
        } else {
            Err("write a finite number: others are refused".to_owned())
        }
    };
    let (first, step) = match (sign, times) {
        (None, _) => (number(body)?, 0.0),
        (Some((at, _)), Some(_)) => (number(&body[..at])?, number(&body[at..])?),
        (Some(_), None) => return Err(write()),
    };
    Ok(Stretch::Values { first, step, count: times.map_or(1, |times| times.saturating_add(1)) })
}

/// `name`, or `name{label="value", ...}`.
pub(super) fn selector(said: &Said, report: &Report) -> Option<(String, Labels)> {
    match parse_selector(&said.text) {
        Ok(found) => Some(found),
        Err(why) => {
            let message = format!("series {:?}: {why}", short(&said.text));
            let remedy = "write it like county_api_ms{service=\"docket\"}";
            report.error(&said.place, Fault::BadName, message, remedy);
            None
        }
    }
}

/// Reads `name{label="value"}`.
///
/// # Errors
/// What is wrong with it.
pub fn parse_selector(text: &str) -> Result<(String, Labels), String> {
    let text = text.trim();
    let (name, rest) = text.split_once('{').map_or((text, None), |(name, rest)| (name, Some(rest)));
    let (mut name, mut labels) = (name.trim().to_owned(), Labels::new());
    if let Some(rest) = rest {
        let mut rest =
            rest.trim_end().strip_suffix('}').ok_or("the } at the end is missing")?.trim();
        while !rest.is_empty() {
            let (label, tail) = rest.split_once('=').ok_or("a label without =")?;
            let tail =
                tail.trim_start().strip_prefix('"').ok_or("a label's value stands in quotes")?;
            let (value, tail) = quoted(tail)?;
            let label = label.trim();
            if label == "__name__" {
                name = value;
            } else if labels.insert(label.to_owned(), value).is_some() {
                return Err(format!("label {label} stands there twice"));
            }
            let tail = tail.trim_start();
            rest = match tail.strip_prefix(',') {
                Some(tail) => tail.trim_start(),
                None if tail.is_empty() => tail,
                None => return Err("a comma is missing between labels".to_owned()),
            };
        }
    }
    check_name(&name).map_err(|error| error.to_string())?;
    check_labels(&labels).map_err(|error| error.to_string())?;
    Ok((name, labels))
}

/// The text up to its closing quote, and what follows.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let (mut value, mut chars) = (String::new(), text.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, c @ ('"' | '\\'))) => value.push(c),
                _ => return Err("a \\ that stands before none of \" \\ n".to_owned()),
            },
            c => value.push(c),
        }
    }
    Err("a quote is not closed".to_owned())
}

/// Two series of one identity would be one series with two values at a time.
pub(super) fn check_twice(series: &[(Place, Series)], report: &Report) {
    for (at, (place, one)) in series.iter().enumerate() {
        if let Some((first, _)) = series[..at].iter().find(|(_, other)| other.key == one.key) {
            let message = format!("this series stands here again, first at {first}");
            let remedy = "write its values in one line, _x30 for a pause";
            report.error(place, Fault::DuplicateName, message, remedy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str) -> Vec<Option<f64>> {
        let all = text.split_whitespace().map(|word| stretch(word).unwrap());
        all.flat_map(|one| (0..one.len()).map(move |at| one.value(at))).collect()
    }

    #[test]
    fn values_expand_as_in_the_documentation_of_prometheus() {
        let some = |values: &[f64]| values.iter().copied().map(Some).collect::<Vec<_>>();
        assert_eq!(expand("-2+4x3"), some(&[-2.0, 2.0, 6.0, 10.0]));
        assert_eq!(expand("1-2x4"), some(&[1.0, -1.0, -3.0, -5.0, -7.0]));
        assert_eq!(expand("1x4"), some(&[1.0; 5]));
        assert_eq!(expand("1 _x3 stale"), [Some(1.0), None, None, None, None]);
        assert_eq!(expand("1e-3 2.5e+2x1"), some(&[1e-3, 250.0, 250.0]));
        assert_eq!(expand("0x0 _"), [Some(0.0), None]);
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for text in [
            "",
            "x",
            "1x",
            "1+2",
            "1x-3",
            "NaN",
            "infx3",
            "a+bxn",
            "{{schema:1}}",
            "_+1x3",
            "stalex3",
        ] {
            assert!(stretch(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_selector_is_a_name_and_labels() {
        let (name, labels) = parse_selector(r#"a_ms{b="1", c = "x\"y,=}" ,}"#).unwrap();
        assert_eq!(name, "a_ms");
        let pairs: Vec<_> = labels.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(pairs, [("b", "1"), ("c", "x\"y,=}")]);
        assert_eq!(parse_selector("a").unwrap(), ("a".to_owned(), Labels::new()));
        assert_eq!(parse_selector(r#"{__name__="a"}"#).unwrap().0, "a");
        for text in [
            "",
            "a{",
            "a{b}",
            "a{b=c}",
            r#"a{b="c"d="e"}"#,
            r#"a{b="1",b="2"}"#,
            "1a",
            r#"a{b="\x"}"#,
        ] {
            assert!(parse_selector(text).is_err(), "{text:?}");
        }
    }
}
