//! A backtest from rollups finds what a backtest of the samples finds, within a pane, and says what it cannot tell.

use bus::layout::Layout;
use bus::memory::MemoryBus;
use bus::{Outgoing, SharedBus};
use bytes::Bytes;
use serde_json::json;
use stages::batch::{BatchBuilder, Kind, Sample};
use stages::rollup::{Detail, Rollups, Tier};
use stages::run::Run;
use stages::settings::{Rule, Settings, Stat};
use stages::subject::Subjects;
use stages::time::{Span, Time};
use std::sync::Arc;
use trial::backtest::rolled::Rolled;
use trial::backtest::seen::Seen;
use trial::backtest::{Backtest, Variant};
use trial::{Setup, TrialError};

const START: Time = Time::from_millis(1_794_819_600_000);
const KEYS: [&str; 2] = ["county_api_ms\u{1f}host\u{1e}a", "county_api_ms\u{1f}host\u{1e}b"];
/// Two hours, a sample of each host every two seconds.
const SAMPLES: i64 = 3_600;

fn time(at: i64) -> Time {
    START.plus(Span::from_secs(2 * at))
}

/// Slow for ten minutes from the thirtieth on, and for five from the eightieth on.
fn value(at: i64, host: usize) -> f64 {
    let minute = at / 30;
    let slow = (30..40).contains(&minute) || (80..85).contains(&minute);
    let usual = 90.0 + ((at * 7 + host as i64 * 13) % 40) as f64;
    if slow { usual * 20.0 } else { usual }
}

fn rule(stat: Stat, hold: Span) -> Rule {
    let body = json!({
        "name": "county_api", "metric": "county_api_ms", "group_by": [], "stat": stat, "compare": ">",
        "threshold": 1000.0, "share": null, "window": "3m", "for": hold, "recover": null,
        "keep_firing_for": "0s", "reopen_within": "0s", "min_samples": 1, "fresh_for": "1m",
        "gap_tolerance": "1m", "no_data": "keep", "keep_max": "15m", "absent": null,
        "flap_window": "1h", "severity": "critical", "unit": "ms", "action": null,
        "action_min_samples": 10, "guards": stages::settings::Guards::default(), "runbook": null,
        "notify": [], "repeat": "4h", "labels": {}, "annotations": {},
    });
    serde_json::from_value(body).unwrap()
}

fn settings(rule: Rule) -> Settings {
    Settings { revision: "tried".to_owned(), rules: vec![Arc::new(rule)], ..Settings::default() }
}

fn backtest(rule: &Rule) -> Backtest {
    let (label, settings) = (String::from("as written"), settings(rule.clone()));
    Backtest::new(Setup::at(START), vec![Variant { label, settings }])
}

/// What the samples themselves say.
fn exact(rule: &Rule) -> Seen {
    let mut backtest = backtest(rule);
    for at in 0..SAMPLES {
        let mut builder = BatchBuilder::new();
        for (host, key) in KEYS.iter().enumerate() {
            let (time, value) = (Some(time(at)), value(at, host));
            builder.push(&Sample { key, kind: Kind::Gauge, time, value, id: None });
        }
        backtest.samples(time(at), Bytes::from(builder.finish())).unwrap();
    }
    backtest.pass(time(SAMPLES)).unwrap();
    backtest.finish(START).remove(0)
}

/// A bus with rollups of the samples, stored as they would have been; `tiers` of them are still there.
async fn rolled_up(detail: Detail, tiers: &[Tier]) -> SharedBus {
    let memory = MemoryBus::manual_time(Layout::default(), START);
    let bus: SharedBus = Arc::new(memory.clone());
    bus.ensure(1).await.unwrap();
    let mut rollups = Rollups::new();
    rollups.detail([("county_api_ms".to_owned(), detail)]);
    for (id, key) in KEYS.iter().enumerate() {
        rollups.name(id as u32, Arc::from(*key), Kind::Gauge);
    }
    for at in 0..SAMPLES + 31 {
        let now = time(at);
        memory.set_time(now);
        for host in (0..KEYS.len()).filter(|_| at < SAMPLES) {
            let value = value(at, host);
            let run = Run::of(now, value, Span::from_secs(1));
            rollups.add(host as u32, &run, &[(now, value)]);
        }
        for (tier, payload) in rollups.take(now, at as u64 + 1) {
            if tiers.contains(&tier) {
                let subject = Subjects::default().rollup(tier.token(), 0);
                let (message_id, expect, keep_forever) = (None, None, false);
                let sent = Outgoing { subject, payload, message_id, expect, keep_forever };
                bus.publish(sent).await.unwrap();
            }
        }
    }
    bus
}

