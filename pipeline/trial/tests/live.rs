//! A backtest of the rules that were in force says what the engine said: the same transitions, to the byte.

#[path = "../../engine/tests/support/mod.rs"]
mod support;

use bus::layout::Layout;
use bus::memory::MemoryBus;
use bus::{SharedBus, Stream};
use engine::AuditOptions;
use serde_json::Value;
use stages::log::LogId;
use stages::settings::{Mode, Rule, Settings, Stat};
use stages::term::Term;
use stages::time::{Span, Time};
use stages::wire::{AlertEvent, AlertState, Axis, RollbackState, ShardEvent, Transition};
use std::sync::Arc;
use support::*;
use trial::Setup;
use trial::backtest::retained::Retained;
use trial::backtest::seen::Seen;
use trial::backtest::{Backtest, Variant};
use trial::why::{Records, WhyError, text};

async fn backtest(
    bus: &SharedBus,
    settings: &[Settings],
    span: (Time, Time),
) -> (Vec<Value>, Vec<Seen>) {
    let retained = Retained { bus: bus.clone(), subjects: subjects(), shards: 1, span };
    let created = retained.created().await.unwrap();
    let setup = Setup { subjects: subjects(), created, shards: 1, keep: false, stored: true };
    let variants =
        settings.iter().map(|one| Variant { label: one.revision.clone(), settings: one.clone() });
    let mut backtest = Backtest::new(setup, variants.collect());
    let mut told = Vec::new();
    let mut progress = |done, whole, _: u64| told.push((done, whole));
    retained.play(&mut backtest, &mut progress).await.unwrap().expect("there are entries");
    assert!(told.is_sorted() && told.last().is_some_and(|(done, whole)| done == whole));
    let transitions = backtest.spoken().iter().filter_map(|one| one.transition());
    let transitions = transitions.filter(|moved| moved.rule == "county_api");
    let transitions = transitions.map(|moved| {
        serde_json::to_value(ShardEvent::Transition(Box::new(moved.clone()))).unwrap()
    });
    let transitions = transitions.collect();
    (transitions, backtest.finish(span.0))
}

fn live_transitions(memory: &MemoryBus) -> Vec<Value> {
    let events = memory.messages(Stream::Events);
    let shard = subjects().transition(0);
    let said = events.iter().filter(|message| message.subject == shard.as_bytes());
    let bodies = said.map(|message| serde_json::from_slice::<Value>(&message.payload).unwrap());
    bodies.filter(|body| body["type"] == "transition").collect()
}

/// Two Fridays with an engine that is stopped and started between them.
async fn two_fridays() -> (MemoryBus, SharedBus) {
    two_fridays_under(&friday()).await
}

async fn two_fridays_under(settings: &Settings) -> (MemoryBus, SharedBus) {
    let memory = MemoryBus::real_time(Layout::default());
    let bus: SharedBus = Arc::new(memory.clone());
    bus.ensure(1).await.unwrap();
    engine::apply_settings(&bus, &subjects(), settings).await.unwrap();
    for process in ["ops-1", "ops-2"] {
        let engine = engine::Engine::start(options(&bus, 1, process)).unwrap();
        owns_all(&engine).await;
        if process == "ops-1" {
            is_calm(&bus).await;
            World::of(&bus).play_friday().await;
        } else {
            for value in [1500.0; 400] {
                sample(&*bus, METRIC, value).await;
            }
            let fired = subjects().alert("critical", "county_api", "fired");
            let mut said = bus.read(Stream::Events, Some(&fired), 1).await.unwrap();
            let mut messages = Vec::new();
            while messages.len() < 2 {
                within("the second firing", said.next(&mut messages)).await.unwrap();
            }
        }
        engine.shutdown(PATIENCE).await;
    }
    (memory, bus)
}

