//! JSON Schemas of everything on the wire, in `deploy/schemas/`: generated from the Rust types, so they are the
//! contract for people who write no Rust. `OPS_BLESS=1` rewrites them.

use schemars::{JsonSchema, schema_for};
use stages::settings::Settings;
use stages::wire::*;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/schemas")
}

fn schema<T: JsonSchema>() -> String {
    let mut text = serde_json::to_string_pretty(&schema_for!(T)).unwrap();
    text.push('\n');
    text
}

macro_rules! schemas {
    ($($file:literal $type:ty),* $(,)?) => {
        vec![$(($file, schema::<$type>())),*]
    };
}

fn schemas() -> Vec<(&'static str, String)> {
    schemas![
        "ack" Ack,
        "alert_event" AlertEvent,
        "anchor_list" AnchorList,
        "approve" Approve,
        "change" Change,
        "close" Close,
        "command" Command,
        "commit_record" CommitRecord,
        "delivery" Delivery,
        "freeze" Freeze,
        "intent" Intent,
        "ledger_record" LedgerRecord,
        "look" Look,
        "own_record" OwnRecord,
        "relayed_shard_event" Relayed<ShardEvent>,
        "rollback_event" RollbackEvent,
        "rollback_outcome" RollbackOutcome,
        "settings" Settings,
        "shard_event" ShardEvent,
        "silence" Silence,
        "unlock" Unlock,
        "verify_request" VerifyRequest,
        "withdraw" Withdraw,
    ]
}

#[test]
fn the_schemas_are_those_of_the_types() {
    let bless = std::env::var_os("OPS_BLESS").is_some();
    for (name, generated) in schemas() {
        let path = folder().join(format!("{name}.json"));
        if bless {
            std::fs::write(&path, &generated).unwrap();
        }
        let stored = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(stored == generated, "{name}.json: the type has changed; OPS_BLESS=1 rewrites it");
    }
}

#[test]
fn no_schema_is_left_without_its_type() {
    let mut there: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".json"))
        .collect();
    there.sort();
    let known: Vec<String> = schemas().iter().map(|(name, _)| format!("{name}.json")).collect();
    assert_eq!(there, known);
}
