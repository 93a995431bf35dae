//! What the black-box tests share: a running lab, and a browser.

#![allow(clippy::unwrap_used, dead_code, reason = "a test; each uses its part of this")]

pub mod browser;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

/// Longest wait for anything that should take seconds on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The built binary, run from the root of the project as a person would.
pub fn ops(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ops"));
    command.args(args).current_dir(root()).kill_on_drop(true);
    // A test says what it wants on the command line; the environment of whoever runs it must not.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OPS_")) {
        if name != "OPS_NATS_SERVER" {
            command.env_remove(name);
        }
    }
    command
}

/// Root of the project.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A port nobody listens on at the moment.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A running `ops lab` with a data folder of its own.
pub struct Lab {
    child: Child,
    lines: tokio::io::Lines<BufReader<ChildStdout>>,
    /// Everything it printed so far.
    pub printed: Vec<String>,
    /// Its address.
    pub url: String,
    /// Its data folder.
    pub data: PathBuf,
}

impl Lab {
    /// Starts a lab and waits until it says that it is ready.
    pub async fn start(data: &Path) -> Self {
        let port = free_port();
        let listen = format!("127.0.0.1:{port}");
        let data_text = data.to_str().unwrap();
        let mut command = ops(&["lab", "--data", data_text, "--listen", &listen]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = format!("http://{listen}");
        let mut lab = Self { child, lines, printed: Vec::new(), url, data: data.to_owned() };
        lab.line(PATIENCE, |line| line.contains("ready")).await;
        lab
    }

    /// The next printed line that is `wanted`; fails with all that was printed when none comes in time.
    pub async fn line(&mut self, patience: Duration, wanted: impl Fn(&str) -> bool) -> String {
        let found = tokio::time::timeout(patience, async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                println!("lab | {line}");
                self.printed.push(line.clone());
                if wanted(&line) {
                    return Some(line);
                }
            }
            None
        });
        match found.await {
            Ok(Some(line)) => line,
            Ok(None) => panic!("the lab ended; it printed {:#?}", self.printed),
            Err(_) => panic!("no such line within {patience:?}; it printed {:#?}", self.printed),
        }
    }

    /// Asks it to stop as an operator would; its exit status.
    pub async fn stop(mut self) -> std::process::ExitStatus {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("stops in time").unwrap()
    }
}

/// The one TLS provider, wherever a test makes an HTTP client; a second call changes nothing.
pub fn with_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// `GET` as JSON.
pub async fn get_json(url: &str) -> serde_json::Value {
    with_tls();
    let answer = reqwest::get(url).await.unwrap();
    assert!(answer.status().is_success(), "{url}: {}", answer.status());
    answer.json().await.unwrap()
}
