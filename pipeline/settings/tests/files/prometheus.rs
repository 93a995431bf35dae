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

#[test]
fn a_file_of_something_else_is_refused() {
    let folder = Folder::new();
    let path = folder.path().join("alerts/good.yml");
    assert!(import_prometheus(&path, None).is_err());
    assert!(import_prometheus(&folder.path().join("none.yml"), None).is_err());
}
