//! Everybody around the engines: a service, people, two agents, two notifiers. They keep their side of the contract, and
//! die at any call like the engines.

use crate::dice::Dice;
use crate::faulty::{Faulty, Life, Weather};
use crate::support::{METRIC, friday, rule, subjects};
use bus::memory::MemoryBus;
use bus::{Bus, BusError, Expect, Outgoing, SharedBus, Stream, Work, WorkOptions};
use bytes::Bytes;
use engine::apply_settings;
use serde_json::{Value, json};
use stages::settings::{Limits, Rule, Settings, Stat};
use stages::term::Term;
use stages::time::Span;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// What is known outside the product: the truth the oracle holds it to.
#[derive(Default)]
pub struct Truth {
    /// Ids of samples that were acknowledged.
    pub accepted: Mutex<Vec<u64>>,
    /// Incidents whose script was started, one entry a start.
    pub starts: Mutex<Vec<String>>,
    /// Idempotency keys that reached a receiver.
    pub delivered: Mutex<Vec<String>>,
    /// What agents keep on their disks: how far an incident's script got, by agent and incident.
    journals: Mutex<BTreeMap<(String, String), Journal>>,
    /// The service is slow.
    slow: AtomicBool,
    next_id: AtomicU64,
    /// Deaths of everybody.
    pub kills: AtomicU64,
    /// Engines that will not die any more.
    pub last_lives: AtomicU64,
    /// The server's clock was stepped.
    pub stepped: AtomicBool,
    /// The storm is over: nobody dies any more, and the service is fast.
    pub calm: AtomicBool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Journal {
    Started,
    Ended,
}

impl Truth {
    pub fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }
}

/// The Friday rule with short times, a rule on its neighbour that only tells, and one that counts; where `apart`, a rule over
/// both metrics, which lie in different shards, and that is the one that rolls back.
pub fn settings(revision: u64, apart: bool) -> Settings {
    let short = |name: &str, metric: &str, secs: i64| {
        let mut rule = rule(name, metric);
        rule.window = Span::from_secs(secs);
        rule.fresh_for = Span::from_secs(5);
        rule.gap_tolerance = Span::from_secs(5);
        rule
    };
    let mut county = short("county_api", METRIC, 2);
    county.action_min_samples = 3;
    county.threshold = 1000.0 + revision as f64;
    let mut other = short("other", "other_ms", 1);
    (other.action, other.hold) = (None, Span::from_millis(300));
    let mut many = short("many", "other_ms", 5);
    (many.action, many.stat, many.threshold) = (None, Stat::Count, 20.0);
    let mut settings = friday();
    settings.revision = format!("r{revision}");
    let both = Rule { name: "both".to_owned(), ..county.clone() };
    settings.rules = [county, many, other].map(Arc::new).into();
    if apart {
        let both = joined(both);
        Arc::make_mut(&mut settings.rules[0]).action = None;
        settings.rules.insert(0, Arc::new(both));
    }
    let mut plan = (*settings.plans[0]).clone();
    (plan.cooldown, plan.not_after) = (Span::from_secs(3), Span::from_secs(8));
    plan.verify.within = Span::from_secs(8);
    settings.plans = vec![Arc::new(plan)];
    let mut receiver = (*settings.receivers[0]).clone();
    (receiver.budget.refill, receiver.budget.digest_every) =
        (Span::from_secs(2), Span::from_secs(5));
    settings.receivers = vec![Arc::new(receiver)];
    settings.limits =
        Limits { actions_enabled: true, rollbacks_per_hour: 1000, ..Limits::default() };
    settings
}

/// The same of the Friday metric and its neighbour, both at once.
fn joined(rule: Rule) -> Rule {
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
        min_samples: rule.min_samples,
        fresh_for: rule.fresh_for,
        baseline: None,
    };
    Rule { any_of: vec![vec![term(METRIC), term("other_ms")]], ..rule.clone() }
}

/// Somebody's connection, for a life.
pub struct Place {
    /// A rule is judged at the desk.
    pub apart: bool,
    pub bus: MemoryBus,
    pub weather: watch::Receiver<Weather>,
    pub truth: Arc<Truth>,
}

