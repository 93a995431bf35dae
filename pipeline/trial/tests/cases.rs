//! Tests of rules as people write them: what they find, and how they say it.

use settings::Layout;
use settings::cases::{CaseFile, load_cases};
use stages::settings::Settings;
use std::path::{Path, PathBuf};
use trial::report::{self, Run};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn shipped() -> (Layout, Settings) {
    let layout = Layout::at(root());
    let settings = settings::load_with(&layout, |_| None).unwrap().settings;
    (layout, settings)
}

fn read(text: &str) -> (Vec<CaseFile>, Settings) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.test.yml");
    std::fs::write(&path, text).unwrap();
    let layout = Layout { root: folder.path().to_owned(), ..shipped().0 };
    let settings = shipped().1;
    let (files, _) =
        load_cases(&layout, &[path], &settings).unwrap_or_else(|problems| panic!("{problems}"));
    (files, settings)
}

/// The report of a file's tests.
fn play(text: &str) -> String {
    let (files, settings) = read(text);
    let runs = report::run_all(&files, &settings);
    let all: Vec<String> = runs
        .iter()
        .map(|run| {
            let verdict = if run.passed() { "ok" } else { "FAIL" };
            format!("{verdict} {}\n{}", run.case.name, report::detail(run))
        })
        .collect();
    all.concat()
}

#[test]
fn the_tests_that_are_shipped_pass() {
    let (layout, settings) = shipped();
    let (files, _) = load_cases(&layout, &[root().join("alerts")], &settings).unwrap();
    let runs = report::run_all(&files, &settings);
    assert!(runs.len() >= 5);
    let failed: Vec<String> = runs.iter().filter(|run| !run.passed()).map(report::text).collect();
    assert!(failed.is_empty(), "{}", failed.concat());
}

#[test]
fn a_difference_shows_what_was_expected_and_what_is_there() {
    let said = play(
        "tests:
  - name: slow
    series: [{series: county_api_ms, values: 110x9 1500x20}]
    rollbacks: {DOCKET_RULE: {outcome: unclaimed}}
    expect:
      transitions:
        - {at: 0s, to: ok}
        - {at: 17s, rule: county_api, to: firing, cause: breach}
        - {at: 20s, rule: county_api, to: ok}
      pages:
        - {at: 16s, to: pager_duty, severity: warning}
",
    );
    assert_eq!(
        said,
        "FAIL slow
    transitions: - expected, + found
        0s rule=county_api from=unknown to=ok cause=first_data data=fresh severity=critical
      - 17s rule=county_api to=firing cause=breach   (expected at a.test.yml:8:11)
      + 27s rule=county_api from=ok to=firing cause=breach data=fresh severity=critical
      - 20s rule=county_api to=ok   (expected at a.test.yml:9:11)
    pages: - expected, + found
      - 16s to=pager_duty severity=warning   (expected at a.test.yml:11:11)
      + 27s to=pager_duty rule=county_api reason=fired severity=critical message=\"county_api_ms 1500 ms (threshold 1000)\"
      + 27s to=oncall@opm.gov rule=county_api reason=fired severity=critical message=\"county_api_ms 1500 ms (threshold 1000)\"   (not expected)
"
    );
}

#[test]
fn people_holes_and_outcomes_happen_as_written() {
    let said = play(
        "tests:
  - name: nobody claims the command, a person acknowledges and closes
    series: [{series: county_api_ms, values: 1500x300}]
    events:
      - {at: 20s, ack: county_api, by: anna}
      - {at: 4m, close: county_api, by: anna}
    rollbacks: {DOCKET_RULE: {outcome: unclaimed}}
    expect:
      rollbacks:
        - {at: 0s, state: suppressed, why: evidence}
        - {at: 9s, state: proposed}
        - {at: 9s, state: commanded}
        - {at: 2m9s, state: expired, why: unclaimed}
      incidents:
        - {at: 0s, state: fired}
        - {at: 20s, state: acknowledged}
        - {at: 4m, state: closed}
  - name: the kill switch stops the script
    series: [{series: county_api_ms, values: 1500x30}]
    events: [{at: 0s, freeze: true}]
    expect:
      rollbacks: [{at: 0s, state: suppressed, why: evidence}, {at: 9s, state: suppressed, why: frozen}]
  - name: samples of a hole are lost and nothing is blamed on them
    series: [{series: county_api_ms, values: 1500x120}]
    events: [{at: 5s, hole: 60s}]
    rollbacks: {DOCKET_RULE: {outcome: unknown, takes: 3s}}
    expect:
      rollbacks:
        - {at: 0s, state: suppressed, why: evidence}
        # Half of the panes since the series began hold samples by then.
        - {at: 115s, state: proposed}
        - {at: 115s, state: commanded}
        - {at: 118s, state: unknown}
      alerts: [{at: 64s, rule: county_api, state: firing}]
  - name: an event time of its own
    events:
      - {at: 100s, sample: county_api_ms, value: 5000, ts: 10s}
      - {at: 200s, sample: county_api_ms, value: 100}
    expect:
      transitions:
        - {at: 100s, to: firing}
        - {at: 200s, to: ok}
    until: 201s
",
    );
    assert!(!said.contains("FAIL"), "{said}");
}

#[test]
fn what_is_said_to_machines_names_every_test() {
    let (files, settings) = read(
        "tests:
  - {name: 'a <b> & \"c\"', series: [{series: county_api_ms, values: 1500}], expect: {messages: []}}
  - {name: good, series: [{series: county_api_ms, values: 100}], expect: {messages: []}}
",
    );
    let runs: Vec<Run<'_>> = report::run_all(&files, &settings);
    let json = report::as_json(&runs);
    assert_eq!((&json["passed"], &json["failed"]), (&1.into(), &1.into()));
    assert_eq!(json["tests"][0]["differences"][0]["surplus"][0]["fields"]["to"], "oncall@opm.gov");
    let xml = report::junit(&runs);
    assert!(xml.contains("tests=\"2\" failures=\"1\""), "{xml}");
    assert!(xml.contains("name=\"a &lt;b&gt; &amp; &quot;c&quot;\""), "{xml}");
    assert!(xml.contains("<failure message=\"a.test.yml:2:5\">"), "{xml}");
}
