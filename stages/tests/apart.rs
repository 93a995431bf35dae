//! Rules whose metrics lie in several shards: judged at the desk, as one shard with all of them would.

mod cluster;
mod shard_script;

use cluster::{Cluster, Log, START, at};
use serde_json::{Value, json};
use shard_script::{Dice, rule};
use stages::dataflow::{Dataflow, Feed, LogState, Round};
use stages::log::LogId;
use stages::output::{Output, Target};
use stages::settings::{Rule, Settings};
use stages::subject::Subjects;
use stages::time::{Span, Time};
use stages::wire::{AlertState, Axis, Cause};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const SHARDS: u32 = 4;

/// Metrics of three different shards out of four.
fn metrics() -> [String; 3] {
    let shard = |name: &str| Subjects::default().shard_of(name, SHARDS);
    let mut found: Vec<String> = Vec::new();
    for name in (0..).map(|n| format!("metric_{n}")) {
        if found.iter().all(|other| shard(other) != shard(&name)) {
            found.push(name);
        }
        if let [one, two, three] = &found[..] {
            return [one.clone(), two.clone(), three.clone()];
        }
    }
    unreachable!("there is always a further name")
}

/// A condition on `metric`, with `changes` to its fields.
fn term(metric: &str, changes: &Value) -> Value {
    let mut fields = json!({
        "metric": metric, "stat": "mean", "compare": ">", "threshold": 10.0, "window": "30s",
        "min_samples": 15, "fresh_for": "10s",
    });
    for (field, value) in changes.as_object().into_iter().flatten() {
        fields[field] = value.clone();
    }
    fields
}

fn joined(name: &str, any_of: &Value, changes: &Value) -> Rule {
    let first = any_of[0][0]["metric"].clone();
    let mut all = json!({ "metric": first, "any_of": any_of, "window": "30s", "threshold": 10.0 });
    for (field, value) in changes.as_object().into_iter().flatten() {
        all[field] = value.clone();
    }
    rule(name, &all)
}

fn settings(revision: &str, rules: Vec<Rule>) -> Settings {
    Settings { revision: revision.to_owned(), ..shard_script::settings(rules) }
}

/// One of each kind, by host where that is said.
fn every_kind() -> Vec<Rule> {
    let [a, b, c] = &metrics();
    let sum = json!({ "stat": "sum", "threshold": 1.7, "recover": 1.3, "per": b, "window": "20s" });
    let earlier = json!({ "baseline": "1m", "threshold": 2.0, "recover": 1.5, "window": "20s" });
    vec![
        joined("all", &json!([[term(a, &json!({})), term(b, &json!({}))]]), &json!({})),
        joined(
            "any",
            &json!([[term(a, &json!({ "threshold": 50.0 }))], [term(c, &json!({}))]]),
            &json!({ "for": "5s", "keep_firing_for": "3s" }),
        ),
        joined("ratio", &json!([[term(a, &sum)]]), &json!({ "group_by": ["host"] })),
        joined(
            "earlier",
            &json!([[term(c, &earlier), term(a, &json!({ "threshold": 1.0 }))]]),
            &json!({ "group_by": ["host"] }),
        ),
        joined(
            "held",
            &json!([[term(a, &json!({})), term(c, &json!({ "threshold": 5.0 }))]]),
            &json!({ "for": "8s", "group_by": ["host"], "recover": 8.0 }),
        ),
    ]
}

/// Four minutes of three metrics of two hosts, with waves of different lengths and pauses.
fn feed(cluster: &mut Cluster, seed: u64, mut between: impl FnMut(&mut Cluster, i64)) {
    let mut dice = Dice(seed);
    let names = metrics();
    for tenth in 0..2_400_i64 {
        between(cluster, tenth);
        for (index, name) in (0_i64..).zip(&names) {
            for (host, shift) in [("one", 0), ("two", 400)] {
                let paused = index == 2 && (1_500..1_800).contains(&tenth);
                if paused || (tenth + index + shift / 400) % 5 > 0 {
                    continue;
                }
                let wave = (tenth + shift) / (300 + 200 * index) % 2;
                let value = 4.0 + 16.0 * wave as f64 + dice.roll(100) as f64 / 1_000.0;
                let time = at(1_000 + tenth * 100 + dice.roll(90) as i64);
                cluster.sample(time, name, value, &json!({ "host": host }));
            }
        }
    }
    cluster.pass(at(300_000));
}

