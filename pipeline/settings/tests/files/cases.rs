//! Tests of rules that are written badly: every fault of every file at once, each with its place.

use crate::folder::Folder;
use settings::cases::{About, CaseFile, load_cases};
use settings::{Kind, Layout, Problems};

fn read(folder: &Folder) -> Result<Vec<CaseFile>, Problems> {
    let layout = Layout::at(folder.path());
    let settings = folder.load().expect("good settings").settings;
    load_cases(&layout, std::slice::from_ref(&layout.alerts), &settings).map(|(files, _)| files)
}

fn faults(text: &str) -> Vec<(String, Kind)> {
    let folder = Folder::new().with("alerts/bad.test.yml", text);
    let problems = read(&folder).expect_err("it is bad");
    for problem in problems.iter() {
        assert!(!problem.message.is_empty() && !problem.remedy.is_empty(), "{problem}");
    }
    problems.iter().map(|problem| (problem.place.to_string(), problem.kind)).collect()
}

fn at(place: &str, kind: Kind) -> (String, Kind) {
    (format!("alerts/bad.test.yml:{place}"), kind)
}

#[test]
fn tests_lie_beside_the_rules_and_are_none() {
    let test = "tests:\n  - name: 42\n    series: [{series: county_api_ms, values: 1x9}]\n    expect: {pages: []}\n";
    let folder = Folder::new()
        .with("alerts/good.test.yml", test)
        .with("alerts/courts/more.test.yml", test)
        .with("alerts/_old.test.yml", "not read");
    let files = read(&folder).expect("good");
    let shown: Vec<&str> = files.iter().map(|file| file.file.as_str()).collect();
    assert_eq!(shown, ["alerts/courts/more.test.yml", "alerts/good.test.yml"]);
    let case = &files[0].cases[0];
    assert_eq!((case.name.as_str(), case.until.to_string().as_str()), ("42", "9s"));
    assert_eq!(case.rules.iter().collect::<Vec<_>>(), ["good"]);
    assert_eq!(case.expect, [(About::Pages, Vec::new())]);
}

#[test]
fn every_fault_of_a_test_has_its_place() {
    let text = "tests:
  - name: a
    star: 2026-01-01T00:00:00Z
    start: yesterday
    series:
      - {series: 'county_api_ms{pod=p}', values: 1x}
      - {series: county_api_ms, values: 1 2 nonsense}
      - {values: 1, interval: 0s}
    events:
      - {at: 3, ack: goood}
      - {at: 3s}
      - {at: 3s, freeze: true, hole: 3s}
      - {at: 3s, silence: {}, for: 1h}
    rollbacks: {UNDI: {outcome: won}}
    expect:
      pages:
        - {at: 5s, to: pager_dty, reason: firde}
        - {to: pager_duty}
      alerts:
        - {at: 9s..3s, state: firing, rule: good}
      rollbacks: nothing
";
    let found = faults(text);
    let expected = [
        at("3:5", Kind::UnknownField),
        at("4:12", Kind::BadValue),
        at("6:18", Kind::BadName),
        at("6:50", Kind::BadValue),
        at("7:41", Kind::BadValue),
        at("8:9", Kind::MissingField),
        at("8:31", Kind::OutOfRange),
        at("10:14", Kind::BadDuration),
        at("10:22", Kind::UnknownRule),
        at("11:9", Kind::Conflict),
        at("12:9", Kind::Conflict),
        at("13:27", Kind::BadValue),
        at("14:17", Kind::UnknownPlan),
        at("14:33", Kind::BadValue),
        at("17:24", Kind::UnknownReceiver),
        at("17:43", Kind::BadValue),
        at("18:11", Kind::MissingField),
        at("20:16", Kind::BadDuration),
        at("21:18", Kind::WrongType),
    ];
    assert_eq!(found, expected);
}

#[test]
fn files_that_hold_no_tests_are_named() {
    assert_eq!(faults(""), [at("1:1", Kind::Empty)]);
    assert_eq!(faults("tests: 3\n"), [at("1:8", Kind::WrongType)]);
    assert_eq!(faults("rules: []\n").len(), 2);
    let twice = "tests:\n  - {name: a, expect: {}}\n  - {name: a, expect: {}}\n";
    assert_eq!(faults(twice), [at("3:5", Kind::DuplicateName)]);
    let same = "tests:\n  - name: a\n    expect: {}\n    series:\n      - {series: 'm{a=\"1\",b=\"2\"}', values: 1}\n      - {series: 'm{b=\"2\",a=\"1\"}', values: 2}\n";
    assert_eq!(faults(same), [at("6:9", Kind::DuplicateName)]);
    let long =
        "tests:\n  - {name: a, expect: {}, series: [{series: m, values: 1x99999999999999}]}\n";
    assert_eq!(faults(long), [at("2:56", Kind::TooLarge)]);
}
