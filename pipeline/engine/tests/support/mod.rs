//! What the tests of the engine share: the Friday settings, a county service, an agent, and what was said.
#![allow(dead_code)]

use bus::{Bus, Expect, Message, Outgoing, Reader, SharedBus, Stream, WorkOptions};
use bytes::Bytes;
use engine::{Engine, EngineOptions, apply_settings, wait_in_force};
use serde::Serialize;
use stages::log::LogId;
use stages::settings::{
    Action, Budget, Compare, Guards, Limits, NoData, Plan, Receiver, Rule, Settings, Stat, Verify,
};
use stages::subject::Subjects;
use stages::time::Span;
use stages::wire::{
    AlertEvent, AlertState, Command, LedgerRecord, LedgerState, RollbackOutcome, RollbackState,
    SCHEMA,
};
use std::sync::Arc;
use std::time::Duration;

pub const METRIC: &str = "county_api_ms";
/// Anything awaited in a test comes within this, or the test has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn subjects() -> Subjects {
    Subjects::default()
}

/// The brief's rule, with a plan whose verification is short.
pub fn friday() -> Settings {
    Settings {
        revision: "friday".to_owned(),
        rules: vec![Arc::new(rule("county_api", METRIC))],
        plans: vec![Arc::new(plan())],
        receivers: vec![Arc::new(receiver())],
        limits: Limits { actions_enabled: true, ..Limits::default() },
        ..Settings::default()
    }
}

/// Ten thousand rules, each of a metric of its own: far more than one message holds.
pub fn many_rules() -> Settings {
    let rule = |n: u32| {
        let rule = rule(&format!("r_{n:05}"), &format!("m_{n:05}_ms"));
        Arc::new(Rule { action: None, ..rule })
    };
    let (revision, rules) = ("many".to_owned(), (0..10_000).map(rule).collect());
    Settings { revision, rules, ..friday() }
}

pub fn rule(name: &str, metric: &str) -> Rule {
    let window = Span::from_secs(180);
    Rule {
        name: name.to_owned(),
        metric: metric.to_owned(),
        matchers: Vec::new(),
        any_of: Vec::new(),
        group_by: Vec::new(),
        stat: Stat::Mean,
        compare: Compare::Greater,
        threshold: 1000.0,
        share: None,
        window,
        hold: Span::ZERO,
        recover: None,
        keep_firing_for: Span::ZERO,
        reopen_within: Span::ZERO,
        min_samples: 1,
        fresh_for: Span::from_secs(60),
        gap_tolerance: Span::from_secs(60),
        no_data: NoData::Keep,
        keep_max: Span::from_secs(900),
        absent: None,
        flap_window: Span::from_secs(3600),
        severity: "critical".to_owned(),
        grades: Vec::new(),
        action_severity: None,
        unit: None,
        action: Some(Action::Rollback("DOCKET_RULE".to_owned())),
        action_min_samples: 10,
        guards: Guards::default(),
        runbook: Some("wiki/slow-county-api".to_owned()),
        notify: vec!["oncall@opm.gov".to_owned()],
        repeat: Span::from_secs(14_400),
        labels: Default::default(),
        annotations: Default::default(),
        mode: Default::default(),
        hours: None,
    }
}

fn plan() -> Plan {
    Plan {
        name: "DOCKET_RULE".to_owned(),
        script: "rollback_docket_rule.sh".to_owned(),
        target: "DOCKET_RULE".to_owned(),
        timeout: Span::from_secs(60),
        cooldown: Span::from_secs(1800),
        lock_after: None,
        lock_window: Span::from_secs(86_400),
        not_after: Span::from_secs(120),
        approval_expires: Span::from_secs(900),
        idempotent: false,
        verify: Verify {
            settle: Span::from_millis(200),
            hold: Span::from_millis(300),
            within: Span::from_secs(30),
            min_samples: 3,
        },
    }
}

fn receiver() -> Receiver {
    let budget = Budget {
        burst: 10,
        refill: Span::from_secs(60),
        reserve: 2,
        digest_every: Span::from_secs(300),
    };
    Receiver { name: "oncall@opm.gov".to_owned(), channels: vec!["email".to_owned()], budget }
}

pub fn options(bus: &SharedBus, shards: u32, process: &str) -> EngineOptions {
    EngineOptions {
        snapshot_every: Duration::from_millis(300),
        position_every: Duration::from_millis(200),
        heartbeat_every: Duration::from_millis(50),
        tick_every: Duration::from_millis(500),
        ..EngineOptions::new(bus.clone(), subjects(), shards, process)
    }
}

/// An engine that owns every log, under the Friday settings.
pub async fn start(bus: &SharedBus, shards: u32, process: &str) -> Engine {
    start_with(bus, options(bus, shards, process)).await
}

pub async fn start_with(bus: &SharedBus, options: EngineOptions) -> Engine {
    let shards = options.shards;
    let engine = Engine::start(options).unwrap();
    let applied = apply_settings(bus, &subjects(), &friday()).await.unwrap();
    owns_all(&engine).await;
    wait_in_force(bus, &subjects(), shards, ("friday", applied), PATIENCE).await.unwrap();
    engine
}

pub async fn owns_all(engine: &Engine) {
    let owned = engine.until(|health| health.logs.iter().all(|log| log.owned && !log.replaying));
    within("owning every log", owned).await;
}