/// By rule and label set, what people saw of incidents, and when by the shards' times.
fn incidents(cluster: &Cluster) -> BTreeMap<(String, String), Vec<(AlertState, f64)>> {
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for event in cluster.alerts() {
        if matches!(event.state, AlertState::Fired | AlertState::Resolved) {
            let group = event.group.values().cloned().collect::<Vec<_>>().join(",");
            let seconds = event.time.since(START).as_secs_f64();
            all.entry((event.rule, group)).or_default().push((event.state, seconds));
        }
    }
    all
}

#[test]
fn metrics_of_several_shards_are_judged_as_if_they_lay_in_one() {
    for seed in 1..=6 {
        let (mut one, mut four) = (Cluster::new(1), Cluster::new(SHARDS));
        for cluster in [&mut one, &mut four] {
            cluster.settings(at(0), &settings("a", every_kind()));
            feed(cluster, seed, |_, _| ());
        }
        let (one, four) = (incidents(&one), incidents(&four));
        let kinds: BTreeSet<&str> = one.keys().map(|(rule, _)| &**rule).collect();
        assert_eq!(kinds.len(), 5, "every rule fires: {kinds:?}");
        assert_eq!(one.keys().collect::<Vec<_>>(), four.keys().collect::<Vec<_>>());
        for (key, alone) in &one {
            let apart = &four[key];
            assert_eq!(alone.len(), apart.len(), "{seed} {key:?}\n{alone:?}\n{apart:?}");
            for ((state, time), (state_apart, time_apart)) in alone.iter().zip(apart) {
                let near = (time - time_apart).abs() <= 1.2;
                assert!(state == state_apart && near, "{seed} {key:?}\n{alone:?}\n{apart:?}");
            }
        }
    }
}

#[test]
fn what_is_taken_up_again_anywhere_goes_on_byte_for_byte() {
    let run = |seed: u64, cuts: &[i64]| {
        let mut cluster = Cluster::new(SHARDS);
        cluster.settings(at(0), &settings("a", every_kind()));
        let edited = every_kind().into_iter().map(|mut rule| {
            if rule.name == "held" {
                rule.any_of[0][0].window = Span::from_secs(20);
            }
            rule.hold = Span::from_secs(4);
            rule
        });
        let edited = settings("b", edited.collect());
        feed(&mut cluster, seed, |cluster, tenth| {
            if tenth == 1_234 {
                cluster.settings(at(1_000 + tenth * 100), &edited);
            }
            if cuts.contains(&tenth) {
                cluster.restart();
            }
        });
        cluster.bytes()
    };
    for seed in 1..=4 {
        let mut dice = Dice(seed);
        let cuts: Vec<i64> = (0..40).map(|_| dice.roll(2_400) as i64).collect();
        let (whole, cut) = (run(seed, &[]), run(seed, &cuts));
        assert!(whole.len() > 1_000);
        assert!(whole == cut, "seed {seed}, cut at {cuts:?}");
    }
}

#[test]
fn what_a_shard_says_does_not_depend_on_its_workers() {
    let mut cluster = Cluster::new(SHARDS);
    cluster.settings(at(0), &settings("a", every_kind()));
    feed(&mut cluster, 3, |_, _| ());
    let mut compared = 0;
    for (shard, log) in (0..).zip(&cluster.shards) {
        let alone: Vec<Output> = log.said.iter().flatten().cloned().collect();
        compared += alone.len();
        for workers in [2, 3, 8] {
            assert!(by_workers(workers, shard, log) == alone, "shard {shard}, {workers} workers");
        }
    }
    assert!(compared > 500, "{compared}");
}

