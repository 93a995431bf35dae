//! What the public compliance rules ask of whatever generates alerts (github.com/prometheus/compliance, `alert_generator`,
//! specification 1.0), clause by clause: rules of Prometheus, imported, under virtual time, and what a webhook that takes
//! Alertmanager's messages gets. Written after its description; the scripts are as in `complaints.rs`, besides:
//!
//! ```text
//! prometheus instance      rules of one group, imported, their series told apart by these labels
//! posted                   messages are shown as posted: status, fingerprint, startsAt, endsAt; labels; annotations
//! ```
//!
//! Covered: what makes alerts of series (steps 1 to 3), pending, firing, inactive, labels and annotations, what is sent when,
//! and each alert's format. Where we differ on purpose, the name of the script says what holds here. Not covered,
//! because there is no such thing: `ALERTS` series and rules upon them (the importer refuses them below), group intervals
//! and the order of rules (rules are judged by samples), two alerts of the same labels (labels of a group are unique, step 4),
//! `/api/v1/rules` and `/api/v1/alerts` (`ops rules list`, `ops alerts`), posting to `/api/v2/alerts` (there each alert lives
//! on being sent again every minute; the desk says changes).

#[macro_use]
mod scripts;

#[test]
fn rules_upon_alerts_series_are_refused_with_a_remedy() {
    for expr in ["ALERTS{alertstate=\"firing\"} == 1", "absent(ALERTS_FOR_STATE)"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rules.yml");
        let rule = format!("groups: [{{name: g, rules: [{{alert: A, expr: '{expr}'}}]}}]\n");
        std::fs::write(&path, rule).unwrap();
        let import = settings::import_prometheus(&path, Some(&[])).unwrap();
        let [refused] = import.refused.as_slice() else { panic!("{:?}", import.rules) };
        assert!(refused.why.contains("nobody writes here: write all: or any:"), "{}", refused.why);
    }
}

scripts! { "compliance", every_clause_in_the_folder_is_played:
    an_alert_is_pending_until_its_for_is_over_and_then_fires
    without_for_an_alert_fires_at_its_first_breach
    a_short_for_fires_when_it_is_over_not_at_a_next_evaluation
    a_pending_alert_that_goes_back_is_told_to_nobody
    a_value_that_never_breaches_makes_no_alert
    a_firing_alert_resolves_at_the_first_value_that_is_no_breach
    a_breach_after_the_end_is_a_new_alert
    each_series_is_an_alert_with_labels_and_clock_of_its_own
    a_series_that_comes_later_is_a_new_alert_beside_the_firing_one
    the_name_of_the_rule_overrides_a_label_alertname
    labels_of_the_rule_are_sent_but_do_not_override_those_that_tell_alerts_apart
    annotations_are_filled_in_with_labels_and_value
    a_reminder_says_the_value_of_the_last_move
    a_firing_alert_is_told_again_every_four_hours_not_every_minute
    an_end_is_told_once_not_for_fifteen_minutes
    data_that_is_missing_does_not_end_an_alert
    absence_is_an_alert_that_ends_with_the_first_sample
    keep_firing_for_holds_an_alert_that_is_over
    two_rules_of_one_name_are_two_alerts
}
