//! The test of record for budgets: 2 800 alerts at once, 10 receivers.

mod desk_script;

use desk_script::{Script, settings};
use serde_json::Value;
use stages::time::Span;
use std::collections::BTreeMap;

#[test]
fn a_storm_of_2800_alerts_is_told_within_budget_and_nothing_is_lost() {
    let mut script = Script::new();
    let line = "settings receivers=10 burst=20 reserve=2 no_plan";
    let words: Vec<&str> = line.split_whitespace().skip(1).collect();
    let budget = settings(&words).receivers[1].budget;
    script.play(Span::ZERO, line);
    let began = script.now;
    for number in 0..2_800 {
        script.play(Span::ZERO, &format!("fire county_api group=g{number}"));
    }
    // Long enough for the last digest.
    script.play(Span::from_secs(600), "pass");

    let (mut fired, mut told, mut digests, mut folded) = (
        0,
        BTreeMap::<String, u64>::new(),
        BTreeMap::<String, u64>::new(),
        BTreeMap::<String, u64>::new(),
    );
    let mut folded_in_log: BTreeMap<String, u64> = BTreeMap::new();
    for output in &script.outputs {
        let body: Value = serde_json::from_slice(&output.payload).unwrap();
        if output.subject.ends_with(".fired") {
            fired += 1;
            let names = body["folded"].as_array().unwrap().iter();
            names.for_each(|name| {
                *folded_in_log.entry(name.as_str().unwrap().to_owned()).or_default() += 1
            });
        }
        if output.subject.starts_with("ops.notify.") {
            let receiver = body["receiver"].as_str().unwrap().to_owned();
            if body["reason"] == "digest" {
                *digests.entry(receiver.clone()).or_default() += 1;
                *folded.entry(receiver).or_default() += body["folded_count"].as_u64().unwrap();
                assert!(output.payload.len() < 512 * 1024, "a digest fits a message");
            } else {
                *told.entry(receiver).or_default() += 1;
            }
        }
    }
    assert_eq!(fired, 2_800, "every alert is in the log");
    let span = script.now.since(began);
    let refilled = u64::try_from(span.0 / budget.refill.0).unwrap();
    assert_eq!(told.len(), 10);
    for (receiver, told) in &told {
        assert!(*told <= u64::from(budget.burst) + refilled, "{receiver}: {told}");
        assert!(digests[receiver] <= 2, "{receiver}");
        assert_eq!(told + folded[receiver], 2_800, "{receiver}: digests account for all the rest");
        assert_eq!(folded[receiver], folded_in_log[receiver], "{receiver}: the log says the same");
    }
}

#[test]
fn warnings_leave_the_reserve_to_critical_ones() {
    let mut script = Script::new();
    script.play(Span::ZERO, "settings receivers=1 burst=5 reserve=2 no_plan severity=warning");
    for number in 0..6 {
        script.play(Span::ZERO, &format!("fire county_api group=w{number} severity=warning"));
    }
    let told =
        |script: &Script| script.outputs.iter().filter(|it| it.subject == "ops.notify.r0").count();
    assert_eq!(told(&script), 3);
    for number in 0..6 {
        script.play(Span::ZERO, &format!("fire county_api group=c{number} severity=critical"));
    }
    assert_eq!(told(&script), 5);
}

#[test]
fn a_storm_leaves_nothing_open_at_a_pager() {
    let mut script = Script::new();
    script.play(Span::ZERO, "settings receivers=3 channel=pager_duty burst=20 reserve=2 no_plan");
    for word in ["fire", "ok"] {
        for number in 0..2_800 {
            script.play(Span::ZERO, &format!("{word} county_api group=g{number}"));
        }
        script.play(Span::from_secs(600), "pass");
    }
    let mut open: BTreeMap<String, u32> = BTreeMap::new();
    let (mut opened, mut closed) = (0, 0);
    for output in script.outputs.iter().filter(|it| it.subject.starts_with("ops.notify.r")) {
        let body: Value = serde_json::from_slice(&output.payload).unwrap();
        let key = body["dedup_key"].as_str().unwrap().to_owned();
        if body["ended"].is_null() {
            opened += 1;
            *open.entry(key).or_default() += 1;
        } else {
            closed += 1;
            open.remove(&key);
        }
    }
    assert!(open.is_empty(), "{open:?}");
    // What was opened one by one is closed one by one, and the digests of each at once.
    assert!(opened >= 3 * 21 && closed <= opened, "{opened} opened, {closed} closed");
}
