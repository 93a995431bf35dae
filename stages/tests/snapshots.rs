//! Snapshots that older versions of the stages wrote: each is taken up, and goes on saying what that version said.
//!
//! `golden/snapshots/v<version>.json.zst` was written by that version itself in the middle of a log: its chunks in hex, then
//! the steps that followed, each with its entries and what was committed.

mod shard_script;

use bytes::Bytes;
use serde_json::Value;
use shard_script::place;
use stages::log::{Entry, EntryKind, Step};
use stages::output::Target;
use stages::shard::Shard;
use stages::time::Time;
use std::fs;
use std::path::Path;

fn read(version: u32) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/snapshots");
    let packed = fs::read(folder.join(format!("v{version}.json.zst"))).unwrap();
    serde_json::from_slice(&zstd::stream::decode_all(&packed[..]).unwrap()).unwrap()
}

fn chunk(hex: &Value) -> Bytes {
    let digits = hex.as_str().unwrap();
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn step(step: &Value) -> Step {
    let entry = |it: &Value| Entry {
        sequence: it["sequence"].as_u64().unwrap(),
        time: Time(it["time"].as_i64().unwrap()),
        kind: match it["kind"].as_str().unwrap().split_once(' ') {
            Some((_, metric)) => EntryKind::Metric(Bytes::from(metric.to_owned())),
            None if it["kind"] == "settings" => EntryKind::Settings,
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

#[test]
fn what_version_3_wrote_goes_on_as_it_went_on_there() {
    let kept = read(3);
    let chunks: Vec<Bytes> = kept["chunks"].as_array().unwrap().iter().map(chunk).collect();
    let mut shard = Shard::restore(place(0, 1), &chunks).unwrap();
    let mut compared = 0;
    for then in kept["steps"].as_array().unwrap() {
        let said = shard.step(&step(then)).into_iter().map(|said| said.output);
        let said = said.filter(|output| output.target == Target::Commit);
        let said: Vec<Value> =
            said.map(|output| serde_json::from_slice(&output.payload).unwrap()).collect();
        assert_eq!(Value::from(said), then["said"], "{}", then["entries"]);
        compared += then["said"].as_array().unwrap().len();
    }
    assert!(compared > 20, "{compared}");
}