impl Place {
    pub fn connect(&self, life: &Arc<Life>, dice: Dice) -> Faulty {
        Faulty::new(&self.bus, life, dice, &self.weather)
    }
}

fn outgoing(subject: String, body: &Value) -> Outgoing {
    Outgoing { subject, payload: Bytes::from(body.to_string()), ..Outgoing::default() }
}

/// A service: sends each sample under an id of its own until the bus has acknowledged it.
pub async fn service(place: Arc<Place>, metric: &'static str, mut dice: Dice) {
    let life = Life::until(u64::MAX, false);
    let bus = place.connect(&life, dice.split());
    let truth = place.truth.clone();
    loop {
        sleep(dice.millis(20, 150)).await;
        if dice.happens(60) {
            let slow = !truth.is_calm() && dice.happens(500);
            truth.slow.store(slow, Ordering::Relaxed);
        }
        let slow = truth.slow.load(Ordering::Relaxed) && !truth.is_calm();
        let id = truth.next_id.fetch_add(1, Ordering::Relaxed);
        let value = if slow { 1500.0 } else { 110.0 } + dice.below(50) as f64;
        let mut message = outgoing(
            subjects().metric(metric),
            &json!({ "name": metric, "val": value, "id": id.to_string() }),
        );
        message.message_id = Some(format!("sample-{id}"));
        while bus.publish(message.clone()).await.is_err() {
            sleep(dice.millis(1, 50)).await;
        }
        truth.accepted.lock().unwrap().push(id);
    }
}

/// Operators: apply revisions, acknowledge and close what they see.
pub async fn people(place: Arc<Place>, mut dice: Dice) {
    let life = Life::until(u64::MAX, false);
    let bus: SharedBus = place.connect(&life, dice.split()).shared();
    let mut revision = 0;
    loop {
        sleep(dice.millis(500, 6_000)).await;
        if place.truth.is_calm() {
            return;
        }
        let seen = place.bus.messages(Stream::Events);
        let fired = seen.iter().rev().find(|message| message.subject.ends_with(b".fired"));
        let incident = fired.and_then(|message| {
            let body: Value = serde_json::from_slice(&message.payload).ok()?;
            Some(body["incident"].as_str()?.to_owned())
        });
        let author = json!("anna");
        let said = match (dice.below(4), incident) {
            (0, _) => {
                revision += 1;
                let _ = apply_settings(&bus, &subjects(), &settings(revision, place.apart)).await;
                continue;
            }
            (1, Some(incident)) => (
                "ack",
                json!({ "schema": 1, "incident": incident, "author": author, "comment": null }),
            ),
            (2, Some(incident)) => (
                "close",
                json!({ "schema": 1, "incident": incident, "author": author, "comment": "seen" }),
            ),
            _ => (
                "freeze",
                json!({ "schema": 1, "frozen": false, "author": author, "comment": null }),
            ),
        };
        let _ =
            bus.publish(outgoing(subjects().of(&format!("desk.{}.anna", said.0)), &said.1)).await;
    }
}

/// Lives again and again until the world ends; each life does `work` until it dies.
pub async fn lives<F: Future<Output = Result<(), BusError>>>(
    place: Arc<Place>,
    mut dice: Dice,
    work: impl Fn(SharedBus, Arc<Truth>, Dice) -> F,
) {
    loop {
        let calm = place.truth.is_calm();
        let life = Life::until(if calm { u64::MAX } else { dice.below(120) }, dice.happens(500));
        let bus = place.connect(&life, dice.split()).shared();
        tokio::select! {
            biased;
            () = life.died.notified() => { place.truth.kills.fetch_add(1, Ordering::Relaxed); }
            _ = work(bus, place.truth.clone(), dice.split()) => {}
        }
        sleep(dice.millis(50, 4_000)).await;
    }
}

