//! Texts with places to fill in: what is wrong inside of them is found at its own line and column.

use crate::folder::{Folder, GOOD_RULE};
use settings::Kind;

fn with(lines: &str) -> Folder {
    Folder::new().with("alerts/good.yml", format!("{GOOD_RULE}{lines}"))
}

#[track_caller]
fn assert_at(lines: &str, at: &str, remedy: &str) {
    let folder = with(lines);
    assert_eq!(folder.refused(), [(format!("alerts/good.yml:{at}"), Kind::BadTemplate)], "{lines}");
    assert!(folder.remedy().contains(remedy), "{}", folder.remedy());
}

#[test]
fn an_unknown_name_is_found_however_the_text_is_written() {
    let meant = "did you mean \"value\"?";
    assert_at("annotations: {summary: \"at {{ vlaue }} now\"}\n", "6:31", meant);
    assert_at("annotations:\n  summary: at {{ vlaue }}\n", "7:18", meant);
    assert_at("annotations:\n  summary: 'value {{ value }} {{ vlaue }}'\n", "7:34", meant);
    assert_at("annotations:\n  summary: \"a\\n\\\"b\\\" {{ vlaue }}\"\n", "7:25", meant);
    assert_at("annotations:\n  summary: |\n    first\n\n    second {{ vlaue }}\n", "10:15", meant);
    assert_at("annotations:\n  summary: >\n    first\n    second {{ vlaue }}\n", "9:15", meant);
    assert_at("annotations:\n  a: \"ü {{ value }}\"\n  b: \"ü {{ vlaue }}\"\n", "8:12", meant);
}

#[test]
fn only_labels_the_alert_has_are_known() {
    let text = "group_by: region\nlabels: {team: courts}\nannotations:\n  a: \"{{ labels.team }} {{ labels.region }}";
    assert!(with(&format!("{text}\"\n")).load().is_ok());
    assert_at(
        &format!("{text} {{{{ labels.regoin }}}}\"\n"),
        "9:48",
        "did you mean \"labels.region\"?",
    );
    assert_at("annotations: {a: \"{{ labels.team }}\"}\n", "6:22", "write one of rule, metric, ");
}

#[test]
fn a_text_in_defaults_may_name_what_each_rule_has() {
    let text = "annotations: {a: \"{{ labels.team }}\"}\n";
    let folder = Folder::new()
        .with("alerts/a/_defaults.yml", text)
        .with("alerts/a/x.yml", format!("{GOOD_RULE}labels: {{team: x}}\n"));
    assert!(folder.load().is_ok());
    let folder = folder.with("alerts/a/y.yml", GOOD_RULE);
    assert_eq!(folder.refused(), [("alerts/a/_defaults.yml:1:22".to_owned(), Kind::BadTemplate)]);
}

#[test]
fn broken_templates_are_refused() {
    for text in [
        "{{ value",
        "{{ }}",
        "{{ value | shout }}",
        "{{ 1 }}{% if %}",
        "{{ 1 }}{% endif %}",
        "{{ f() }}",
    ] {
        let refused = with(&format!("annotations:\n  a: '{text}'\n")).refused();
        let [(place, kind)] = refused.as_slice() else { panic!("{text}: {refused:?}") };
        assert_eq!(*kind, Kind::BadTemplate, "{text}");
        assert!(place.starts_with("alerts/good.yml:7:"), "{text}: {place}");
    }
    let long = format!("annotations:\n  a: \"{{{{ value }}}}{}\"\n", "x".repeat(5_000));
    assert_eq!(with(&long).refused(), [("alerts/good.yml:7:6".to_owned(), Kind::TooLarge)]);
}

#[test]
fn a_text_without_places_may_hold_anything() {
    let folder = with("annotations: {a: \"100 % } {% nothing %} { {x} }}\"}\n");
    let rules = folder.load().unwrap_or_else(|problems| panic!("{problems}")).settings.rules;
    assert_eq!(rules[0].annotations["a"], "100 % } {% nothing %} { {x} }}");
}
