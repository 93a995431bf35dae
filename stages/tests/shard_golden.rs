//! Golden scripts of one shard: event, gap, expected. `tests/golden/shard/*.txt`.
//!
//! ```text
//! rule {"for": "10s"}            the brief's rule with these fields
//! 0s..20s every 100ms 110        samples from (in) to (out)
//! 30s 1500 {"pod": "a"}          one sample, with labels; `__name__` is its metric, where it is another one
//! 40s hole                       nothing is stored from the last entry until here
//! 50s rules {"threshold": 5}     an edit; "rules -" removes the rule
//! 60s verify 61s 10s 5m          a verification: from, for, within
//! 90s end                        time passes until here
//! ---
//! what the shard says
//! ```

mod shard_script;

use bytes::Bytes;
use serde_json::{Value, json};
use shard_script::{Bench, START, line, rule, settings};
use stages::log::EntryKind;
use stages::time::{Span, Time};
use std::fs;
use std::path::Path;

#[test]
fn shards_keep_to_their_scripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/shard");
    let mut paths: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 9, "the scripts are gone: {paths:?}");
    let mut wrong = String::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let (script, expected) =
            text.split_once("---\n").expect("a line --- before what is expected");
        let said = play(script);
        if said.trim() != expected.trim() {
            wrong.push_str(&format!("{}:\n{said}\n", path.display()));
        }
    }
    assert!(wrong.is_empty(), "other than written:\n{wrong}");
}

fn play(script: &str) -> String {
    let mut bench = Bench::new();
    let lines = script.lines().map(str::trim);
    for text in lines.filter(|text| !text.is_empty() && !text.starts_with('#')) {
        play_line(&mut bench, text);
    }
    bench.events().iter().map(|event| line(event) + "\n").collect()
}

fn play_line(bench: &mut Bench, text: &str) {
    let (first, rest) = text.split_once(' ').expect("a line has two words");
    if first == "rule" {
        bench.settings(START, &settings(vec![rule("slow", &read(rest))]));
        return;
    }
    if let Some((from, to)) = first.split_once("..") {
        let words: Vec<&str> = rest.splitn(4, ' ').collect();
        let (every, value) = (span(words[1]), words[2].parse().unwrap());
        let labels = words.get(3).map_or_else(|| json!({}), |text| read(text));
        let mut time = at(from);
        while time < at(to) {
            bench.sample(time, value, &labels);
            time = time.plus(every);
        }
        return;
    }
    let time = at(first);
    match rest.split_once(' ').unwrap_or((rest, "")) {
        ("hole", _) => bench.append(time, EntryKind::Tick, Bytes::new()),
        ("end", _) => {
            bench.ticks_before(time);
            bench.append(time, EntryKind::Tick, Bytes::new());
        }
        ("rules", "-") => bench.settings(time, &settings(Vec::new())),
        ("rules", fields) => bench.settings(time, &settings(vec![rule("slow", &read(fields))])),
        ("verify", words) => {
            let words: Vec<&str> = words.split(' ').collect();
            let (from, hold) = (at(words[0]), span(words[1]));
            let body = json!({
                "schema": 1, "source": { "stream": "events", "sequence": 1, "time": START },
                "subject": "ops.request.0", "body": {
                    "schema": 1, "incident": "i", "plan": "P", "rule": "slow", "group": {},
                    "from": from, "for": hold, "until": from.plus(span(words[2])), "min_samples": 10
                }
            });
            bench.push(time, EntryKind::Verify, Bytes::from(body.to_string()));
        }
        (value, labels) => {
            let labels = if labels.is_empty() { json!({}) } else { read(labels) };
            bench.sample(time, value.parse().unwrap(), &labels);
        }
    }
}

fn read(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn span(text: &str) -> Span {
    Span::parse(text).unwrap()
}

fn at(text: &str) -> Time {
    START.plus(span(text))
}
