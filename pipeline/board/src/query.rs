//! The JSON the pages are made of.

use crate::known::{AlertNow, Event, RuleRow};
use crate::{Shared, history, live};
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use bus::BusError;
use serde::{Deserialize, Serialize};
use stages::rollup::Tier;
use stages::time::{Span, Time};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Events on a page.
const EVENTS_SHOWN: usize = 200;
/// Most events one request may ask for.
const EVENTS_ASKED_MAX: usize = 2_000;

pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/overview", get(overview))
        .route("/api/metric/{metric}", get(metric))
        .route("/api/events", get(events))
        .route("/api/live", get(live::live))
}

#[derive(Serialize)]
struct MetricRow<'a> {
    name: &'a str,
    last: Option<Time>,
}

async fn overview(State(shared): State<Arc<Shared>>) -> Response {
    #[derive(Serialize)]
    struct Overview<'a> {
        revision: &'a str,
        rules: Vec<RuleRow<'a>>,
        events: Vec<&'a Event>,
        metrics: Vec<MetricRow<'a>>,
    }
    let known = shared.known();
    let metrics = known.metrics().into_iter().map(|(name, last)| MetricRow { name, last });
    let answer = Overview {
        revision: known.revision(),
        rules: known.rules(None),
        events: known.events(None, EVENTS_SHOWN),
        metrics: metrics.collect(),
    };
    Json(answer).into_response()
}

#[derive(Deserialize)]
struct EventsAsked {
    metric: Option<String>,
    limit: Option<usize>,
}

async fn events(State(shared): State<Arc<Shared>>, Query(asked): Query<EventsAsked>) -> Response {
    let limit = asked.limit.unwrap_or(EVENTS_SHOWN).min(EVENTS_ASKED_MAX);
    let known = shared.known();
    let events = known.events(asked.metric.as_deref(), limit);
    Json(serde_json::json!({ "events": events })).into_response()
}

#[derive(Deserialize)]
struct WindowAsked {
    window: Option<String>,
}

#[derive(Serialize)]
struct FiringSpan {
    from: Time,
    to: Option<Time>,
}

async fn metric(
    State(shared): State<Arc<Shared>>,
    Path(metric): Path<String>,
    Query(asked): Query<WindowAsked>,
) -> Response {
    #[derive(Serialize)]
    struct Answer<'a> {
        metric: &'a str,
        unit: &'a str,
        pane_seconds: i64,
        panes: history::Columns,
        rules: Vec<RuleRow<'a>>,
        alerts: Vec<&'a AlertNow>,
        events: Vec<&'a Event>,
        firing: Vec<FiringSpan>,
    }
    if let Err(error) = stages::series::check_name(&metric) {
        return refuse(&format!("metric: {error}"));
    }
    let window = match Span::parse(asked.window.as_deref().unwrap_or("15m")) {
        Ok(window) if window > Span::ZERO => window.min(history::WINDOW_MAX),
        Ok(_) => return refuse("window: write a length above zero, like 1h"),
        Err(error) => return refuse(&format!("window: {error}")),
    };
    let (tier, since) = (history::tier_for(window), now().minus(window));
    let read = async |tier| history::history(&shared, &metric, tier, since).await;
    // Seconds borrow percentiles from the ten seconds around them, the others carry their own.
    let both = async {
        let coarser = match tier {
            Tier::Second => read(Tier::TenSeconds).await?,
            Tier::TenSeconds | Tier::Minute => history::Merged::default(),
        };
        Ok::<_, BusError>((read(tier).await?, coarser))
    };
    let (merged, coarser) = match both.await {
        Ok(both) => both,
        Err(error) => {
            let body = Json(serde_json::json!({ "error": error.to_string() }));
            return (StatusCode::SERVICE_UNAVAILABLE, body).into_response();
        }
    };
    let known = shared.known();
    let rules = known.rules(Some(&metric));
    let mut events = known.events(Some(&metric), EVENTS_SHOWN);
    events.reverse();
    let firing = known.firing(&metric).into_iter().map(|(from, to)| FiringSpan { from, to });
    let answer = Answer {
        metric: &metric,
        unit: rules.first().map_or("", |row| row.unit_shown),
        pane_seconds: history::seconds(tier),
        panes: merged.columns(&coarser),
        alerts: rules.iter().flat_map(|row| row.alerts.iter().copied()).collect(),
        rules,
        events,
        firing: firing.collect(),
    };
    Json(answer).into_response()
}

fn refuse(why: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(serde_json::json!({ "error": why }))).into_response()
}

/// What time it is for a page: a viewer's window ends now, whatever the log does.
pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX / 1_000_000))
}
