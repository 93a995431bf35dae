//! The built binary when things are wrong, and its small commands: one clear line, a distinct exit code.

#![allow(clippy::unwrap_used)]

mod support;

use std::net::TcpListener;
use std::path::Path;
use std::process::Output;
use support::{PATIENCE, free_port, ops};

async fn run(args: &[&str]) -> Output {
    let run = ops(args).output();
    tokio::time::timeout(PATIENCE, run).await.unwrap_or_else(|_| panic!("{args:?} hangs")).unwrap()
}

/// The exit code, and the one line on stderr.
async fn refused(args: &[&str]) -> (i32, String) {
    refusal(ops(args)).await
}

async fn refusal(mut command: tokio::process::Command) -> (i32, String) {
    let run = tokio::time::timeout(PATIENCE, command.output());
    let output = run.await.expect("ends by itself").unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = stderr.lines().collect();
    assert_eq!(lines.len(), 1, "one clear line: {stderr}");
    assert!(lines[0].starts_with("ops: "), "{stderr}");
    (output.status.code().unwrap(), lines[0].to_owned())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let (code, line) = refused(&["up", "--data", text(folder.path()), "--listen", &address]).await;
    assert_eq!(code, 6, "{line}");
    assert!(line.contains(&address) && line.contains("--listen"), "{line}");
}

#[tokio::test]
async fn a_bus_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (listen, nats) =
        (format!("127.0.0.1:{}", free_port()), format!("nats://127.0.0.1:{}", free_port()));
    let args = ["up", "--data", text(folder.path()), "--listen", &listen, "--nats-url", &nats];
    let (code, line) = refused(&args).await;
    assert_eq!(code, 4, "{line}");
    assert!(line.contains(nats.trim_start_matches("nats://")), "{line}");
}

#[tokio::test]
async fn a_bus_that_refuses_the_credentials_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let config = folder.path().join("nats.conf");
    let said =
        format!("listen: 127.0.0.1:{port}\nauthorization {{ user: a, password: \"secret-b\" }}\n");
    std::fs::write(&config, said).unwrap();
    let server = bus::server::find().await.unwrap();
    let mut nats = tokio::process::Command::new(server)
        .args(["-c", text(&config)])
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(nats.try_wait().unwrap().is_none(), "nats-server ended");
        tokio::task::yield_now().await;
    }
    let listen = format!("127.0.0.1:{}", free_port());
    let url = format!("nats://127.0.0.1:{port}");
    let args = ["up", "--data", text(folder.path()), "--listen", &listen, "--nats-url", &url];
    let secret = folder.path().join("password");
    std::fs::write(&secret, "wrong-secret\n").unwrap();
    let mut command = ops(&args);
    command.env("OPS_NATS_USER", "a").env("OPS_NATS_PASSWORD_FILE", &secret);
    let (code, line) = refusal(command).await;
    assert_eq!(code, 5, "{line}");
    assert!(!line.contains("wrong-secret"), "secrets never in messages: {line}");
}

#[tokio::test]
async fn a_data_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plain-file");
    std::fs::write(&file, "").unwrap();
    let below = file.join("data");
    let listen = format!("127.0.0.1:{}", free_port());
    let (code, line) = refused(&["up", "--data", text(&below), "--listen", &listen]).await;
    assert_eq!(code, 7, "{line}");
    assert!(line.contains("plain-file"), "{line}");
}

#[tokio::test]
async fn an_open_address_without_a_token_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let listen = format!("0.0.0.0:{}", free_port());
    let output = run(&["up", "--data", text(folder.path()), "--listen", &listen]).await;
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("token"), "{stderr}");
}

#[tokio::test]
async fn rules_check_finds_the_committed_settings_good() {
    let output = run(&["rules", "check"]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn rules_check_names_every_fault_at_once() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("a.yml"),
        "metric: a_ms\nthreshold: high\nwindow: \"3 min\"\n",
    )
    .unwrap();
    std::fs::write(
        folder.path().join("b.yml"),
        "metric: b_ms\nthreshold: 1\nwindow: 3m\naction: \"ROLLBACK:../../x\"\n",
    )
    .unwrap();
    let output = run(&["rules", "check", "--rules", text(folder.path())]).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    for place in ["a.yml:2:12: ", "a.yml:3:9: ", "b.yml:4:9: "] {
        assert!(said.contains(place), "{place} is missing: {said}");
    }
    assert!(said.contains("write 3m"), "{said}");
    let output = run(&["--format", "json", "rules", "check", "--rules", text(folder.path())]).await;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let problems = report["problems"].as_array().unwrap();
    let errors = problems.iter().filter(|problem| problem["severity"] == "error").count();
    assert_eq!(errors, 3, "{report}");
}