fn rolled(bus: &SharedBus, span: (Time, Time)) -> Rolled {
    Rolled { bus: bus.clone(), subjects: Subjects::default(), shards: 1, span }
}

async fn approximate(bus: &SharedBus, rule: &Rule) -> (Seen, Span, Vec<String>) {
    let rules = settings(rule.clone()).rules;
    let found = rolled(bus, (START, time(SAMPLES))).samples(&rules).await;
    let (samples, approximate) = found.expect("rollups are there");
    let mut backtest = backtest(rule);
    samples
        .each(|time, batch, _| backtest.samples(time, Bytes::from(batch)))
        .and_then(|()| backtest.pass(time(SAMPLES)))
        .unwrap();
    assert_eq!(backtest.counted().0, 2 * SAMPLES as u64, "as many samples as there were");
    (backtest.finish(START).remove(0), approximate.pane, approximate.lines())
}

#[tokio::test]
async fn rollups_find_the_incidents_of_the_samples_within_a_pane() {
    let cases = [
        (Stat::Mean, Detail::Sums, &[Tier::TenSeconds, Tier::Minute][..], Span::from_secs(10)),
        (Stat::Max, Detail::Sums, &[Tier::Minute], Span::from_secs(60)),
        (Stat::Mean, Detail::Sums, &[Tier::Minute], Span::from_secs(60)),
        (Stat::Percentile(90.0), Detail::Coarse, &[Tier::TenSeconds], Span::from_secs(10)),
        (Stat::Percentile(50.0), Detail::Coarse, &[Tier::Minute], Span::from_secs(60)),
    ];
    for (stat, detail, tiers, pane) in cases {
        let rule = rule(stat, Span::from_secs(60));
        let (expected, bus) = (exact(&rule), rolled_up(detail, tiers).await);
        let (found, read, lines) = approximate(&bus, &rule).await;
        assert_eq!(read, pane, "{stat:?}");
        assert_eq!(expected.incidents.len(), 2, "{stat:?}");
        assert_eq!(found.incidents.len(), 2, "{stat:?}: {found:#?}");
        let near = |one: Time, other: Time| one.since(other).max(other.since(one)) <= pane;
        for (one, other) in found.incidents.iter().zip(&expected.incidents) {
            assert!(near(one.opened, other.opened), "{stat:?}: {one:?} {other:?}");
            let (ended, expected) = (one.ended.unwrap().0, other.ended.unwrap().0);
            assert!(near(ended, expected), "{stat:?}: {one:?} {other:?}");
        }
        assert!(lines[0].starts_with("approximate: "), "{lines:?}");
        assert_eq!(lines.len(), 2, "{lines:?}");
    }
}

#[tokio::test]
async fn what_is_lost_is_said() {
    let bus = rolled_up(Detail::Sums, &[Tier::Minute]).await;
    let (_, _, lines) = approximate(&bus, &rule(Stat::Percentile(99.0), Span::from_secs(5))).await;
    let all = lines.join("\n");
    assert!(all.contains("for 5s is shorter than a pane of 1m"), "{all}");
    assert!(all.contains("240 of 240 panes of county_api_ms kept no histogram"), "{all}");
}

#[tokio::test]
async fn where_nothing_is_kept_it_is_an_error_in_words() {
    let bus = rolled_up(Detail::Sums, &[Tier::Minute]).await;
    let other = Rule { metric: "other_ms".to_owned(), ..rule(Stat::Mean, Span::ZERO) };
    let found = rolled(&bus, (START, time(SAMPLES))).samples(&settings(other).rules).await;
    let Err(TrialError::NoRollups(text)) = found else { panic!("{found:?}") };
    assert!(text.starts_with("no rollups are kept of other_ms from "), "{text}");
    let before = (START.minus(Span::from_secs(3_600)), START);
    let rules = settings(rule(Stat::Mean, Span::ZERO)).rules;
    assert!(matches!(rolled(&bus, before).samples(&rules).await, Err(TrialError::NoRollups(_))));
}
