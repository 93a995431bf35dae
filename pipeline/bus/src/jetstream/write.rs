//! Publishing: one message, or an atomic batch.
//!
//! A batch is driven by headers: the first message is a request (the server says whether it opens the batch),
//! those in the middle are published, the last is a request that carries the commit. Without that last one
//! nothing is stored, so a failure before it is certain; a silent last one is unclear.

use super::link::{Failure, Link, read_answer};
use crate::layout::spec_of;
use crate::{BusError, Outgoing, Stored};
use async_nats::HeaderMap;
use serde::Deserialize;

/// The server's codes for a failed compare-and-set.
const WRONG_LAST_SEQUENCE: [u64; 2] = [10_071, 10_164];

#[derive(Deserialize)]
struct Ack {
    seq: u64,
    #[serde(default)]
    duplicate: bool,
}

/// Stores one message.
pub(super) async fn publish(link: &Link, message: Outgoing) -> Result<Stored, BusError> {
    let headers = headers_of(link, &message);
    let headers = (!headers.is_empty()).then_some(headers);
    let ack = match link.request(&message.subject, headers, message.payload).await {
        Ok(answer) => read_answer::<Ack>(&answer.payload),
        Err(failure) => Err(failure),
    };
    match ack {
        Ok(ack) => Ok(Stored { sequence: ack.seq, duplicate: ack.duplicate }),
        Err(failure) => Err(write_error(failure, &message.subject)),
    }
}

/// Stores all or none; the answer is the last one's sequence.
pub(super) async fn commit(link: &Link, mut batch: Vec<Outgoing>) -> Result<u64, BusError> {
    check_streams(link, &batch)?;
    if batch.len() == 1 {
        // Alone it needs no batch, which would cost the server several times as much.
        return publish(link, batch.remove(0)).await.map(|stored| stored.sequence);
    }
    let subjects: Vec<String> = batch.iter().map(|message| message.subject.clone()).collect();
    let about = subject_at_stake(&batch);
    let mut refusals = link.refusals();
    let result = drive(link, batch, &about).await;
    match result {
        Err(BusError::Unclear { .. } | BusError::Unavailable { .. }) => {
            // A refused message in the middle shows as an incomplete batch, and as an error text.
            match refusals.any_of(subjects.iter().map(String::as_str)) {
                Some(text) => Err(BusError::Denied { what: text }),
                None => result,
            }
        }
        _ => result,
    }
}

async fn drive(link: &Link, batch: Vec<Outgoing>, about: &str) -> Result<u64, BusError> {
    let id = link.unique_name();
    let last = batch.len();
    let mut answer = None;
    for (number, message) in (1..).zip(batch) {
        let mut headers = headers_of(link, &message);
        headers.insert("Nats-Batch-Id", id.as_str());
        headers.insert("Nats-Batch-Sequence", number.to_string());
        if number == last {
            headers.insert("Nats-Batch-Commit", "1");
            answer = Some(link.request(&message.subject, Some(headers), message.payload).await);
        } else if number == 1 {
            // Silence here is certain too: the commit was never sent.
            let opened = link.request(&message.subject, Some(headers), message.payload).await;
            let opened = opened.map_err(|failure| failure.of_read(about))?;
            if !opened.payload.is_empty() {
                read_answer::<serde_json::Value>(&opened.payload)
                    .map_err(|failure| write_error(failure, about))?;
            }
        } else {
            link.client
                .publish_with_headers(message.subject, headers, message.payload)
                .await
                .map_err(|error| BusError::Unavailable {
                    what: about.to_owned(),
                    why: error.to_string(),
                })?;
        }
    }
    let ack = answer.unwrap_or(Err(Failure::Unreachable("an empty batch")));
    let ack = ack.and_then(|answer| read_answer::<Ack>(&answer.payload));
    ack.map(|ack| ack.seq).map_err(|failure| write_error(failure, about))
}

fn check_streams(link: &Link, batch: &[Outgoing]) -> Result<(), BusError> {
    let layout = &link.options.layout;
    let first = layout.stream_of(&batch[0].subject);
    if let Some(stranger) = batch.iter().find(|m| layout.stream_of(&m.subject) != first) {
        return Err(BusError::Invalid(format!(
            "{}: a batch holds messages of one stream",
            stranger.subject
        )));
    }
    match first {
        Some(stream) if batch.len() > 1 && !spec_of(stream).atomic => Err(BusError::Unavailable {
            what: batch[0].subject.clone(),
            why: "the stream takes no batches".to_owned(),
        }),
        _ => Ok(()),
    }
}

/// The server does not say which expectation failed: name the first one.
fn subject_at_stake(batch: &[Outgoing]) -> String {
    let expecting = batch.iter().find(|message| message.expect.is_some());
    expecting.unwrap_or(&batch[0]).subject.clone()
}

fn headers_of(link: &Link, message: &Outgoing) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(id) = &message.message_id {
        headers.insert("Nats-Msg-Id", id.as_str());
    }
    if let Some(expect) = &message.expect {
        headers.insert("Nats-Expected-Last-Subject-Sequence", expect.sequence.to_string());
        if let Some(subject) = &expect.subject {
            headers.insert("Nats-Expected-Last-Subject-Sequence-Subject", subject.as_str());
        }
    }
    if message.keep_forever {
        headers.insert("Nats-TTL", "never");
    } else if let Some(ttl) = link.options.layout.ttl(&message.subject) {
        headers.insert("Nats-TTL", format!("{}s", ttl.as_secs()));
    }
    headers
}

fn write_error(failure: Failure, subject: &str) -> BusError {
    match failure {
        Failure::Refused { code, .. } if WRONG_LAST_SEQUENCE.contains(&code) => {
            BusError::Conflict { subject: subject.to_owned() }
        }
        other => other.of_write(&format!("publish to {subject}")),
    }
}
