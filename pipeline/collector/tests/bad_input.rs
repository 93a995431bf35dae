//! Whatever is sent gets a clear answer, and costs nothing good beside it.

#![allow(clippy::unwrap_used)]

mod support;

use bus::{Bus, Stream};
use std::time::{SystemTime, UNIX_EPOCH};
use support::{memory, options, start, stored};

#[tokio::test]
async fn each_bad_sample_is_told_what_is_wrong_and_what_to_write() {
    let bus = memory().await;
    let collector = start(options(bus.clone())).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let many: Vec<String> = (0..10_000).map(|n| format!("\"l{n}\":\"\"")).collect();
    let cases = [
        ("".to_owned(), "not_json"),
        ("hello".into(), "not_json"),
        ("\u{0}\u{1}".into(), "not_json"),
        (r#"{"name":"a","val":1"#.into(), "not_json"),
        (r#"[{"name":"a","val":"#.into(), "not_json"),
        (r#"{"name":7,"val":1}"#.into(), "wrong_type"),
        (r#"{"name":"a","val":"fast"}"#.into(), "wrong_type"),
        (r#"{"val":1}"#.into(), "wrong_type"),
        (r#"{"name":"a"}"#.into(), "bad_value"),
        (r#"{"name":"a","val":null}"#.into(), "bad_value"),
        (r#"{"name":"a","val":1e400}"#.into(), "bad_value"),
        (r#"{"name":"","val":1}"#.into(), "bad_name"),
        (r#"{"name":"a b","val":1}"#.into(), "bad_name"),
        (format!(r#"{{"name":"{}","val":1}}"#, "x".repeat(300_000)), "bad_name"),
        (format!(r#"{{"name":"a","val":1,"labels":{{{}}}}}"#, many.join(",")), "bad_labels"),
        (r#"{"name":"a","val":1,"labels":["x"]}"#.into(), "bad_labels"),
        (r#"{"name":"a","val":1,"ts":"yesterday"}"#.into(), "bad_ts"),
        (r#"{"name":"a","val":1,"ts":-1}"#.into(), "negative_ts"),
        (format!(r#"{{"name":"a","val":1,"ts":{}}}"#, now + 3600), "too_far_future"),
        (r#"{"name":"a","val":1,"kind":"histogram"}"#.into(), "unknown_kind"),
        (format!("[{}", "[".repeat(100_000)), "not_json"),
    ];
    for (body, reason) in &cases {
        let shown: String = body.chars().take(60).collect();
        let answer = collector.post(body).await;
        assert_eq!(answer.status, 400, "{shown}: {answer:?}");
        assert_eq!(
            (answer.body["accepted"].as_u64(), answer.body["refused"].as_u64()),
            (Some(0), Some(1))
        );
        let error = &answer.body["errors"][0];
        assert_eq!(error["reason"], *reason, "{shown}: {error}");
        assert_eq!(error["index"], 0);
        assert!(error["message"].as_str().is_some_and(|text| (1..400).contains(&text.len())));
        assert!(error["remedy"].as_str().is_some_and(|text| !text.is_empty()));
    }
    for word in ["NaN", "Infinity", "-Infinity"] {
        let answer = collector.post(format!(r#"{{"name":"a","val":{word}}}"#)).await;
        assert_eq!(answer.status, 400, "{word}: {answer:?}");
        assert_eq!(answer.body["accepted"], 0);
    }
    assert!(bus.messages(Stream::Log).is_empty());
    let refused: u64 = collector.handle.counts().refused.values().sum();
    assert_eq!(refused, cases.len() as u64 + 3);
}

#[tokio::test]
async fn a_sample_of_the_past_is_taken() {
    let bus = memory().await;
    let collector = start(options(bus.clone())).await;
    assert_eq!(collector.post(r#"{"name":"a","val":1,"ts":1}"#).await.status, 202);
    assert_eq!(stored(&bus.messages(Stream::Log)).len(), 1);
}

#[tokio::test]
async fn one_bad_sample_costs_the_999_beside_it_nothing() {
    let bus = memory().await;
    let collector = start(options(bus.clone())).await;
    for (separator, open, close) in [(",", "[", "]"), ("\n", "", "\n")] {
        let mut samples: Vec<String> =
            (0..1000).map(|n| format!(r#"{{"name":"county_api_ms","val":{n}}}"#)).collect();
        samples[500] = r#"{"name":"county_api_ms","val":"slow"}"#.into();
        let before = stored(&bus.messages(Stream::Log)).len();
        let answer = collector.post(format!("{open}{}{close}", samples.join(separator))).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.body["accepted"], 999);
        assert_eq!(answer.body["refused"], 1);
        assert_eq!(answer.body["errors"][0]["index"], 500);
        assert_eq!(stored(&bus.messages(Stream::Log)).len() - before, 999);
    }
}

#[tokio::test]
async fn refused_samples_are_kept_with_their_bytes() {
    let bus = memory().await;
    let collector = start(options(bus.clone())).await;
    let mut letters = bus.read(Stream::DeadLetter, None, 1).await.unwrap();
    let bad = r#"{"name":"a","val":"slow"}"#;
    collector.post(format!(r#"[{{"name":"a","val":1}}, {bad}]"#)).await;
    let mut found = Vec::new();
    letters.next(&mut found).await.unwrap();
    assert_eq!(found[0].subject, "ops.deadletter.wrong_type");
    assert_eq!(found[0].payload, bad);
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_and_its_sender_reads_the_answer() {
    let collector = start(options(memory().await)).await;
    let body = format!(r#"{{"name":"{}","val":1}}"#, "x".repeat(10_000_000));
    let answer = collector.post(body).await;
    assert_eq!(answer.status, 413);
    assert!(answer.body["remedy"].as_str().unwrap().contains("smaller"));
}

#[tokio::test]
async fn what_is_no_post_of_json_is_told_so() {
    let collector = start(options(memory().await)).await;
    assert_eq!(collector.ask("GET", "/metric", &[], "").await.status, 405);
    assert_eq!(collector.ask("POST", "/metrics/x", &[], "").await.status, 404);
    let headers = [("Content-Type", "application/x-protobuf")];
    assert_eq!(collector.ask("POST", "/metric", &headers, "x").await.status, 415);
    let headers = [("Content-Encoding", "gzip")];
    assert_eq!(collector.ask("POST", "/metric", &headers, "x").await.status, 415);
    let headers = [("Ops-Batch", "1")];
    assert_eq!(collector.ask("POST", "/metric", &headers, "x").await.status, 400);
    assert_eq!(collector.handle.counts().turned_away[&415], 2);
}