pub async fn within<Result>(what: &str, future: impl Future<Output = Result>) -> Result {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not in time"))
}

pub fn message(subject: String, body: &impl Serialize) -> Outgoing {
    let payload = Bytes::from(serde_json::to_vec(body).unwrap());
    Outgoing { subject, payload, ..Outgoing::default() }
}

/// One call of the county service, published as a service would.
pub async fn sample(bus: &dyn Bus, metric: &str, value: f64) -> u64 {
    let body = serde_json::json!({ "name": metric, "val": value });
    within("a sample", async {
        loop {
            match bus.publish(message(subjects().metric(metric), &body)).await {
                Ok(stored) => return stored.sequence,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    })
    .await
}

/// Claims one command and says that its script succeeded.
pub async fn agent(bus: SharedBus) -> Command {
    let options =
        WorkOptions { ack_wait: Duration::from_secs(30), in_flight_max: 1, only_new: false };
    let filter = subjects().of("rollback.*.command");
    let mut worker = bus.work(Stream::Events, &filter, "agent-local", options).await.unwrap();
    let work = worker.next().await.unwrap();
    let command: Command = serde_json::from_slice(&work.message.payload).unwrap();
    let claim = LedgerRecord {
        schema: SCHEMA,
        plan: command.plan.clone(),
        incident: command.incident.clone(),
        holder: "test".to_owned(),
        state: LedgerState::Claimed,
    };
    let mut claim = message(subjects().ledger(&command.plan, &command.incident), &claim);
    claim.expect = Some(Expect { subject: None, sequence: 0 });
    bus.publish(claim).await.unwrap();
    for state in [RollbackState::Running, RollbackState::Succeeded] {
        let outcome = RollbackOutcome {
            schema: SCHEMA,
            plan: command.plan.clone(),
            incident: command.incident.clone(),
            agent: "test".to_owned(),
            state,
            cause: None,
            detail: None,
            exit_code: (state == RollbackState::Succeeded).then_some(0),
            output: None,
            took: None,
        };
        let subject = subjects().status_rollback(&command.plan);
        bus.publish(message(subject, &outcome)).await.unwrap();
    }
    work.answer.done().await.unwrap();
    command
}

/// Reads alert events until one is as wanted; gives all of them.
pub async fn alerts_until(bus: &SharedBus, wanted: AlertState) -> Vec<AlertEvent> {
    let mut reader = bus.read(Stream::Events, None, 1).await.unwrap();
    let (mut alerts, mut seen) = (Vec::<AlertEvent>::new(), Vec::new());
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            for (subject, body) in said(&fetch(&mut *reader).await) {
                if subject.starts_with("ops.alert.") {
                    alerts.push(serde_json::from_str(&body).unwrap());
                    if alerts.last().unwrap().state == wanted {
                        return;
                    }
                }
                seen.push(format!("{subject} {body}"));
            }
        }
    });
    if found.await.is_err() {
        panic!("no alert {wanted:?} in time; what was said:\n{}", seen.join("\n"));
    }
    alerts
}

async fn fetch(reader: &mut dyn Reader) -> Vec<Message> {
    let mut fetched = Vec::new();
    reader.next(&mut fetched).await.unwrap();
    fetched
}

/// Everybody around the engine, each with their own connection.
pub struct World {
    pub service: SharedBus,
    pub agent: SharedBus,
    pub board: SharedBus,
}

impl World {
    /// Everybody on a bus without permissions.
    pub fn of(bus: &SharedBus) -> Self {
        Self { service: bus.clone(), agent: bus.clone(), board: bus.clone() }
    }

    /// Plays the whole Friday with a running engine: healthy, slow until rolled back, healthy until resolved.
    pub async fn play_friday(&self) -> (Command, Vec<AlertEvent>) {
        let agent = tokio::spawn(agent(self.agent.clone()));
        for _ in 0..5 {
            sample(&*self.service, METRIC, 110.0).await;
        }
        while !agent.is_finished() {
            sample(&*self.service, METRIC, 1500.0).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let service = self.service.clone();
        let healthy = tokio::spawn(async move {
            loop {
                sample(&*service, METRIC, 112.0).await;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        let alerts = alerts_until(&self.board, AlertState::Resolved).await;
        healthy.abort();
        (agent.await.unwrap(), alerts)
    }
}

/// What was said to people and tools: subject and bytes, without the owners' own records.
pub fn said(messages: &[Message]) -> Vec<(String, String)> {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let own = [subjects().of("commit."), subjects().of("own.")];
    messages
        .iter()
        .map(|message| (text(&message.subject), text(&message.payload)))
        .filter(|(subject, _)| !own.iter().any(|own| subject.starts_with(own)))
        .collect()
}

/// What one log said.
pub fn said_by(messages: &[Message], log: LogId) -> Vec<(String, String)> {
    let shard = match log {
        LogId::Shard(shard) => Some(subjects().transition(shard)),
        LogId::Desk => None,
    };
    let transitions = subjects().of("transition.");
    let mut said = said(messages);
    said.retain(|(subject, _)| match &shard {
        Some(shard) => subject == shard,
        None => *subject == subjects().judged() || !subject.starts_with(&transitions),
    });
    said
}
