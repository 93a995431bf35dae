//! `POST /metric`: read, check, hand to the lanes, wait until the bus has stored it, answer.

use crate::Shared;
use crate::gather::{Part, StoreError};
use crate::intake::{self, Intake, Pieces, Place};
use crate::rejection::Rejection;
use crate::request;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::future::try_join_all;
use serde::Serialize;
use stages::decode::{Refusal, RefusalReason};
use stages::time::{Span, Time};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Counted for each request beside its body: what the request itself costs.
const REQUEST_BYTES: usize = 1024;

/// The answer to a request that was read: 202, or 400 if some samples were refused.
#[derive(Debug, Serialize)]
struct Answer {
    /// Samples stored.
    accepted: usize,
    /// Samples refused.
    refused: usize,
    /// Why, for the first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ErrorLine>,
}

#[derive(Debug, Serialize)]
struct ErrorLine {
    index: usize,
    reason: RefusalReason,
    message: String,
    remedy: &'static str,
}

pub(crate) async fn receive(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    shared.counters.requests.fetch_add(1, Relaxed);
    match take(&shared, request).await {
        Ok(answer) => answer,
        Err(rejection) => {
            shared.counters.turn_away(rejection.status().as_u16());
            rejection.into_response()
        }
    }
}

async fn take(shared: &Shared, request: Request) -> Result<Response, Rejection> {
    let (parts, body) = request.into_parts();
    if shared.token.as_ref().is_some_and(|token| !token.is_in(&parts.headers)) {
        return Err(Rejection::Unauthorized);
    }
    request::check(&parts.headers)?;
    let number = request::number(&parts.headers)?;
    if let Some(lag) = shared.lag() {
        return Err(Rejection::Behind(lag));
    }
    // A place in the queue comes before the body is read, so memory is bounded from the first byte on.
    let most = shared.limits.body_bytes_max;
    let bytes = request::announced(&parts.headers).unwrap_or(most).min(most) + REQUEST_BYTES;
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    let place = Arc::clone(&shared.room).try_acquire_many_owned(bytes);
    let place = Arc::new(place.map_err(|_| Rejection::QueueFull)?);
    let body = request::body(&parts.headers, body, &shared.limits).await?;

    let intake = intake::read(
        &body,
        &Place {
            subjects: &shared.subjects,
            shards: shared.shards,
            now: now(),
            future_max: Span(
                i64::try_from(shared.limits.future_max.as_nanos()).unwrap_or(i64::MAX),
            ),
        },
    );
    let Intake { shards, accepted, refused } = intake;
    bury(shared, &refused, &body);
    drop(body);
    let shards = shards.into_iter().map(|(shard, samples)| (shard, samples, number.clone()));
    store(shared, shards, place).await?;
    Ok(answer(accepted, refused, shared.limits.reasons_max))
}

/// Hands the samples to their lanes and waits for all of them.
async fn store(
    shared: &Shared,
    shards: impl Iterator<Item = (u32, Vec<intake::Sample>, Option<(Arc<str>, u64)>)>,
    place: Arc<OwnedSemaphorePermit>,
) -> Result<(), Rejection> {
    let mut endings = Vec::new();
    for (shard, samples, number) in shards {
        let (ended, ending) = oneshot::channel();
        let part = Part { samples, number, ended, _place: Arc::clone(&place) };
        shared.lanes[shard as usize].send(part).map_err(|_| Rejection::Closing)?;
        endings.push(async { ending.await.unwrap_or(Err(StoreError::Unavailable)) });
    }
    drop(place);
    match tokio::time::timeout(shared.limits.store_wait, try_join_all(endings)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(StoreError::Refused)) => Err(Rejection::BusRefuses),
        Ok(Err(StoreError::Unavailable)) | Err(_) => {
            Err(Rejection::BusUnavailable(shared.counters.trouble()))
        }
    }
}

/// Counts what was refused and keeps its bytes.
fn bury(shared: &Shared, refused: &[Refusal], body: &Bytes) {
    if refused.is_empty() {
        return;
    }
    let pieces = Pieces::of(body);
    for refusal in refused {
        shared.counters.refuse(refusal.reason.token());
        shared.dead_letters.put(refusal.reason.token(), pieces.get(refusal.index));
    }
}

fn answer(accepted: usize, refused: Vec<Refusal>, reasons_max: usize) -> Response {
    let status = if refused.is_empty() { StatusCode::ACCEPTED } else { StatusCode::BAD_REQUEST };
    let count = refused.len();
    let line = |Refusal { index, reason, message }| ErrorLine {
        index,
        reason,
        message,
        remedy: reason.remedy(),
    };
    let errors = refused.into_iter().take(reasons_max).map(line).collect();
    (status, axum::Json(Answer { accepted, refused: count, errors })).into_response()
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
