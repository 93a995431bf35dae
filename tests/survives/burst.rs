//! The slow county service when its story goes otherwise than told.

use crate::site::{RULE, Site};
use crate::support::{PATIENCE, ops};
use serde_json::Value;
use std::process::{Output, Stdio};

/// The county's rule, quick enough for a test, and a script that flips the flag as the lab's does.
async fn county(rule: &str) -> Site {
    let site =
        Site::new(&format!("metric: county_api_ms\nthreshold: 1000\nwindow: 3s\n{rule}")).await;
    site.write("plans/PARACHUTE/pull.sh", "#!/bin/sh\necho off > \"$OPS_DATA/docket_rule\"\n");
    site
}

/// Plays the story to its end.
async fn play(site: &Site, url: &str, options: &[&str]) -> Output {
    play_in(site, "data", url, options).await
}

async fn play_in(site: &Site, data: &str, url: &str, options: &[&str]) -> Output {
    let data = site.path(data);
    let story = ["burst", "--url", url, "--data", data.to_str().unwrap(), "--healthy", "1"];
    let burst = ops(&[&story, options].concat()).output();
    tokio::time::timeout(PATIENCE, burst).await.expect("ends by itself").unwrap()
}

fn json_lines(text: &str) -> Vec<Value> {
    let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("text: {line}"));
    text.lines().map(read).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_reads_the_whole_story_in_json_lines() {
    let site =
        county("action: \"ROLLBACK:PARACHUTE\"\naction_min_samples: 3\nnotify: [post]\n").await;
    let mail = "receivers:\n  post:\n    channels: [{kind: email, to: a@example.org}]\n";
    site.write("config/receivers.yml", mail);
    let mut lab = site.lab_with(&["--format", "json"]).await;
    let burst = play(&site, &lab.url(), &["--format", "json", "--recovered", "1"]).await;
    assert!(burst.status.success(), "{}", String::from_utf8_lossy(&burst.stderr));
    assert!(burst.stderr.is_empty(), "{}", String::from_utf8_lossy(&burst.stderr));
    let told = json_lines(std::str::from_utf8(&burst.stdout).unwrap());
    let phases: Vec<&str> = told.iter().map(|line| line["phase"].as_str().unwrap()).collect();
    assert_eq!(phases, ["healthy", "slow", "recovered", "ended"]);
    assert!(told.iter().all(|line| line["time"].as_str().unwrap().ends_with('Z')), "{told:#?}");
    assert!(told[3]["calls"].as_u64() > Some(20), "{told:#?}");

    lab.line(|line| line.contains("\"kind\":\"rollback\",") && line.contains("\"succeeded\""))
        .await;
    let lines = json_lines(&lab.printed().join("\n"));
    let outbox = &lines[0]["outbox"];
    assert_eq!((&outbox["mails"], &outbox["pages"]), (&true.into(), &false.into()), "{outbox}");
    let fired = lines.iter().find(|line| line["kind"] == "alert" && line["state"] == "fired");
    let fired = fired.unwrap_or_else(|| panic!("{lines:#?}"));
    assert!(fired["time"].as_str().unwrap().ends_with('Z'), "UTC: {fired}");
    assert_eq!(
        (&fired["metric"], &fired["limit"]),
        (&"county_api_ms".into(), &"threshold 1000".into())
    );
    assert!(lab.stop().await.success());
}

/// What a burst says last at a site where no rollback reaches its flag.
async fn without_a_rollback(site: Site, data: &str) -> String {
    let lab = site.lab().await;
    // The alert fires after some 4 s of slow calls.
    let burst = play_in(&site, data, &lab.url(), &["--slow", "8"]).await;
    let said = String::from_utf8(burst.stderr).unwrap();
    assert_eq!(burst.status.code(), Some(9), "{said}");
    assert_eq!(site.lines(&format!("{data}/docket_rule")), ["off"], "the service is healed");
    assert!(lab.stop().await.success());
    said.lines().last().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_without_a_rollback_says_why_none_came() {
    let acting = "action: \"ROLLBACK:PARACHUTE\"\naction_min_samples: 3\n";
    let dry = format!("{acting}guards: {{dry_run: true}}\n");
    let (planless, dry, other, elsewhere) = tokio::join!(
        async { without_a_rollback(county("").await, "data").await },
        async { without_a_rollback(county(&dry).await, "data").await },
        async { without_a_rollback(Site::new(RULE).await, "data").await },
        async { without_a_rollback(county(acting).await, "other").await },
    );
    let within = |why: &str| format!("ops: no rollback within 8 s: {why}");
    let why = "the alert fired, but nothing was proposed; does its rule name a plan?";
    assert_eq!(planless, within(why));
    assert_eq!(dry, within("the last word was suppressed (dry_run)"));
    assert_eq!(other, within("no alert for county_api_ms; is its rule in force?"));
    assert!(elsewhere.contains("is that the lab's data folder (--data)?"), "{elsewhere}");
}

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
