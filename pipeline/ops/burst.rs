//! `ops burst`: plays the county service of the Friday story.
//!
//! An open loop of call starts, ten a second whatever the calls take: about 110 ms each, until the
//! Friday-only docket rule goes live (the flag file says `on`) and they take 1 500 ms. The rollback script
//! flips the flag back, so the recovery the board shows is real. `clients/python/send_burst.py` plays the
//! same story through the Python client.

mod send;

use crate::cli::Format;
use crate::exit::Failure;
use crate::http;
use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::mpsc;
use tokio::time::{interval, sleep};

/// The metric of the story.
const METRIC: &str = "county_api_ms";
/// Ten call starts a second.
const CALL_EVERY: Duration = Duration::from_millis(100);
/// Longest wait for the collector to take the last samples.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// How the story is played.
#[derive(clap::Args, Debug)]
pub struct BurstOptions {
    /// Where the collector listens.
    #[arg(long, env = "OPS_URL", default_value = "http://127.0.0.1:9900")]
    pub url: String,
    /// Data folder of the lab: the flag file `docket_rule` lies there.
    #[arg(long, env = "OPS_DATA", default_value = "data")]
    pub data: PathBuf,
    /// Seconds of healthy calls before the rule goes live.
    #[arg(long, default_value_t = 20)]
    pub healthy: u64,
    /// Most seconds of slow calls: with no rollback by then something is wrong, and it says what.
    #[arg(long, default_value_t = 90)]
    pub slow: u64,
    /// Seconds of healthy calls after the rollback.
    #[arg(long, default_value_t = 25)]
    pub recovered: u64,
}

/// Plays the story once.
pub async fn run(options: BurstOptions, format: Format) -> Result<(), Failure> {
    let url = options.url.trim_end_matches('/').to_owned();
    send::reach(&url).await?;
    let flag = Flag(options.data.join("docket_rule"));
    let (measured, calls) = mpsc::channel(1024);
    let mut sender = tokio::spawn(send::send(url.clone(), calls));
    let rolled_back = tokio::select! {
        told = tell(&options, &flag, measured, format) => {
            told.map_err(|error| Failure::data(&options.data, &error))?
        }
        // Nobody hears the rest: the service is healed, and the reason said now.
        ended = &mut sender => {
            flag.set("off").map_err(|error| Failure::data(&options.data, &error))?;
            ended.context("the sender stopped")??;
            return Err(Failure::story("the sender ended before the story did".to_owned()));
        }
    };
    let sent = tokio::time::timeout(DRAIN_MAX, sender).await;
    let sent = sent.context("the collector took too long")?.context("the sender stopped")??;
    if rolled_back {
        let text = format!("{sent} calls reported to {url}");
        say(format, "ended", text, json!({ "calls": sent, "url": url }));
        return Ok(());
    }
    let why = why_no_rollback(&url, &flag).await;
    Err(Failure::story(format!("no rollback within {} s: {why}", options.slow)))
}

/// Healthy, slow, healthy again; whether the rollback came.
async fn tell(
    options: &BurstOptions,
    flag: &Flag,
    measured: mpsc::Sender<Call>,
    format: Format,
) -> std::io::Result<bool> {
    let progress = spinner(format);
    let mut loops = Loop { flag, measured, starts: interval(CALL_EVERY), count: 0, progress };
    flag.set("off")?;
    let text = format!("calls take 110 ms; a docket rule goes live in {} s", options.healthy);
    loops.say(format, "healthy", text, json!({ "seconds": options.healthy }));
    loops.play("healthy", Duration::from_secs(options.healthy), |_| true).await;
    flag.set("on")?;
    let text = "the Friday-only docket rule is live: calls take 1 500 ms".to_owned();
    loops.say(format, "slow", text, json!({ "seconds_max": options.slow }));
    let began = Instant::now();
    loops.play("slow", Duration::from_secs(options.slow), |flag| flag.is_on()).await;
    let rolled_back = !flag.is_on();
    if rolled_back {
        let slow = began.elapsed().as_secs();
        let text = format!("rolled back after {slow} s of slow calls");
        loops.say(format, "recovered", text, json!({ "slow_seconds": slow }));
        loops.play("recovered", Duration::from_secs(options.recovered), |_| true).await;
    } else {
        flag.set("off")?;
    }
    loops.progress.finish_and_clear();
    Ok(rolled_back)
}

/// The file whose word makes calls slow; the rollback script rewrites it.
struct Flag(PathBuf);

