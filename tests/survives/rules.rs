//! Rules changed while it runs, and the commands that ask how it is.

use crate::events::{fired, first, local};
use crate::load::post;
use crate::site::{ASK_EVERY, Running, Site, caught_up, signal};
use crate::support::{PATIENCE, free_port};
use bus::Stream;
use bus::accounts::Role;
use serde_json::Value;
use stages::time::{Span, Time};
use std::process::Output;
use std::time::UNIX_EPOCH;

fn rule(threshold: &str) -> String {
    format!("metric: web_ms\nthreshold: {threshold}\nwindow: 5m\n")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

/// The revision the files of the site make.
async fn checked(site: &Site) -> String {
    let mut command = crate::support::ops(&["--format", "json", "rules", "check"]);
    for (option, folder) in [("--rules", "alerts"), ("--config", "config"), ("--plans", "plans")] {
        command.arg(option).arg(site.path(folder));
    }
    json(&command.output().await.unwrap())["revision"].as_str().unwrap().to_owned()
}

/// What `ops rules list` says once it says `revision`.
async fn listed(lab: &Running, revision: &str) -> Value {
    let url = lab.url();
    let asking = async {
        loop {
            let mut list =
                crate::support::ops(&["--format", "json", "rules", "list", "--url", &url]);
            let list = json(&list.output().await.unwrap());
            if list["revision"] == revision {
                return list;
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("never {revision}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applied_rules_keep_their_panes_and_broken_ones_change_nothing() {
    let site = Site::new(&rule("5000")).await;
    let lab = site.lab().await;
    let before = checked(&site).await;
    listed(&lab, &before).await;
    let samples: Vec<String> =
        (0..30).map(|_| r#"{"name":"web_ms","val":1500}"#.to_owned()).collect();
    post(&lab.url(), &samples.join("\n")).await;
    lab.until(caught_up).await;

    site.write("alerts/web.yml", &rule("high"));
    let refused = site.run(&["rules", "apply"]).await;
    assert_eq!(refused.status.code(), Some(3));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("web.yml:2:12: "), "{said}");
    let list = listed(&lab, &before).await;
    assert_eq!(list["rules"][0]["threshold"], 5000.0);

    site.write("alerts/web.yml", &rule("1000"));
    let applied = site.run(&["--format", "json", "rules", "apply"]).await;
    assert_eq!(json(&applied)["changed"], true);
    let again = site.run(&["--format", "json", "rules", "apply"]).await;
    assert_eq!(json(&again)["changed"], false, "the same files again change nothing");
    let list = listed(&lab, &checked(&site).await).await;
    assert_eq!(list["rules"][0]["threshold"], 1000.0);
    let fired = fired(&local(&site, Role::Admin).await, "web").await;
    assert_eq!(fired.evidence.count, 30, "the window was kept: {:?}", fired.evidence);
    assert!(lab.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hangup_makes_the_lab_read_its_files_again() {
    let site = Site::new(&rule("5000")).await;
    let lab = site.lab().await;
    let before = checked(&site).await;
    site.write("alerts/web.yml", &rule("high"));
    signal(lab.pid(), "HUP").await;
    let refused = async {
        while !site.lines("ops.log").iter().any(|line| line.contains("web.yml:2:12: ")) {
            tokio::time::sleep(ASK_EVERY).await;
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.expect("the fault is named");
    listed(&lab, &before).await;
    site.write("alerts/web.yml", &rule("4000"));
    signal(lab.pid(), "HUP").await;
    let list = listed(&lab, &checked(&site).await).await;
    assert_eq!(list["rules"][0]["threshold"], 4000.0);
    assert!(lab.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watching_lab_applies_what_is_saved_and_history_leads_back() {
    let site = Site::new(&rule("5000")).await;
    let lab = site.lab_with(&["--watch"]).await;
    let first = checked(&site).await;
    listed(&lab, &first).await;
    site.write("alerts/web.yml", &rule("high"));
    site.logged("web.yml:2:12: ").await;
    listed(&lab, &first).await;
    site.write("alerts/web.yml", &rule("4000"));
    let second = checked(&site).await;
    let list = listed(&lab, &second).await;
    assert_eq!(list["rules"][0]["threshold"], 4000.0);

    site.write("alerts/more.yml", &rule("1"));
    let third = checked(&site).await;
    listed(&lab, &third).await;
    let same = site.run(&["rules", "diff"]).await;
    let said = String::from_utf8(same.stdout).unwrap();
    assert!(said.starts_with("the files are what is in force"), "{said}");

    let back = ["--format", "json", "rules", "rollback", &first[..6], "--author", "anna"];
    let back = site.run(&[&back[..], &["--comment", "calm"]].concat()).await;
    assert_eq!(json(&back)["revision"], first.as_str());
    let list = listed(&lab, &first).await;
    assert_eq!(list["rules"][0]["threshold"], 5000.0);
    let diff = site.run(&["rules", "diff"]).await;
    let said = String::from_utf8(diff.stdout).unwrap();
    assert!(said.contains("    threshold: 5000 -> 4000"), "{said}");
    assert!(said.contains("+ rule more: it starts unknown"), "{said}");

    let history = json(&site.run(&["--format", "json", "rules", "history"]).await);
    let word = |it: &Value| format!("{} {}", it["revision"].as_str().unwrap(), it["author"]);
    let told: Vec<String> = history["revisions"].as_array().unwrap().iter().map(word).collect();
    let ops = |revision: &str| format!("{revision} \"ops\"");
    assert_eq!(told, [format!("{first} \"anna\""), ops(&third), ops(&second), ops(&first)]);
    assert_eq!(history["revisions"][0]["comment"], "calm");
    let unknown = site.run(&["rules", "rollback", "ffffffff"]).await;
    assert_eq!(unknown.status.code(), Some(2));
    assert!(lab.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_and_doctor_say_how_it_is() {
    let site = Site::new(&rule("1000")).await;
    let other = format!("127.0.0.1:{}", free_port());
    let doctor = ["--format", "json", "doctor", "--listen", &other];
    let before = site.run(&doctor).await;
    assert!(before.status.success(), "{}", String::from_utf8_lossy(&before.stdout));
    assert_eq!(json(&before)["good"], true);

    let lab = site.lab().await;
    lab.until(caught_up).await;
    let url = lab.url();
    let mut status = crate::support::ops(&["--format", "json", "status", "--url", &url]);
    let status = status.output().await.unwrap();
    let said = json(&status);
    assert!(status.status.success(), "{said}");
    assert_eq!(said["health"]["ready"], true);
    assert_eq!(said["overview"]["revision"], checked(&site).await);
    let listen = url.trim_start_matches("http://");
    let taken = site.run(&["--format", "json", "doctor", "--listen", listen]).await;
    assert_eq!(taken.status.code(), Some(9), "its port is taken, by us");
    let findings = json(&taken)["findings"].as_array().unwrap().clone();
    let bad: Vec<&Value> = findings.iter().filter(|finding| finding["good"] == false).collect();
    assert_eq!(bad.len(), 1, "{findings:#?}");
    assert_eq!(bad[0]["check"], "listen");
    assert!(lab.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backtest_from_rollups_ends_where_it_was_asked_to() {
    let rule = format!("{}absent: 30s\n", rule("1000"));
    let site = Site::new(&rule).await;
    let lab = site.lab().await;
    // A whole minute of samples that came when they are stamped for, two to three minutes ago.
    let now = UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
    let last = Time::from_millis(now / 60 * 60_000).minus(Span::from_secs(120));
    let sample = |at: i64| {
        let second = last.as_millis() / 1_000 - at;
        format!(r#"{{"name":"web_ms","val":110,"ts":{second}}}"#)
    };
    post(&lab.url(), &(1..=60).rev().map(sample).collect::<Vec<_>>().join("\n")).await;
    first(&local(&site, Role::Admin).await, Stream::Rollups, "ops.rollup.1m.0").await;
    let rule = site.path("alerts/web.yml").display().to_string();
    let backtest = async |to: i64| {
        let (from, to) = (last.minus(Span::from_secs(60)), last.plus(Span::from_secs(to)));
        let (from, to) = (from.to_string(), to.to_string());
        let args = ["backtest", &rule, "--from-rollups", "--from", &from, "--to", &to];
        let said = json(&site.run(&[&args[..], &["--format", "json"]].concat()).await);
        let incidents = said["variants"][0]["incidents"].as_array().unwrap().len();
        (said["samples"].as_u64().unwrap(), incidents)
    };
    assert_eq!(backtest(0).await, (60, 0), "what came after is not asked for");
    assert_eq!(backtest(60).await, (60, 1), "a minute without samples is");
    assert_eq!(backtest(-30).await, (30, 0), "half of the pane");
    assert!(lab.stop().await.success());
}