#[tokio::test]
async fn dashboard_prints_the_address_of_the_chart() {
    let output = run(&["dashboard", "county_api_ms", "--window", "1h"]).await;
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(said.trim().ends_with("/d/board/county_api_ms?window=1h"), "{said}");
    for args in
        [["dashboard", "a b", "--window", "1h"], ["dashboard", "a_ms", "--window", "1 hour"]]
    {
        assert_eq!(run(&args).await.status.code(), Some(2), "{args:?}");
    }
}

#[tokio::test]
async fn status_of_nothing_says_what_to_start() {
    let url = format!("http://127.0.0.1:{}", free_port());
    let (code, line) = refused(&["status", "--url", &url]).await;
    assert_eq!(code, 4, "{line}");
    assert!(line.contains(&url), "{line}");
}

#[tokio::test]
async fn a_burst_that_nobody_hears_ends_at_once() {
    let url = format!("http://127.0.0.1:{}", free_port());
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    // Longer than any test waits: only the first look can end it.
    let story = ["burst", "--url", &url, "--data", text(&data), "--healthy", "3600"];
    let (code, line) = refused(&story).await;
    assert_eq!(code, 4, "{line}");
    assert!(line.contains(&url) && line.contains("start `ops lab` first"), "{line}");
    assert!(!data.exists(), "nothing was touched");
}

#[tokio::test]
async fn help_and_completions_come_from_one_definition() {
    let help = String::from_utf8(run(&["--help"]).await.stdout).unwrap();
    for command in [
        "up",
        "lab",
        "burst",
        "agent",
        "rules",
        "plans",
        "audit",
        "recover",
        "shard",
        "keys",
        "dashboard",
        "status",
        "doctor",
    ] {
        assert!(help.contains(&format!("  {command}")), "{command} is missing: {help}");
    }
    let script = String::from_utf8(run(&["completions", "bash"]).await.stdout).unwrap();
    assert!(script.contains("dashboard"));
    let page = String::from_utf8(run(&["man"]).await.stdout).unwrap();
    assert!(page.contains(".TH ops"), "{page}");
}

#[tokio::test]
async fn rules_are_explained_in_plain_english() {
    let output = run(&["rules", "explain", "alerts", "--rule", "county_api"]).await;
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    assert_eq!(said.lines().count(), 1, "one paragraph: {said}");
    assert!(said.starts_with("county_api fires when the mean of county_api_ms "), "{said}");
    assert!(said.contains("DOCKET_RULE"), "{said}");
    let (code, line) = refused(&["rules", "explain", "--rule", "county_pai"]).await;
    assert_eq!(code, 2, "{line}");
    assert!(line.contains("did you mean \"county_api\"?"), "{line}");
}

#[tokio::test]
async fn strict_lets_no_warning_pass() {
    let folder = tempfile::tempdir().unwrap();
    let rule = "metric: a_ms\nstat: count\ncompare: \">=\"\nthreshold: 0\nwindow: 3m\n";
    std::fs::write(folder.path().join("a.yml"), rule).unwrap();
    let check = ["rules", "check", "--rules", text(folder.path())];
    let output = run(&check).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("a.yml:4:12: warning: rule \"a\" always fires"), "{said}");
    let strict: Vec<&str> = check.into_iter().chain(["--strict"]).collect();
    let output = run(&strict).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(run(&["rules", "check", "--strict"]).await.status.success(), "the committed ones");
}

#[tokio::test]
async fn the_schema_of_rule_files_is_printed_as_it_is_in_deploy() {
    for (args, name) in
        [(&["rules", "schema"][..], "rule"), (&["rules", "schema", "--defaults"], "defaults")]
    {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/schemas/files").join(name);
        let stored = std::fs::read_to_string(path.with_extension("json")).unwrap();
        assert_eq!(String::from_utf8(run(args).await.stdout).unwrap(), stored);
    }
}

#[tokio::test]
async fn rules_of_prometheus_are_converted_and_no_file_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let (file, to) = (folder.path().join("prom.yml"), folder.path().join("alerts.yml"));
    let rules = "groups:\n- name: g\n  rules:\n  - {alert: A, expr: \"sum(rate(a_total[5m])) > 1\"}\n  \
        - {alert: B, expr: \"a / b > 1\"}\n";
    std::fs::write(&file, rules).unwrap();
    let import = ["rules", "import", "prometheus", text(&file), "--to", text(&to)];
    let output = run(&import).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("prom.yml:5:5: B is not converted: it divides"), "{said}");
    assert!(std::fs::read_to_string(&to).unwrap().contains("name: \"A\""));
    let (code, line) = refusal({
        let mut again = ops(&import);
        again.stdout(std::process::Stdio::null());
        again
    })
    .await;
    assert_eq!(code, 1, "{line}");
}
