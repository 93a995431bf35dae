//! The product's own health: `/healthz` (alive), `/readyz` (of use), `/metrics` (numbers).

use crate::exposition::{Exposition, one};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use bus::SharedBus;
use collector::CollectorHandle;
use engine::{Engine, Health, LogHealth, TIMING_BOUNDS, Timing};
use notify::Notifier;
use rollback::Agent;
use serde_json::json;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// Further behind than this, alerts come too late to be called ready.
const LAG_MAX: Duration = Duration::from_secs(5);

/// A part of this process: set when it is up, taken when it is to end.
pub struct Slot<T>(RwLock<Option<T>>);

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(RwLock::new(None))
    }
}

impl<T> Slot<T> {
    /// It is up.
    pub fn set(&self, part: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(part);
    }

    /// Whether it is up.
    pub fn is_set(&self) -> bool {
        self.with(|_| ()).is_some()
    }

    /// Hands it out to be ended.
    pub fn take(&self) -> Option<T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Asks it something, if it is up.
    pub fn with<U>(&self, ask: impl FnOnce(&T) -> U) -> Option<U> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(ask)
    }
}

/// The parts that run in this process, as they come up.
#[derive(Default)]
pub struct Parts {
    /// The bus, as the part that came up last sees it.
    pub bus: Slot<SharedBus>,
    /// The engine, where this process has that role.
    pub engine: Slot<Engine>,
    /// The collector.
    pub collector: Slot<CollectorHandle>,
    /// The notifier.
    pub notifier: Slot<Notifier>,
    /// The agent.
    pub agent: Slot<Agent>,
}

/// The routes.
pub fn routes(parts: Arc<Parts>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(parts)
}

/// Further behind than this, by what the engine last saw; 0 without an engine.
pub fn lag(parts: &Parts) -> Duration {
    let health = parts.engine.with(Engine::health);
    let seconds = health.iter().flat_map(|health| &health.logs).map(|log| log.lag_seconds);
    Duration::from_secs_f64(seconds.fold(0.0, f64::max))
}

async fn ready(State(parts): State<Arc<Parts>>) -> Response {
    let mut why = Vec::new();
    match parts.bus.with(|bus| bus.connected()) {
        None => why.push("starting".to_owned()),
        Some(false) => why.push("the bus does not answer".to_owned()),
        Some(true) => {}
    }
    let health = parts.engine.with(Engine::health);
    why.extend(health.as_ref().and_then(|health| health.not_ready(LAG_MAX)));
    why.extend(parts.notifier.with(Notifier::not_ready).flatten());
    why.extend(parts.agent.with(Agent::not_ready).flatten());
    why.dedup();
    let logs = health.iter().flat_map(|health| &health.logs).map(|log| {
        json!({
            "log": log.log.to_string(), "owned": log.owned, "elsewhere": log.elsewhere,
            "position": log.position, "time": log.time, "lag_entries": log.lag_entries,
            "lag_seconds": log.lag_seconds, "samples": log.counters.samples,
            "series": log.counters.series, "stopped": log.stopped,
        })
    });
    let logs: Vec<_> = logs.collect();
    let ready = why.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let store = health.map(|health| {
        let (holds, may_hold) = health.log_bytes;
        json!({ "bytes": holds, "bytes_max": may_hold })
    });
    let body = json!({ "ready": ready, "why": why, "logs": logs, "log_store": store });
    (status, Json(body)).into_response()
}

async fn metrics(State(parts): State<Arc<Parts>>) -> Response {
    let mut page = Exposition::default();
    let connected = parts.bus.with(|bus| bus.connected()).unwrap_or_default();
    page.gauge("ops_bus_connected", "Whether the bus answers.", one(f64::from(connected)));
    parts.engine.with(|engine| engine_metrics(&mut page, &engine.health()));
    parts.collector.with(|collector| collector_metrics(&mut page, collector));
    parts.notifier.with(|notifier| notifier_metrics(&mut page, notifier));
    parts.agent.with(|agent| agent_metrics(&mut page, agent));
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page.finish())
        .into_response()
}

