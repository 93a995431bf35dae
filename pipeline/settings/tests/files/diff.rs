//! What an edit changes, in the words of the files, and what it does to alerts.

use crate::folder::{Folder, GOOD_RULE};
use settings::{Change, Diff, Effect, Part};
use stages::settings::Settings;

fn settings_of(files: &[(&str, &str)]) -> Settings {
    let folder = files.iter().fold(Folder::new(), |folder, (path, text)| folder.with(path, text));
    folder.load().unwrap_or_else(|problems| panic!("{problems}")).settings
}

/// The difference between the good rule and this one.
fn edited(rule: &str) -> Diff {
    let before = settings_of(&[]);
    Diff::between(&before, &settings_of(&[("alerts/good.yml", rule)]))
}

#[test]
fn nothing_differs_between_equal_settings() {
    let diff = edited(GOOD_RULE);
    assert!(diff.is_empty(), "{diff}");
    assert_eq!(diff.before, diff.after);
    assert_eq!(diff.to_string(), "");
}

#[test]
fn every_kind_of_edit_says_what_it_does_to_alerts() {
    let with = |line: &str| edited(&format!("{GOOD_RULE}{line}\n"));
    for (diff, effect) in [
        (with("severity: warning"), Effect::Keeps),
        (with("labels: {team: courts}"), Effect::Keeps),
        (with("for: 5m"), Effect::Judges),
        (edited(&GOOD_RULE.replace("1000", "1500")), Effect::Judges),
        (with("stat: p99"), Effect::Restarts),
        (with("where: {service: courts}"), Effect::Restarts),
        (
            edited(
                &GOOD_RULE.replace("threshold: 1000", "severity: {warning: 500, critical: 1000}"),
            ),
            Effect::Judges,
        ),
        (edited(&GOOD_RULE.replace("api_ms", "api_ms / calls")), Effect::Replaces),
        (with("group_by: region"), Effect::Restarts),
        (edited(&GOOD_RULE.replace("county_api_ms", "other_ms")), Effect::Replaces),
    ] {
        assert_eq!(diff.pieces.len(), 1, "{diff}");
        assert_eq!(diff.pieces[0].effect, Some(effect), "{diff}");
    }
}

#[test]
fn conditions_differ_in_words() {
    let ratio = |more: &str| {
        let text = GOOD_RULE.replace("county_api_ms", "errors / requests").replace("1000", "0.05");
        settings_of(&[("alerts/good.yml", &format!("{text}{more}"))])
    };
    let diff = Diff::between(&ratio(""), &ratio("where: {region: eu}\n"));
    let text = diff.to_string();
    assert!(text.contains("where: (not set) -> region=\"eu\""), "{text}");
    assert!(
        text.contains("the sum of errors{region=\"eu\"} divided by that of requests"),
        "{text}"
    );
    let graded =
        edited(&GOOD_RULE.replace("threshold: 1000", "severity: {warning: 500, critical: 1000}"));
    assert!(
        graded.to_string().contains("grades: (not set) -> {warning: 500, critical: 1000}"),
        "{graded}"
    );
}

#[test]
fn a_difference_reads_like_the_files() {
    let plan = "script: undo.sh\nverify: {settle: 1s}\nlock_after: never\n";
    let before = settings_of(&[("alerts/old.yml", GOOD_RULE)]);
    let after = settings_of(&[
        ("alerts/new.yml", &GOOD_RULE.replace("county", "city")),
        (
            "alerts/good.yml",
            &format!(
                "{}stat: p99.9\naction: ROLLBACK:UNDO\nguards: {{approve: required, changed_within: 30m}}\n\
                 labels: {{team: courts}}\nrecover: 1200.5\n",
                GOOD_RULE.replace("1000", "1500").replace("oncall@opm.gov", "[pager_duty]")
            ),
        ),
        ("deploy/plans/UNDO/plan.yml", plan),
        ("config/ops.yml", "limits: {rollbacks_per_hour: 3}\n"),
    ]);
    let diff = Diff::between(&before, &after);
    assert_eq!(
        diff.to_string(),
        "~ rule good: windows restart empty; firing alerts go on where their group still exists\n    \
         action: (not set) -> ROLLBACK:UNDO\n    \
         guards.approve: (not set) -> required\n    \
         guards.changed_within: (not set) -> 30m\n    \
         labels.team: (not set) -> courts\n    \
         notify: [oncall@opm.gov] -> [pager_duty]\n    \
         recover: (not set) -> 1200.5\n    \
         stat: mean -> p99.9\n    \
         threshold: 1000 -> 1500\n\
         + rule new: it starts unknown, with samples from now on\n\
         - rule old: open incidents are closed as rule_removed\n\
         ~ plan UNDO\n    lock_after: 2 -> never\n\
         ~ limits and the rest\n    limits.rollbacks_per_hour: 10 -> 3"
    );
    let kinds: Vec<(Part, Change)> =
        diff.pieces.iter().map(|piece| (piece.kind, piece.change)).collect();
    assert_eq!(kinds[1], (Part::Rule, Change::Added));
}
