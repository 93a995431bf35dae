//! Every kind of bad input, alone and among good neighbours; the shortcut against the parser.

use super::refusal::RefusalReason as R;
use super::*;
use crate::batch::Kind;
use crate::series::split_key;
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
    each_sample(br#"{"name":"a","val":1}"#, &mut String::new(), &mut |sample| {
        let sample = sample.expect("good");
        assert!(sample.check_subject("a").is_ok());
        assert_eq!(sample.check_subject("b").unwrap_err().reason, R::NameMismatch);
    });
}

/// A sample as people write it: fields in any order, some missing, some twice, some wrong.
fn written() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        8 => "[a-z_.:]{0,12}",
        1 => "[ -~]{0,20}".prop_map(|text| text.replace(['"', '\\'], "")),
        1 => any::<String>().prop_map(|text| serde_json::json!(text).to_string().trim_matches('"').to_owned()),
    ];
    let number = prop_oneof![
        any::<f64>()
            .prop_filter("finite", |value| value.is_finite())
            .prop_map(|v| serde_json::json!(v).to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        "-?[0-9.eE+]{1,6}",
    ];
    let quoted = text.prop_map(|text| format!("\"{text}\"")).boxed();
    let labels =
        proptest::collection::vec((quoted.clone(), quoted.clone()), 0..20).prop_map(|pairs| {
            let pairs: Vec<_> =
                pairs.iter().map(|(name, value)| format!("{name}:{value}")).collect();
            format!("{{{}}}", pairs.join(" , "))
        });
    let kind = prop_oneof![Just("\"gauge\""), Just("\"counter\""), Just("\"x\""), Just("null")];
    let named = |name: &'static str, value: BoxedStrategy<String>| {
        value.prop_map(move |value| format!("\"{name}\":{value}")).boxed()
    };
    let field = prop_oneof![
        named("name", quoted.clone()),
        named("val", number.clone().boxed()),
        named("ts", number.boxed()),
        named("id", quoted.clone()),
        named("labels", labels.boxed()),
        named("kind", kind.prop_map(str::to_owned).boxed()),
    ];
    let base =
        (any::<bool>(), Just("\"name\":\"a_ms\"".to_owned()), Just("\"val\":1.5".to_owned()));
    (base, proptest::collection::vec(field, 0..5), "[ \n]{0,2}").prop_perturb(
        |((whole, name, value), mut fields, space), mut random| {
            for field in [name, value].into_iter().filter(|_| whole) {
                let place = random.random_range(0..=fields.len());
                fields.insert(place, field);
            }
            format!("{space}{{{space}{}{space}}}{space}", fields.join(&format!("{space},{space}")))
        },
    )
}

/// The same text with an escape in every key, which sends it through serde.
fn escaped(text: &str) -> String {
    text.replace("\"name\":", "\"n\\u0061me\":").replace("\"val\":", "\"v\\u0061l\":")
}

fn keyed(bytes: &[u8]) -> Vec<Result<ParsedSample<'static>, Refusal>> {
    let mut read = Vec::new();
    each_sample(bytes, &mut String::from("left over"), &mut |sample| {
        read.push(sample.map(|sample| {
            let (name, labels) = split_key(sample.key);
            assert_eq!(name, sample.name);
            ParsedSample {
                index: sample.index,
                name: name.to_owned().into(),
                labels: labels.map(|(name, value)| (name.into(), value.into())).collect(),
                kind: sample.kind,
                time: sample.time,
                value: sample.value,
                id: sample.id.map(|id| id.to_owned().into()),
            }
        }));
    });
    read
}

proptest! {
    #[test]
    fn the_shortcut_agrees_with_the_parser(text in written()) {
        // A message that names no name or value is refused by both, with its own text.
        let (plain, escaped) = (parse_samples(text.as_bytes()).pop(), escaped(&text));
        let parsed = parse_samples(escaped.as_bytes()).pop();
        match (plain, parsed) {
            (Some(Err(plain)), Some(Err(parsed))) => prop_assert_eq!(plain.reason, parsed.reason),
            (plain, parsed) => prop_assert_eq!(plain, parsed),
        }
    }

    #[test]
    fn the_shortcut_agrees_with_the_parser_on_numbers(number in "-?(0|[1-9][0-9]{0,19})(\\.[0-9]{1,19})?") {
        let plain = format!(r#"{{"name":"a","val":{number},"ts":{number}}}"#);
        let escaped = escaped(&plain);
        prop_assert_eq!(parse_samples(plain.as_bytes()), parse_samples(escaped.as_bytes()));
        let text = format!(r#"{{"name":"a","val":{number}}}"#);
        let value = parse_samples(text.as_bytes()).pop().expect("one").expect("good").value;
        prop_assert_eq!(value.to_bits(), number.parse::<f64>().expect("a number").to_bits());
    }

    #[test]
    fn arrays_and_lines_read_as_their_samples_do(texts in proptest::collection::vec(written(), 0..6), cut in 0..40_usize) {
        let lines: Vec<_> = texts.iter().map(|text| text.replace('\n', " ")).collect();
        for (open, between, close) in [("[", ",", "]"), ("", "\n", "")] {
            let plain = format!("{open}{}{close}", lines.join(between));
            let read = parse_samples(plain.as_bytes());
            prop_assert_eq!(&keyed(plain.as_bytes()), &read);
            let parsed = escaped(&plain);
            let parsed = parse_samples(parsed.as_bytes());
            prop_assert_eq!(read.len(), parsed.len());
            for (one, other) in read.iter().zip(&parsed).filter(|(one, _)| one.is_ok()) {
                prop_assert_eq!(one, other);
            }
            // Cut off anywhere: nothing that came whole is lost, and nothing panics.
            let end = plain.len().saturating_sub(cut);
            let end = (0..=end).rev().find(|at| plain.is_char_boundary(*at)).unwrap_or(0);
            let cut = &plain.as_bytes()[..end];
            prop_assert_eq!(keyed(cut), parse_samples(cut));
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        prop_assert_eq!(keyed(&bytes), parse_samples(&bytes));
    }
}
