//! Rules of Prometheus: what they become, and of the rest, why not. `OPS_WRITE_GOLDEN=1` rewrites the goldens.

use crate::folder::Folder;
use settings::{Import, import_prometheus};
use std::path::{Path, PathBuf};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/prometheus").join(name)
}

fn imported(group_by: Option<&[String]>) -> Import {
    import_prometheus(&golden("rules.yml"), group_by)
        .unwrap_or_else(|problems| panic!("{problems}"))
}

#[track_caller]
fn assert_golden(name: &str, import: &Import) {
    let mut said = import.text.clone();
    for refused in &import.refused {
        said.push_str(&format!("## {} {}: {}\n", refused.at, refused.name, refused.why));
    }
    if std::env::var_os("OPS_WRITE_GOLDEN").is_some() {
        std::fs::write(golden(name), &said).expect("writes");
    }
    assert_eq!(said, std::fs::read_to_string(golden(name)).expect("a golden"));
}

#[test]
fn what_the_language_can_express_is_converted_and_the_rest_is_named() {
    assert_golden("by_instance.txt", &imported(Some(&["instance".to_owned()])));
    assert_golden("unsaid.txt", &imported(None));
}

#[test]
fn what_is_converted_loads() {
    let import = imported(Some(&[]));
    assert!(import.rules.len() >= 8, "{:?}", import.rules);
    let folder = Folder::new().with("alerts/imported.yml", &import.text);
    let loaded = folder.load().unwrap_or_else(|problems| panic!("{problems}"));
    for name in import.rules.iter().map(|rule| &rule.name) {
        assert!(loaded.settings.rules.iter().any(|rule| rule.name == *name), "{name}");
    }
}

/// What is said of a file that is wrong, or of the rules in it that are.
fn answered(text: &[u8]) -> String {
    let folder = Folder::new().with("rules.yml", text);
    match import_prometheus(&folder.path().join("rules.yml"), Some(&[])) {
        Ok(import) => {
            let said = import.refused.iter();
            let lines = said.map(|one| format!("=> {} {}: {}\n", one.at, one.name, one.why));
            lines.collect::<String>() + &format!("=> {} converted\n", import.rules.len())
        }
        Err(problems) => problems.iter().map(|problem| format!("=> {problem}\n")).collect(),
    }
}

#[test]
fn whatever_is_wrong_with_a_file_is_named_and_costs_no_good_rule() {
    let good = "groups:\n- name: g\n  rules:\n  - {alert: Good, expr: up == 0}\n";
    let mut said = String::new();
    for text in [
        "",
        "# nothing\n",
        "text",
        "[1]",
        "groups: 7",
        "groups: [7]",
        "groups: [{name: g}]",
        "groups: [{rules: 7}]",
        "groups: [{rules: [7]}]",
        "groups: [{rules: 7}, {rules: [{alert: A, expr: up == 0}]}]",
        "groups: [{rules: [{alert: A}]}]",
        "groups: [{rules: [{expr: up == 0}]}]",
        "groups:\n\t- x",
        "groups: &a [*a]",
        "rules: [{alert: A, expr: up == 0}]",
    ] {
        said.push_str(&format!("{text}\n{}\n", answered(text.as_bytes())));
    }
    for line in [
        "{alert: A, expr: }",
        "{alert: A, expr: [up]}",
        "{alert: [A], expr: up == 0}",
        "{alert: A, expr: up == 0, for: soon}",
        "{alert: A, expr: up == 0, for: -1m}",
        "{alert: A, expr: up == 0, for: [1m]}",
        "{alert: A, expr: up == 0, labels: [a]}",
        "{alert: A, expr: up == 0, labels: {a: 1}}",
        "{alert: A, expr: up == 0, labels: {1a: x}}",
        "{alert: A, expr: up == 0, annotations: text}",
        "{alert: A, expr: up == 0, annotations: {a: \"{{ open\"}}",
        "{alert: \"\", expr: up == 0}",
        "{alert: A, expr: 'up{a=~\"(\"} == 0'}",
        "{alert: A, expr: 'up == 1e999'}",
        "{alert: A, expr: 'up > NaN'}",
        "{alert: A, expr: 'up{a=~\"(x{1000}){1000}\"} == 0'}",
        "{alert: A, exp: up == 0}",
        "{alert: A, expr: up == 0, fro: 5m}",
        "{expr: up == 0}",
        "7",
        "{record: [a], expr: up}",
    ] {
        said.push_str(&format!("{line}\n{}\n", answered(format!("{good}  - {line}\n").as_bytes())));
    }
    let deep = format!(
        "{good}  - {{alert: A, expr: '{}up{} == 0'}}\n",
        "(".repeat(1_500),
        ")".repeat(1_500)
    );
    said.push_str(&format!("parentheses, 1500 deep\n{}\n", answered(deep.as_bytes())));
    let long = format!("{good}  - {{alert: A, expr: 'up == 0{}'}}\n", " or up".repeat(2_000));
    said.push_str(&format!("an expression of 12 kB\n{}\n", answered(long.as_bytes())));
    said.push_str(&format!("bytes that are no text\n{}\n", answered(b"groups: caf\xe9\n")));
    if std::env::var_os("OPS_WRITE_GOLDEN").is_some() {
        std::fs::write(golden("wrong.txt"), &said).expect("writes");
    }
    assert_eq!(said, std::fs::read_to_string(golden("wrong.txt")).expect("a golden"));
    let folder = Folder::new();
    let problems = import_prometheus(folder.path(), None).expect_err("it is a folder");
    assert_eq!(problems.errors(), 1, "{problems}");
}

#[test]
fn a_file_of_something_else_is_refused() {
    let folder = Folder::new();
    let path = folder.path().join("alerts/good.yml");
    assert!(import_prometheus(&path, None).is_err());
    let missing = import_prometheus(&folder.path().join("none.yml"), None).expect_err("no file");
    assert_eq!(
        missing.to_string().trim(),
        "none.yml: is not there: name a file of Prometheus with alerting rules"
    );
}
