//! What the rules of a folder have in common, and what is wrong with it.

use crate::folder::{Folder, GOOD_RULE};
use settings::Kind;
use stages::settings::{Action, Rule};
use std::sync::Arc;

/// A folder without the good rule's neighbours: `alerts/courts/docket.yml` says its metric alone.
fn tree(files: &[(&str, &str)]) -> Folder {
    let folder = Folder::new().with("alerts/courts/docket.yml", "metric: docket_ms\n");
    files.iter().fold(folder, |folder, (path, text)| folder.with(path, text))
}

fn rules_of(folder: &Folder) -> Vec<Arc<Rule>> {
    folder.load().unwrap_or_else(|problems| panic!("{problems}")).settings.rules
}

const TOP: &str = "schema: 1\nthreshold: 500\nwindow: 5m\nnotify: pager_duty\nrunbook: https://example.org/a\n\
    labels: {site: opm, team: all}\nguards: {dry_run: true}\nshare: 0.5\n";

#[test]
fn the_nearest_defaults_win_and_a_rules_own_field_wins_over_them() {
    let near = "window: 10m\nlabels: {team: courts}\nannotations: {summary: slow}\n";
    let own = "metric: docket_ms\nthreshold: 900\nlabels: {page: docket}\n";
    let folder = tree(&[
        ("alerts/_defaults.yml", TOP),
        ("alerts/courts/_defaults.yml", near),
        ("alerts/courts/docket.yml", own),
        (
            "alerts/courts/deep/er/list.yml",
            "rules:\n- {name: a, metric: a}\n- {name: b, metric: b}\n",
        ),
    ]);
    let rules = rules_of(&folder);
    let rule = |name: &str| rules.iter().find(|rule| rule.name == name).expect("there");
    let docket = rule("docket");
    assert_eq!((docket.threshold, docket.window.to_string().as_str()), (900.0, "10m"));
    assert_eq!(docket.notify, ["pager_duty"]);
    let labels: Vec<(&str, &str)> =
        docket.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(labels, [("page", "docket"), ("site", "opm"), ("team", "courts")]);
    assert_eq!((rule("a").threshold, rule("b").window), (500.0, docket.window));
    let good = rule("good");
    assert_eq!((good.threshold, good.labels["team"].as_str()), (1000.0, "all"));
    assert!(good.annotations.is_empty(), "defaults hold below their folder only");
}

#[test]
fn guards_and_shares_go_to_the_rules_that_can_use_them() {
    let folder = tree(&[
        ("alerts/_defaults.yml", TOP),
        ("alerts/acts.yml", "metric: a\naction: ROLLBACK:UNDO\n"),
        ("alerts/counts.yml", "metric: a\nstat: above\n"),
    ]);
    let rules = rules_of(&folder);
    let rule = |name: &str| rules.iter().find(|rule| rule.name == name).expect("there");
    assert!(rule("acts").guards.dry_run && !rule("docket").guards.dry_run);
    assert_eq!(rule("acts").action, Some(Action::Rollback("UNDO".into())));
    assert_eq!((rule("counts").share, rule("docket").share), (Some(0.5), None));
}

#[test]
fn what_is_wrong_with_defaults_is_said_of_their_file_once() {
    for (text, at, kind) in [
        ("window: 3 min\nthreshold: 1\n", ":1:9", Kind::BadDuration),
        ("window: 3m\nthreshold: high\n", ":2:12", Kind::WrongType),
        ("window: 3m\nthreshold: 1\nname: x\n", ":3:1", Kind::UnknownField),
        ("window: 3m\nthreshold: 1\nmetric: x\n", ":3:1", Kind::UnknownField),
        ("window: 3m\nthreshold: 1\nrules: []\n", ":3:1", Kind::UnknownField),
        ("window: 3m\nthreshold: 1\nwindw: 4m\n", ":3:1", Kind::UnknownField),
        ("window: 3m\nthreshold: 1\nschema: 2\n", ":3:9", Kind::UnknownSchema),
        ("window: 3m\nthreshold: 1\nnotify: pagerduty\n", ":3:9", Kind::UnknownReceiver),
        ("window: 3m\nthreshold: 1\nrecover: 2\n", ":3:10", Kind::WrongSide),
        ("window: 3m\nthreshold: 1\nthreshold: 2\n", ":3:1", Kind::DuplicateKey),
        ("- window: 3m\n", ":1:1", Kind::WrongType),
        ("window: [3m\n", ":1:9", Kind::NotYaml),
    ] {
        let own = "metric: m\nthreshold: 1\nwindow: 1m\n";
        let uses = if text.starts_with("window: 3m") { "metric: m\n" } else { own };
        let folder = Folder::new()
            .with("alerts/courts/_defaults.yml", text)
            .with("alerts/courts/a.yml", uses)
            .with("alerts/courts/b.yml", uses);
        let refused = folder.refused();
        let errors: Vec<_> = refused
            .iter()
            .filter(|(_, kind)| !matches!(kind, Kind::NoReceiver | Kind::NoRunbook))
            .collect();
        let expected = (format!("alerts/courts/_defaults.yml{at}"), kind);
        assert_eq!(errors, [&expected], "{text}");
    }
}

#[test]
fn defaults_nobody_uses_yet_are_checked_too() {
    let folder = Folder::new().with("alerts/new/_defaults.yml", "severity: very bad\n");
    let expected = [("alerts/new/_defaults.yml:1:11".to_owned(), Kind::BadName)];
    assert_eq!(folder.refused(), expected, "with no rule in the folder");
    let folder = folder.with("alerts/new/a.yml", format!("{GOOD_RULE}severity: warning\n"));
    assert_eq!(folder.refused(), expected);
    let partial = "stat: above\nrecover: 5000\ncompare: \"<\"\nguards: {approve: required}\n";
    let folder = Folder::new().with("alerts/new/_defaults.yml", partial).with(
        "alerts/new/a.yml",
        "metric: a\nthreshold: 6\nstat: mean\ncompare: \"==\"\nwindow: 1m\nrecover: 6\n",
    );
    let refused: Vec<_> = folder.refused().into_iter().map(|it| it.0).collect();
    assert_eq!(refused.len(), 3, "its own recover and two warnings: {refused:?}");
}

#[test]
fn the_version_of_a_file_may_be_said_and_must_be_known() {
    let with = |text: String| Folder::new().with("alerts/good.yml", text);
    assert!(with(format!("schema: 1\n{GOOD_RULE}")).load().is_ok());
    assert!(
        with(format!(
            "schema: 1\nrules:\n- {{name: x, {}}}\n",
            "metric: m, threshold: 1, window: 1m"
        ))
        .load()
        .is_ok()
    );
    for (value, kind) in [("2", Kind::UnknownSchema), ("\"1\"", Kind::UnknownSchema)] {
        let folder = with(format!("schema: {value}\n{GOOD_RULE}"));
        assert_eq!(folder.refused(), [("alerts/good.yml:1:9".to_owned(), kind)]);
    }
    let inside =
        with("rules:\n- {name: x, schema: 1, metric: m, threshold: 1, window: 1m}\n".into());
    assert!(inside.refused().iter().any(|(_, kind)| *kind == Kind::UnknownField));
}

#[test]
fn a_folder_that_lies_in_itself_is_named() {
    let folder = tree(&[("alerts/_defaults.yml", TOP)]);
    std::os::unix::fs::symlink("..", folder.path().join("alerts/courts/again")).expect("a link");
    let refused = folder.refused();
    assert!(refused.contains(&("alerts/courts/again".to_owned(), Kind::Cyclic)), "{refused:?}");
}
