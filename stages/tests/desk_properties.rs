//! What holds at the desk whatever the log says: random logs of everything that may be said to it.

mod desk_script;

use desk_script::Script;
use proptest::prelude::*;
use serde_json::Value;
use stages::desk::Desk;
use stages::output::Output;
use stages::subject::Subjects;
use stages::time::Span;
use stages::wire::{Intent, Reason};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that may be said, weighted by how often it stands here.
const LINES: &[&str] = &[
    "fire county_api",
    "fire county_api",
    "fire county_api",
    "fire county_api group=b",
    "fire county_api panes=3",
    "fire county_api flapping",
    "fire county_api data=stale",
    "fire county_api age=3m",
    "fire county_api again",
    "fire county_site",
    "pending county_api",
    "firing county_api",
    "firing county_api flapping",
    "firing county_api data=none",
    "recovering county_api level=900",
    "ok county_api level=112",
    "ok county_api level=112",
    "ok county_api group=b level=112",
    "ok county_site level=1",
    "gone county_api",
    "claimed",
    "claimed",
    "claimed ago=10m",
    "foreign_claim {\"by\":\"jenkins\"}",
    "started",
    "ended succeeded exit=0",
    "ended failed exit=3",
    "ended unknown",
    "ended expired",
    "ended proposed",
    "cancelled",
    "expired",
    "status running",
    "status succeeded exit=0",
    "status failed detail=no",
    "status unknown",
    "status succeeded repeated",
    "verified recovered level=112",
    "verified not_recovered level=1500",
    "verified inconclusive",
    "silence for=2m",
    "silence for=5m actions",
    "ack anna",
    "close anna",
    "approve anna",
    "deny anna",
    "change docket_rule rev-7",
    "freeze anna",
    "unlock by=anna because=fixed",
    "unlock by=anna",
    "thaw anna",
    "thaw anna",
    "settings",
    "settings approve repeat=30s",
    "settings unless=county_site severity=warning",
    "settings changed_within=30m reopen=10m cooldown=10s lock=9",
    "settings cooldown=0s lock=9 burst=3",
    "settings burst=1 reserve=0",
    "settings notify=pager_duty",
    "settings notify=oncall@opm.gov",
    "settings no_rule",
    "settings no_plan",
    "gap began=30s",
    "gap began=40s ended=3s shard=1",
    "gap began=30s lost",
    "raw silence {",
    "raw transition []",
    "tick",
    "tick",
];
const GAPS: &[i64] = &[0, 1, 50, 900, 3_000, 9_000, 14_000, 130_000, 700_000];

fn logs() -> impl Strategy<Value = Vec<(i64, &'static str)>> {
    let entry = (prop::sample::select(GAPS), prop::sample::select(LINES));
    prop::collection::vec(entry, 1..120).prop_map(|mut log| {
        log.insert(0, (0, "settings cooldown=0s lock=9"));
        log
    })
}

fn body(output: &Output) -> Value {
    serde_json::from_slice(&output.payload).unwrap()
}

