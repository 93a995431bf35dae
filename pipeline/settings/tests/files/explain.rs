//! Rules in plain English: each golden is a rule, `---`, and its paragraph. `OPS_WRITE_GOLDEN=1` rewrites them.

use crate::folder::Folder;
use std::path::Path;

const CALENDARS: &str =
    "calendars:\n  office:\n    zone: Europe/Berlin\n    active: [{days: mon-fri}]\n";
const RECEIVERS: &str = "fallback: oncall@opm.gov\nreceivers:\n  \
    pager_duty: {channels: [{kind: pager_duty, key_env: KEY}]}\n";

#[test]
fn a_rule_is_explained_in_one_paragraph() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/explain");
    let mut played = 0;
    for entry in std::fs::read_dir(&folder).expect("goldens") {
        let path = entry.expect("an entry").path();
        let stored = std::fs::read_to_string(&path).expect("a golden");
        let (rule, paragraph) = stored.split_once("---\n").unwrap_or((&stored, ""));
        let said = explained(rule);
        if std::env::var_os("OPS_WRITE_GOLDEN").is_some() {
            std::fs::write(&path, format!("{rule}---\n{said}\n")).expect("writes");
        } else {
            assert_eq!(said, paragraph.trim_end(), "{}", path.display());
        }
        played += 1;
    }
    assert!(played >= 8, "{played} goldens");
}

/// The paragraph of the rule `good`, beside another one it may name.
fn explained(rule: &str) -> String {
    let other = "metric: site_up\nthreshold: 1\nwindow: 1m\n";
    let folder = Folder::new()
        .with("alerts/good.yml", rule)
        .with("config/calendars.yml", CALENDARS)
        .with("config/receivers.yml", RECEIVERS)
        .with("alerts/site_down.yml", other);
    let loaded = folder.load().unwrap_or_else(|problems| panic!("{problems}"));
    let rules = &loaded.settings.rules;
    let rule = rules.iter().find(|rule| rule.name != "site_down").expect("a rule");
    settings::explain(rule, &loaded.settings)
}
