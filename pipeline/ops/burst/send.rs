//! Reports the calls of the story to the collector.

use super::{Call, METRIC};
use crate::exit::{Failure, Kind};
use serde_json::json;
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio::time::sleep;

/// Measured calls are sent on this often.
const SEND_EVERY: Duration = Duration::from_millis(500);
/// Longest wait for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Says at once that nothing listens, before anybody waits for a story that nobody hears.
pub async fn reach(url: &str) -> Result<(), Failure> {
    match client()?.get(format!("{url}/healthz")).send().await {
        Err(error) if error.is_connect() => Err(nobody(url)),
        // Whatever else is wrong shows at the first batch, which tries again where that may help.
        _ => Ok(()),
    }
}

/// Sends calls on in numbered batches, so that a repeated one counts once; returns how many were taken.
pub async fn send(url: String, mut calls: mpsc::Receiver<Call>) -> Result<u64, Failure> {
    let http = client()?;
    let client = format!("burst-{}", std::process::id());
    let (mut number, mut sent, mut open) = (0_u64, 0_u64, true);
    while open {
        sleep(SEND_EVERY).await;
        let mut batch = Vec::new();
        loop {
            match calls.try_recv() {
                Ok(call) => batch.push(sample(&call)),
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    open = false;
                    break;
                }
            }
        }
        if batch.is_empty() {
            continue;
        }
        number += 1;
        sent += batch.len() as u64;
        post(&http, &url, (&client, number), &json!(batch)).await?;
    }
    Ok(sent)
}

fn sample(call: &Call) -> serde_json::Value {
    let ended = call.ended.duration_since(UNIX_EPOCH).unwrap_or_default();
    let took = call.took.as_secs_f64() * 1000.0;
    json!({ "name": METRIC, "ts": ended.as_millis() as u64, "val": (took * 10.0).round() / 10.0 })
}

/// Posts one batch, again and again while the collector says "later".
async fn post(
    http: &reqwest::Client,
    url: &str,
    (client, number): (&str, u64),
    batch: &serde_json::Value,
) -> Result<(), Failure> {
    const TRIES: u32 = 20;
    for _ in 0..TRIES {
        let request = http.post(format!("{url}/metric")).json(batch);
        let request = request.header("Ops-Client", client).header("Ops-Batch", number.to_string());
        match request.send().await {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) if matches!(answer.status().as_u16(), 429 | 503) => {}
            Ok(answer) => {
                let (status, why) = (answer.status(), answer.text().await.unwrap_or_default());
                let text = format!("the collector at {url} refused: {status} {}", why.trim());
                return Err(Failure::new(Kind::Failed, text));
            }
            Err(error) if error.is_connect() => return Err(nobody(url)),
            Err(_) => {}
        }
        sleep(SEND_EVERY).await;
    }
    let text = format!("the collector at {url} did not take a batch in {TRIES} tries");
    Err(Failure::new(Kind::Failed, text))
}

fn client() -> Result<reqwest::Client, Failure> {
    let built = reqwest::Client::builder().timeout(ANSWER_MAX).build();
    built.map_err(|error| anyhow::Error::new(error).into())
}

fn nobody(url: &str) -> Failure {
    Failure::new(Kind::BusUnreachable, format!("nothing listens on {url}: start `ops lab` first"))
}
