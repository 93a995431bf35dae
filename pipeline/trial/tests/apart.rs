//! A rule over metrics of several shards, by an engine with four of them: what the desk judged is what its logs say, and a
//! backtest over them finds the same.

#[path = "../../engine/tests/support/mod.rs"]
mod support;

use bus::layout::Layout;
use bus::memory::MemoryBus;
use bus::{SharedBus, Stream};
use engine::AuditOptions;
use stages::log::LogId;
use stages::settings::{Rule, Settings};
use stages::term::Term;
use stages::time::{Span, Time};
use stages::wire::{Axis, Cause, ShardEvent, Transition};
use std::sync::Arc;
use std::time::Duration;
use support::*;
use trial::Setup;
use trial::backtest::retained::Retained;
use trial::backtest::{Backtest, Variant};
use trial::why::Records;

const SHARDS: u32 = 4;
/// Of another shard than [`METRIC`].
const OTHER: &str = "other_ms";

/// Both metrics above a thousand over two seconds.
fn settings() -> Settings {
    let mut rule = rule("both", METRIC);
    (rule.window, rule.fresh_for, rule.action) = (Span::from_secs(2), Span::from_secs(5), None);
    let term = |metric: &str| Term {
        metric: metric.to_owned(),
        per: None,
        matchers: Vec::new(),
        stat: rule.stat,
        compare: rule.compare,
        threshold: rule.threshold,
        share: None,
        recover: None,
        window: rule.window,
        min_samples: 1,
        fresh_for: rule.fresh_for,
        baseline: None,
    };
    let rule = Rule { any_of: vec![vec![term(METRIC), term(OTHER)]], ..rule.clone() };
    assert!(rule.is_apart(&subjects(), SHARDS));
    Settings { revision: "both".to_owned(), rules: vec![Arc::new(rule)], ..friday() }
}

fn moves(events: impl Iterator<Item = Transition>) -> Vec<(Axis, Axis, Cause, Time)> {
    let moved = events.filter(|moved| moved.rule == "both" && moved.from != moved.to);
    moved.map(|moved| (moved.from, moved.to, moved.cause, moved.time)).collect()
}

fn judged(memory: &MemoryBus) -> Vec<Transition> {
    let subject = subjects().judged();
    let events = memory.messages(Stream::Events);
    let said = events.iter().filter(|message| message.subject == subject.as_bytes());
    let event = |payload: &[u8]| match serde_json::from_slice(payload) {
        Ok(ShardEvent::Transition(moved)) => Some(*moved),
        _ => None,
    };
    said.filter_map(|message| event(&message.payload)).collect()
}

/// Sends samples until the desk has said `axis` of the rule last.
async fn until(bus: &SharedBus, memory: &MemoryBus, axis: Axis, value: f64) {
    within("a move", async {
        while judged(memory).last().is_none_or(|moved| moved.to != axis) {
            sample(&**bus, METRIC, value).await;
            sample(&**bus, OTHER, value).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_desk_judges_over_four_shards_can_be_recomputed_and_backtested() {
    let memory = MemoryBus::real_time(Layout::default());
    let bus: SharedBus = Arc::new(memory.clone());
    bus.ensure(SHARDS).await.unwrap();
    engine::apply_settings(&bus, &subjects(), &settings()).await.unwrap();
    // One engine after the other: the second takes the desk up where the alert is firing.
    let first = engine::Engine::start(options(&bus, SHARDS, "ops-1")).unwrap();
    owns_all(&first).await;
    until(&bus, &memory, Axis::Ok, 100.0).await;
    until(&bus, &memory, Axis::Firing, 5_000.0).await;
    first.shutdown(PATIENCE).await;
    let second = engine::Engine::start(options(&bus, SHARDS, "ops-2")).unwrap();
    owns_all(&second).await;
    until(&bus, &memory, Axis::Ok, 100.0).await;
    second.shutdown(PATIENCE).await;

    let live = judged(&memory);
    let path = moves(live.iter().cloned());
    let axes: Vec<Axis> = path.iter().map(|(_, to, ..)| *to).collect();
    assert_eq!(axes, [Axis::Ok, Axis::Firing, Axis::Ok], "{live:#?}");
    assert!(live.iter().all(|moved| moved.at_desk));
    let (bus_of, subjects_of) = (bus.clone(), subjects());
    let since = Time(0);
    let stages = engine::StagesVersion::default();
    let with = AuditOptions { bus: bus_of, subjects: subjects_of, shards: SHARDS, since, stages };
    for log in (0..SHARDS).map(LogId::Shard).chain([LogId::Desk]) {
        let audit = engine::audit(&with, log, &mut |_, _| {}).await.unwrap();
        assert_eq!(audit.difference, None, "log {log}");
        assert!(log != LogId::Desk || audit.proven as usize > live.len());
    }

    let fired = live.iter().find(|moved| moved.to == Axis::Firing).unwrap();
    let id = fired.incident.clone().unwrap();
    let records = Records { bus: bus.clone(), subjects: subjects() };
    let story = records.incident(&id).await.unwrap();
    assert_eq!(story.logs(SHARDS).len(), 5, "any shard may have shown what was judged");
    let axes: Vec<Axis> = story.path.iter().map(|moved| moved.to).collect();
    assert!(axes.ends_with(&[Axis::Firing, Axis::Ok]) || axes.contains(&Axis::Firing), "{axes:?}");
    let moment = ("both", fired.time.plus(Span::from_secs(1)));
    let stood = engine::stood(&with, LogId::Desk, moment, &mut |_, _| {}).await.unwrap();
    assert_eq!(stood.alerts.len(), 1);
    assert_eq!(stood.alerts[0].evidence.terms.len(), 2);

    let span = (Time(0), Time(i64::MAX));
    let retained = Retained { bus: bus.clone(), subjects: subjects(), shards: SHARDS, span };
    let created = retained.created().await.unwrap();
    let setup = Setup { subjects: subjects(), created, shards: SHARDS, keep: false, stored: true };
    let mut high = Settings { revision: "high".to_owned(), ..settings() };
    let rule = Arc::make_mut(&mut high.rules[0]);
    rule.any_of.iter_mut().flatten().for_each(|term| term.threshold = 1e6);
    let variants = [settings(), high].map(|settings| {
        let label = settings.revision.clone();
        Variant { label, settings }
    });
    let mut backtest = Backtest::new(setup, variants.into());
    retained.play(&mut backtest, &mut |_, _, _| ()).await.unwrap().expect("there are entries");
    let again = backtest.spoken().iter().filter_map(|one| one.transition().cloned());
    let again = moves(again.collect::<Vec<_>>().into_iter());
    assert_eq!(again.len(), path.len(), "{again:?} {path:?}");
    for (one, other) in again.iter().zip(&path) {
        assert_eq!((one.0, one.1, one.2), (other.0, other.1, other.2));
        let apart = one.3.since(other.3).max(other.3.since(one.3));
        assert!(apart <= Span::from_secs(1), "{again:?} {path:?}");
    }
    let seen = backtest.finish(Time(0));
    let found: Vec<usize> = seen.iter().map(|seen| seen.incidents.len()).collect();
    assert_eq!(found, [1, 0], "each variant is judged by its own bounds");
}
