//! `ops plans`: what a person decides about rollback plans. The desk decides whether it can be obeyed; its answer is
//! waited for.

use crate::cli::{Format, PlansCommand, UpOptions};
use crate::exit::{Failure, Kind};
use crate::{connect, load};
use bus::accounts::Role;
use bus::{Outgoing, SharedBus, Stream};
use serde_json::json;
use stages::subject::{Subjects, escape};
use stages::wire::{AlertEvent, AlertState, SCHEMA, Unlock};
use std::time::Duration;
use tokio::time::Instant;

/// Longest wait for the desk to read an entry.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// How often its answer is looked for.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Runs one of them.
pub async fn run(command: PlansCommand, format: Format) -> Result<(), Failure> {
    let PlansCommand::Unlock { plan, comment, author, options } = command;
    let unlock = Unlock { schema: SCHEMA, plan, author, comment };
    let said = tell(&unlock, &options).await?;
    match format {
        Format::Json => println!("{}", json!({ "plan": unlock.plan, "unlocked": true })),
        Format::Text => println!("{said}"),
    }
    Ok(())
}

/// Stores the entry and waits for what the desk says to it.
async fn tell(unlock: &Unlock, options: &UpOptions) -> Result<String, Failure> {
    let loaded = load::load(options)?;
    let connection = connect::existing(&loaded.ops).await?;
    let bus = connection.in_role(Role::Person).await?;
    let subjects = &connection.subjects;
    let entry = Outgoing {
        subject: subjects.of(&format!("desk.unlock.{}", escape(&unlock.author))),
        payload: serde_json::to_vec(unlock).map_err(anyhow::Error::new)?.into(),
        ..Outgoing::default()
    };
    let position = bus.publish(entry).await?.sequence;
    let until = Instant::now() + ANSWER_MAX;
    loop {
        if let Some(said) = notice(&bus, subjects, "plan_unlocked", position).await? {
            return Ok(said);
        }
        if let Some(why) = notice(&bus, subjects, "entry_refused", position).await? {
            return Err(Failure::new(Kind::Failed, why));
        }
        if Instant::now() >= until {
            let text =
                "the desk has not read it yet; it will when its owner runs: see `ops status`";
            return Err(Failure::new(Kind::Unhealthy, text));
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// What the desk said about the entry at `position`, if its newest notice of this kind is about that.
async fn notice(
    bus: &SharedBus,
    subjects: &Subjects,
    kind: &str,
    position: u64,
) -> Result<Option<String>, Failure> {
    let subject = subjects.alert("warning", kind, AlertState::Notice.token());
    let newest = bus.last(Stream::Events, &subject).await?;
    let event = newest.and_then(|m| serde_json::from_slice::<AlertEvent>(&m.payload).ok());
    Ok(event.filter(|event| event.position == position).and_then(|event| event.detail))
}
