//! A service that reports each call: an open loop of samples, each posted until it is answered 202.

use crate::site::{ASK_EVERY, Site};
use crate::support::{PATIENCE, with_tls};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// Between two calls of one thread of the service.
const CALL_EVERY: Duration = Duration::from_millis(20);
/// Threads of the service.
const THREADS: u64 = 4;

/// The service's calls. They are slow from [`Load::turn_slow`] on, until the rollback script has cured it.
pub struct Load {
    told: Arc<Told>,
    threads: JoinSet<()>,
}

struct Told {
    url: String,
    metrics: Vec<String>,
    cured: PathBuf,
    slow: AtomicBool,
    ended: AtomicBool,
    stored: AtomicU64,
}

impl Load {
    /// Starts calling; samples of one metric go to `url`.
    pub fn start(site: &Site, url: String) -> Self {
        Self::of(site, url, &[r#""name":"web_ms""#])
    }

    /// The same, cured by the script of an agent with another data folder.
    pub fn cured_by(site: &Site, url: String, cured: &str) -> Self {
        Self::calling(site.path(cured), url, &[r#""name":"web_ms""#])
    }

    /// Starts calling; each call is a sample of each of `series` (name and labels in JSON).
    pub fn of(site: &Site, url: String, series: &[&str]) -> Self {
        Self::calling(site.path("data/cured"), url, series)
    }

    fn calling(cured: PathBuf, url: String, series: &[&str]) -> Self {
        with_tls();
        let told = Arc::new(Told {
            url,
            metrics: series.iter().map(|one| (*one).to_owned()).collect(),
            cured,
            slow: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            stored: AtomicU64::new(0),
        });
        let mut threads = JoinSet::new();
        for thread in 0..THREADS {
            threads.spawn(call(told.clone(), thread));
        }
        Self { told, threads }
    }

    /// From now on calls are slow.
    pub fn turn_slow(&self) {
        self.told.slow.store(true, Ordering::SeqCst);
    }

    /// Calls are fast again.
    pub fn turn_fast(&self) {
        self.told.slow.store(false, Ordering::SeqCst);
    }

    /// Waits until `count` more samples are stored.
    pub async fn more(&self, count: u64) {
        let wanted = self.told.stored.load(Ordering::SeqCst) + count;
        let waiting = async {
            while self.told.stored.load(Ordering::SeqCst) < wanted {
                tokio::time::sleep(ASK_EVERY).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("samples are taken");
    }

    /// Ends; how many samples of each series were answered 202. Every sample that was begun is among them.
    pub async fn end(mut self) -> u64 {
        self.told.ended.store(true, Ordering::SeqCst);
        let ending = async { while self.threads.join_next().await.is_some() {} };
        tokio::time::timeout(PATIENCE, ending).await.expect("the last samples are taken");
        self.told.stored.load(Ordering::SeqCst)
    }
}

/// Posts samples once; they must be taken.
pub async fn post(url: &str, body: &str) {
    with_tls();
    assert!(stored(&reqwest::Client::new(), url, body).await, "not taken: {body}");
}

async fn call(told: Arc<Told>, thread: u64) {
    let http = reqwest::Client::new();
    let mut pace = tokio::time::interval(CALL_EVERY);
    for number in 0.. {
        pace.tick().await;
        if told.ended.load(Ordering::SeqCst) {
            return;
        }
        let slow = told.slow.load(Ordering::SeqCst) && !told.cured.exists();
        let value = if slow { 1500 } else { 100 };
        // One id however often it is posted: an answer that was lost must not count the sample twice.
        let sample = |(index, metric): (usize, &String)| {
            format!("{{{metric},\"val\":{value},\"id\":\"{thread}-{number}-{index}\"}}")
        };
        let lines: Vec<String> = told.metrics.iter().enumerate().map(sample).collect();
        let body = lines.join("\n");
        while !stored(&http, &told.url, &body).await {
            tokio::time::sleep(ASK_EVERY).await;
        }
        told.stored.fetch_add(1, Ordering::SeqCst);
    }
}

async fn stored(http: &reqwest::Client, url: &str, body: &str) -> bool {
    let answer = http.post(format!("{url}/metric")).body(body.to_owned()).send().await;
    match answer {
        Ok(answer) => {
            let status = answer.status();
            assert_ne!(status, 400, "{body}");
            status == 202
        }
        Err(_) => false,
    }
}
