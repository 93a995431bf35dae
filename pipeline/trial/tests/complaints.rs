//! What people complain about elsewhere, each as a script that shows what is done here: rules as they are written, what
//! happens, and after `---` everything that is said. `OPS_WRITE_GOLDEN=1` rewrites what is said; read the difference.
//!
//! ```text
//! rules                              the rules below, indented; again later, after a time: an edit
//!   - {name: slow, ...}
//! start 2026-03-08T12:00:00Z         when it begins, where that matters
//! limit 2                            series of one metric
//! 0s..20s every 1s m{pod="a"} 110    samples from (in) to (out); 0+10 rises by 10; " ; " stands between several
//! 30s m 1500 ts=-5m                  one sample, its event time five minutes back; `counter` behind it: its kind
//! 40s silence slow for 5m            40s ack slow        40s close slow
//! 50s hole 1m                        the bus is down
//! 90s end                            time passes until here
//! ---
//! 0.1s slow{pod=a} ok -> firing breach             a move of an alert
//! 0.1s   fired (detail), silenced                  what became of the incident
//! 0.1s   => oncall@opm.gov [fired] county_api ...  what somebody is told
//! ```
//!
//! Every script is played a second time with shard and desk saved and read back after each step: it must say the same,
//! byte for byte.

#[macro_use]
mod scripts;

scripts! { "complaints", every_complaint_in_the_folder_is_played:
    missing_data_does_not_resolve
    no_data_is_the_same_alert
    a_vanished_series_is_not_resolved
    one_missed_sample_does_not_reset_for
    a_longer_for_does_not_demote_a_firing_alert
    a_rule_edit_does_not_fire_again
    a_changed_text_tells_nobody
    a_deleted_rule_closes_its_alert
    a_resolve_does_not_wait_for_a_group
    over_the_series_limit_known_alerts_survive
    a_counter_reset_is_not_a_spike
    a_new_counter_at_a_high_value_is_not_a_spike
    a_restart_neither_resets_for_nor_fires_again
    a_late_scrape_does_not_fire
    flapping_pages_once
    a_value_around_the_threshold_pages_once
    a_value_on_the_threshold_is_no_breach
    keep_firing_for_bridges_a_short_recovery
    a_breach_soon_after_resolved_is_the_same_incident
    a_silence_that_ends_pages_if_it_still_fires
    a_silenced_alert_that_resolves_tells_nobody
    an_acknowledged_alert_is_left_alone_and_its_end_is_told
    an_alert_that_changes_severity_is_one_alert
    a_clock_ahead_does_not_hide_the_others
    what_is_no_number_poisons_nothing
    a_new_label_value_does_not_lose_the_old_alert
    one_sick_instance_is_not_averaged_away
    daylight_saving_does_not_shift_active_hours
    an_outage_of_ours_is_not_an_outage_of_theirs
    few_samples_decide_nothing
    absence_needs_no_sample_ever
    no_requests_are_no_error_rate
    an_incident_is_told_again_until_somebody_takes_it
    what_got_worse_under_a_silence_is_told_when_it_ends
    an_edit_of_severities_is_told_once
    a_message_never_contradicts_itself
}
