//! The built binary over samples of the past: backtests of files, held against other rules and swept.

#![allow(clippy::unwrap_used)]

mod support;

use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use support::ops;

/// 20 November 2026, 16:00 UTC.
const START: u64 = 1_795_190_400;

/// Ten minutes of a call a second, slow from the third to the sixth of them.
fn an_outage(folder: &Path) -> PathBuf {
    let mut rows = String::from("name,ts,val\n");
    for second in 0..600 {
        let value = if (180..360).contains(&second) { 1500 } else { 110 };
        let _ = writeln!(rows, "county_api_ms,{},{value}", START + second);
    }
    let path = folder.join("calls.csv");
    std::fs::write(&path, rows).unwrap();
    path
}

/// Runs a backtest of a folder's one rule over the outage.
async fn backtest(folder: &Path, more: &[&str]) -> (bool, String, String) {
    let rule = "metric: county_api_ms\nthreshold: 1000\nwindow: 1m\nnotify: anna@example.org\n\
        runbook: https://example.org/slow\n";
    for name in ["alerts", "config", "plans"] {
        std::fs::create_dir_all(folder.join(name)).unwrap();
    }
    std::fs::write(folder.join("alerts/slow.yml"), rule).unwrap();
    let high = format!("name: slow\n{}", rule.replace("1000", "5000"));
    std::fs::write(folder.join("high.yml"), high).unwrap();
    let path = |name: &str| folder.join(name).display().to_string();
    let (file, input) = (path("alerts/slow.yml"), an_outage(folder).display().to_string());
    let (rules, config, plans) = (path("alerts"), path("config"), path("plans"));
    let mut args = vec!["backtest", &file, "--rules", &rules, "--config", &config];
    args.extend(["--plans", &plans]);
    if !more.contains(&"--input") {
        args.extend(["--input", &input]);
    }
    args.extend(more);
    let output = ops(&args).output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn an_outage_in_a_file_is_found_with_its_times() {
    let folder = tempfile::tempdir().unwrap();
    let (well, said, trouble) = backtest(folder.path(), &["--format", "json"]).await;
    assert!(well, "{said}{trouble}");
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["samples"], 600);
    let incidents = said["variants"][0]["incidents"].as_array().unwrap();
    assert_eq!(incidents.len(), 1, "{said}");
    let (well, said, _) = backtest(folder.path(), &[]).await;
    assert!(well && said.contains("600 samples in "), "{said}");
    assert!(said.contains("2026-11-20T16:03:"), "when it fired: {said}");
}

#[tokio::test]
async fn rules_are_held_against_others_and_swept() {
    let folder = tempfile::tempdir().unwrap();
    let (high, page) = (folder.path().join("high.yml"), folder.path().join("sweep.html"));
    let compare = ["--compare", high.to_str().unwrap(), "--format", "json"];
    let (well, said, trouble) = backtest(folder.path(), &compare).await;
    assert!(well, "{said}{trouble}");
    let said: Value = serde_json::from_str(&said).unwrap();
    let found = |at: usize| said["variants"][at]["incidents"].as_array().unwrap().len();
    assert_eq!((found(0), found(1)), (1, 0), "{said}");
    let sweep = ["--sweep", "threshold=500..2000:500", "--html", page.to_str().unwrap()];
    let (well, said, trouble) = backtest(folder.path(), &sweep).await;
    assert!(well, "{said}{trouble}");
    // Value, incidents, pages.
    let rows: Vec<String> = said
        .lines()
        .map(|line| line.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
        .collect();
    for row in ["500 1 1", "1000 1 1", "1500 0 0", "2000 0 0"] {
        assert!(rows.iter().any(|one| one == row), "{row}: {said}");
    }
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("<svg") && page.contains("threshold"), "{page}");
}

#[tokio::test]
async fn what_cannot_be_read_or_swept_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (well, _, trouble) = backtest(folder.path(), &["--sweep", "stat=1..2:1"]).await;
    assert!(!well && trouble.contains("the fields that can be swept are"), "{trouble}");
    let (well, _, trouble) = backtest(folder.path(), &["--input", "/nowhere.csv"]).await;
    assert!(!well && !trouble.is_empty(), "{trouble}");
    let (well, _, trouble) = backtest(folder.path(), &["--from", "yesterday"]).await;
    assert!(!well && trouble.contains("or 10m for ten minutes ago"), "{trouble}");
}