/// What so many workers make of the steps of a log.
fn by_workers(workers: usize, shard: u32, log: &Log) -> Vec<Output> {
    let (sender, done) = std::sync::mpsc::channel();
    let dataflow = Dataflow::start(workers, Subjects::default(), SHARDS, move |done| {
        let _ = sender.send(done);
    });
    let (dataflow, id) = (dataflow.unwrap(), LogId::Shard(shard));
    let adopt = LogState { log: id, created: START, now: START, snapshot: None };
    dataflow.feed(Round { number: 1, feeds: vec![Feed::Adopt(adopt)] });
    for (number, step) in (2..).zip(&log.steps) {
        let feed = Feed::Step { log: id, step: Arc::new(step.clone()) };
        dataflow.feed(Round { number, feeds: vec![feed] });
    }
    dataflow.stop();
    let outputs = done.into_iter().flat_map(|done| done.logs).flat_map(|log| log.outputs);
    outputs.filter(|output| output.target == Target::Commit).collect()
}

/// A cluster that judges `rule`, and samples of value 1 of its first two metrics each second up to `until`.
fn steady(rule: Rule, until: i64) -> Cluster {
    let mut cluster = Cluster::new(SHARDS);
    cluster.settings(at(0), &settings("a", vec![rule]));
    (1..until).for_each(|second| both(&mut cluster, second, 1.0));
    cluster
}

/// One sample of each of the first two metrics.
fn both(cluster: &mut Cluster, second: i64, value: f64) {
    let [a, b, _] = &metrics();
    cluster.sample(at(second * 1_000 + 300), a, value, &json!({}));
    cluster.sample(at(second * 1_000 + 300), b, value, &json!({}));
}

fn one_of_two(changes: &Value) -> Rule {
    let [a, b, _] = &metrics();
    let few = json!({ "min_samples": 1 });
    joined("either", &json!([[term(a, &few)], [term(b, &few)]]), changes)
}

fn both_of_two(changes: &Value) -> Rule {
    let [a, b, _] = &metrics();
    let few = json!({ "min_samples": 1, "window": "5s" });
    joined("both", &json!([[term(a, &few), term(b, &few)]]), changes)
}

/// The shard of the second metric.
fn other_shard() -> u32 {
    Subjects::default().shard_of(&metrics()[1], SHARDS)
}

#[test]
fn samples_that_do_not_come_are_absent_where_their_shard_speaks() {
    let mut cluster = steady(one_of_two(&json!({ "no_data": "alert" })), 20);
    let a = &metrics()[0];
    for second in 20..60 {
        cluster.sample(at(second * 1_000 + 300), a, 1.0, &json!({}));
    }
    cluster.pass(at(60_000));
    let lines = cluster.lines("either");
    assert!(lines.iter().any(|line| line.contains("-> firing no_data")), "{lines:?}");
    let fired = cluster.transitions().into_iter().find(|moved| moved.to == Axis::Firing).unwrap();
    let seconds = fired.time.since(START).as_secs_f64();
    assert!((49.3..50.5).contains(&seconds), "a window after the last sample: {seconds}");
    assert!(fired.at_desk && fired.evidence.terms.len() == 2);
}

#[test]
fn a_window_that_several_look_through_is_shown_to_each_as_it_empties() {
    let [a, b, _] = &metrics();
    let of = |metric: &str, threshold: f64| {
        let changes = json!({ "min_samples": 1, "window": "5s", "threshold": threshold });
        term(metric, &changes)
    };
    let twice = json!([[of(a, 10.0)], [of(a, 20.0), of(b, 10.0)]]);
    let twice = joined("seen", &twice, &json!({ "no_data": "ok" }));
    let once = json!([[of(a, 10.0), of(b, 10.0)]]);
    let once = joined("seen", &once, &json!({ "no_data": "ok" }));
    // A rule that its shard judges reads the same window, and moves it on.
    let here = joined("here", &json!([[of(a, 10.0)]]), &json!({}));
    for rules in [vec![twice], vec![here, once]] {
        let mut cluster = Cluster::new(SHARDS);
        cluster.settings(at(0), &settings("a", rules));
        (1..20).for_each(|second| both(&mut cluster, second, 100.0));
        for second in 20..40 {
            cluster.sample(at(second * 1_000 + 300), b, 100.0, &json!({}));
        }
        let lines = cluster.lines("seen");
        assert!(lines.iter().any(|line| line.contains("firing -> ok no_data_ok")), "{lines:?}");
    }
}