/// Sends a healthy sample and waits until the alert is known to be Ok.
async fn is_calm(bus: &SharedBus) {
    sample(&**bus, METRIC, 110.0).await;
    let mut said = bus.read(Stream::Events, Some(&subjects().transition(0)), 1).await.unwrap();
    within("the first move", said.next(&mut Vec::new())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backtest_of_the_rules_in_force_says_what_the_engine_said() {
    let (memory, bus) = two_fridays().await;
    let live = live_transitions(&memory);
    assert!(live.len() >= 3, "{live:#?}");
    let (again, seen) = backtest(&bus, &[friday()], (Time(0), Time(i64::MAX))).await;
    assert_eq!(again, live);
    // What agents did then is not in the log of samples, but the incident is the one that was opened.
    let events = memory.messages(Stream::Events);
    let fired =
        events.iter().find(|message| message.subject.ends_with(b"county_api.fired")).unwrap();
    let fired: AlertEvent = serde_json::from_slice(&fired.payload).unwrap();
    assert_eq!(Some(&seen[0].incidents[0].id), fired.incident.as_ref());
    assert_eq!(
        seen[0].transitions as usize,
        live.iter().filter(|one| one["from"] != one["to"]).count()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn variants_do_not_get_into_each_others_way() {
    let (_memory, bus) = two_fridays().await;
    let with = |revision: &str, threshold: f64| {
        let mut settings = Settings { revision: revision.to_owned(), ..friday() };
        Arc::make_mut(&mut settings.rules[0]).threshold = threshold;
        settings
    };
    let all = [with("as it is", 1000.0), with("high", 1e6), with("low", 300.0)];
    let whole = (Time(0), Time(i64::MAX));
    let (_, seen) = backtest(&bus, &all, whole).await;
    for (settings, together) in all.iter().zip(&seen) {
        let (_, alone) = backtest(&bus, std::slice::from_ref(settings), whole).await;
        let facts = |seen: &Seen| -> Vec<(Time, Option<Span>, u64, usize)> {
            let fact = |one: &trial::backtest::seen::Incident| {
                (one.opened, one.detected_after, one.pages, one.rollbacks.len())
            };
            seen.incidents.iter().map(fact).collect()
        };
        assert_eq!(facts(&alone[0]), facts(together), "{}", settings.revision);
    }
    assert!(seen[1].incidents.is_empty() && seen[1].pages() == 0);
    assert!(!seen[0].incidents.is_empty() && seen[0].pages() > 0 && seen[0].rollbacks() == 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_tells_an_incident_from_its_beginning_to_its_end() {
    let (memory, bus) = two_fridays().await;
    let events = memory.messages(Stream::Events);
    let fired: Vec<AlertEvent> = events
        .iter()
        .filter(|message| message.subject.ends_with(b".fired"))
        .map(|message| serde_json::from_slice(&message.payload).unwrap())
        .collect();
    let id = fired[0].incident.clone().unwrap();
    let records = Records { bus: bus.clone(), subjects: subjects() };
    let story = records.incident(&id[..9]).await.unwrap();
    assert_eq!(story.opened, fired[0]);
    assert!(matches!(story.ended, Some((_, AlertState::Resolved))));
    let path: Vec<_> = story.path.iter().map(|moved| moved.to).collect();
    assert_eq!((path.first(), path.last()), (Some(&Axis::Ok), Some(&Axis::Ok)), "{path:?}");
    assert!(path.contains(&Axis::Firing));
    let states: Vec<_> = story.rollback.iter().map(|event| event.state).collect();
    assert!(
        states.contains(&RollbackState::Commanded) && states.contains(&RollbackState::Recovered),
        "{states:?}"
    );
    assert!(!story.messages.is_empty() && story.verified.is_some());
    let said = text::story(&story);
    for words in [
        "path",
        "ok -> firing: breach",
        "told\n",
        "oncall@opm.gov fired",
        "rollback",
        "DOCKET_RULE recovered",
    ] {
        assert!(said.contains(words), "{words}:\n{said}");
    }
    assert!(matches!(records.incident("nothing").await, Err(WhyError::Unknown(_))));
    assert!(matches!(records.incident("").await, Err(WhyError::Ambiguous(_, 2))));
    // Up to its end and no further.
    let with = audit_options(&bus, story.span().0);
    let until = story.ended.unwrap().0.plus(Span::from_millis(1));
    for log in [LogId::Shard(0), LogId::Desk] {
        let audit = engine::audit_until(&with, log, until, &mut |_, _| {}).await.unwrap();
        assert!(audit.difference.is_none() && audit.proven > 0, "{audit:#?}");
        let whole = engine::audit(&with, log, &mut |_, _| {}).await.unwrap();
        let (to, end) = (audit.to.unwrap(), whole.to.unwrap());
        assert!(to.0 == until && to.1 <= end.1, "{log}: {until} {to:?} {end:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_stood_at_every_moment_where_it_was_recorded_to_stand() {
    let (memory, bus) = two_fridays_under(&with_joined()).await;
    for (rule, shown) in [("county_api", "samples of 1 series"), ("county_joined", "threshold 5,")]
    {
        stood_as_recorded(&memory, &bus, rule, shown).await;
    }
    let with = audit_options(&bus, Time(i64::MAX));
    let gone =
        engine::stood(&with, LogId::Shard(0), ("no_such_rule", Time(i64::MAX)), &mut |_, _| {})
            .await
            .unwrap();
    assert!(gone.rule.is_none() && gone.unproven.is_empty());
}

/// Friday, and a rule with two conditions.
fn with_joined() -> Settings {
    let mut settings = friday();
    // People wait for the incident of the other rule alone.
    let mut joined = Rule { action: None, mode: Mode::Shadow, ..rule("county_joined", METRIC) };
    let term = |stat, threshold| Term {
        metric: METRIC.to_owned(),
        per: None,
        matchers: Vec::new(),
        stat,
        compare: joined.compare,
        threshold,
        share: None,
        recover: None,
        window: joined.window,
        min_samples: 1,
        fresh_for: joined.fresh_for,
        baseline: None,
    };
    joined.any_of = vec![vec![term(Stat::Mean, 1000.0), term(Stat::Count, 5.0)]];
    settings.rules.push(Arc::new(joined));
    settings
}

/// `shown` is part of what is told of it at each of them.
async fn stood_as_recorded(memory: &MemoryBus, bus: &SharedBus, rule: &str, shown: &str) {
    let records = Records { bus: bus.clone(), subjects: subjects() };
    let moves = live_transitions(memory).into_iter();
    let moves = moves.map(|body| serde_json::from_value(body).unwrap());
    let moves: Vec<Transition> = moves.filter(|moved: &Transition| moved.rule == rule).collect();
    assert!(moves.iter().any(|moved| moved.to == Axis::Firing), "{moves:#?}");
    for (at, moved) in moves.iter().enumerate() {
        // Just before the next move, or long after the last.
        let moment = moves
            .get(at + 1)
            .map_or(moved.time.plus(Span::from_secs(1)), |next| Time(next.time.0 - 1));
        let newest = records.newest_moves(rule, moment).await.unwrap();
        assert_eq!(newest.last(), Some(moved));
        let with = audit_options(bus, moment);
        let stood =
            engine::stood(&with, LogId::Shard(0), (rule, moment), &mut |_, _| {}).await.unwrap();
        assert!(stood.unproven.is_empty(), "{stood:#?}");
        if stood.judged.is_some_and(|judged| judged >= moved.time) {
            let alert = &stood.alerts[0];
            assert_eq!((alert.axis, alert.data), (moved.to, moved.data));
            let said = text::standing(stood.rule.as_ref().unwrap(), &stood.alerts, moment);
            assert!(said.contains(shown), "{said}");
        }
    }
}

fn audit_options(bus: &SharedBus, since: Time) -> AuditOptions {
    AuditOptions {
        bus: bus.clone(),
        subjects: subjects(),
        shards: 1,
        since,
        stages: Default::default(),
    }
}
