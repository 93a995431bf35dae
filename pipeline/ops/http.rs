//! Asking a running HMS-OPS over HTTP, and the address of a chart.

use crate::cli::Format;
use crate::exit::{Failure, Kind};
use serde_json::Value;
use stages::number;
use std::time::Duration;

/// `GET` of a running HMS-OPS, as JSON; none where its process does not serve that.
pub async fn get(url: &str, path: &str) -> Result<Option<Value>, Failure> {
    let url = url.trim_end_matches('/');
    let silent = |error: reqwest::Error| {
        let why =
            if error.is_connect() { "nothing listens there; start `ops up`" } else { "no answer" };
        Failure::new(Kind::BusUnreachable, format!("{url}: {why}"))
    };
    let http =
        reqwest::Client::builder().timeout(Duration::from_secs(10)).build().map_err(silent)?;
    let answer = http.get(format!("{url}{path}")).send().await.map_err(silent)?;
    let status = answer.status();
    if status == reqwest::StatusCode::NOT_FOUND {
        return Ok(None);
    }
    let body: Result<Value, _> = answer.json().await;
    body.map(Some).map_err(|_| {
        Failure::new(Kind::Failed, format!("{url}{path}: {status}, not JSON; is it HMS-OPS?"))
    })
}

/// What the board serves beside the pages, from a process that has one.
pub async fn board(url: &str, path: &str) -> Result<Value, Failure> {
    let answer = get(url, path).await?;
    answer.ok_or_else(|| {
        let text = format!(
            "{url}: no board in that process, so it cannot say; ask one with the role board (--url)"
        );
        Failure::new(Kind::Failed, text)
    })
}

/// `ops dashboard`: checks what is asked for and prints the address.
pub fn dashboard(metric: &str, window: &str, url: &str, format: Format) -> Result<(), Failure> {
    let usage = |text: String| Failure::new(Kind::Usage, text);
    stages::series::check_name(metric)
        .map_err(|error| usage(format!("metric {metric:?}: {error}")))?;
    stages::time::Span::parse(window).map_err(usage)?;
    let address = format!("{}/d/board/{metric}?window={window}", url.trim_end_matches('/'));
    match format {
        Format::Json => println!("{}", serde_json::json!({ "url": address })),
        Format::Text => println!("{address}"),
    }
    Ok(())
}

/// `ops status`: logs and their lag, open alerts where the process has a board.
pub async fn status(url: &str, format: Format) -> Result<(), Failure> {
    let strange = || Failure::new(Kind::Failed, format!("{url}: no /readyz; is it HMS-OPS?"));
    let health = get(url, "/readyz").await?.ok_or_else(strange)?;
    let overview = get(url, "/api/overview").await?;
    let ready = health["ready"].as_bool().unwrap_or_default();
    if format == Format::Json {
        println!("{}", serde_json::json!({ "health": health, "overview": overview }));
    } else {
        print_status(&health, overview.as_ref(), ready);
    }
    if ready { Ok(()) } else { Err(Failure::new(Kind::Unhealthy, "not ready")) }
}

fn print_status(health: &Value, overview: Option<&Value>, ready: bool) {
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let known = match overview {
        Some(overview) => format!("settings {}", word(&overview["revision"])),
        None => "no board in this process: neither settings nor alerts are known".to_owned(),
    };
    println!("{}  {known}", if ready { "ready" } else { "NOT READY" });
    for why in health["why"].as_array().into_iter().flatten() {
        println!("  {}", word(why));
    }
    let logs = health["logs"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !logs.is_empty() {
        println!("LOG          POSITION      LAG    SAMPLES   SERIES  OWNED");
    }
    for log in logs {
        let number = |field: &str| log[field].as_u64().unwrap_or_default();
        let (position, lag) = (number("position"), number("lag_entries"));
        let (samples, series) = (number("samples"), number("series"));
        let owned = log["owned"].as_bool().unwrap_or_default();
        println!(
            "{:<8} {position:>12} {lag:>8} {samples:>10} {series:>8}  {owned}",
            word(&log["log"])
        );
    }
    let bytes = |field: &str| health["log_store"][field].as_u64().unwrap_or_default();
    if let Some(percent) = (bytes("bytes") * 100).checked_div(bytes("bytes_max")) {
        let mib = |field: &str| bytes(field) >> 20;
        println!("samples fill {} of {} MiB ({percent} %)", mib("bytes"), mib("bytes_max"));
    }
    let rules = overview.and_then(|overview| overview["rules"].as_array());
    for rule in rules.into_iter().flatten() {
        for alert in rule["alerts"].as_array().into_iter().flatten() {
            if matches!(alert["axis"].as_str(), Some("firing" | "recovering" | "pending")) {
                let level = alert["level"].as_f64().map_or_else(
                    || "-".to_owned(),
                    |level| number::with_unit(level, alert["unit"].as_str().unwrap_or_default()),
                );
                let shadow =
                    if rule["mode"] == "shadow" { " (shadow: nobody is told)" } else { "" };
                println!("{:<10} {} {level}{shadow}", word(&alert["axis"]), word(&rule["name"]));
            }
        }
    }
}
