//! `ops doctor`: checks this machine one thing after the other and says what to do about each.

use crate::cli::{Format, UpOptions};
use crate::connect::Connection;
use crate::exit::{Failure, Kind};
use crate::{connect, load, up};
use bus::accounts::Role;
use engine::why_stopped;
use serde::Serialize;
use settings::OpsConfig;
use std::net::SocketAddr;

/// How one check went.
#[derive(Serialize)]
struct Finding {
    check: &'static str,
    good: bool,
    detail: String,
}

/// Runs all checks; the exit code tells whether all were good.
pub async fn run(options: UpOptions, format: Format) -> Result<(), Failure> {
    let findings = check(&options).await;
    let bad = findings.iter().filter(|finding| !finding.good).count();
    if format == Format::Json {
        println!("{}", serde_json::json!({ "good": bad == 0, "findings": findings }));
    } else {
        for finding in &findings {
            let mark = if finding.good { "good" } else { "BAD " };
            println!("{mark}  {:<12} {}", finding.check, finding.detail);
        }
    }
    if bad == 0 {
        Ok(())
    } else {
        Err(Failure::new(Kind::Unhealthy, format!("{bad} checks are bad")))
    }
}

async fn check(options: &UpOptions) -> Vec<Finding> {
    let mut findings = vec![finding("nats-server", find_server().await)];
    let loaded = match load::load(options) {
        Ok(loaded) => loaded,
        Err(failure) => {
            findings.push(finding("settings", Err(failure.to_string())));
            return findings;
        }
    };
    let rules = loaded.settings.rules.len();
    let warnings = loaded.warnings.iter().map(|problem| format!("\n      {problem}"));
    let warnings: String = warnings.collect();
    findings.push(finding("settings", Ok(format!("{rules} rules{warnings}"))));
    findings.push(finding("scripts", scripts(options, &loaded.settings)));
    let folder = up::make_data_folder(&loaded.ops.data).map_err(|failure| failure.to_string());
    findings.push(finding("data folder", folder.map(|()| loaded.ops.data.display().to_string())));
    for address in &loaded.ops.listen {
        findings.push(finding("listen", listen(*address).await));
    }
    findings.push(finding("bus", bus(&loaded.ops).await));
    // A bus that is not there was found above.
    if let Ok(connection) = connect::existing(&loaded.ops).await {
        findings.push(finding("logs", logs(&loaded.ops, &connection).await));
    }
    findings
}

fn finding(check: &'static str, result: Result<String, String>) -> Finding {
    let good = result.is_ok();
    let detail = result.unwrap_or_else(|fault| fault);
    Finding { check, good, detail }
}

async fn find_server() -> Result<String, String> {
    let path = bus::server::find().await.map_err(|error| error.to_string())?;
    Ok(path.display().to_string())
}

/// Every plan's script is there and may be run.
fn scripts(options: &UpOptions, settings: &stages::settings::Settings) -> Result<String, String> {
    use std::os::unix::fs::PermissionsExt;
    for plan in &settings.plans {
        let script = options.folders.plans.join(&plan.name).join(&plan.script);
        let shown = script.display();
        let data = std::fs::metadata(&script).map_err(|error| format!("{shown}: {error}"))?;
        if data.permissions().mode() & 0o111 == 0 {
            return Err(format!("{shown} is not executable; chmod +x it"));
        }
    }
    Ok(format!("{} plans", settings.plans.len()))
}

async fn listen(address: SocketAddr) -> Result<String, String> {
    match tokio::net::TcpListener::bind(address).await {
        Ok(_) => Ok(address.to_string()),
        Err(error) => Err(format!("{address}: {error}; is HMS-OPS running already?")),
    }
}

/// No log stands still.
async fn logs(ops: &OpsConfig, connection: &Connection) -> Result<String, String> {
    if !connection.may_be(Role::Owner) {
        return Ok("not looked at: no owner's key here".to_owned());
    }
    let shards = ops.bus.shards;
    let looked = async {
        let bus = connection.in_role(Role::Owner).await?;
        let logs = engine::all_logs(shards);
        engine::stops(&bus, &connection.subjects, logs).await.map_err(connect::engine_failed)
    };
    let stops = looked.await.map_err(|failure: Failure| failure.to_string())?;
    if stops.is_empty() {
        return Ok(format!("{} logs, none stands still", shards + 1));
    }
    Err(stops
        .iter()
        .map(|(log, stop)| why_stopped(*log, stop))
        .collect::<Vec<_>>()
        .join("\n      "))
}

async fn bus(ops: &OpsConfig) -> Result<String, String> {
    if ops.bus.url.is_none() {
        return Ok("a local server will be started and supervised".to_owned());
    }
    let connected = async {
        let connection = connect::existing(ops).await?;
        for role in &ops.roles {
            connection.in_role(connect::on_the_bus(*role)).await?;
        }
        Ok::<_, Failure>("connected".to_owned())
    };
    connected.await.map_err(|failure| failure.to_string())
}
