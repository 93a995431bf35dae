//! A site in a temporary folder: rules, receivers, a plan, a data folder; and `ops` running on it.

#![allow(dead_code, reason = "shared with tests/chaos; each uses its part of this")]

use crate::hook::Hook;
use crate::support::{PATIENCE, free_port, ops, with_tls};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// How often something is asked that cannot be awaited.
pub const ASK_EVERY: Duration = Duration::from_millis(20);

/// Fires at the first slow sample, rolls back once, tells everybody.
pub const RULE: &str = "metric: web_ms\nthreshold: 1000\nwindow: 3s\naction: \"ROLLBACK:PARACHUTE\"\n\
    action_min_samples: 3\nnotify: [hook, pager]\n";

/// Writes down each start with incident and fence, waits while it is held, then cures the service.
const SCRIPT: &str = "#!/bin/sh\nPATH=/usr/bin:/bin\necho \"$OPS_INCIDENT $OPS_FENCE\" >> \"$OPS_DATA/starts\"\n\
    while [ -e \"$OPS_DATA/hold\" ]; do sleep 0.05; done\n: > \"$OPS_DATA/cured\"\n";

/// A site.
pub struct Site {
    folder: TempDir,
    port: u16,
    /// Who is told.
    pub hook: Hook,
}

impl Site {
    /// A site with one rule, `web`.
    pub async fn new(rule: &str) -> Self {
        let site = Self {
            folder: tempfile::tempdir().unwrap(),
            port: free_port(),
            hook: Hook::start().await,
        };
        for folder in ["alerts", "config", "plans/PARACHUTE", "data"] {
            fs::create_dir_all(site.path(folder)).unwrap();
        }
        let hook = site.hook.url();
        let receivers = format!(
            "fallback: hook\nreceivers:\n  hook:\n    channels: [{{kind: webhook, url: \"{hook}/hook\"}}]\n  \
             pager:\n    channels: [{{kind: pager_duty, key_file: pager-key, url: \"{hook}/pager\"}}]\n"
        );
        site.write("config/receivers.yml", &receivers);
        site.write("pager-key", "secret-routing-key\n");
        site.write("alerts/web.yml", rule);
        site.plan("1s");
        site.write("plans/PARACHUTE/pull.sh", SCRIPT);
        let script = site.path("plans/PARACHUTE/pull.sh");
        fs::set_permissions(script, fs::Permissions::from_mode(0o755)).unwrap();
        site
    }

    /// Sets how long the value must be good before a rollback counts as having helped.
    pub fn plan(&self, good_for: &str) {
        let plan = format!(
            "script: pull.sh\nverify: {{settle: 0s, for: {good_for}, within: 1m, min_samples: 3}}\n"
        );
        self.write("plans/PARACHUTE/plan.yml", &plan);
    }

    /// A file or folder of the site.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of the site.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// The lines of a file of the site; none where there is no file.
    pub fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until a file of the site is there.
    pub async fn made(&self, name: &str) {
        let there = async {
            while !self.path(name).exists() {
                tokio::time::sleep(ASK_EVERY).await;
            }
        };
        tokio::time::timeout(PATIENCE, there).await.unwrap_or_else(|_| panic!("no {name}"));
    }

    /// The process group of the script, once the agent's journal has it.
    pub async fn script(&self) -> i64 {
        let group = |line: String| {
            let line: serde_json::Value = serde_json::from_str(&line).ok()?;
            (line["step"] == "spawned").then(|| line["group"].as_i64())?
        };
        let looking = async {
            loop {
                let found = self.lines("data/agent.journal").into_iter().rev().find_map(group);
                match found {
                    Some(found) => return found,
                    None => tokio::time::sleep(ASK_EVERY).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.expect("the script is started")
    }

    /// Waits until `ops` has logged a line with this text.
    pub async fn logged(&self, text: &str) {
        let looking = async {
            while !self.lines("ops.log").iter().any(|line| line.contains(text)) {
                tokio::time::sleep(ASK_EVERY).await;
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("no {text:?}"));
    }

    /// `ops` with `args` and the folders of this site.
    pub fn command(&self, args: &[&str], data: &str) -> Command {
        let mut command = ops(args);
        for (option, folder) in
            [("--rules", "alerts"), ("--config", "config"), ("--plans", "plans"), ("--data", data)]
        {
            command.arg(option).arg(self.path(folder));
        }
        command
    }

    /// Runs `ops` with `args` and the folders of this site to its end.
    pub async fn run(&self, args: &[&str]) -> Output {
        self.run_in("data", args).await
    }

    /// The same, with a data folder of its own.
    pub async fn run_in(&self, data: &str, args: &[&str]) -> Output {
        tokio::time::timeout(PATIENCE, self.command(args, data).output()).await.unwrap().unwrap()
    }

    /// Starts `ops lab`, always at the same address.
    pub async fn lab(&self) -> Running {
        self.lab_with(&[]).await
    }

    /// The same, with further options.
    pub async fn lab_with(&self, options: &[&str]) -> Running {
        let listen = format!("127.0.0.1:{}", self.port);
        let args = [&["lab", "--listen", &listen], options].concat();
        self.start(self.command(&args, "data"), listen).await
    }

    /// Starts `ops agent` beside whoever runs the local bus; it says itself where its health is.
    pub async fn agent(&self) -> Running {
        let mut agent = self.start(self.command(&["agent"], "data"), String::new()).await;
        let ready = agent.line(|line| line.starts_with("ready: agent")).await;
        let (_, rest) = ready.split_once("http://").unwrap();
        agent.listen = rest.split('/').next().unwrap().to_owned();
        agent
    }

    /// Starts a command that serves at `listen`, and waits until it says that it is ready.
    pub async fn start(&self, command: Command, listen: String) -> Running {
        let mut running = self.launch(command, listen);
        running.line(says_ready).await;
        running
    }

    /// Starts a command that serves at `listen`.
    pub fn launch(&self, mut command: Command, listen: String) -> Running {
        let log = self.path("ops.log");
        let errors = OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(errors).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (printed, heard) = (Arc::new(Mutex::new(Vec::new())), watch::Sender::new(()));
        let running =
            Running { child, printed: printed.clone(), heard: heard.subscribe(), log, listen };
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                printed.lock().unwrap().push(line);
                heard.send_replace(());
            }
        });
        running
    }

    /// Processes that name this site's data folder: its nats-server and whoever guards it.
    pub fn servers(&self) -> Vec<u32> {
        let folder = self.path("data").canonicalize().unwrap().join("nats");
        processes_naming(folder.to_str().unwrap())
    }

    /// The nats-server alone.
    pub fn server(&self) -> u32 {
        let is_server = |pid: &u32| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            name.trim() == "nats-server"
        };
        let found: Vec<u32> = self.servers().into_iter().filter(is_server).collect();
        assert_eq!(found.len(), 1, "one nats-server");
        found[0]
    }
}

