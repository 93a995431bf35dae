//! `ops why`: the evidence, the path and the messages of an incident, or how a rule stood at a moment; held against the log.

use crate::bar::Bar;
use crate::cli::{Format, WhyOptions};
use crate::exit::{Failure, Kind};
use crate::{connect, load, moment};
use bus::accounts::Role;
use engine::{Audit, AuditOptions, Stood};
use serde_json::json;
use stages::log::LogId;
use stages::time::{Span, Time};
use stages::wire::Transition;
use trial::why::{Records, Story, WhyError, text};

/// Answers.
pub async fn run(options: WhyOptions, format: Format) -> Result<(), Failure> {
    let loaded = load::load(&options.up)?;
    let connection = connect::existing(&loaded.ops).await?;
    let (bus, subjects) = (connection.in_role(Role::Admin).await?, connection.subjects.clone());
    let shards = loaded.ops.bus.shards;
    let records = Records { bus: bus.clone(), subjects: subjects.clone() };
    let stages = engine::StagesVersion::default();
    let with = AuditOptions { bus, subjects, shards, since: Time(0), stages };
    match (&options.incident, &options.rule, &options.at) {
        (Some(id), ..) if !id.is_empty() => incident(&records, with, id, format).await,
        (None, Some(rule), Some(at)) => {
            let at = moment::read(at)?;
            standing(&records, with, (rule, at), format).await
        }
        _ => {
            let text = "name an incident, or --rule NAME and --at TIME";
            Err(Failure::new(Kind::Usage, text))
        }
    }
}

async fn incident(
    records: &Records,
    mut with: AuditOptions,
    id: &str,
    format: Format,
) -> Result<(), Failure> {
    let story = records.incident(id).await.map_err(failed)?;
    let (from, until) = story.span();
    with.since = from;
    let mut audits = Vec::new();
    for log in story.logs(with.shards) {
        let mut bar = Bar::new(format!("recomputing log {log}"), "entries");
        let mut progress = |done, whole| bar.show(done, whole, done);
        // What followed in the same breath belongs to it.
        let until = until.map_or(Time(i64::MAX), |until| until.plus(Span::from_secs(1)));
        let audit = engine::audit_until(&with, log, until, &mut progress).await;
        bar.end();
        audits.push(audit.map_err(connect::engine_failed)?);
    }
    match format {
        Format::Json => println!("{}", json!({ "story": story, "recomputed": audits })),
        Format::Text => print(&story, &audits),
    }
    agree(&audits)
}

fn print(story: &Story, audits: &[Audit]) {
    println!("{}recomputed", text::story(story));
    for audit in audits {
        let Audit { log, proven, entries, .. } = audit;
        match (audit.from, &audit.difference) {
            (None, _) => println!("  log {log}: cannot be recomputed any more"),
            (_, Some(difference)) => {
                let shown = |side: &Option<(String, String)>| {
                    side.as_ref().map_or_else(
                        || "nothing".to_owned(),
                        |(subject, body)| format!("{subject} {body}"),
                    )
                };
                println!("  log {log}: OTHER THAN RECORDED behind entry {}", difference.entries.0);
                println!("    the log says  {}", shown(&difference.recomputed));
                println!("    recorded is   {}", shown(&difference.found));
            }
            (Some((from, _)), None) => {
                println!(
                    "  log {log}: {entries} entries from {from} on say what was recorded, {proven} events"
                );
            }
        }
        for span in &audit.unproven {
            println!("    not from {} to {}: {}", span.from, span.to, span.why);
        }
    }
}

fn agree(audits: &[Audit]) -> Result<(), Failure> {
    match audits.iter().find(|audit| audit.difference.is_some()) {
        None => Ok(()),
        Some(audit) => {
            let text = format!("log {} says something else than was recorded", audit.log);
            Err(Failure::new(Kind::Unhealthy, text))
        }
    }
}

async fn standing(
    records: &Records,
    mut with: AuditOptions,
    (rule, at): (&str, Time),
    format: Format,
) -> Result<(), Failure> {
    with.since = at;
    let recorded = records.newest_moves(rule, at).await.map_err(failed)?;
    let current = engine::current_settings(&with.bus, &with.subjects).await;
    let current = current.map_err(connect::engine_failed)?.map(|(_, settings)| settings);
    let known = current.and_then(|settings| {
        let rule = settings.rules.iter().find(|one| one.name == rule)?;
        let apart = rule.is_apart(&with.subjects, with.shards);
        let shard = with.subjects.shard_of(&rule.metric, with.shards);
        Some(if apart { LogId::Desk } else { LogId::Shard(shard) })
    });
    // A rule that is gone is looked for where it spoke last.
    let log = match (known, recorded.last()) {
        (Some(log), _) => log,
        (None, Some(moved)) if moved.at_desk => LogId::Desk,
        (None, Some(moved)) => LogId::Shard(moved.shard),
        (None, None) => {
            let text = format!(
                "no rule {rule:?} is in force, and none of the name is recorded: `ops rules list`"
            );
            return Err(Failure::new(Kind::Usage, text));
        }
    };
    let mut bar = Bar::new(format!("recomputing log {log}"), "entries");
    let mut progress = |done, whole| bar.show(done, whole, done);
    let stood = engine::stood(&with, log, (rule, at), &mut progress).await;
    bar.end();
    let stood = stood.map_err(connect::engine_failed)?;
    let other = differences(&stood, &recorded);
    match format {
        Format::Json => {
            let line = json!({
                "rule": stood.rule, "at": at, "alerts": stood.alerts, "judged": stood.judged,
                "unproven": stood.unproven, "recorded": recorded, "differences": other,
            });
            println!("{line}");
        }
        Format::Text => show(&stood, &recorded, (rule, at)),
    }
    if other.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Kind::Unhealthy, other.join("; ")))
}

fn show(stood: &Stood, recorded: &[Transition], (rule, at): (&str, Time)) {
    for span in &stood.unproven {
        println!("cannot be recomputed before {}: {}", span.to, span.why);
    }
    match &stood.rule {
        Some(rule) => print!("{}", text::standing(rule, &stood.alerts, at)),
        None if stood.unproven.is_empty() => println!("rule {rule} was not in force at {at}"),
        None => {}
    }
    for moved in recorded {
        let incident =
            moved.incident.as_ref().map_or_else(String::new, |id| format!(", incident {id}"));
        println!("recorded last: {}{incident}", text::moved(moved));
    }
    if recorded.is_empty() {
        println!("recorded: no move of it before then");
    }
}

/// Where the log says an alert stood elsewhere than was recorded of it.
fn differences(stood: &Stood, recorded: &[Transition]) -> Vec<String> {
    // What fell due since the last step was not said yet, and is not recomputed either.
    let judged = stood.judged.unwrap_or_default();
    let said = recorded.iter().filter(|moved| moved.time <= judged);
    let other = said.filter_map(|moved| {
        let alert = stood.alerts.iter().find(|alert| alert.group == moved.group)?;
        let same =
            (alert.axis, alert.data, alert.flapping) == (moved.to, moved.data, moved.flapping);
        (!same)
            .then(|| format!("recorded is {}, the log says {:?}", text::moved(moved), alert.axis))
    });
    other.collect()
}

fn failed(error: WhyError) -> Failure {
    match error {
        WhyError::Bus(error) => error.into(),
        other => Failure::new(Kind::Usage, other.to_string()),
    }
}
