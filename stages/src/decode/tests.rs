//! Every kind of bad input, alone and among good neighbours; the shortcut against the parser.

use super::refusal::RefusalReason as R;
use super::*;
use crate::batch::Kind;
use crate::time::{Span, Time};
use proptest::prelude::*;

fn reason(text: &str) -> R {
    let mut read = parse_samples(text.as_bytes());
    assert_eq!(read.len(), 1, "{text}");
    read.pop().expect("one").expect_err(text).reason
}

fn time(ts: &str) -> Option<Time> {
    let text = format!(r#"{{"name":"a","val":1,"ts":{ts}}}"#);
    parse_samples(text.as_bytes()).pop().expect("one").expect("good").time
}

#[test]
fn the_seed_form_is_read() {
    let text = br#"{"name": "county_api_ms", "ts": 1700000000, "val": 112, "id": "a1"}"#;
    let sample = parse_samples(text).pop().expect("one").expect("good");
    assert_eq!(sample.name, "county_api_ms");
    assert_eq!(sample.time, Some(Time::from_millis(1_700_000_000_000)));
    assert_eq!((sample.value, sample.kind), (112.0, Kind::Gauge));
    assert_eq!(sample.id.as_deref(), Some("a1"));
}

#[test]
fn arrays_lines_and_spread_objects_are_read() {
    let array =
        br#" [{"name":"a","val":1}, {"name":"b","val":2,"kind":"counter","labels":{"x":"y"}}] "#;
    let read: Vec<_> = parse_samples(array).into_iter().map(|s| s.expect("good")).collect();
    assert_eq!(
        (read[1].kind, read[1].labels["x"].as_str(), read[1].index),
        (Kind::Counter, "y", 1)
    );
    let lines = b"{\"name\":\"a\",\"val\":1}\n\n{\"name\":\"b\",\"val\":2}\r\n";
    assert_eq!(parse_samples(lines).iter().filter(|s| s.is_ok()).count(), 2);
    let spread = b"{\n \"name\": \"a\",\n \"val\": 1,\n \"labels\": {}\n}";
    assert_eq!(parse_samples(spread).len(), 1);
    assert_eq!(parse_samples(b"[]").len(), 0);
    assert_eq!(parse_samples(b" \n").len(), 0);
}

#[test]
fn every_kind_of_bad_sample_has_its_reason() {
    for (text, expected) in [
        ("not json", R::NotJson),
        (r#"{"name":"a","val":1"#, R::NotJson),
        (r#"{"name":"a","val":NaN}"#, R::NotJson),
        (r#"{"name":"a","val":"NaN"}"#, R::BadValue),
        (r#"{"name":"a","val":1e400}"#, R::BadValue),
        (r#"{"name":"a","val":-1e400}"#, R::BadValue),
        (r#"{"name":"a","val":null}"#, R::BadValue),
        (r#"{"name":"a"}"#, R::BadValue),
        (r#"{"name":"a","val":"12"}"#, R::WrongType),
        (r#"{"name":"a","val":true}"#, R::WrongType),
        (r#"{"name":7,"val":1}"#, R::WrongType),
        (r#"{"val":1}"#, R::WrongType),
        (r#"{"name":"a","val":1,"value":2}"#, R::WrongType),
        (r#"{"name":"a","val":1,"val":2}"#, R::WrongType),
        ("7", R::WrongType),
        (r#"{"name":"","val":1}"#, R::BadName),
        (r#"{"name":"a b","val":1}"#, R::BadName),
        (r#"{"name":"a","val":1,"labels":{"0":"x"}}"#, R::BadLabels),
        (r#"{"name":"a","val":1,"labels":{"x":1}}"#, R::BadLabels),
        (r#"{"name":"a","val":1,"ts":"yesterday"}"#, R::BadTs),
        (r#"{"name":"a","val":1,"ts":1e300}"#, R::BadTs),
        (r#"{"name":"a","val":1,"ts":-1}"#, R::NegativeTs),
        (r#"{"name":"a","val":1,"kind":"histogram"}"#, R::UnknownKind),
        (r#"{"name":"a","val":1,"id":""}"#, R::BadId),
        (r#"{"name":"a","val":1,"id":7}"#, R::BadId),
    ] {
        assert_eq!(reason(text), expected, "{text}");
    }
    assert_eq!(parse_samples(b"\xff").pop().expect("one").unwrap_err().reason, R::NotJson);
}

#[test]
fn a_name_of_ten_megabytes_is_refused_in_a_line() {
    let text = format!(r#"{{"name":"{}","val":1}}"#, "x".repeat(10 << 20));
    let refusal = parse_samples(text.as_bytes()).pop().expect("one").unwrap_err();
    assert_eq!(refusal.reason, R::BadName);
    assert!(refusal.message.len() < 400);
}

#[test]
fn one_bad_sample_costs_none_of_its_999_neighbours() {
    let good = r#"{"name":"a","val":1}"#;
    for (open, between, close) in [("[", ",", "]"), ("", "\n", "")] {
        let mut parts = vec![good; 1000];
        parts[500] = r#"{"name":"a","val":"x"}"#;
        let text = format!("{open}{}{close}", parts.join(between));
        let read = parse_samples(text.as_bytes());
        assert_eq!(read.iter().filter(|sample| sample.is_ok()).count(), 999);
        assert_eq!(read[500].as_ref().unwrap_err().index, 500);
    }
}

#[test]
fn an_array_cut_off_keeps_what_came_whole() {
    let read = parse_samples(br#"[{"name":"a","val":1},{"name":"a","v"#);
    assert!(read[0].is_ok());
    assert_eq!(read[1].as_ref().unwrap_err().reason, R::NotJson);
}

#[test]
fn the_unit_of_a_time_is_read_off_its_size() {
    let expected = Some(Time(1_700_000_000_000_000_000));
    for ts in ["1700000000", "1700000000000", "1700000000000000", "1700000000000000000", "1.7e9"] {
        assert_eq!(time(ts), expected, "{ts}");
    }
    assert_eq!(time("1700000000.5"), Some(Time(1_700_000_000_500_000_000)));
    assert_eq!(time("1700000000123456789"), Some(Time(1_700_000_000_123_456_789)));
    assert_eq!(time("null"), None);
}

#[test]
fn far_ahead_and_foreign_names_are_refused() {
    let sample =
        parse_samples(br#"{"name":"a","val":1,"ts":1000}"#).pop().expect("one").expect("good");
    let at = |seconds: i64| Time::from_millis(seconds * 1000);
    assert!(sample.check_future(at(700), Span::from_secs(300)).is_ok());
    let refusal = sample.check_future(at(699), Span::from_secs(300)).unwrap_err();
    assert_eq!(refusal.reason, R::TooFarFuture);
    assert!(sample.check_subject("a").is_ok());
    assert_eq!(sample.check_subject("b").unwrap_err().reason, R::NameMismatch);
}

proptest! {
    #[test]
    fn the_shortcut_agrees_with_the_parser(value in any::<f64>(), ts in any::<u32>(), name in "[a-z.]{0,4}") {
        prop_assume!(value.is_finite());
        let plain = serde_json::json!({"name": name, "val": value, "ts": ts}).to_string();
        // An escape in a key sends the same sample through serde.
        let escaped = plain.replace("\"name\"", "\"n\\u0061me\"");
        prop_assert_eq!(parse_samples(plain.as_bytes()), parse_samples(escaped.as_bytes()));
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        parse_samples(&bytes);
    }
}
