//! Snapshots that older versions of the stages wrote: each is taken up, and goes on saying what that version said.
//!
//! Every version wrote its own in the middle of a log (`story.rs`; version 3 knew rules of one metric alone). Raise
//! [`stages::VERSION`], and `OPS_BLESS=1` writes one of the new version beside those that are there.
//!
//! Versions 4 to 7 mean edits differently, but where windows begin after one is stored: each snapshot goes on as its version
//! meant it, so nothing is left out of the comparison. The edit after the snapshot is one they mean alike. The desk takes
//! up its own version alone, and is held to what that wrote (`desk_story.rs`).

#[path = "../cluster/mod.rs"]
mod cluster;
#[path = "../desk_script/mod.rs"]
mod desk_script;
mod desk_story;
mod kept;
#[path = "../shard_script/mod.rs"]
mod shard_script;
mod story;

use serde_json::{Value, json};
use shard_script::place;
use stages::desk::Desk;
use stages::shard::Shard;
use stages::subject::Subjects;
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

/// All that was said after the snapshot.
fn said(kept: &Value) -> Vec<&Value> {
    let steps = kept["steps"].as_array().unwrap().iter();
    steps.flat_map(|step| step["said"].as_array().unwrap()).collect()
}

#[test]
fn late_samples_count_for_a_moved_rule_as_its_version_meant_it() {
    for (version, kept) in KEPT.iter().filter(|(version, _)| **version > 3) {
        let moves = said(kept).into_iter().filter(|event| event["rule"] == "moves").count();
        // Since version 7 it begins where it was moved: what is late does not fire it.
        assert_eq!(moves, if *version < 7 { 3 } else { 1 }, "version {version}");
    }
}

#[test]
fn kept_snapshots_hold_alerts_in_every_state_and_of_every_form() {
    for (version, kept) in KEPT.iter().filter(|(version, _)| **version > 3) {
        let said = said(kept);
        // Where an alert goes on from is where it was in the snapshot.
        let mut first = BTreeMap::new();
        for event in said.iter().filter(|event| event["type"] == "transition") {
            let alert = (event["rule"].as_str().unwrap(), event["group"].to_string());
            first.entry(alert).or_insert_with(|| event["from"].as_str().unwrap());
        }
        let axes: BTreeSet<&str> = first.values().copied().collect();
        assert_eq!(axes, ["firing", "ok", "pending", "recovering", "unknown"].into());
        let rules: BTreeSet<&str> = first.keys().map(|(rule, _)| *rule).collect();
        assert_eq!(rules.len(), 21, "version {version}: {rules:?}");
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

/// What the desk of this version wrote; it takes up no other.
static DESK: LazyLock<Value> = LazyLock::new(|| {
    let version =
        desk_story::version(&Desk::new(Subjects::default(), 1, cluster::START).snapshot());
    let name = format!("desk_v{version}");
    if std::env::var_os("OPS_BLESS").is_some() {
        kept::write(&name, &kept::of(&desk_story::play()));
    }
    kept::read(&name)
});

#[test]
fn what_the_desk_wrote_goes_on_as_it_went_on_there() {
    let (subjects, chunks) = (Subjects::default(), kept::chunks(&DESK));
    assert_eq!(desk_story::version(&chunks), DESK["version"]);
    let mut desk = Desk::restore(subjects, desk_story::SHARDS, cluster::START, &chunks).unwrap();
    for then in DESK["steps"].as_array().unwrap() {
        let now = Value::from(kept::told(&desk.step(&kept::step(then))));
        assert_eq!(now, then["said"], "{}", then["entries"]);
    }
}

#[test]
fn the_kept_desk_holds_rules_of_its_own_and_a_rollback_in_the_making() {
    let said = said(&DESK);
    let judged = said.iter().filter(|told| told["subject"] == "ops.transition.desk.judged");
    let rules: BTreeSet<&str> = judged.map(|told| told["body"]["rule"].as_str().unwrap()).collect();
    assert_eq!(rules, ["both", "earlier", "either", "held", "ratio"].into());
    for subject in [
        "ops.rollback.DOCKET_RULE.recovered",
        "ops.alert.critical.county_api.resolved",
        "ops.alert.warning.held.acknowledged",
        "ops.notify.pager_duty",
    ] {
        assert!(said.iter().any(|told| told["subject"] == subject), "{subject}");
    }
}
