//! `ops audit`: proves what was said, from the logs.

use crate::bar::Bar;
use crate::cli::{AuditCommand, Format, UpOptions};
use crate::exit::{Failure, Kind};
use crate::{connect, load};
use bus::accounts::Role;
use engine::{Audit, AuditOptions};
use serde_json::json;
use stages::time::{Span, Time};
use std::time::SystemTime;

/// Runs one of them.
pub async fn run(command: AuditCommand, format: Format) -> Result<(), Failure> {
    let AuditCommand::Verify { since, options } = command;
    let since = Span::parse(&since).map_err(|error| Failure::new(Kind::Usage, error))?;
    let audits = verify(&options, since).await?;
    let different = audits.iter().filter(|audit| audit.difference.is_some()).count();
    match format {
        Format::Json => println!("{}", json!({ "good": different == 0, "logs": audits })),
        Format::Text => audits.iter().for_each(print),
    }
    if different == 0 {
        return Ok(());
    }
    let text = format!("{different} of {} logs do not say what was said", audits.len());
    Err(Failure::new(Kind::Unhealthy, text))
}

async fn verify(options: &UpOptions, since: Span) -> Result<Vec<Audit>, Failure> {
    let loaded = load::load(options)?;
    let connection = connect::existing(&loaded.ops).await?;
    let shards = loaded.ops.bus.shards;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = Time(i64::try_from(now.as_nanos()).unwrap_or(i64::MAX));
    let with = AuditOptions {
        bus: connection.in_role(Role::Admin).await?,
        subjects: connection.subjects.clone(),
        shards,
        since: now.minus(since),
        stages: engine::StagesVersion::default(),
    };
    let mut audits = Vec::new();
    for log in engine::all_logs(shards) {
        let mut bar = Bar::new(format!("log {log}"), "entries");
        let audit = engine::audit(&with, log, &mut |done, whole| bar.show(done, whole, done)).await;
        bar.end();
        audits.push(audit.map_err(connect::engine_failed)?);
    }
    Ok(audits)
}

fn print(audit: &Audit) {
    let Audit { log, proven, entries, by_owner, .. } = audit;
    let (Some((from, _)), Some((to, _))) = (audit.from, audit.to) else {
        println!("log {log}: nothing to prove");
        return show_unproven(audit);
    };
    println!("log {log}: {proven} events proven, {entries} entries replayed, from {from} to {to}");
    if *by_owner > 0 {
        println!(
            "  {by_owner} events are their owner's own words: holes it met, a log that stood still or went on by hand"
        );
    }
    show_unproven(audit);
    let Some(difference) = &audit.difference else { return };
    let (behind, up_to) = difference.entries;
    println!("  DIFFERENT: what follows from entries {behind} (exclusive) to {up_to} of the log");
    let shown = |side: &Option<(String, String)>| match side {
        Some((subject, body)) => format!("{subject} {body}"),
        None => "nothing".to_owned(),
    };
    println!("    the log says  {}", shown(&difference.recomputed));
    let at = difference.sequence.map(|at| format!(" (sequence {at})")).unwrap_or_default();
    println!("    the bus has   {}{at}", shown(&difference.found));
}

fn show_unproven(audit: &Audit) {
    for span in &audit.unproven {
        println!("  not proven from {} to {}: {}", span.from, span.to, span.why);
    }
}