impl Flag {
    fn set(&self, word: &str) -> std::io::Result<()> {
        let folder = self.0.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let fresh = self.0.with_extension("new");
        std::fs::write(&fresh, format!("{word}\n"))?;
        std::fs::rename(fresh, &self.0)
    }

    fn is_on(&self) -> bool {
        std::fs::read_to_string(&self.0).is_ok_and(|word| word.trim() == "on")
    }
}

/// One measured call.
struct Call {
    ended: SystemTime,
    took: Duration,
}

/// The open loop.
struct Loop<'a> {
    flag: &'a Flag,
    measured: mpsc::Sender<Call>,
    starts: tokio::time::Interval,
    count: u64,
    progress: ProgressBar,
}

impl Loop<'_> {
    /// Starts calls until the time is over or `goes_on` says no.
    async fn play(&mut self, phase: &str, length: Duration, goes_on: impl Fn(&Flag) -> bool) {
        let began = Instant::now();
        while began.elapsed() < length && goes_on(self.flag) {
            self.starts.tick().await;
            self.count += 1;
            let left = length.saturating_sub(began.elapsed()).as_secs();
            self.progress.set_message(format!("{phase}: {} calls, {left} s left", self.count));
            let took = county_call(self.flag.is_on(), self.count);
            let measured = self.measured.clone();
            tokio::spawn(async move {
                let began = Instant::now();
                sleep(took).await;
                let call = Call { ended: SystemTime::now(), took: began.elapsed() };
                // The receiver outlives all calls; a call cut off by the end of the story is not one.
                let _ = measured.send(call).await;
            });
        }
    }

    fn say(&self, format: Format, phase: &str, text: String, numbers: Value) {
        self.progress.suspend(|| say(format, phase, text, numbers));
    }
}

/// Says where the story is: a line for people on stderr, beside the spinner, or a JSON line.
fn say(format: Format, phase: &str, text: String, mut numbers: Value) {
    match format {
        Format::Text => eprintln!("{text}"),
        Format::Json => {
            numbers["phase"] = phase.into();
            numbers["time"] = jiff::Timestamp::now().to_string().into();
            println!("{numbers}");
        }
    }
}

/// What the county's API takes: 110 ms, or 1 500 ms under the Friday rule, with a few per cent of spread
/// that depends on the call's number alone.
fn county_call(slow: bool, number: u64) -> Duration {
    let base = if slow { 1500.0 } else { 110.0 };
    let spread =
        ((number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / f64::from(1 << 24)) - 0.5;
    Duration::from_secs_f64(base * (1.0 + 0.1 * spread) / 1000.0)
}

fn spinner(format: Format) -> ProgressBar {
    if format == Format::Json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::default_spinner());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// The last thing the desk said about a rollback, for a story that had none.
async fn why_no_rollback(url: &str, flag: &Flag) -> String {
    let events = match http::board(url, &format!("/api/events?metric={METRIC}")).await {
        Ok(events) => events,
        Err(failure) => return failure.to_string(),
    };
    let events = events["events"].as_array().cloned().unwrap_or_default();
    let last = events.iter().find(|event| event["kind"] == "rollback");
    match last {
        Some(event) if matches!(event["state"].as_str(), Some("succeeded" | "not_recovered")) => {
            let flag = flag.0.display();
            format!(
                "the script ran, and left {flag} alone: is that the lab's data folder (--data)?"
            )
        }
        Some(event) => {
            let why =
                event["why"].as_str().or(event["detail"].as_str()).unwrap_or("no reason given");
            format!("the last word was {} ({why})", event["state"].as_str().unwrap_or("?"))
        }
        None if events.is_empty() => format!("no alert for {METRIC}; is its rule in force?"),
        None => "the alert fired, but nothing was proposed; does its rule name a plan?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_slow_only_under_the_rule() {
        for number in 0..1000 {
            let (healthy, slow) = (county_call(false, number), county_call(true, number));
            assert!((100..=120).contains(&healthy.as_millis()), "{healthy:?}");
            assert!((1400..=1600).contains(&slow.as_millis()), "{slow:?}");
        }
    }

    #[test]
    fn the_flag_is_what_the_script_says() {
        let folder = tempfile::tempdir().unwrap();
        let flag = Flag(folder.path().join("docket_rule"));
        assert!(!flag.is_on());
        flag.set("on").unwrap();
        assert!(flag.is_on());
        std::fs::write(folder.path().join("docket_rule"), "off\n").unwrap();
        assert!(!flag.is_on());
    }
}
