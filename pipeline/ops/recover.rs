//! `ops recover`: why a log cannot be continued, and the way on without what is gone.

use crate::cli::{Format, UpOptions};
use crate::exit::{Failure, Kind};
use crate::{connect, load};
use bus::accounts::Role;
use engine::EngineOptions;
use serde_json::json;
use stages::log::LogId;

/// The log a person names.
pub fn named(name: &str, shards: u32) -> Result<LogId, Failure> {
    engine::all_logs(shards).find(|log| log.to_string() == name).ok_or_else(|| {
        let text = format!("log {name:?}: there is none; write desk, or a number below {shards}");
        Failure::new(Kind::Usage, text)
    })
}

/// Looks at the logs; gives up what is lost where `accept` says so.
pub async fn run(
    options: &UpOptions,
    (log, accept): (Option<&str>, bool),
    format: Format,
) -> Result<(), Failure> {
    let loaded = load::load(options)?;
    let connection = connect::existing(&loaded.ops).await?;
    let (shards, subjects) = (loaded.ops.bus.shards, connection.subjects.clone());
    let logs: Vec<LogId> = match log {
        Some(name) => vec![named(name, shards)?],
        None => engine::all_logs(shards).collect(),
    };
    let bus = connection.in_role(Role::Owner).await?;
    let with = EngineOptions::new(bus, subjects, shards, "recover");
    let mut losses = Vec::new();
    for log in &logs {
        let loss = engine::recover(&with, *log, accept).await.map_err(connect::engine_failed)?;
        if format == Format::Text {
            match &loss {
                None => println!("log {log}: can be continued"),
                Some(loss) => {
                    println!("log {log}: cannot be continued: {}\n  lost: {}", loss.why, loss.lost)
                }
            }
        }
        losses.extend(loss);
    }
    let open = losses.iter().filter(|loss| !loss.accepted).count();
    if format == Format::Json {
        println!("{}", json!({ "good": open == 0, "losses": losses }));
    } else if open < losses.len() {
        println!("given up; the next owner goes on");
    }
    if open == 0 {
        return Ok(());
    }
    let text =
        "restore what is gone if you can; else `ops recover --accept-loss` goes on without it";
    Err(Failure::new(Kind::Unhealthy, text))
}
