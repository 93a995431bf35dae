//! A real Chromium, driven over the W3C WebDriver protocol.

use super::{PATIENCE, free_port};
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A browser window.
pub struct Browser {
    http: reqwest::Client,
    session: String,
    _driver: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts chromedriver and a headless Chromium with a profile of its own.
    pub async fn start() -> Self {
        let port = free_port();
        let mut driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("chromedriver is missing: run `make setup-test`");
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let started = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains("started successfully") {
                    break;
                }
            }
        };
        tokio::time::timeout(PATIENCE, started).await.expect("chromedriver starts");
        let profile = tempfile::tempdir().unwrap();
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            &format!("--user-data-dir={}", profile.path().display()),
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        }}});
        super::with_tls();
        let http = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        let base = format!("http://127.0.0.1:{port}/session");
        let answer = http.post(&base).json(&wanted).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        let id = answer["value"]["sessionId"].as_str().unwrap_or_else(|| panic!("{answer}"));
        let session = format!("{base}/{id}");
        Self { http, session, _driver: driver, _profile: profile }
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let url = format!("{}/{path}", self.session);
        let answer: Value =
            self.http.post(&url).json(&body).send().await.unwrap().json().await.unwrap();
        assert!(answer["value"]["error"].is_null(), "{path}: {answer}");
        answer["value"].clone()
    }

    /// Opens a page.
    pub async fn open(&self, url: &str) {
        self.post("url", json!({ "url": url })).await;
    }

    /// Sets what the page sees as its window.
    pub async fn size(&self, width: u32, height: u32) {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// Light or dark, as the person prefers.
    pub async fn prefer(&self, scheme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    async fn devtools(&self, command: &str, params: Value) {
        self.post("goog/cdp/execute", json!({ "cmd": command, "params": params })).await;
    }

    /// What a script returns.
    pub async fn run(&self, script: &str) -> Value {
        self.post("execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// Waits until a script returns true; fails with what `shown` returns otherwise.
    pub async fn wait(&self, script: &str, shown: &str) {
        let until = Instant::now() + PATIENCE;
        while self.run(script).await != Value::Bool(true) {
            if Instant::now() > until {
                panic!("never true: {script}; the page shows {}", self.run(shown).await);
            }
            // The page has no event for the outside world; asking ten times a second is the protocol's way.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// What the console said so far.
    pub async fn console(&self) -> Vec<Value> {
        self.post("se/log", json!({ "type": "browser" })).await.as_array().unwrap().clone()
    }

    /// Saves a picture under `target/pictures/`, for people.
    pub async fn picture(&self, name: &str) {
        let url = format!("{}/screenshot", self.session);
        let answer: Value = self.http.get(&url).send().await.unwrap().json().await.unwrap();
        let folder = super::root().join("target/pictures");
        std::fs::create_dir_all(&folder).unwrap();
        let picture = decode_base64(answer["value"].as_str().unwrap());
        std::fs::write(folder.join(format!("{name}.png")), picture).unwrap();
    }

    /// Ends the session.
    pub async fn close(self) {
        self.http.delete(&self.session).send().await.unwrap();
    }
}

/// Base64 with the standard alphabet, as WebDriver sends pictures.
fn decode_base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for value in text.bytes().filter_map(|byte| ALPHABET.iter().position(|one| *one == byte)) {
        bits = (bits << 6) | value as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}
