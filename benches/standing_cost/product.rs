//! `ops up` as a process of its own, with the nats-server it runs, and what both cost.

use crate::support::load::{METRICS, metric};
use crate::support::process::{cpu, resident_mib, server_of};
use bus::accounts::Role;
use bus::jetstream::JetStream;
use bus::layout::Layout;
use bus::{SharedBus, server};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// A running `ops up`; ends with this value.
pub struct Product {
    child: Child,
    server: u32,
    folder: tempfile::TempDir,
}

/// CPU seconds of both so far.
#[derive(Clone, Copy)]
pub struct Spent {
    pub ops: f64,
    pub server: f64,
}

impl Spent {
    /// What was spent since `before`, for each minute of `time`.
    pub fn a_minute_since(self, before: Self, time: Duration) -> Self {
        let minutes = time.as_secs_f64() / 60.0;
        let each = |now: f64, then: f64| (now - then) / minutes;
        Self { ops: each(self.ops, before.ops), server: each(self.server, before.server) }
    }
}

impl Product {
    /// Starts it with one rule for each metric of the load, as `roles` say (empty: all).
    pub fn start(stat: &str, window: &str, roles: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        write_rules(&folder.path().join("alerts"), stat, window);
        for name in ["config", "plans"] {
            fs::create_dir_all(folder.path().join(name)).expect("a folder is made");
        }
        let rules = folder.path().join("alerts");
        Self::run(folder, &rules, roles)
    }

    /// Starts it with the repository's own settings, all roles.
    pub fn start_as_delivered() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["config", "plans"] {
            fs::create_dir_all(folder.path().join(name)).expect("a folder is made");
        }
        let copied = Command::new("cp")
            .args(["-r", "alerts", "config", "deploy/plans"])
            .arg(folder.path())
            .current_dir(root)
            .status();
        assert!(copied.is_ok_and(|status| status.success()), "the settings are copied");
        let rules = folder.path().join("alerts");
        Self::run(folder, &rules, "")
    }

    fn run(folder: tempfile::TempDir, rules: &Path, roles: &str) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let listen = free.expect("a free port").to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ops"));
        command
            .args(["up", "--listen", &listen, "--data"])
            .arg(folder.path().join("data"))
            .arg("--rules")
            .arg(rules)
            .arg("--config")
            .arg(folder.path().join("config"))
            .arg("--plans")
            .arg(folder.path().join("plans"))
            .env_remove("OPS_NATS_URL")
            .stdout(Stdio::piped());
        if !roles.is_empty() {
            command.args(["--role", roles]);
        }
        let mut child = command.spawn().expect("ops runs");
        let lines = BufReader::new(child.stdout.take().expect("its output is piped")).lines();
        let mut lines = lines.map_while(Result::ok);
        let ready = lines.any(|line| line.starts_with("ready"));
        assert!(ready, "ops up did not become ready");
        // What it says later must not stop it for want of a reader.
        std::thread::spawn(move || lines.for_each(drop));
        let server = server_of(&folder.path().join("data")).expect("its nats-server runs");
        Self { child, server, folder }
    }

    /// Its bus in a role.
    pub async fn connect(&self, role: Role) -> SharedBus {
        let data = self.folder.path().join("data");
        let keys = server::attach(&data, Layout::default()).await.expect("its bus is found");
        Arc::new(JetStream::connect(keys.options(role)).await.expect("its bus answers"))
    }

    /// What it has cost so far.
    pub fn spent(&self) -> Spent {
        let (ops, server) = (cpu(self.child.id()), cpu(self.server));
        Spent { ops: ops.as_secs_f64(), server: server.as_secs_f64() }
    }

    /// Resident memory of `ops` and of the server, in MiB.
    pub fn resident_mib(&self) -> (f64, f64) {
        (resident_mib(self.child.id()), resident_mib(self.server))
    }
}

impl Drop for Product {
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.child.wait();
    }
}

fn write_rules(folder: &Path, stat: &str, window: &str) {
    fs::create_dir_all(folder).expect("a folder is made");
    for number in 0..METRICS {
        let metric = metric(number);
        let text =
            format!("metric: {metric}\nstat: {stat}\nthreshold: 1000\nwindow: \"{window}\"\n");
        let file = folder.join(format!("rule_{number:04}.yml"));
        fs::write(file, text).expect("a rule is written");
    }
}