#[test]
fn a_shard_that_does_not_speak_is_no_absence_of_samples() {
    let mut cluster = steady(one_of_two(&json!({ "no_data": "alert" })), 20);
    cluster.stop(at(20_000), other_shard());
    (20..200).for_each(|second| both(&mut cluster, second, 1.0));
    let lines = cluster.lines("either");
    assert!(!lines.iter().any(|line| line.contains("firing")), "{lines:?}");
    let stale = lines.last().unwrap();
    assert!(stale.starts_with("34.") && stale.ends_with("ok -> ok data stale"), "{lines:?}");
    // It goes on where it stood; what was stored meanwhile shows that nothing was absent.
    cluster.resume(at(200_000), other_shard());
    (200..260).for_each(|second| both(&mut cluster, second, 1.0));
    let lines = cluster.lines("either");
    assert!(!lines.iter().any(|line| line.contains("firing")), "{lines:?}");
    assert!(lines.last().unwrap().ends_with("ok -> ok data fresh"), "{lines:?}");
    // The other metric alone decides, whether its neighbour speaks or not.
    cluster.stop(at(260_000), other_shard());
    (260..330).for_each(|second| both(&mut cluster, second, 100.0));
    let lines = cluster.lines("either");
    assert!(lines.iter().any(|line| line.contains("firing breach fresh")), "{lines:?}");
}

#[test]
fn where_all_shards_are_silent_an_alert_goes_stale_and_no_further() {
    let mut cluster = steady(both_of_two(&json!({ "for": "60s", "no_data": "alert" })), 20);
    (20..30).for_each(|second| both(&mut cluster, second, 100.0));
    for shard in 0..SHARDS {
        cluster.stop(at(30_000), shard);
    }
    cluster.pass(at(400_000));
    let lines = cluster.lines("both");
    assert!(lines.iter().any(|line| line.contains("-> pending breach")), "{lines:?}");
    let last = lines.last().unwrap();
    assert!(last.contains("pending -> pending data stale"), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("firing")), "{lines:?}");
}

#[test]
fn a_hole_in_all_logs_freezes_the_clocks() {
    let mut cluster = steady(both_of_two(&json!({ "for": "30s" })), 20);
    (20..40).for_each(|second| both(&mut cluster, second, 100.0));
    cluster.hole(at(40_000), at(640_000));
    (640..680).for_each(|second| both(&mut cluster, second, 100.0));
    let fired = cluster.transitions().into_iter().find(|moved| moved.to == Axis::Firing).unwrap();
    let seconds = fired.time.since(START).as_secs_f64();
    assert!((645.0..655.0).contains(&seconds), "{seconds} {:?}", cluster.lines("both"));
}

#[test]
fn an_isolated_bad_sample_is_judged_at_the_end_of_its_step() {
    let mut cluster = steady(one_of_two(&json!({})), 20);
    // A window later nothing of it is left, and nothing waits to be shown.
    cluster.sample(at(80_340), &metrics()[0], 500.0, &json!({}));
    cluster.pass(at(80_900));
    let fired = cluster.transitions().into_iter().find(|moved| moved.to == Axis::Firing).unwrap();
    assert_eq!(fired.time, at(80_400));
    let told = cluster.alerts().into_iter().find(|it| it.state == AlertState::Fired).unwrap();
    assert!(told.time.since(fired.time) < Span::from_millis(100));
}