/// Checks what must hold of everything the desk ever said.
fn check(outputs: &[Output]) {
    let (mut commanded, mut keys) = (BTreeSet::new(), BTreeSet::new());
    let mut busy: BTreeMap<String, String> = BTreeMap::new();
    let (mut open, mut unknown) = (BTreeSet::new(), BTreeSet::new());
    for output in outputs {
        let (subject, body) = (output.subject.as_str(), body(output));
        let incident = body["incident"].as_str().unwrap_or_default().to_owned();
        let state = body["state"].as_str().unwrap_or_default();
        if subject.ends_with(".command") {
            assert!(commanded.insert(incident.clone()), "second command for {incident}");
            let plan = body["plan"].as_str().unwrap().to_owned();
            let other = busy.insert(plan, incident.clone());
            assert_eq!(other, None, "{incident} was commanded while another run is in flight");
            assert!(open.contains(&incident), "{incident} was commanded while not open");
        } else if subject.starts_with("ops.rollback.") {
            let over = [
                "expired",
                "cancelled",
                "failed",
                "timed_out",
                "recovered",
                "not_recovered",
                "inconclusive",
            ];
            if state == "unknown" {
                unknown.insert(incident.clone());
                if !open.contains(&incident) {
                    busy.retain(|_, it| *it != incident);
                }
            }
            if over.contains(&state) {
                busy.retain(|_, it| *it != incident);
            }
        } else if subject.starts_with("ops.alert.") {
            match state {
                "fired" => assert!(open.insert(incident.clone()), "{incident} fired twice"),
                "resolved" | "closed" => {
                    assert!(open.remove(&incident), "{incident} is over twice");
                    // An unknown run keeps its plan busy until here at most.
                    busy.retain(|_, it| {
                        *it != incident || state == "closed" && commanded.is_empty()
                    });
                }
                _ => {}
            }
        } else if subject.starts_with("ops.notify.") {
            assert!(keys.insert(body["key"].as_str().unwrap().to_owned()), "a key twice: {body}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_said_the_desk_keeps_its_promises(log in logs()) {
        let mut script = Script::new();
        for (gap, line) in log {
            script.play(Span::from_millis(gap), line);
        }
        check(&script.outputs);
    }

    #[test]
    fn a_restored_desk_goes_on_byte_for_byte(log in logs(), at in 0_usize..120) {
        let mut script = Script::new();
        let mut restored: Option<Desk> = None;
        for (index, (gap, line)) in log.into_iter().enumerate() {
            let entry = script.entry(Span::from_millis(gap), line);
            let step = script.step_of(entry);
            let said = script.desk.step(&step);
            if let Some(desk) = &mut restored {
                prop_assert_eq!(&said, &desk.step(&step));
                prop_assert_eq!(script.desk.due(), desk.due());
            }
            if index == at {
                let chunks = script.desk.snapshot();
                let created = desk_script::FRIDAY;
                let desk = Desk::restore(Subjects::default(), 1, created, &chunks).unwrap();
                prop_assert_eq!(desk.snapshot(), chunks);
                restored = Some(desk);
            }
        }
        if let Some(desk) = restored {
            prop_assert_eq!(script.desk.snapshot(), desk.snapshot());
        }
    }
}

/// What a pager shows in the end, by key: as PagerDuty does, whatever is not resolved.
fn shown_at_the_end(outputs: &[Output]) -> BTreeMap<String, Intent> {
    let mut open = BTreeMap::new();
    for output in outputs.iter().filter(|output| output.subject.starts_with("ops.notify.")) {
        let intent: Intent = serde_json::from_slice(&output.payload).unwrap();
        if intent.channels[0] != "pager_duty" || intent.reason == Reason::Acknowledged {
            continue;
        }
        if intent.closes() {
            open.remove(&intent.dedup_key);
        } else {
            open.insert(intent.dedup_key.clone(), intent);
        }
    }
    open
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_said_a_pager_shows_nothing_once_all_is_over(log in logs()) {
        let mut script = Script::new();
        // A receiver whose pager leaves the settings cannot be told there of any end.
        let paged = |line: &str| match line.starts_with("settings") {
            true => format!("{line} fallback=pager_duty"),
            false => line.to_owned(),
        };
        for (gap, line) in log {
            script.play(Span::from_millis(gap), &paged(line));
        }
        // The second word ends what still waits for a ledger that is silent here.
        for word in ["settings", "ok county_api", "gone county_api"] {
            script.play(Span::from_secs(1), &paged(word));
            if word != "settings" {
                script.play(Span::from_secs(1), &format!("{word} group=b"));
            }
        }
        script.play(Span::from_secs(2 * 3600), "pass");
        let shown = shown_at_the_end(&script.outputs);
        prop_assert!(shown.is_empty(), "{:#?}", shown.values());
    }
}

#[test]
fn a_snapshot_that_is_not_one_is_refused() {
    let created = desk_script::FRIDAY;
    let snapshot = Script::new().desk.snapshot();
    let half = vec![snapshot[0].slice(..snapshot[0].len() / 2)];
    for chunks in [vec![], vec![bytes::Bytes::from_static(b"{}")], half] {
        assert!(Desk::restore(Subjects::default(), 1, created, &chunks).is_err());
    }
}
