//! The collector alone, on a bus in memory: what the tests of clients talk to.
//!
//! Listens on a free port of 127.0.0.1 and writes one line to stdout: its URL. `GET /stored` answers with
//! everything stored so far as a JSON array; `POST /outage?on=true` takes the bus away. Ends when
//! standard input does. `OPS_TOKEN` sets a token.

use axum::extract::{Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use bus::layout::Layout;
use bus::memory::MemoryBus;
use bus::{Bus, Stream};
use collector::{CollectorLimits, CollectorOptions, Token};
use serde_json::{Value, json};
use stages::batch::{Batch, Kind, TableCache};
use stages::series::split_key;
use stages::subject::Subjects;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let bus = MemoryBus::real_time(Layout::default());
    bus.ensure(1).await?;
    let limits =
        CollectorLimits { store_wait: Duration::from_millis(200), ..CollectorLimits::default() };
    let (routes, handle) = collector::router(CollectorOptions {
        bus: Arc::new(bus.clone()),
        subjects: Subjects::default(),
        shards: 1,
        token: std::env::var("OPS_TOKEN").ok().and_then(|token| Token::new(&token)),
        limits,
        behind: None,
    });
    let inspection =
        Router::new().route("/stored", get(stored)).route("/outage", post(outage)).with_state(bus);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    let ended = async {
        let mut nothing = Vec::new();
        // An error of standard input is an end of it too.
        let _ = tokio::io::stdin().read_to_end(&mut nothing).await;
    };
    tokio::select! {
        served = axum::serve(listener, routes.merge(inspection)) => served?,
        () = ended => {}
    }
    handle.close().await;
    Ok(())
}

/// Everything stored, numbered batches applied once as a shard does.
async fn stored(State(bus): State<MemoryBus>) -> Json<Value> {
    let (mut seen, mut samples) = (BTreeSet::new(), Vec::new());
    for message in bus.messages(Stream::Log) {
        let batch = Batch::parse(&message.payload).expect("written by the collector");
        for section in batch.sections() {
            let number = (section.client.to_owned(), section.number);
            if !section.client.is_empty() && !seen.insert(number) {
                continue;
            }
            let mut cache = TableCache::default();
            let rows = cache.ids(section.table, |row| (row.key.to_owned(), row.kind));
            let rows = rows.expect("written by the collector");
            for (block, (key, kind)) in section.blocks().zip(rows.iter()) {
                let (name, labels) = split_key(key);
                let labels: BTreeMap<_, _> = labels.collect();
                let counter = *kind == Kind::Counter;
                let read = block.for_each(|time, value, _| {
                    let ts = time.map(|time| time.0 / 1000);
                    samples.push(json!({
                        "client": section.client, "number": section.number, "name": name,
                        "labels": labels, "counter": counter, "ts_us": ts, "val": value,
                    }));
                });
                read.expect("written by the collector");
            }
        }
    }
    Json(Value::Array(samples))
}

async fn outage(State(bus): State<MemoryBus>, Query(query): Query<BTreeMap<String, bool>>) {
    bus.set_connected(!query.get("on").copied().unwrap_or_default());
}