/// A rollback agent: claims, writes its journal, starts, says how it ended.
pub async fn agent(
    bus: SharedBus,
    truth: Arc<Truth>,
    name: &'static str,
    mut dice: Dice,
) -> Result<(), BusError> {
    let options =
        WorkOptions { ack_wait: Duration::from_secs(3), in_flight_max: 4, only_new: false };
    let filter = subjects().of("rollback.*.command");
    let mut worker = bus.work(Stream::Events, &filter, &format!("agent-{name}"), options).await?;
    loop {
        let work = worker.next().await?;
        carry(&bus, &truth, name, &work, &mut dice).await?;
        work.answer.done().await?;
    }
}

async fn carry(
    bus: &SharedBus,
    truth: &Truth,
    name: &str,
    work: &Work,
    dice: &mut Dice,
) -> Result<(), BusError> {
    let command: Value = serde_json::from_slice(&work.message.payload).unwrap();
    let text = |field: &str| command[field].as_str().unwrap().to_owned();
    let (plan, incident) = (text("plan"), text("incident"));
    let subject = subjects().ledger(&plan, &incident);
    let record = |state: Value| json!({ "schema": 1, "plan": plan, "incident": incident, "holder": name, "state": state });
    let held = async || {
        let held = bus.last(Stream::Outcomes, &subject).await?;
        Ok::<_, BusError>(held.map(|held| {
            let body: Value = serde_json::from_slice(&held.payload).unwrap();
            (
                held.sequence,
                body["holder"] == name,
                body["state"]["state"].as_str().unwrap().to_owned(),
            )
        }))
    };
    let put = async |state: Value, expected: u64| {
        let expect = Some(Expect { subject: None, sequence: expected });
        let message = Outgoing { expect, ..outgoing(subject.clone(), &record(state)) };
        match bus.publish(message).await {
            Ok(_) | Err(BusError::Conflict { .. } | BusError::Unclear { .. }) => held().await,
            Err(error) => Err(error),
        }
    };
    let key = (name.to_owned(), incident.clone());
    let journal = || truth.journals.lock().unwrap().get(&key).copied();
    let mut found = held().await?;
    if found.is_none() {
        found = put(json!({ "state": "claimed" }), 0).await?;
    }
    let Some((sequence, true, state)) = found else { return Ok(()) };
    let told = match (state.as_str(), journal()) {
        ("claimed", None) => {
            let Some((_, true, now)) =
                put(json!({ "state": "started", "fence": sequence }), sequence).await?
            else {
                return Ok(());
            };
            if now != "started" {
                return Err(BusError::Invalid("again".to_owned()));
            }
            truth.journals.lock().unwrap().insert(key.clone(), Journal::Started);
            truth.starts.lock().unwrap().push(incident.clone());
            sleep(dice.millis(20, 1_500)).await;
            if dice.happens(800) {
                truth.slow.store(false, Ordering::Relaxed);
            }
            truth.journals.lock().unwrap().insert(key.clone(), Journal::Ended);
            "succeeded"
        }
        (_, Some(Journal::Ended)) => "succeeded",
        // Whether it ran is not known.
        _ => "unknown",
    };
    if let Some((sequence, true, now)) = held().await?
        && now != "ended"
    {
        put(json!({ "state": "ended", "outcome": told, "exit_code": null }), sequence).await?;
    }
    let outcome =
        json!({ "schema": 1, "plan": plan, "incident": incident, "agent": name, "state": told });
    let mut outcome = outgoing(subjects().status_rollback(&plan), &outcome);
    outcome.message_id = Some(format!("{incident}-{told}"));
    bus.publish(outcome).await?;
    Ok(())
}

/// A notifier: hands every intent to its receiver at least once.
pub async fn notifier(bus: SharedBus, truth: Arc<Truth>) -> Result<(), BusError> {
    let options =
        WorkOptions { ack_wait: Duration::from_secs(2), in_flight_max: 8, only_new: false };
    let mut worker =
        bus.work(Stream::Events, &subjects().of("notify.>"), "notifier", options).await?;
    loop {
        let work = worker.next().await?;
        let intent: Value = serde_json::from_slice(&work.message.payload).unwrap();
        truth.delivered.lock().unwrap().push(intent["key"].as_str().unwrap().to_owned());
        work.answer.done().await?;
    }
}
