//! How a snapshot is kept: `golden/snapshots/v<version>.json.zst`, its chunks in hex, then the steps of the log that
//! followed, each with its entries and what was committed.

use crate::story::Played;
use bytes::Bytes;
use serde_json::{Value, json};
use stages::log::{Entry, EntryKind, Step};
use stages::output::{Output, Target};
use stages::time::Time;
use std::fs;
use std::path::{Path, PathBuf};

pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/snapshots/{name}.json.zst"))
}

pub fn read(name: &str) -> Value {
    let path = path(name);
    let packed = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&zstd::stream::decode_all(&packed[..]).unwrap()).unwrap()
}

/// Keeps it under this name, unless there is one: what another version wrote cannot be written again.
pub fn write(name: &str, kept: &Value) {
    let path = path(name);
    if !path.exists() {
        fs::write(path, zstd::bulk::compress(kept.to_string().as_bytes(), 19).unwrap()).unwrap();
    }
}

/// What is kept of a log of a shard.
pub fn of(played: &Played) -> Value {
    let steps = played.bench.steps.iter().zip(&played.bench.outputs).skip(played.before);
    let steps: Vec<Value> = steps.map(|(step, outputs)| of_step(step, outputs)).collect();
    let chunks: Vec<String> = played.chunks.iter().map(|chunk| hex(chunk)).collect();
    json!({ "version": stages::VERSION, "chunks": chunks, "steps": steps })
}

fn of_step(step: &Step, outputs: &[Output]) -> Value {
    let entry = |it: &Entry| {
        let kind = match &it.kind {
            EntryKind::Settings => "settings".to_owned(),
            EntryKind::Tick => "tick".to_owned(),
            EntryKind::Verify => "verify".to_owned(),
            EntryKind::Metric(name) => format!("metric {}", std::str::from_utf8(name).unwrap()),
            other => panic!("the story has no {other:?}"),
        };
        let payload = std::str::from_utf8(&it.payload).unwrap();
        json!({ "sequence": it.sequence, "time": it.time.0, "kind": kind, "payload": payload })
    };
    let entries: Vec<Value> = step.entries.iter().map(entry).collect();
    json!({ "began": step.began.0, "ended": step.ended.0, "entries": entries, "said": said(outputs) })
}

/// What was committed.
pub fn said<'a>(outputs: impl IntoIterator<Item = &'a Output>) -> Vec<Value> {
    let committed = outputs.into_iter().filter(|output| output.target == Target::Commit);
    committed.map(|output| serde_json::from_slice(&output.payload).unwrap()).collect()
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
            None if it["kind"] == "settings" => EntryKind::Settings,
            None if it["kind"] == "verify" => EntryKind::Verify,
            None => EntryKind::Tick,
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
