//! The slow county service when its story goes otherwise than told.

use crate::site::{RULE, Site};
use crate::support::{PATIENCE, ops};
use std::process::Stdio;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_ends_with_the_lab_it_plays_against() {
    let site = Site::new(RULE).await;
    let lab = site.lab().await;
    let (url, data) = (lab.url(), site.path("data"));
    let story = ["burst", "--url", &url, "--data", data.to_str().unwrap(), "--healthy", "3600"];
    let burst = ops(&story).stderr(Stdio::piped()).spawn().unwrap();
    let some = |log: &serde_json::Value| log["samples"].as_u64() > Some(0);
    lab.until(|health| health["logs"].as_array().unwrap().iter().any(some)).await;
    assert!(lab.stop().await.success());
    let ended = tokio::time::timeout(PATIENCE, burst.wait_with_output()).await;
    let ended = ended.expect("ends by itself").unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(4), "{said}");
    assert!(said.contains(&format!("nothing listens on {url}")), "{said}");
    assert_eq!(site.lines("data/docket_rule"), ["off"], "the service is healed");
}
