//! Test files of `promtool` as they are, with what of them cannot be run.

use settings::Layout;
use settings::cases::{CaseFile, load_cases};
use stages::settings::Settings;
use std::path::Path;
use trial::report;

const RULES: &str = r#"groups:
  - name: example
    rules:
      - alert: InstanceDown
        expr: up == 0
        for: 5m
        labels: {severity: page}
        annotations: {summary: "Instance {{ $labels.instance }} down", value: "{{ $value }}"}
      - alert: ManyErrors
        expr: sum by (job) (rate(errors_total[5m])) > 2
        annotations: {summary: "{{ $labels.job }}", graph: "{{ query \"up\" }}"}
      - alert: Ratio
        expr: a / b > 1
"#;

fn load(tests: &str) -> Result<Vec<CaseFile>, String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("alerts.yml"), RULES).unwrap();
    let path = folder.path().join("alerts.test.yml");
    std::fs::write(
        &path,
        format!("rule_files: [alerts.yml]\nevaluation_interval: 1m\ntests:\n{tests}"),
    )
    .unwrap();
    let layout = Layout::at(folder.path());
    let read = load_cases(&layout, &[path], &Settings::default());
    read.map(|(files, _)| files).map_err(|problems| problems.to_string())
}

/// Whether each test passed, and what is told of all of them.
fn played(tests: &str) -> (Vec<bool>, String) {
    let files = load(tests).unwrap_or_else(|problems| panic!("{problems}"));
    let runs = report::run_all(&files, &Settings::default());
    let said: String = runs.iter().map(report::text).collect();
    (runs.iter().map(report::Run::passed).collect(), said)
}

const DOWN: &str = r#"  - interval: 1m
    input_series:
      - {series: 'up{job="prometheus", instance="localhost:9090"}', values: "0x14"}
      - {series: 'up{job="node_exporter", instance="localhost:9100"}', values: "1+0x6 0x8"}
    alert_rule_test:
      - eval_time: 4m
        alertname: InstanceDown
      - eval_time: 10m
        alertname: InstanceDown
        exp_alerts:
          - exp_labels: {severity: page, instance: "localhost:9090", job: prometheus}
            exp_annotations: {summary: "Instance localhost:9090 down", value: "0"}
"#;

#[test]
fn the_alerts_of_a_rule_fire_for_each_series_with_their_texts() {
    let (passed, said) = played(DOWN);
    assert_eq!(passed, [true], "{said}");
    let late = DOWN.replace("eval_time: 10m", "eval_time: 13m");
    let (passed, said) = played(&late);
    assert_eq!(passed, [false], "the other one is down for long, too: {said}");
    assert!(said.contains("instance=\"localhost:9100\""), "what is there is shown: {said}");
}

#[test]
fn every_difference_of_labels_and_texts_is_seen() {
    for (from, to) in [
        ("severity: page, instance", "severity: warning, instance"),
        (", job: prometheus}", "}"),
        ("Instance localhost:9090 down", "Instance localhost:9090 is down"),
        ("value: \"0\"", "value: \"1\""),
        ("alertname: InstanceDown\n        exp_alerts", "alertname: Nobody\n        exp_alerts"),
        ("eval_time: 4m", "eval_time: 6m"),
    ] {
        let (passed, said) = played(&DOWN.replace(from, to));
        assert_eq!(passed, [false], "{to}: {said}");
    }
}

const ERRORS: &str = r#"  - name: errors of a job
    input_series:
      - {series: 'errors_total{job="api", instance="a"}', values: "0+120x20"}
      - {series: 'errors_total{job="api", instance="b"}', values: "0+60x20"}
      - {series: 'errors_total{job="web", instance="a"}', values: "0+60x20"}
    alert_rule_test:
      - eval_time: 15m
        alertname: ManyErrors
        exp_alerts: [{exp_labels: {job: api}, exp_annotations: {summary: api, graph: "3"}}]
"#;

#[test]
fn rates_of_counters_are_summed_up_and_what_cannot_be_filled_in_is_named() {
    let (passed, said) = played(ERRORS);
    assert_eq!(passed, [true], "{said}");
    assert!(said.contains("not run: alerts.test.yml:"), "{said}");
    assert!(said.contains("graph of ManyErrors cannot be filled in"), "{said}");
}

#[test]
fn what_cannot_be_run_is_never_taken_for_passed() {
    let (passed, said) = played(
        "  - promql_expr_test: [{expr: up, eval_time: 1m}]\n    alert_rule_test:\n      \
         - {eval_time: 1m, alertname: Ratio}\n",
    );
    assert_eq!(passed, [false], "{said}");
    for words in ["promql_expr_test", "Ratio cannot be converted", "nothing that is expected"] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn what_is_wrong_with_a_file_is_named() {
    for (tests, words) in [
        ("  - alert_rule_test: [{eval_time: 1m}]\n", "alertname"),
        ("  - alert_rule_test: [{alertname: A, eval_time: soon}]\n", "alerts.test.yml:4:"),
        ("  - input_series: [{series: up, values: 1x}]\n", "is no value"),
        ("  - input_serie: []\n", "did you mean"),
    ] {
        let problems = load(tests).expect_err(tests);
        assert!(problems.contains(words), "{tests}: {problems}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.test.yml");
    std::fs::write(&path, "rule_files: [none.yml]\ntests: []\n").unwrap();
    let missing = |path: &Path| {
        let read = load_cases(&Layout::at(folder.path()), &[path.to_owned()], &Settings::default());
        read.expect_err("the rules are not there").to_string()
    };
    assert!(missing(&path).contains("a.test.yml:1:14"), "{}", missing(&path));
}
