//! Who may import whom, and what only one crate may touch. The rules stand in ARCHITECTURE.md.

#![allow(clippy::unwrap_used)]

use cargo_metadata::{DependencyKind, MetadataCommand};
use std::collections::{BTreeMap, BTreeSet};

/// Each of our crates and the crates of ours it may depend on.
const MAY_IMPORT: [(&str, &[&str]); 10] = [
    ("stages", &[]),
    ("bus", &["stages"]),
    ("settings", &["stages"]),
    ("engine", &["bus", "settings", "stages"]),
    ("collector", &["bus", "settings", "stages"]),
    ("notify", &["bus", "settings", "stages"]),
    ("rollback", &["bus", "settings", "stages"]),
    ("board", &["bus", "settings", "stages"]),
    ("trial", &["bus", "settings", "stages"]),
    (
        "hms-ops",
        &[
            "board",
            "bus",
            "collector",
            "engine",
            "notify",
            "rollback",
            "settings",
            "stages",
            "trial",
        ],
    ),
];

/// Libraries only these crates may touch, so that one of them can be replaced in one place.
const ONLY_IN: [(&str, &[&str]); 7] = [
    ("async-nats", &["bus"]),
    ("serde-saphyr", &["settings"]),
    ("timely", &["stages"]),
    ("hdrhistogram", &["stages"]),
    ("lettre", &["notify"]),
    ("governor", &["notify"]),
    ("anyhow", &["hms-ops"]),
];

/// What the pure stages must never reach, however indirectly they are built.
const NEVER_IN_STAGES: [&str; 6] =
    ["tokio", "async-nats", "axum", "reqwest", "tracing", "governor"];

fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().exec().unwrap();
    let normal = |package: &cargo_metadata::Package| {
        let kept = package.dependencies.iter().filter(|one| one.kind == DependencyKind::Normal);
        kept.map(|one| one.name.clone()).collect()
    };
    metadata.packages.iter().map(|package| (package.name.to_string(), normal(package))).collect()
}

#[test]
fn crates_import_only_what_stands_below_them() {
    let all = dependencies();
    let ours: BTreeSet<&str> = MAY_IMPORT.iter().map(|(name, _)| *name).collect();
    let found: BTreeSet<&str> = all.keys().map(String::as_str).collect();
    assert_eq!(found, ours, "a crate was added or removed: say here who may import whom");
    for (name, allowed) in MAY_IMPORT {
        let imports = all[name].iter().filter(|one| ours.contains(one.as_str()));
        for import in imports {
            assert!(allowed.contains(&import.as_str()), "{name} must not import {import}");
        }
    }
}

#[test]
fn libraries_stay_behind_the_one_crate_that_wraps_them() {
    let all = dependencies();
    for (library, owners) in ONLY_IN {
        for (name, imports) in &all {
            let allowed = owners.contains(&name.as_str()) || !imports.contains(library);
            assert!(allowed, "{name} must not use {library}; only {owners:?} may");
        }
    }
    for library in NEVER_IN_STAGES {
        assert!(!all["stages"].contains(library), "the stages are pure: no {library}");
    }
}

/// Spawning a process is the agent's business. The exceptions are named with their reason.
#[test]
fn only_the_agent_spawns_processes() {
    // bus/server supervises the local nats-server; nothing from the bus reaches its command line.
    const ALLOWED: [&str; 2] = ["pipeline/rollback/", "pipeline/bus/src/server"];
    let root = env!("CARGO_MANIFEST_DIR");
    let listed = std::process::Command::new("git")
        .args(["-C", root, "ls-files", "--cached", "--others", "--exclude-standard", "*.rs"])
        .output()
        .unwrap();
    let files = String::from_utf8(listed.stdout).unwrap();
    let sources =
        files.lines().filter(|file| !file.contains("tests/") && !file.contains("benches/"));
    for file in sources.filter(|file| !file.contains("examples/")) {
        let Ok(text) = std::fs::read_to_string(format!("{root}/{file}")) else { continue };
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let spawns = code.contains("process::Command") || code.contains("Command::new(");
        let allowed = ALLOWED.iter().any(|folder| file.starts_with(folder));
        assert!(!spawns || allowed, "{file} spawns a process; only {ALLOWED:?} may");
    }
}
