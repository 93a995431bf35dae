//! `ops burst`: plays the county service of the Friday story.
//!
//! An open loop of call starts, ten a second whatever the calls take: about 110 ms each, until the
//! Friday-only docket rule goes live (the flag file says `on`) and they take 1 500 ms. The rollback script
//! flips the flag back, so the recovery the board shows is real. `clients/python/send_burst.py` plays the
//! same story through the Python client.

use crate::exit::Failure;
use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio::time::{interval, sleep};

/// The metric of the story.
const METRIC: &str = "county_api_ms";
/// Ten call starts a second.
const CALL_EVERY: Duration = Duration::from_millis(100);
/// Measured calls are sent on this often.
const SEND_EVERY: Duration = Duration::from_millis(500);
/// Slow for this long without a rollback: something is wrong, say what.
const SLOW_MAX: Duration = Duration::from_secs(90);
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
    /// Seconds of healthy calls after the rollback.
    #[arg(long, default_value_t = 25)]
    pub recovered: u64,
}

/// Plays the story once.
pub async fn run(options: BurstOptions) -> Result<(), Failure> {
    let (measured, calls) = mpsc::channel(1024);
    let sender = tokio::spawn(send(options.url.clone(), calls));
    let flag = Flag(options.data.join("docket_rule"));
    flag.set("off").map_err(|error| Failure::data(&options.data, &error))?;

    let progress = spinner();
    let mut loops =
        Loop { flag: &flag, measured, starts: interval(CALL_EVERY), count: 0, progress };
    loops.play("healthy", Duration::from_secs(options.healthy), |_| true).await;
    flag.set("on").map_err(|error| Failure::data(&options.data, &error))?;
    loops.say("the Friday-only docket rule is live: calls take 1 500 ms");
    let began = Instant::now();
    loops.play("slow", SLOW_MAX, |flag| flag.is_on()).await;
    let rolled_back = !flag.is_on();
    if rolled_back {
        loops.say(&format!("rolled back after {} s of slow calls", began.elapsed().as_secs()));
        loops.play("recovered", Duration::from_secs(options.recovered), |_| true).await;
    } else {
        flag.set("off").map_err(|error| Failure::data(&options.data, &error))?;
    }
    loops.progress.finish_and_clear();
    drop(loops);
    let sent = tokio::time::timeout(DRAIN_MAX, sender).await;
    let sent = sent.context("the collector took too long")?.context("the sender stopped")??;
    if rolled_back {
        eprintln!("{sent} calls reported to {}", options.url);
        return Ok(());
    }
    let why = why_no_rollback(&options.url).await;
    Err(Failure::story(format!("no rollback within {} s: {why}", SLOW_MAX.as_secs())))
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

    fn say(&self, text: &str) {
        self.progress.suspend(|| eprintln!("{text}"));
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

fn spinner() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::default_spinner());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// Sends calls on in numbered batches, so that a repeated one counts once; returns how many were taken.
async fn send(url: String, mut calls: mpsc::Receiver<Call>) -> anyhow::Result<u64> {
    let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
    let client = format!("burst-{}", std::process::id());
    let (mut number, mut sent, mut open) = (0_u64, 0_u64, true);
    while open {
        sleep(SEND_EVERY).await;
        let mut batch = Vec::new();
        loop {
            match calls.try_recv() {
                Ok(call) => batch.push(sample(&call)),
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    open = false;
                    break;
                }
            }
        }
        if batch.is_empty() {
            continue;
        }
        number += 1;
        sent += batch.len() as u64;
        post(&http, &url, (&client, number), &json!(batch)).await?;
    }
    Ok(sent)
}

fn sample(call: &Call) -> serde_json::Value {
    let ended = call.ended.duration_since(UNIX_EPOCH).unwrap_or_default();
    let took = call.took.as_secs_f64() * 1000.0;
    json!({ "name": METRIC, "ts": ended.as_millis() as u64, "val": (took * 10.0).round() / 10.0 })
}

/// Posts one batch, again and again while the collector says "later".
async fn post(
    http: &reqwest::Client,
    url: &str,
    (client, number): (&str, u64),
    batch: &serde_json::Value,
) -> anyhow::Result<()> {
    const TRIES: u32 = 20;
    for _ in 0..TRIES {
        let request = http.post(format!("{url}/metric")).json(batch);
        let request = request.header("Ops-Client", client).header("Ops-Batch", number.to_string());
        match request.send().await {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) if matches!(answer.status().as_u16(), 429 | 503) => {}
            Ok(answer) => {
                let status = answer.status();
                anyhow::bail!("the collector refused: {status} {}", answer.text().await?)
            }
            Err(error) if error.is_connect() => {
                anyhow::bail!("nothing listens on {url}: start `ops lab` first")
            }
            Err(_) => {}
        }
        sleep(SEND_EVERY).await;
    }
    anyhow::bail!("the collector at {url} did not take a batch in {TRIES} tries")
}

/// The last thing the desk said about a rollback, for a story that had none.
async fn why_no_rollback(url: &str) -> String {
    let answer = async {
        let events: serde_json::Value =
            reqwest::get(format!("{url}/api/events?metric={METRIC}")).await?.json().await?;
        Ok::<_, reqwest::Error>(events)
    };
    let Ok(events) = answer.await else { return format!("{url} does not answer") };
    let events = events["events"].as_array().cloned().unwrap_or_default();
    let last = events.iter().find(|event| event["kind"] == "rollback");
    match last {
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
