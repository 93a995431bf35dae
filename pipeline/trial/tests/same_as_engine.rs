//! What a trial says is what the engine's dataflow says of the same logs, byte for byte.

use bytes::Bytes;
use serde_json::json;
use settings::Layout;
use stages::batch::{BatchBuilder, Frame, Kind, Sample};
use stages::dataflow::{Dataflow, Feed, LogState, Round};
use stages::log::{DeskKind, LogId, Step, Stepper};
use stages::output::{Output, Target};
use stages::settings::Settings;
use stages::subject::Subjects;
use stages::time::{Span, Time};
use std::path::Path;
use std::sync::{Arc, mpsc};
use trial::{Kept, Setup, Trial};

const START: Time = Time::from_millis(1_767_571_200_000);

fn settings(changes: impl Fn(&mut Settings)) -> Settings {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut settings = settings::load_with(&Layout::at(root), |_| None).unwrap().settings;
    changes(&mut settings);
    settings
}

/// The log's entries through the dataflow, in steps as a feeder cuts them.
fn by_dataflow(log: LogId, kept: &Kept, workers: usize) -> Vec<Output> {
    let (sender, done) = mpsc::channel();
    let dataflow = Dataflow::start(workers, Subjects::default(), 1, move |one| {
        let _ = sender.send(one);
    })
    .unwrap();
    let now = Time::default();
    let adopt = Feed::Adopt(LogState { log, created: START, now, snapshot: None });
    dataflow.feed(Round { number: 1, feeds: vec![adopt] });
    let (mut stepper, mut steps) = (Stepper::new(log, START), Vec::<Step>::new());
    kept.entries.iter().for_each(|entry| stepper.push(entry.clone(), &mut steps));
    for (step, number) in steps.into_iter().zip(2..) {
        let feed = Feed::Step { log, step: Arc::new(step) };
        dataflow.feed(Round { number, feeds: vec![feed] });
    }
    dataflow.stop();
    let logs = done.into_iter().flat_map(|done| done.logs);
    let outputs = logs.flat_map(|log| {
        assert_eq!(log.stopped, None);
        log.outputs
    });
    outputs.filter(|output| output.target == Target::Commit).collect()
}

fn second(seconds: i64) -> Time {
    START.plus(Span::from_secs(seconds))
}

fn one(key: &str, value: f64) -> Bytes {
    let mut builder = BatchBuilder::new();
    builder.push(&Sample { key, kind: Kind::Gauge, time: None, value, id: None });
    Bytes::from(builder.finish())
}

fn held_against_the_dataflow(trial: &Trial) -> Vec<Output> {
    let mut all = Vec::new();
    for log in [LogId::Shard(0), LogId::Desk] {
        let kept = trial.kept(log);
        for workers in [1, 3] {
            let again = by_dataflow(log, &kept, workers);
            assert_eq!(kept.outputs, again, "{log} with {workers} workers");
        }
        all.extend(kept.outputs);
    }
    all
}

fn has(outputs: &[Output], subject: &str) -> bool {
    outputs.iter().any(|output| output.subject.contains(subject))
}

#[test]
fn a_friday_with_rollback_and_verification() {
    let settings = settings(|_| {});
    let mut trial = Trial::new(Setup { keep: true, ..Setup::at(START) });
    trial.settings(START, &[settings]).unwrap();
    let change = json!({ "schema": 1, "target": "docket-rule", "revision": "v1", "author": "deploy", "comment": null });
    trial.say(second(3), DeskKind::Change, &Bytes::from(change.to_string())).unwrap();
    for n in 0..200 {
        let value = if (20..60).contains(&n) { 1580.0 } else { 110.0 };
        trial.samples(second(n), 0, one("county_api_ms", value)).unwrap();
    }
    trial.pass(second(3_600)).unwrap();
    let said = held_against_the_dataflow(&trial);
    for subject in [
        "alert.critical.county_api.fired",
        "command",
        "recovered",
        "county_api.resolved",
        "request.0",
    ] {
        assert!(has(&said, subject), "{subject} is missing");
    }
}

#[test]
fn fast_samples_of_many_series_with_holes_silences_and_gaps() {
    let settings = settings(|settings| {
        let rule = Arc::make_mut(&mut settings.rules[0]);
        (rule.group_by, rule.window) = (vec!["pod".to_owned()], Span::from_secs(20));
        (rule.hold, rule.action) = (Span::from_secs(3), None);
    });
    let mut trial = Trial::new(Setup { keep: true, ..Setup::at(START) });
    trial.settings(START, &[settings]).unwrap();
    let keys = (0..7).map(|pod| (format!("county_api_ms\u{1f}pod\u{1e}p{pod}"), Kind::Gauge));
    let mut frame = Frame::new(keys.collect());
    let mut state = 7_u64;
    let mut roll = |sides: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % sides
    };
    let mut at = START;
    for n in 0..3_000 {
        at = at.plus(Span::from_millis(1 + roll(90) as i64));
        if n % 700 == 699 {
            at = at.plus(Span::from_secs(30));
        }
        if n == 1_500 {
            trial.hole(at, at.plus(Span::from_secs(20))).unwrap();
        }
        let values: Vec<Option<f64>> =
            (0..7).map(|_| (roll(5) > 0).then(|| 400.0 + roll(1_200) as f64)).collect();
        trial.samples(at, 0, Bytes::from(frame.write(&values))).unwrap();
    }
    trial.pass(at.plus(Span::from_secs(600))).unwrap();
    let said = held_against_the_dataflow(&trial);
    assert!(has(&said, "alert.critical.county_api.fired"));
    assert!(said.iter().any(|output| output.payload.windows(8).any(|text| text == b"data_gap")));
}