#[test]
fn a_shard_says_about_one_message_a_second_whatever_comes() {
    let [a, b, _] = &metrics();
    let terms = json!([[term(a, &json!({})), term(b, &json!({}))]]);
    let rule = joined("all", &terms, &json!({ "group_by": ["host"] }));
    let mut cluster = Cluster::new(SHARDS);
    cluster.settings(at(0), &settings("a", vec![rule]));
    for tenth in 10..700 {
        for host in 0..20 {
            let labels = json!({ "host": format!("h{host}") });
            cluster.sample(at(tenth * 100 + 50), a, 1.0, &labels);
        }
    }
    let shard = Subjects::default().shard_of(a, SHARDS) as usize;
    let messages = cluster.shards[shard].said.iter().flatten().count();
    assert!((68..80).contains(&messages), "{messages}");
    let idle = cluster.shards.iter().enumerate().find(|(at, _)| {
        metrics().iter().all(|name| Subjects::default().shard_of(name, SHARDS) as usize != *at)
    });
    assert_eq!(idle.map(|(_, log)| log.said.iter().flatten().count()), Some(0));
}

#[test]
fn a_changed_bound_is_judged_by_what_was_seen_and_a_changed_window_by_what_comes() {
    let mut cluster = steady(one_of_two(&json!({})), 20);
    (20..60).for_each(|second| both(&mut cluster, second, 100.0));
    let before = cluster.lines("either").len();
    let mut higher = one_of_two(&json!({}));
    higher.any_of.iter_mut().flatten().for_each(|term| term.threshold = 50.0);
    cluster.settings(at(60_000), &settings("b", vec![higher]));
    (60..70).for_each(|second| both(&mut cluster, second, 100.0));
    let lines = cluster.lines("either");
    assert_eq!(lines[before..], ["60.0 firing -> firing rule_changed fresh"]);
    let before = lines.len();
    let mut shorter = one_of_two(&json!({}));
    shorter.any_of.iter_mut().flatten().for_each(|term| {
        (term.threshold, term.window) = (50.0, Span::from_secs(60));
    });
    cluster.settings(at(70_000), &settings("c", vec![shorter]));
    // The old windows were full of a hundred, the new ones see ones alone.
    (70..75).for_each(|second| both(&mut cluster, second, 1.0));
    let lines = cluster.lines("either");
    assert!(lines[before].starts_with("70.0 firing -> firing rule_changed"), "{lines:?}");
    assert!(lines[before..].iter().any(|line| line.contains("-> ok recovered")), "{lines:?}");
    let ids: BTreeSet<_> = cluster.alerts().into_iter().filter_map(|it| it.incident).collect();
    assert_eq!(ids.len(), 1, "one incident all along");
}

#[test]
fn a_rule_that_is_gone_ends_its_alerts_at_the_desk() {
    let mut cluster = steady(one_of_two(&json!({})), 20);
    (20..60).for_each(|second| both(&mut cluster, second, 100.0));
    cluster.settings(at(60_000), &settings("b", Vec::new()));
    cluster.pass(at(70_000));
    assert_eq!(
        cluster.lines("either").last().map(String::as_str),
        Some("60.0 firing -> unknown rule_removed fresh")
    );
    let last = cluster.alerts().pop().unwrap();
    assert_eq!(last.state, AlertState::Closed);
    let said: usize = cluster.shards.iter().map(|log| log.said.iter().flatten().count()).sum();
    (70..80).for_each(|second| both(&mut cluster, second, 100.0));
    let now: usize = cluster.shards.iter().map(|log| log.said.iter().flatten().count()).sum();
    assert_eq!(said, now, "shards have nothing to show any more");
}

#[test]
fn who_judges_a_rule_changes_with_its_metrics() {
    let [a, b, _] = &metrics();
    let few = json!({ "min_samples": 1 });
    let same = (0..).map(|n| format!("other_{n}")).find(|name| {
        let shard = |name: &str| Subjects::default().shard_of(name, SHARDS);
        shard(name) == shard(a)
    });
    let here =
        joined("either", &json!([[term(a, &few)], [term(&same.unwrap(), &few)]]), &json!({}));
    let apart = joined("either", &json!([[term(a, &few)], [term(b, &few)]]), &json!({}));
    let mut cluster = steady(here.clone(), 20);
    (20..60).for_each(|second| both(&mut cluster, second, 100.0));
    cluster.settings(at(60_000), &settings("b", vec![apart]));
    (60..100).for_each(|second| both(&mut cluster, second, 100.0));
    cluster.settings(at(100_000), &settings("c", vec![here]));
    (100..140).for_each(|second| both(&mut cluster, second, 100.0));
    let moved = cluster.transitions();
    let moved = moved.iter().filter(|moved| moved.cause != Cause::Data);
    let path: Vec<_> = moved.map(|moved| (moved.at_desk, moved.to, moved.cause)).collect();
    use Axis::{Firing, Unknown};
    assert_eq!(
        path,
        [
            (false, Firing, Cause::Breach),
            (false, Unknown, Cause::RuleChanged),
            (true, Firing, Cause::Breach),
            (true, Unknown, Cause::RuleChanged),
            (false, Firing, Cause::Breach),
        ]
    );
    let open: Vec<AlertState> = cluster.alerts().into_iter().map(|it| it.state).collect();
    assert_eq!(open.last(), Some(&AlertState::Fired), "{open:?}");
}

