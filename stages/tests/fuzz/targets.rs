//! What takes bytes, and the right inputs it is begun with.

use crate::mutate::Target;
use crate::shard_script::{Bench, START, place, rule, settings};
use bytes::Bytes;
use serde_json::{Value, json};
use stages::batch::{Batch, BatchBuilder, Kind, Sample};
use stages::desk::Desk;
use stages::log::{DeskKind, Entry, EntryKind, Step};
use stages::revision::Ahead;
use stages::settings::Settings;
use stages::shard::Shard;
use stages::subject::{Subjects, unescape};
use stages::time::{Span, Time};

/// All of them.
#[allow(dead_code, reason = "tests name them one by one; the guided fuzzer looks for one here")]
pub const ALL: [fn() -> Target; 8] = [
    samples_as_json,
    batch_entries,
    entries_of_a_shard,
    entries_of_the_desk,
    glimpses,
    snapshots,
    snapshots_of_the_desk,
    subjects,
];

fn at(seconds: i64) -> Time {
    START.plus(Span::from_secs(seconds))
}

fn in_force() -> Settings {
    let percentile =
        json!({ "stat": { "percentile": 99.0 }, "window": "10s", "group_by": ["pod"] });
    settings(vec![
        rule("count", &json!({ "stat": "count", "threshold": 3, "window": "5s" })),
        rule("mean", &json!({ "window": "10s", "min_samples": 2 })),
        rule("p99", &percentile),
        rule("rate", &json!({ "stat": "rate", "threshold": 1 })),
    ])
}

