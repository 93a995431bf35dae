//! How a snapshot is kept: `golden/snapshots/v<version>.json.zst`, its chunks in hex, then the steps of the log that
//! followed, each with its entries and what was committed.

use bytes::Bytes;
use serde_json::{Value, json};
use stages::log::{DeskKind, Entry, EntryKind, Step};
use stages::output::{Output, Target};
use stages::time::Time;
use std::fs;
use std::path::{Path, PathBuf};

/// Kinds of entries that have no metric, and their words.
const PLAIN: [(EntryKind, &str); 8] = [
    (EntryKind::Settings, "settings"),
    (EntryKind::Tick, "tick"),
    (EntryKind::Verify, "verify"),
    (EntryKind::Desk(DeskKind::Transition), "transition"),
    (EntryKind::Desk(DeskKind::Outcome), "outcome"),
    (EntryKind::Desk(DeskKind::Ack), "ack"),
    (EntryKind::Desk(DeskKind::Silence), "silence"),
    (EntryKind::Desk(DeskKind::Change), "change"),
];

pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/snapshots/{name}.json.zst"))
}

pub fn read(name: &str) -> Value {
    let path = path(name);
    let packed = fs::read(&path).unwrap_or_else(|error| {
        panic!("{}: {error}; OPS_BLESS=1 writes one of this version", path.display())
    });
    serde_json::from_slice(&zstd::stream::decode_all(&packed[..]).unwrap()).unwrap()
}

/// Keeps it under this name, unless there is one: what another version wrote cannot be written again.
pub fn write(name: &str, kept: &Value) {
    let path = path(name);
    if !path.exists() {
        fs::write(path, zstd::bulk::compress(kept.to_string().as_bytes(), 19).unwrap()).unwrap();
    }
}

/// A snapshot, and the steps that followed with what was said at each.
pub struct Played {
    pub version: u64,
    pub chunks: Vec<Bytes>,
    pub steps: Vec<(Step, Vec<Value>)>,
}

/// What is kept of it.
pub fn of(played: &Played) -> Value {
    let steps: Vec<Value> = played.steps.iter().map(|(step, said)| of_step(step, said)).collect();
    let chunks: Vec<String> = played.chunks.iter().map(|chunk| hex(chunk)).collect();
    json!({ "version": played.version, "chunks": chunks, "steps": steps })
}

fn of_step(step: &Step, said: &[Value]) -> Value {
    let entry = |it: &Entry| {
        let kind = match &it.kind {
            EntryKind::Metric(name) => format!("metric {}", std::str::from_utf8(name).unwrap()),
            plain => PLAIN.iter().find(|(kind, _)| kind == plain).unwrap().1.to_owned(),
        };
        let payload = std::str::from_utf8(&it.payload).unwrap();
        json!({ "sequence": it.sequence, "time": it.time.0, "kind": kind, "payload": payload })
    };
    let entries: Vec<Value> = step.entries.iter().map(entry).collect();
    json!({ "began": step.began.0, "ended": step.ended.0, "entries": entries, "said": said })
}

/// What was committed.
pub fn said<'a>(outputs: impl IntoIterator<Item = &'a Output>) -> Vec<Value> {
    told(outputs).into_iter().map(|mut told| told["body"].take()).collect()
}

/// The same with the subjects it was said on.
pub fn told<'a>(outputs: impl IntoIterator<Item = &'a Output>) -> Vec<Value> {
    let committed = outputs.into_iter().filter(|output| output.target == Target::Commit);
    let told = |output: &Output| {
        let body: Value = serde_json::from_slice(&output.payload).unwrap();
        json!({ "subject": output.subject, "body": body })
    };
    committed.map(told).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn chunks(kept: &Value) -> Vec<Bytes> {
    let chunk = |hex: &Value| {
        let digits = hex.as_str().unwrap();
        let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        (0..digits.len()).step_by(2).map(byte).collect()
    };
    kept["chunks"].as_array().unwrap().iter().map(chunk).collect()
}

pub fn step(step: &Value) -> Step {
    let entry = |it: &Value| Entry {
        sequence: it["sequence"].as_u64().unwrap(),
        time: Time(it["time"].as_i64().unwrap()),
        kind: match it["kind"].as_str().unwrap().split_once(' ') {
            Some((_, metric)) => EntryKind::Metric(Bytes::from(metric.to_owned())),
            None => PLAIN.iter().find(|(_, word)| it["kind"] == *word).unwrap().0.clone(),
        },
        payload: Bytes::from(it["payload"].as_str().unwrap().to_owned()),
    };
    Step {
        began: Time(step["began"].as_i64().unwrap()),
        ended: Time(step["ended"].as_i64().unwrap()),
        entries: step["entries"].as_array().unwrap().iter().map(entry).collect(),
        ahead: Default::default(),
    }
}