#[test]
fn glimpses_that_make_no_sense_are_refused_in_words() {
    let mut cluster = steady(one_of_two(&json!({})), 5);
    let good = json!({
        "type": "glimpses", "schema": 1, "shard": other_shard(), "position": 9,
        "time": at(4_900), "revision": "a", "armed": at(0), "parts": [],
    });
    let part = |rule: &str, term: u32| {
        json!({ "rule": rule, "term": term, "groups": [{ "group": {}, "count": 1,
            "window_start": at(0), "panes": 1, "panes_filled": 1, "series": 1, "log_start": 0 }] })
    };
    let with = |field: &str, value: Value| {
        let mut changed = good.clone();
        changed[field] = value;
        changed
    };
    let shard = other_shard();
    for (body, why) in [
        (with("shard", json!(9)), "it is of shard 9, and there are 4"),
        (
            with("parts", json!([part("either", 7)])),
            "rule either has no condition 7 with its metric",
        ),
        (with("parts", json!([part("either", 0)])), "condition 0, its metric is of shard"),
        (with("parts", json!([{ "rule": 5 }])), "invalid type: integer `5`, expected a string"),
        (with("schema", json!(2)), "it is of schema 2, from a newer version"),
        (with("time", json!("1677-09-21T00:12:44Z")), "and no log reaches there"),
        (with("time", json!("2262-04-11T23:47:16Z")), "and no log reaches there"),
    ] {
        let seen = cluster.alerts().len();
        cluster.forge(at(5_000), shard, &body);
        let told = cluster.alerts();
        let notice = told[seen..].iter().find(|it| it.state == AlertState::Notice);
        let notice = notice.unwrap_or_else(|| panic!("{why}: nothing was said"));
        let text = notice.detail.clone().unwrap();
        assert!(text.contains(why), "{text}");
    }
    // Of a rule nobody knows, of a revision that is no more, or older than what was said: nothing is meant by it.
    let seen = cluster.alerts().len();
    cluster.forge(at(5_100), shard, &with("parts", json!([part("gone", 0)])));
    let mut old = with("parts", json!([part("either", 1)]));
    old["revision"] = json!("older");
    old["time"] = json!(at(5_050));
    cluster.forge(at(5_100), shard, &old);
    cluster.forge(at(5_100), shard, &with("time", json!(at(10))));
    assert_eq!(cluster.alerts().len(), seen);
}

