//! The desk's log that a snapshot is taken in the middle of: rules over metrics of several shards, which the desk judges
//! itself, beside an incident whose rollback is verified, one that is silenced, and budgets that are spent.

use crate::cluster::{Cluster, at};
use crate::desk_script;
use crate::kept::{self, Played};
use crate::shard_script::{Dice, rule};
use serde_json::{Value, json};
use stages::log::DeskKind;
use stages::settings::{Rule, Settings};
use stages::subject::Subjects;
use std::sync::Arc;

pub const SHARDS: u32 = 3;
/// Tenths of a second: the log's end, and the moment of the snapshot.
const END: i64 = 1_000;
const CUT: i64 = 450;

pub fn play() -> Played {
    let (mut cluster, mut dice) = (Cluster::new(SHARDS), Dice(3));
    let (mut chunks, mut before) = (Vec::new(), 0);
    cluster.settings(at(0), &settings());
    for tenth in 10..END {
        samples(&mut cluster, &mut dice, tenth);
        people(&mut cluster, tenth);
        if tenth == CUT {
            (chunks, before) = (cluster.desk_snapshot(), cluster.desk.steps.len());
        }
    }
    let said = cluster.desk.said.iter().map(kept::told);
    let steps = cluster.desk.steps.iter().cloned().zip(said).skip(before).collect();
    Played { version: version(&chunks), chunks, steps }
}

/// Which version of the desk wrote it.
pub fn version(chunks: &[bytes::Bytes]) -> u64 {
    let json = zstd::stream::decode_all(&*chunks.concat()).unwrap();
    serde_json::from_slice::<Value>(&json).unwrap()["version"].as_u64().unwrap()
}

/// Metrics of two different shards.
fn metrics() -> [String; 2] {
    let shard = |name: &str| Subjects::default().shard_of(name, SHARDS);
    let first = "metric_0".to_owned();
    let other = (1..).map(|n| format!("metric_{n}")).find(|name| shard(name) != shard(&first));
    [first, other.unwrap()]
}

/// Two metrics of two hosts in waves of different lengths, one of which is away for some time; the brief's is too slow
/// until it was rolled back.
fn samples(cluster: &mut Cluster, dice: &mut Dice, tenth: i64) {
    let time = at(tenth * 100);
    for (index, name) in (0_i64..).zip(&metrics()) {
        for (host, shift) in [("one", 0), ("two", 40)] {
            let away = index == 1 && host == "two" && (380..620).contains(&tenth);
            if away || (tenth + shift / 40) % 10 != index {
                continue;
            }
            let wave = (tenth + shift) / (70 + 60 * index) % 2;
            let value = 4.0 + 16.0 * wave as f64 + dice.roll(100) as f64 / 1_000.0;
            cluster.sample(time, name, value, &json!({ "host": host }));
        }
    }
    if tenth % 2 == 0 {
        let value = if (100..400).contains(&tenth) { 1_500.0 } else { 500.0 };
        cluster.sample(time, "county_api_ms", value, &json!({}));
    }
}

/// What people and edges say.
fn people(cluster: &mut Cluster, tenth: i64) {
    let time = at(tenth * 100);
    match tenth {
        80 => {
            let change =
                json!({"schema": 1, "target": "docket_rule", "revision": "v2", "author": "deploy"});
            cluster.say(time, DeskKind::Change, &change);
        }
        200 => {
            let silence = json!({"schema": 1, "id": "s1", "author": "anna", "comment": "works",
                "matchers": {"rule": "either"}, "ends": at(70_000), "actions": false});
            cluster.say(time, DeskKind::Silence, &silence);
        }
        300 | 320 | 380 => ledger(cluster, tenth),
        500 => {
            let incident = incident(cluster, "held");
            let ack = json!({"schema": 1, "incident": incident, "author": "anna"});
            cluster.say(time, DeskKind::Ack, &ack);
        }
        _ => {}
    }
}

/// The agent claims, starts and ends the rollback, whose recovery is then verified.
fn ledger(cluster: &mut Cluster, tenth: i64) {
    let incident = incident(cluster, "county_api");
    let state = match tenth {
        300 => json!({"state": "claimed"}),
        320 => json!({"state": "started", "fence": 7}),
        _ => json!({"state": "ended", "outcome": "succeeded", "exit_code": 0}),
    };
    let body = json!({"schema": 1, "plan": "DOCKET_RULE", "incident": incident,
        "holder": "agent-1", "state": state});
    let subject = Subjects::default().ledger("DOCKET_RULE", &incident);
    cluster.report(at(tenth * 100), &subject, &body);
}

/// The newest incident of a rule.
fn incident(cluster: &Cluster, rule: &str) -> String {
    let mut alerts = cluster.alerts().into_iter().rev();
    alerts.find(|alert| alert.rule == rule).and_then(|alert| alert.incident).unwrap()
}

fn settings() -> Settings {
    let mut settings = desk_script::settings(&["burst=12", "reserve=1", "repeat=20s"]);
    let brief = Arc::make_mut(&mut settings.rules[0]);
    brief.window = stages::time::Span::from_secs(10);
    settings.rules.extend(apart().into_iter().map(Arc::new));
    settings.rules.sort_by(|one, other| one.name.cmp(&other.name));
    settings
}

/// Rules that no shard judges alone.
fn apart() -> Vec<Rule> {
    let [a, b] = &metrics();
    let term = |metric: &str, changes: Value| {
        let mut fields = json!({"metric": metric, "stat": "mean", "compare": ">",
            "threshold": 10.0, "window": "6s", "min_samples": 2, "fresh_for": "3s"});
        fields.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        fields
    };
    let joined = |name: &str, any_of: Value, changes: Value| {
        let mut fields = json!({"metric": a, "window": "6s", "notify": ["oncall@opm.gov"]});
        fields["any_of"] = any_of;
        fields.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        rule(name, &fields)
    };
    let [one, two] = [term(a, json!({})), term(b, json!({}))];
    let sum = term(a, json!({"stat": "sum", "threshold": 1.7, "recover": 1.3, "per": b}));
    let earlier = term(b, json!({"baseline": "14s", "threshold": 2.0}));
    let by_host = json!({"group_by": ["host"], "no_data": "alert"});
    vec![
        joined("both", json!([[one, two]]), by_host),
        joined("either", json!([[one], [two]]), json!({"keep_firing_for": "3s"})),
        joined("held", json!([[one], [two]]), json!({"for": "4s", "severity": "warning"})),
        joined("ratio", json!([[sum]]), json!({"group_by": ["host"], "flap_window": "20s"})),
        joined("earlier", json!([[earlier, one]]), json!({"mode": "shadow"})),
    ]
}
