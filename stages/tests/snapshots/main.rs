//! Snapshots that older versions of the stages wrote: each is taken up, and goes on saying what that version said.
//!
//! Every version wrote its own in the middle of a log (`story.rs`; version 3 knew rules of one metric alone). Raise
//! [`stages::VERSION`], and `OPS_BLESS=1` writes one of the new version beside those that are there.

mod kept;
#[path = "../shard_script/mod.rs"]
mod shard_script;
mod story;

use serde_json::{Value, json};
use shard_script::place;
use stages::shard::Shard;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// What is kept, by version.
static KEPT: LazyLock<BTreeMap<u32, Value>> = LazyLock::new(|| {
    if std::env::var_os("OPS_BLESS").is_some() {
        kept::write(&format!("v{}", stages::VERSION), &kept::of(&story::play()));
    }
    let read = |version| (version, kept::read(&format!("v{version}")));
    (stages::READS_FROM..=stages::VERSION).map(read).collect()
});

#[test]
fn what_older_versions_wrote_goes_on_as_it_went_on_there() {
    for (version, kept) in &*KEPT {
        assert_eq!(kept["version"], *version);
        let mut shard = Shard::restore(place(0, 1), &kept::chunks(kept)).unwrap();
        let mut compared = 0;
        for then in kept["steps"].as_array().unwrap() {
            let outputs = shard.step(&kept::step(then)).into_iter().map(|said| said.output);
            let now = Value::from(kept::said(&outputs.collect::<Vec<_>>()));
            assert_eq!(now, then["said"], "version {version}: {}", then["entries"]);
            compared += then["said"].as_array().unwrap().len();
        }
        assert!(compared > 20, "version {version}: {compared}");
    }
}

#[test]
fn kept_snapshots_hold_alerts_in_every_state_and_of_every_form() {
    for (version, kept) in KEPT.iter().filter(|(version, _)| **version > 3) {
        let steps = kept["steps"].as_array().unwrap();
        let said = steps.iter().flat_map(|step| step["said"].as_array().unwrap());
        let said: Vec<&Value> = said.collect();
        // Where an alert goes on from is where it was in the snapshot.
        let mut first = BTreeMap::new();
        for event in said.iter().filter(|event| event["type"] == "transition") {
            let alert = (event["rule"].as_str().unwrap(), event["group"].to_string());
            first.entry(alert).or_insert_with(|| event["from"].as_str().unwrap());
        }
        let axes: BTreeSet<&str> = first.values().copied().collect();
        assert_eq!(axes, BTreeSet::from(["firing", "ok", "pending", "recovering"]), "{version}");
        let rules: BTreeSet<&str> = first.keys().map(|(rule, _)| *rule).collect();
        assert_eq!(rules.len(), 19, "version {version}: {rules:?}");
        for (field, value) in [
            ("type", json!("verified")),
            ("flapping", json!(true)),
            ("shadow", json!(true)),
            ("data", json!("no_data")),
        ] {
            assert!(
                said.iter().any(|event| event[field] == value),
                "version {version}: {field} {value}"
            );
        }
    }
}