/// Name, help, and what it is of a log.
type OfLog = (&'static str, &'static str, fn(&LogHealth) -> f64);

const LOG_GAUGES: [OfLog; 6] = [
    ("ops_log_owned", "Whether this process owns the log.", |log| f64::from(log.owned)),
    ("ops_log_position", "Last entry whose outputs are out.", |log| log.position as f64),
    ("ops_log_lag_entries", "Entries stored, not worked off.", |log| log.lag_entries as f64),
    ("ops_log_lag_seconds", "How far log time is behind.", |log| log.lag_seconds),
    ("ops_log_stopped", "Whether it stands still.", |log| f64::from(log.stopped.is_some())),
    ("ops_series", "Series known.", |log| log.counters.series as f64),
];

const LOG_COUNTERS: [OfLog; 9] = [
    ("ops_samples_total", "Samples placed into windows.", |log| log.counters.samples as f64),
    ("ops_samples_late_total", "Samples too old to count.", |log| log.counters.late as f64),
    ("ops_samples_clamped_total", "Samples beyond 1e12, of metrics with a percentile.", |log| {
        log.counters.clamped as f64
    }),
    ("ops_samples_repeated_total", "Repeats dropped.", |log| log.counters.repeated as f64),
    ("ops_evaluations_total", "Evaluations of rules.", |log| log.counters.evaluations as f64),
    ("ops_committed_total", "Messages committed.", |log| log.committed as f64),
    ("ops_data_gaps_total", "Holes of missing entries.", |log| log.data_gaps as f64),
    ("ops_snapshots_total", "Snapshots stored.", |log| log.snapshots as f64),
    ("ops_ticks_total", "Ticks sent.", |log| log.ticks as f64),
];

fn engine_metrics(page: &mut Exposition, health: &Health) {
    let logs = &health.logs;
    let of = |value: fn(&LogHealth) -> f64| {
        logs.iter().map(move |log| (vec![("log", log.log.to_string())], value(log)))
    };
    for (name, help, value) in LOG_GAUGES {
        page.gauge(name, help, of(value));
    }
    for (name, help, value) in LOG_COUNTERS {
        page.counter(name, help, of(value));
    }
    let refused = logs.iter().flat_map(|log| {
        let reasons = log.counters.refused.iter();
        reasons.map(|(reason, count)| {
            (vec![("log", log.log.to_string()), ("reason", (*reason).to_owned())], *count as f64)
        })
    });
    page.counter("ops_samples_refused_total", "Samples refused by the engine.", refused);
    alert_metrics(page, logs);
    timing(page, "ops_step_seconds", "From feeding a step until it was done.", logs, |l| &l.steps);
    let pause = "From asking for a snapshot until it was taken; the next step waits.";
    timing(page, "ops_snapshot_pause_seconds", pause, logs, |l| &l.pauses);
    timing(page, "ops_commit_seconds", "Commits, retries included.", logs, |l| &l.commits);
    page.counter("ops_relayed_total", "Messages relayed between logs.", one(health.relayed as f64));
    let (holds, may_hold) = health.log_bytes;
    page.gauge("ops_log_bytes", "Bytes the stream of the shards' logs holds.", one(holds as f64));
    let help = "Bytes it may hold; 0 for no limit.";
    page.gauge("ops_log_bytes_max", help, one(may_hold as f64));
    let dropped = one(health.dropped as f64);
    page.counter("ops_dropped_total", "Rollups and dead letters given up.", dropped);
}

fn alert_metrics(page: &mut Exposition, logs: &[LogHealth]) {
    let axes = ["unknown", "ok", "pending", "firing", "recovering"];
    let alerts = logs.iter().flat_map(|log| {
        let counts = axes.iter().zip(log.counters.alerts);
        counts.map(|(axis, count)| {
            let labels = vec![("log", log.log.to_string()), ("state", (*axis).to_owned())];
            (labels, count as f64)
        })
    });
    page.gauge("ops_alerts", "Alerts known, by state.", alerts);
}