/// A test that fails shows what `ops` said meanwhile.
impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("ops said:\n{}", self.lines("ops.log").join("\n"));
        }
    }
}

fn processes_naming(text: &str) -> Vec<u32> {
    let pids = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let names = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(text)
    };
    pids.filter(names).collect()
}

/// Sends a signal to a process of ours.
pub async fn signal(pid: u32, name: &str) {
    let pid = pid.to_string();
    let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status().await.unwrap();
    assert!(sent.success(), "process {pid} is gone");
}

/// A running `ops`.
pub struct Running {
    child: Child,
    printed: Arc<Mutex<Vec<String>>>,
    heard: watch::Receiver<()>,
    log: PathBuf,
    listen: String,
}

impl Running {
    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Every line it printed so far.
    pub fn printed(&self) -> Vec<String> {
        self.printed.lock().unwrap().clone()
    }

    /// Waits until it says that it is ready; whether it does before it ends.
    pub async fn is_ready(&mut self) -> bool {
        loop {
            if self.printed.lock().unwrap().iter().any(|line| says_ready(line)) {
                return true;
            }
            if self.heard.changed().await.is_err() {
                return false;
            }
        }
    }

    /// Waits until it has printed a line that is `wanted`.
    pub async fn line(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        let found = async {
            loop {
                let line = self.printed.lock().unwrap().iter().find(|line| wanted(line)).cloned();
                if let Some(line) = line {
                    return Some(line);
                }
                self.heard.changed().await.ok()?;
            }
        };
        match tokio::time::timeout(PATIENCE, found).await {
            Ok(Some(line)) => line,
            _ => panic!(
                "no such line; printed {:#?}, logged {}",
                self.printed.lock().unwrap(),
                fs::read_to_string(&self.log).unwrap_or_default()
            ),
        }
    }

    /// What `/readyz` says; none while nobody answers.
    pub async fn readiness(&self) -> Option<serde_json::Value> {
        with_tls();
        let answer = reqwest::get(format!("{}/readyz", self.url())).await.ok()?;
        answer.json().await.ok()
    }

    /// Waits until `/readyz` says what is `wanted`.
    pub async fn until(&self, wanted: impl Fn(&serde_json::Value) -> bool) {
        let mut last = None;
        let asking = async {
            loop {
                last = self.readiness().await;
                if last.as_ref().is_some_and(&wanted) {
                    return;
                }
                tokio::time::sleep(ASK_EVERY).await;
            }
        };
        if tokio::time::timeout(PATIENCE, asking).await.is_err() {
            let log = File::open(&self.log).and_then(std::io::read_to_string).unwrap_or_default();
            panic!("never so; last {last:#?}, logged {log}");
        }
    }

    /// Kills it as a power cut would.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Asks it to stop as an operator would.
    pub async fn stop(self) -> ExitStatus {
        signal(self.pid(), "TERM").await;
        self.ended().await
    }

    /// Waits for its end.
    pub async fn ended(self) -> ExitStatus {
        tokio::time::timeout(PATIENCE, self.ended_some_time()).await.expect("stops in time")
    }

    /// Waits for its end however long that takes; killed if that is dropped.
    pub async fn ended_some_time(mut self) -> ExitStatus {
        self.child.wait().await.unwrap()
    }
}

fn says_ready(line: &str) -> bool {
    line.starts_with("ready") || line.contains("\"ready\":true")
}

/// Ready, and nothing stored that is not worked off.
pub fn caught_up(health: &serde_json::Value) -> bool {
    let logs = health["logs"].as_array().unwrap();
    health["ready"] == true && logs.iter().all(|log| log["lag_entries"] == 0)
}