fn json_samples() -> Vec<Vec<u8>> {
    [
        r#"{"name":"county_api_ms","val":112}"#,
        r#"[{"name":"county_api_ms","val":1e3,"ts":1700000000,"labels":{"pod":"a","court":"x"}},{"name":"county_api_ms","val":-0.5,"kind":"counter","id":"5f"}]"#,
        "{\"name\":\"county_api_ms\",\"val\":1}\n{\"name\":\"county_api_ms\",\"val\":2.5e-3,\"ts\":1700000000123}\n",
        r#"{"val":1.7976931348623157e308,"name":"county_api_ms","labels":{"\u0061":"\ud83d\ude00\n"},"ts":"x"}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

fn batches() -> Vec<Vec<u8>> {
    let batch = |client: &str, samples: &[Sample<'_>]| {
        let mut builder = BatchBuilder::new();
        builder.section(client, 7);
        samples.iter().for_each(|sample| assert!(builder.push(sample)));
        builder.finish()
    };
    let sample = |key, value, time, id| Sample { key, kind: Kind::Gauge, time, value, id };
    vec![
        batch("", &[sample("county_api_ms", 1.0, None, None)]),
        batch(
            "svc-1",
            &[
                sample("county_api_ms", 1.5, Some(at(1)), Some("a")),
                sample("county_api_ms", -7e9, Some(at(2)), None),
                sample("other_ms", 0.1, None, Some("b")),
            ],
        ),
    ]
}

/// A shard with something in it, and its snapshot.
fn shard() -> Bench {
    let mut bench = Bench::new();
    bench.settings(START, &in_force());
    for n in 0..40 {
        bench.sample(at(n / 4), 900.0 + n as f64 * 10.0, &json!({ "pod": (n % 3).to_string() }));
    }
    bench.ticks_before(at(20));
    bench
}

fn step(sequence: u64, time: Time, kind: EntryKind, payload: &[u8]) -> Step {
    let payload = Bytes::copy_from_slice(payload);
    let entry = Entry { sequence, time, kind, payload };
    Step { began: time, ended: time, entries: vec![entry], ahead: Ahead::default() }
}

pub fn samples_as_json() -> Target {
    Target::new("json", 400_000, json_samples(), move |bytes| {
        for sample in stages::decode::parse_samples(bytes).into_iter().flatten() {
            assert!(sample.value.is_finite());
        }
    })
}

pub fn batch_entries() -> Target {
    Target::new("batch", 400_000, batches(), move |bytes| {
        let Ok(batch) = Batch::parse(bytes) else { return };
        let mut count = 0_u64;
        for block in batch.sections().flat_map(|section| section.blocks()) {
            let mut seen = 0_u64;
            let _ = block.for_each(|_, _, _| seen += 1);
            assert!(seen <= block.count());
            count += seen;
        }
        assert!(count as usize <= bytes.len() * 8, "samples out of nothing");
    })
}

pub fn entries_of_a_shard() -> Target {
    let kinds = [
        EntryKind::Metric(Bytes::from_static(b"county_api_ms")),
        EntryKind::Batch,
        EntryKind::Settings,
        EntryKind::Verify,
        EntryKind::Look,
        EntryKind::Skipped,
        EntryKind::Unknown,
    ];
    let verify = json!({
        "source": { "stream": "events", "sequence": 5, "time": at(1) }, "schema": 1, "subject": "ops.request.0",
        "body": { "schema": 1, "incident": "i", "plan": "P", "rule": "mean", "group": {}, "from": at(3),
            "for": "2s", "until": at(9), "min_samples": 1 },
    });
    let mut corpus = [json_samples(), batches()].concat();
    corpus.push(serde_json::to_vec(&in_force()).unwrap());
    corpus.push(verify.to_string().into_bytes());
    corpus.push(json!({ "schema": 1, "metric": "county_api_ms" }).to_string().into_bytes());
    let chunks = shard().shard.snapshot();
    let (mut shard, mut sequence) = (Shard::restore(place(0, 1), &chunks).unwrap(), 1_000);
    Target::new("shard", 150_000, corpus, move |bytes| {
        for kind in &kinds {
            sequence += 1;
            shard.step(&step(sequence, at(20 + sequence as i64), kind.clone(), bytes));
        }
        if sequence.is_multiple_of(600) {
            // Settings made of noise must not pile up.
            shard = Shard::restore(place(0, 1), &chunks).unwrap();
        }
    })
}

/// Settings with a rule whose metrics lie in two of four shards, and what these see of it.
fn apart() -> (Settings, Vec<Value>) {
    let shard = |name: &String| Subjects::default().shard_of(name, 4);
    let one = "requests".to_owned();
    let other = (0..).map(|n| format!("errors_{n}")).find(|name| shard(name) != shard(&one));
    let other = other.expect("there is always a further name");
    let term = |metric: &str| {
        json!({ "metric": metric, "stat": "sum", "compare": ">", "threshold": 0.5, "window": "10s",
            "min_samples": 1, "fresh_for": "10s" })
    };
    let (mut ratio, both) = (term(&other), json!([[term(&one), term(&other)]]));
    ratio["per"] = json!(one);
    ratio["baseline"] = json!("1m");
    let grouped = json!({ "metric": other, "any_of": [[ratio]], "group_by": ["pod"] });
    let rules =
        vec![rule("both", &json!({ "metric": one, "any_of": both })), rule("ratio", &grouped)];
    let glimpse = json!({ "group": {}, "value": 3.5, "last": at(1), "count": 7, "mean": 0.5, "min": 0,
        "max": 1, "window_start": at(0), "panes": 2, "panes_filled": 1, "series": 1, "log_start": 1 });
    let mut of_pod = glimpse.clone();
    of_pod["group"] = json!({ "pod": "a" });
    of_pod["earlier"] = json!(2.0);
    of_pod["percentiles"] = json!([0.1, 0.9, 1]);
    let seen = |shard: u32, parts: Value| {
        json!({ "type": "glimpses", "schema": 1, "shard": shard, "position": 9, "time": at(2),
            "revision": "", "armed": at(0), "parts": parts })
    };
    let part = |rule: &str, term: u32, group: &Value| json!({ "rule": rule, "term": term, "last": at(1), "groups": [group] });
    let mut per = part("ratio", 0, &of_pod);
    per["per"] = json!(true);
    let mut verified = part("both", 1, &glimpse);
    verified["incident"] = json!("i");
    let first = json!([part("both", 0, &glimpse), per]);
    let second = json!([part("both", 1, &glimpse), part("ratio", 0, &of_pod), verified]);
    let seen = vec![seen(shard(&one), first), seen(shard(&other), second), seen(0, json!([]))];
    (settings(rules), seen)
}

fn relayed(sequence: u64, subject: &str, body: &Value) -> Vec<u8> {
    let source = json!({ "stream": "events", "sequence": sequence, "time": at(1) });
    let relayed = json!({ "schema": 1, "source": source, "subject": subject, "body": body });
    relayed.to_string().into_bytes()
}

/// What shards see of rules that lie apart; the desk judges by it.
pub fn glimpses() -> Target {
    let (settings, seen) = apart();
    let settings = serde_json::to_vec(&settings).unwrap();
    let begun = move || {
        let mut desk = Desk::new(Subjects::default(), 4, START);
        desk.step(&step(1, at(0), EntryKind::Settings, &settings));
        desk
    };
    let kind = EntryKind::Desk(DeskKind::Transition);
    let relay = |(sequence, body): (u64, &Value)| {
        relayed(sequence, &format!("ops.transition.{}", body["shard"]), body)
    };
    let corpus: Vec<Vec<u8>> = (1..).zip(&seen).map(relay).collect();
    // Right ones are judged by, or changing them a little would try nothing.
    let mut desk = begun();
    let judged = (2..).zip(&corpus).flat_map(|(sequence, bytes)| {
        desk.step(&step(sequence, at(2 + sequence as i64), kind.clone(), bytes))
    });
    let judged = judged.filter(|output| output.subject == "ops.transition.desk.judged").count();
    assert!(judged > 0, "nothing is judged");
    let (mut desk, mut sequence) = (begun(), 1);
    Target::new("glimpses", 100_000, corpus, move |bytes| {
        sequence += 1;
        desk.step(&step(sequence, at(2 + sequence as i64), kind.clone(), bytes));
        if sequence.is_multiple_of(500) {
            (desk, sequence) = (begun(), 1);
        }
    })
}

pub fn entries_of_the_desk() -> Target {
    let mut corpus = vec![serde_json::to_vec(&in_force()).unwrap()];
    let bench = shard();
    let said = bench
        .outputs
        .iter()
        .flatten()
        .filter(|output| output.subject.starts_with("ops.transition"));
    for (sequence, output) in (1..).zip(said.take(6)) {
        let body = serde_json::from_slice(&output.payload).unwrap();
        corpus.push(relayed(sequence, &output.subject, &body));
    }
    for body in [
        json!({ "schema": 1, "incident": "i", "author": "anna", "comment": "seen" }),
        json!({ "schema": 1, "id": "s", "author": "anna", "comment": "c", "matchers": { "rule": "mean" },
            "starts": null, "ends": at(60), "actions": true }),
        json!({ "schema": 1, "frozen": true, "author": "anna", "comment": null }),
        json!({ "schema": 1, "target": "P", "revision": "r", "author": "ci", "comment": null }),
        json!({ "schema": 1, "plan": "P", "author": "anna", "comment": "c" }),
    ] {
        corpus.push(body.to_string().into_bytes());
    }
    let outcome =
        json!({ "schema": 1, "plan": "P", "incident": "i", "agent": "a", "state": "succeeded" });
    corpus.push(relayed(9, "ops.status.rollback.P", &outcome));
    let kinds = [
        DeskKind::Transition,
        DeskKind::Outcome,
        DeskKind::Ack,
        DeskKind::Silence,
        DeskKind::Approve,
        DeskKind::Change,
        DeskKind::Freeze,
        DeskKind::Close,
        DeskKind::Unlock,
    ];
    let kinds =
        kinds.map(EntryKind::Desk).into_iter().chain([EntryKind::Settings]).collect::<Vec<_>>();
    let (mut desk, mut sequence) = (Desk::new(Subjects::default(), 1, START), 0);
    Target::new("desk", 150_000, corpus, move |bytes| {
        for kind in &kinds {
            sequence += 1;
            desk.step(&step(sequence, at(sequence as i64), kind.clone(), bytes));
        }
        if sequence.is_multiple_of(1_000) {
            desk = Desk::new(Subjects::default(), 1, START);
        }
    })
}

pub fn snapshots() -> Target {
    let corpus: Vec<Vec<u8>> =
        shard().shard.snapshot().iter().map(|chunk| chunk.to_vec()).collect();
    let whole = corpus.clone();
    let mut turn = 0;
    Target::new("snapshot", 150_000, corpus, move |bytes| {
        turn += 1;
        let mut chunks: Vec<Bytes> = whole.iter().cloned().map(Bytes::from).collect();
        let replaced = turn % chunks.len();
        chunks[replaced] = Bytes::copy_from_slice(bytes);
        // One that is taken for good must work.
        if let Ok(mut shard) = Shard::restore(place(0, 1), &chunks) {
            shard.step(&step(2_000, at(2_000), EntryKind::Tick, b""));
            shard.snapshot();
        }
    })
}

pub fn snapshots_of_the_desk() -> Target {
    let mut desk = Desk::new(Subjects::default(), 1, START);
    desk.step(&step(1, at(1), EntryKind::Settings, &serde_json::to_vec(&in_force()).unwrap()));
    let corpus: Vec<Vec<u8>> = desk.snapshot().iter().map(|chunk| chunk.to_vec()).collect();
    Target::new("desk_snapshot", 150_000, corpus, move |bytes| {
        let _ = Desk::restore(Subjects::default(), 1, START, &[Bytes::copy_from_slice(bytes)]);
    })
}

pub fn subjects() -> Target {
    let corpus = [
        "ops.log.0.metric.county_api_ms",
        "ops.desk.outcome.status.rollback.P",
        "oncall%40opm%2Egov",
    ];
    let corpus = corpus.map(|text| text.as_bytes().to_vec()).to_vec();
    Target::new("subject", 400_000, corpus, move |bytes| {
        let _ = Subjects::default().entry_kind(Bytes::copy_from_slice(bytes));
        let _ = unescape(&String::from_utf8_lossy(bytes));
    })
}
