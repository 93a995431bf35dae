//! `ops rules`: check the folders offline, apply them, list what is in force.

mod diff;
mod explain;
mod import;
mod past;
mod unit_tests;

use crate::cli::{Folders, Format, ImportFrom, RulesCommand, UpOptions};
use crate::connect::{self, Connection};
use crate::exit::{Failure, Kind};
use crate::{http, load};
use engine::InForce;
use serde_json::{Value, json};
use settings::Problems;
use stages::settings::Settings;

/// Runs one of them.
pub async fn run(command: RulesCommand, format: Format) -> Result<(), Failure> {
    match command {
        RulesCommand::Check { strict, folders } => check(&folders, strict, format),
        RulesCommand::Explain { folder, rule, folders } => {
            let rules = folder.unwrap_or_else(|| folders.rules.clone());
            explain::run(&Folders { rules, ..folders }, rule.as_deref(), format)
        }
        RulesCommand::Test(options) => unit_tests::run(&options, format),
        RulesCommand::Apply { options, author, comment } => {
            apply(options, (author, comment), format).await
        }
        RulesCommand::Import { from: ImportFrom::Prometheus, file, to, group_by } => {
            import::run((&file, to.as_deref()), group_by.as_deref(), format)
        }
        RulesCommand::Schema { defaults } => {
            let schema =
                if defaults { settings::defaults_schema() } else { settings::rule_schema() };
            println!("{schema:#}");
            Ok(())
        }
        RulesCommand::Diff { options } => diff::run(&options, format).await,
        RulesCommand::History { limit, options } => past::history(&options, limit, format).await,
        RulesCommand::Rollback { revision, author, comment, options } => {
            past::rollback(&options, &revision, (author, comment), format).await
        }
        RulesCommand::List { url } => list(&url, format).await,
    }
}

fn check(folders: &Folders, strict: bool, format: Format) -> Result<(), Failure> {
    let loaded = settings::load(&load::layout(folders));
    let (problems, revision) = match &loaded {
        Ok(loaded) => (&loaded.warnings, Some(&loaded.settings.revision)),
        Err(problems) => (problems, None),
    };
    if format == Format::Json {
        println!("{}", json!({ "revision": revision, "problems": problems }));
    } else if !problems.is_empty() {
        eprint!("{}", lines(problems));
    }
    let warnings = problems.len();
    match loaded {
        Ok(_) if strict && warnings > 0 => Err(Failure::new(
            Kind::Settings,
            format!("{warnings} warnings, and --strict lets none pass"),
        )),
        Ok(loaded) => {
            if format == Format::Text {
                let (rules, plans) = (loaded.settings.rules.len(), loaded.settings.plans.len());
                println!(
                    "{rules} rules, {plans} plans: good (revision {})",
                    loaded.settings.revision
                );
            }
            Ok(())
        }
        Err(problems) => {
            let errors = problems.errors();
            Err(Failure::new(Kind::Settings, format!("{errors} errors; nothing was changed")))
        }
    }
}

fn lines(problems: &Problems) -> String {
    let text = problems.to_string();
    if text.ends_with('\n') { text } else { format!("{text}\n") }
}

async fn apply(
    options: UpOptions,
    (author, comment): (String, String),
    format: Format,
) -> Result<(), Failure> {
    let loaded = load::load(&options)?;
    let connection = connect::existing(&loaded.ops).await?;
    let revision = load::revision(&loaded, &author, &comment);
    put_in_force(&connection, &revision, loaded.ops.bus.shards, format).await
}

/// Makes a revision the one in force and says what came of it.
async fn put_in_force(
    connection: &Connection,
    revision: &Settings,
    shards: u32,
    format: Format,
) -> Result<(), Failure> {
    let outcome = connect::apply(connection, revision, shards).await?;
    let (name, changed) = (&revision.revision, outcome.changed);
    match (format, outcome.now) {
        (Format::Json, InForce::Asked) => {
            println!("{}", json!({ "revision": name, "changed": changed }));
        }
        (Format::Json, InForce::Later { revision, author }) => {
            let later = json!({ "revision": revision, "author": author });
            println!("{}", json!({ "revision": name, "changed": changed, "superseded_by": later }));
        }
        (Format::Text, InForce::Asked) if changed => println!("revision {name} is in force"),
        (Format::Text, InForce::Asked) => println!("revision {name} was in force already"),
        (Format::Text, InForce::Later { revision, author }) => println!(
            "revision {name} was superseded: revision {revision}, applied by {author} after it, is in force"
        ),
    }
    Ok(())
}

async fn list(url: &str, format: Format) -> Result<(), Failure> {
    let overview = http::board(url, "/api/overview").await?;
    let rules = overview["rules"].as_array().cloned().unwrap_or_default();
    if format == Format::Json {
        println!("{}", json!({ "revision": overview["revision"], "rules": rules }));
        return Ok(());
    }
    let [rule, state, metric] = ["RULE", "STATE", "METRIC"];
    println!("{rule:<28} {state:<11} {metric:<28}  THRESHOLD  ACTION");
    for rule in &rules {
        let text = |field: &str| rule[field].as_str().unwrap_or("-").to_owned();
        let state = rule["alerts"].as_array().and_then(|alerts| alerts.first());
        let state = state.and_then(|alert| alert["axis"].as_str()).unwrap_or("unknown");
        let threshold = rule["threshold"].as_f64().map_or_else(String::new, stages::number::plain);
        let (name, metric, action) = (text("name"), text("metric"), text("action_name"));
        let shadow = shadow(rule);
        println!("{name:<28} {state:<11} {metric:<28} {threshold:>10}  {action}{shadow}");
    }
    if rules == Vec::<Value>::new() {
        println!("no rules in force");
    }
    Ok(())
}

/// What a rule that is a shadow would have done, for the end of its line.
fn shadow(rule: &Value) -> String {
    if rule["mode"] != "shadow" {
        return String::new();
    }
    let word = |field: &str| rule["shadow"][field].as_str().map(str::to_owned);
    match (rule["shadow"]["fired"].as_u64().unwrap_or_default(), word("since"), word("last")) {
        (0, Some(since), _) => format!("  shadow: would not have fired since {}", day(&since)),
        (0, ..) => "  shadow: would not have fired yet".to_owned(),
        (fired, since, last) => format!(
            "  shadow: would have fired {fired} {} since {}, last at {}",
            if fired == 1 { "time" } else { "times" },
            since.as_deref().map_or("-", day),
            last.as_deref().map_or("-", day),
        ),
    }
}

/// A moment without its fraction of a second.
fn day(stamp: &str) -> &str {
    stamp.split('.').next().unwrap_or(stamp)
}
