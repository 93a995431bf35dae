//! `ops shard`: what a person decides about a log.

use crate::cli::{Format, ShardCommand};
use crate::exit::Failure;
use crate::{connect, load, recover};
use bus::accounts::Role;
use engine::{Skip, Skipped};

/// Runs one of them.
pub async fn run(command: ShardCommand, format: Format) -> Result<(), Failure> {
    let ShardCommand::Skip { log, sequence, reason, author, options } = command;
    let loaded = load::load(&options)?;
    let connection = connect::existing(&loaded.ops).await?;
    let log = recover::named(&log, loaded.ops.bus.shards)?;
    // It is a position record that is renewed.
    let bus = connection.in_role(Role::Owner).await?;
    let skip = Skip { log, sequence, author, reason };
    let skipped = engine::skip(&bus, &connection.subjects, &skip).await;
    let skipped = skipped.map_err(connect::engine_failed)?;
    match format {
        Format::Json => println!("{}", serde_json::json!(skipped)),
        Format::Text => print(&skipped),
    }
    Ok(())
}

fn print(skipped: &Skipped) {
    let Skipped { log, entries: (first, last), why } = skipped;
    let what =
        if first == last { format!("entry {last}") } else { format!("entries {first} to {last}") };
    println!("log {log} goes on without {what}; it stood still: {why}");
}