/// The page, the rollback and its verdict of [`both_of_two`] with a plan; `after` is what both metrics are from the
/// script's end on.
fn rolled_back(after: f64) -> Cluster {
    let mut rule = both_of_two(&json!({ "action": { "rollback": "P" }, "action_min_samples": 2 }));
    rule.any_of.iter_mut().flatten().for_each(|term| term.window = Span::from_secs(60));
    let plan = json!({
        "name": "P", "script": "p.sh", "target": "P", "timeout": "60s", "cooldown": "30m",
        "lock_after": null, "lock_window": "1d", "not_after": "2m", "approval_expires": "10m",
        "idempotent": false,
        "verify": { "settle": "5s", "for": "10s", "within": "1m", "min_samples": 3 },
    });
    let mut settings = settings("a", vec![rule]);
    settings.plans = vec![Arc::new(serde_json::from_value(plan).unwrap())];
    let mut cluster = Cluster::new(SHARDS);
    cluster.settings(at(0), &settings);
    (1..20).for_each(|second| both(&mut cluster, second, 1.0));
    (20..40).for_each(|second| both(&mut cluster, second, 100.0));
    let fired = cluster.alerts().into_iter().find(|it| it.state == AlertState::Fired).unwrap();
    let incident = fired.incident.unwrap();
    assert!(cluster.said_on("ops.rollback.P.command").len() == 1);
    let ledger = Subjects::default().ledger("P", &incident);
    let record = |state: Value| json!({ "schema": 1, "plan": "P", "incident": incident, "holder": "x", "state": state });
    cluster.report(at(40_000), &ledger, &record(json!({ "state": "claimed" })));
    cluster.report(at(40_100), &ledger, &record(json!({ "state": "started", "fence": 1 })));
    let ended = json!({ "state": "ended", "outcome": "succeeded", "exit_code": 0 });
    cluster.report(at(41_000), &ledger, &record(ended));
    (41..140).for_each(|second| {
        if second == 50 {
            cluster.restart();
        }
        both(&mut cluster, second, after);
    });
    cluster
}

fn verdict(cluster: &Cluster) -> (String, f64) {
    let said = cluster.said_on("ops.transition.desk.judged");
    let verified = said.iter().find(|body| body["type"] == "verified").unwrap();
    let time: Time = serde_json::from_value(verified["time"].clone()).unwrap();
    assert_eq!(verified["evidence"]["terms"].as_array().map(Vec::len), Some(2));
    (verified["verdict"].as_str().unwrap().to_owned(), time.since(START).as_secs_f64())
}

#[test]
fn a_rollback_is_verified_by_what_all_shards_show_after_it() {
    let cluster = rolled_back(1.0);
    let (said, seconds) = verdict(&cluster);
    assert_eq!(said, "recovered");
    // Settled at 46 s, three samples later and ten seconds clear.
    assert!((58.0..61.0).contains(&seconds), "{seconds}");
    let last = cluster.alerts().pop().unwrap();
    assert_eq!(last.state, AlertState::Resolved);
    assert_eq!(cluster.said_on("ops.rollback.P.recovered").len(), 1);
}

#[test]
fn a_rollback_that_did_not_help_is_told() {
    let cluster = rolled_back(100.0);
    let (said, seconds) = verdict(&cluster);
    assert_eq!(said, "not_recovered");
    assert!((106.0..107.5).contains(&seconds), "{seconds}");
    assert_eq!(cluster.said_on("ops.rollback.P.not_recovered").len(), 1);
    // Shards keep nothing of it: they show what the rule itself sees.
    let shown = |body: &Value| {
        let parts = body["parts"].as_array().into_iter().flatten();
        parts.filter(|part| part["incident"].is_string()).count()
    };
    let shard = format!("ops.transition.{}", other_shard());
    let late = cluster.said_on(&shard).into_iter().filter(|body| {
        let time = serde_json::from_value::<Time>(body["time"].clone());
        time.is_ok_and(|time| time > at(108_000))
    });
    let late: Vec<Value> = late.collect();
    assert!(late.len() > 20 && late.iter().all(|body| shown(body) == 0));
}

#[test]
fn a_shard_that_works_by_older_settings_says_nothing_of_absence() {
    let mut cluster = steady(one_of_two(&json!({ "no_data": "alert" })), 20);
    let mut edited = one_of_two(&json!({ "no_data": "alert" }));
    edited.any_of.iter_mut().flatten().for_each(|term| term.window = Span::from_secs(20));
    // One shard never hears of the edit.
    cluster.deaf = Some(other_shard());
    cluster.settings(at(20_000), &settings("b", vec![edited]));
    (20..120).for_each(|second| both(&mut cluster, second, 1.0));
    let lines = cluster.lines("either");
    assert!(!lines.iter().any(|line| line.contains("firing")), "{lines:?}");
    (120..140).for_each(|second| both(&mut cluster, second, 100.0));
    assert!(cluster.lines("either").iter().any(|line| line.contains("firing breach fresh")));
}
