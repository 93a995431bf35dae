//! A shard and the desk together: what the one says is relayed to the other, as the engine does.

mod shard_script;

use bytes::Bytes;
use serde_json::json;
use shard_script::{Bench, START, rule, settings};
use stages::desk::Desk;
use stages::log::{DeskKind, Entry, EntryKind, LogId, Step, Stepper};
use stages::output::{Output, Target};
use stages::settings::{Plan, Settings, Verify};
use stages::subject::Subjects;
use stages::time::{Span, Time};
use std::sync::Arc;

/// What the desk says about the plan when it has read all that the shard said, in order.
fn rollbacks(bench: &Bench, settings: &Settings) -> Vec<String> {
    let mut desk = Desk::new(Subjects::default(), 1, START);
    let mut stepper = Stepper::new(LogId::Desk, START);
    let mut sequence = 0;
    let mut read = |time: Time, kind: EntryKind, payload: Bytes| -> Vec<Output> {
        sequence += 1;
        let mut steps: Vec<Step> = Vec::new();
        stepper.push(Entry { sequence, time, kind, payload }, &mut steps);
        steps.iter().flat_map(|step| desk.step(step)).collect()
    };
    let mut said = read(START, EntryKind::Settings, serde_json::to_vec(settings).unwrap().into());
    let mut source = 0;
    for (step, outputs) in bench.steps.iter().zip(&bench.outputs) {
        for output in outputs.iter().filter(|output| output.target == Target::Commit) {
            source += 1;
            let body: serde_json::Value = serde_json::from_slice(&output.payload).unwrap();
            let relayed = json!({
                "schema": 1, "subject": output.subject, "body": body,
                "source": { "stream": "events", "sequence": source, "time": step.ended },
            });
            let kind = EntryKind::Desk(DeskKind::Transition);
            said.extend(read(step.ended, kind, Bytes::from(relayed.to_string())));
        }
    }
    let about_plan = |output: &Output| {
        let subject = output.subject.strip_prefix("ops.rollback.P.")?;
        let body: serde_json::Value = serde_json::from_slice(&output.payload).unwrap();
        let why = body["why"].as_str().map_or(String::new(), |why| format!(" {why}"));
        Some(format!("{subject}{why}"))
    };
    said.iter().filter_map(about_plan).collect()
}

fn with_plan(changes: &serde_json::Value) -> Settings {
    let plan = Plan {
        name: "P".into(),
        script: "p.sh".into(),
        target: "P".into(),
        timeout: Span::from_secs(60),
        cooldown: Span::from_secs(1_800),
        lock_after: None,
        lock_window: Span::from_secs(86_400),
        not_after: Span::from_secs(120),
        approval_expires: Span::from_secs(600),
        idempotent: false,
        verify: Verify {
            settle: Span::from_secs(5),
            hold: Span::from_secs(10),
            within: Span::from_secs(300),
            min_samples: 10,
        },
    };
    let mut settings = settings(vec![rule("slow", changes)]);
    settings.plans = vec![Arc::new(plan)];
    settings
}

fn second(seconds: i64) -> Time {
    START.plus(Span::from_secs(seconds))
}

#[test]
fn a_rollback_waits_for_enough_samples_and_goes_without_anybody_asking() {
    let settings = with_plan(&json!({ "window": "30s", "action": { "rollback": "P" } }));
    let mut bench = Bench::new();
    bench.settings(START, &settings);
    (0..9).for_each(|n| bench.sample(second(n), 1500.0, &json!({})));
    assert_eq!(rollbacks(&bench, &settings), ["suppressed evidence"]);
    (9..12).for_each(|n| bench.sample(second(n), 1500.0, &json!({})));
    let said = rollbacks(&bench, &settings);
    assert_eq!(said, ["suppressed evidence", "proposed", "commanded", "command"]);
}

#[test]
fn a_rollback_waits_for_half_of_the_panes() {
    let settings = with_plan(&json!({ "window": "30s", "action": { "rollback": "P" } }));
    let mut bench = Bench::new();
    bench.settings(START, &settings);
    bench.sample(START, 1500.0, &json!({}));
    // Many samples, all in one pane ten seconds later.
    (0..20).for_each(|_| bench.sample(second(9), 1500.0, &json!({})));
    bench.ticks_before(second(10));
    assert_eq!(rollbacks(&bench, &settings), ["suppressed evidence"]);
    (0..44).for_each(|n| {
        bench.sample(second(10).plus(Span::from_millis(500 * n)), 1500.0, &json!({}));
    });
    let said = rollbacks(&bench, &settings);
    assert_eq!(said, ["suppressed evidence", "proposed", "commanded", "command"]);
}

#[test]
fn a_rollback_forbidden_while_there_was_no_data_is_judged_again_when_there_is() {
    let changes = json!({ "window": "30s", "no_data": "alert", "action": { "rollback": "P" } });
    let settings = with_plan(&changes);
    let mut bench = Bench::new();
    bench.settings(START, &settings);
    bench.ticks_before(second(60));
    assert_eq!(rollbacks(&bench, &settings), ["suppressed not_fresh"]);
    (60..62).for_each(|n| bench.sample(second(n), 1500.0, &json!({})));
    assert_eq!(rollbacks(&bench, &settings), ["suppressed not_fresh", "suppressed evidence"]);
    (62..75).for_each(|n| bench.sample(second(n), 1500.0, &json!({})));
    let said = rollbacks(&bench, &settings);
    assert_eq!(said[2..], ["proposed", "commanded", "command"]);
}
