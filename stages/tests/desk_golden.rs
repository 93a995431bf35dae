//! Golden scripts: what happens at the desk, after what gap, and what it says to it; each on one screen.
//!
//! A line at the margin is `+gap verb arguments`, indented lines are what the desk says. `OPS_BLESS=1` rewrites
//! them; read the difference before you commit it.

mod desk_script;

use desk_script::{Script, line};
use stages::time::Span;
use std::path::Path;

fn play(text: &str) -> String {
    let (mut script, mut played) = (Script::new(), String::new());
    for event in text.lines().filter(|line| !line.starts_with(' ')) {
        played.push_str(event);
        played.push('\n');
        let Some(rest) = event.strip_prefix('+') else { continue };
        let (gap, verb) = rest.split_once(' ').unwrap();
        for output in script.play(Span::parse(gap).unwrap(), verb) {
            played.push_str(&format!("    {}\n", line(&output)));
        }
    }
    played
}

fn golden(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/desk").join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    let played = play(&text);
    if std::env::var_os("OPS_BLESS").is_some() {
        std::fs::write(&path, &played).unwrap();
    }
    assert_eq!(played, text, "{name}: OPS_BLESS=1 rewrites it");
}

macro_rules! goldens {
    ($($name:ident)*) => {
        $(#[test] fn $name() { golden(concat!(stringify!($name), ".txt")); })*

        #[test]
        fn every_script_in_the_folder_is_played() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/desk");
            let mut there: Vec<String> = std::fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            there.sort();
            let mut played = vec![$(concat!(stringify!($name), ".txt")),*];
            played.sort();
            assert_eq!(there, played);
        }
    };
}

goldens! {
    one_incident_changes_its_severity
    a_mild_severity_acts_where_that_is_said
    friday
    silence_does_not_resolve
    outside_of_hours_an_alert_waits_for_the_morning
    a_shadow_tells_nobody_and_runs_nothing
    texts_are_filled_in
    one_attempt_per_incident
    every_forbidden_reason
    evidence_that_comes_later_is_judged_again
    an_unclaimed_command_expires_and_pages
    a_late_claim_is_expired_and_pages
    a_claim_that_cannot_be_read_is_a_claim
    an_unknown_outcome_pages_and_is_never_rerun
    a_failed_script_pages_with_the_agents_words
    not_recovered_pages
    recovered_before_the_claim_is_cancelled
    fired_again_while_its_command_is_withdrawn
    the_kill_switch_stops_what_is_not_claimed
    a_person_approves
    a_person_denies
    a_person_lifts_the_lock
    nobody_approves
    over_budget_becomes_a_digest
    over_budget_a_pager_is_closed
    digests_at_a_pager_have_an_end
    notices_at_a_pager_have_an_end
    what_comes_after_the_end_stands_by_itself
    whoever_was_told_of_the_beginning_is_told_of_the_end
    a_changed_severity_is_told
    reminders_until_acknowledged
    a_person_closes
    a_rule_that_is_removed_closes_its_incident
    repeats_and_rubbish_change_nothing
    blind_time_is_not_counted
    an_outage_is_told_once
    what_happened_while_down_is_not_undone
}
