//! Whatever bytes come: nothing of the stages panics, and a step says something or nothing.
//!
//! Inputs are right ones, and what `make fuzz` found (`corpus/`), changed a little ([`mutate`]).

mod mutate;
#[path = "../shard_script/mod.rs"]
mod shard_script;
mod targets;

use mutate::{Target, fuzz};

#[test]
fn samples_as_json() {
    fuzz(targets::samples_as_json());
}

#[test]
fn batch_entries() {
    fuzz(targets::batch_entries());
}

#[test]
fn entries_of_a_shard() {
    fuzz(targets::entries_of_a_shard());
}

#[test]
fn entries_of_the_desk() {
    fuzz(targets::entries_of_the_desk());
}

#[test]
fn glimpses() {
    fuzz(targets::glimpses());
}

#[test]
fn snapshots() {
    fuzz(targets::snapshots());
}

#[test]
fn snapshots_of_the_desk() {
    fuzz(targets::snapshots_of_the_desk());
}

#[test]
fn subjects() {
    fuzz(targets::subjects());
}

/// The harness itself: what makes a target panic is kept, and named so that it can be tried again.
#[test]
fn what_panics_is_kept() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/corpus/self_test");
    let found = std::panic::catch_unwind(|| {
        let take = |bytes: &[u8]| assert!(!bytes.contains(&0xff));
        let target = Target::new("self_test", 10_000, vec![b"harmless".to_vec()], take);
        mutate::run(target, 0..10_000);
    });
    let kept = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap();
    assert!(std::fs::read(kept.path()).unwrap().contains(&0xff));
    std::fs::remove_dir_all(folder).unwrap();
    let said = found.unwrap_err().downcast::<String>().unwrap();
    assert!(said.contains("OPS_FUZZ_SEED="), "{said}");
}