/// A timing as Prometheus's classic histogram.
fn timing(
    page: &mut Exposition,
    name: &str,
    help: &str,
    logs: &[LogHealth],
    of: fn(&LogHealth) -> &Timing,
) {
    let mut samples = Vec::new();
    for log in logs {
        let (timing, label) = (of(log), log.log.to_string());
        let mut below = 0;
        for (index, count) in timing.buckets.iter().enumerate() {
            below += count;
            let bound = TIMING_BOUNDS.get(index).map_or("+Inf".to_owned(), f64::to_string);
            samples.push(("_bucket", vec![("log", label.clone()), ("le", bound)], below as f64));
        }
        samples.push(("_sum", vec![("log", label.clone())], timing.seconds));
        samples.push(("_count", vec![("log", label)], timing.count as f64));
    }
    page.histogram(name, help, samples);
}

fn collector_metrics(page: &mut Exposition, collector: &CollectorHandle) {
    let counts = collector.counts();
    page.counter(
        "ops_collector_requests_total",
        "Requests to /metric.",
        one(counts.requests as f64),
    );
    page.counter(
        "ops_collector_samples_total",
        "Samples the bus has stored.",
        one(counts.samples as f64),
    );
    let refused = counts.refused.iter();
    let refused =
        refused.map(|(reason, count)| (vec![("reason", (*reason).to_owned())], *count as f64));
    page.counter("ops_collector_refused_total", "Samples refused at the door.", refused);
    let away = counts.turned_away.iter();
    let away = away.map(|(status, count)| (vec![("status", status.to_string())], *count as f64));
    page.counter("ops_collector_turned_away_total", "Requests turned away.", away);
    page.counter("ops_collector_entries_total", "Log entries stored.", one(counts.entries as f64));
    page.counter("ops_collector_entry_bytes_total", "Their bytes.", one(counts.entry_bytes as f64));
    page.counter("ops_collector_retries_total", "Publishes repeated.", one(counts.retries as f64));
    page.gauge(
        "ops_collector_queue_bytes",
        "Bytes held right now.",
        one(counts.queue_bytes as f64),
    );
    page.counter(
        "ops_collector_publish_seconds_total",
        "Time in publishes.",
        one(counts.publish_seconds),
    );
}

fn notifier_metrics(page: &mut Exposition, notifier: &Notifier) {
    let counters = notifier.counters();
    let by_channel = counters.channels.iter().flat_map(|(channel, counts)| {
        let outcomes = [
            ("delivered", counts.sent),
            ("outbox", counts.outbox),
            ("retried", counts.retried),
            ("given_up", counts.failed),
        ];
        outcomes.map(|(outcome, count)| {
            (
                vec![("channel", (*channel).to_owned()), ("outcome", outcome.to_owned())],
                count as f64,
            )
        })
    });
    page.counter("ops_notifications_total", "Attempts to tell somebody.", by_channel);
    page.counter(
        "ops_notifications_failed_total",
        "Intents nobody took.",
        one(counters.failed as f64),
    );
    page.counter(
        "ops_notifications_late_total",
        "Intents folded because they were too old.",
        one(counters.late as f64),
    );
    page.gauge("ops_notifications_in_flight", "Intents in flight.", one(counters.in_flight as f64));
}

fn agent_metrics(page: &mut Exposition, agent: &Agent) {
    let counters = agent.counters();
    let outcomes = counters.outcomes.iter();
    let outcomes =
        outcomes.map(|(state, count)| (vec![("outcome", state.token().to_owned())], *count as f64));
    page.counter("ops_rollbacks_total", "Commands this agent answered.", outcomes);
    page.gauge("ops_rollbacks_in_flight", "Scripts running.", one(counters.in_flight as f64));
}
