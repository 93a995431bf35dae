//! Two `ops up --role engine` as processes of their own, and which of them owns the shard.

use crate::support::load::{METRICS, metric};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Both processes; they end with this value.
pub struct Engines {
    running: [Child; 2],
    listen: [String; 2],
    url: String,
    folder: tempfile::TempDir,
}

/// Name of a probe's metric and rule.
pub fn probe(number: usize) -> String {
    format!("probe_{number}")
}

impl Engines {
    /// Starts them on a bus, with a rule for each metric of the load and `probes` of their own.
    pub async fn start(url: String, probes: usize) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["alerts", "config", "plans"] {
            fs::create_dir_all(folder.path().join(name)).expect("a folder is made");
        }
        let load = (0..METRICS).map(|number| (metric(number), "1m"));
        let probes = (0..probes).map(|number| (probe(number), "10s"));
        for (name, window) in load.chain(probes) {
            let text = format!("metric: {name}\nthreshold: 1000\nwindow: {window}\n");
            let file = folder.path().join("alerts").join(name.replace('.', "_") + ".yml");
            fs::write(file, text).expect("a rule is written");
        }
        let listen = [(); 2].map(|()| {
            let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
            free.expect("a free port").to_string()
        });
        let running = [0, 1].map(|number| spawn(folder.path(), &url, number, &listen[number]));
        let engines = Self { running, listen, url, folder };
        engines.shared().await;
        engines
    }

    /// Waits until each owns one of the two logs and is ready; which owns the shard.
    pub async fn shared(&self) -> usize {
        let sharing = async {
            loop {
                let owns = [self.owns(0).await, self.owns(1).await];
                match owns {
                    [Some((true, false)), Some((false, true))] => return 0,
                    [Some((false, true)), Some((true, false))] => return 1,
                    _ => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, sharing).await.expect("the logs are shared out")
    }

    /// Whether a process owns shard and desk; none while it is not ready.
    async fn owns(&self, number: usize) -> Option<(bool, bool)> {
        let answer = reqwest::get(format!("http://{}/readyz", self.listen[number])).await.ok()?;
        let health: serde_json::Value = answer.json().await.ok()?;
        let owned = |log: usize| health["logs"][log]["owned"] == true;
        (health["ready"] == true).then(|| (owned(0), owned(1)))
    }

    /// Kills a process as a power cut would.
    pub fn kill(&mut self, number: usize) {
        self.running[number].kill().expect("it runs");
        self.running[number].wait().expect("it ends");
    }

    /// Starts it again.
    pub fn start_again(&mut self, number: usize) {
        let folder = self.folder.path();
        self.running[number] = spawn(folder, &self.url, number, &self.listen[number]);
    }
}

impl Drop for Engines {
    fn drop(&mut self) {
        for child in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn spawn(folder: &Path, url: &str, number: usize, listen: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ops"));
    command.args(["up", "--role", "engine", "--listen", listen, "--nats-url", url]);
    for (option, name) in [("--rules", "alerts"), ("--config", "config"), ("--plans", "plans")] {
        command.arg(option).arg(folder.join(name));
    }
    command.arg("--data").arg(folder.join(format!("data{number}")));
    command.env("RUST_LOG", "error").stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("ops runs");
    let lines = BufReader::new(child.stdout.take().expect("its output is piped")).lines();
    let mut lines = lines.map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with("ready")), "ops up did not become ready");
    // What it says later must not stop it for want of a reader.
    std::thread::spawn(move || lines.for_each(drop));
    child
}
