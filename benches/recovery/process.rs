//! An engine in a process of its own, which can be killed; it answers how it is, a line for a line.

use bus::SharedBus;
use bus::jetstream::{JetStream, Options};
use engine::{Engine, EngineOptions};
use serde::{Deserialize, Serialize};
use stages::log::LogId;
use stages::subject::Subjects;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_millis(2);
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(300);

/// How an engine is.
#[derive(Debug, Serialize, Deserialize)]
pub struct Status {
    /// Its shards, with their positions.
    pub owned: Vec<(u32, u64)>,
    /// A log is worked through of which everything was said before.
    pub replaying: bool,
    /// Samples worked off.
    pub samples: u64,
    /// Snapshots stored.
    pub snapshots: u64,
    /// How often a snapshot was waited for, and how long in all, in seconds.
    pub pauses: (u64, f64),
}

/// What an engine is started with.
#[derive(Clone, Copy)]
pub struct Start<'a> {
    /// Its bus.
    pub url: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Shards of the bus.
    pub shards: u32,
    /// How often it saves its logs.
    pub snapshot_every: Duration,
}

/// A running engine; killed with this value.
pub struct Process {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// When it was started.
    pub began: Instant,
}

impl Process {
    /// Starts one.
    pub fn start(start: Start<'_>) -> Self {
        let program = std::env::current_exe().expect("this program has a path");
        let (shards, every) =
            (start.shards.to_string(), start.snapshot_every.as_secs().to_string());
        let began = Instant::now();
        let mut child = Command::new(program)
            .args(["--engine", start.url, start.name, &shards, &every])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program runs again");
        let ask = child.stdin.take().expect("it is asked");
        let answers = BufReader::new(child.stdout.take().expect("it answers"));
        Self { child, ask, answers, began }
    }

    /// How it is.
    pub fn status(&mut self) -> Status {
        writeln!(self.ask).expect("it runs");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("it answers");
        serde_json::from_str(&line).expect("a status")
    }

    /// Waits until it is as wanted.
    pub fn until(&mut self, wanted: impl Fn(&Status) -> bool) -> Status {
        let began = Instant::now();
        loop {
            let status = self.status();
            if wanted(&status) {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "never so; last {status:?}");
            std::thread::sleep(ASK_EVERY);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a child does: true if this process is one.
pub fn is_child() -> bool {
    let arguments: Vec<String> = std::env::args().collect();
    let Some(at) = arguments.iter().position(|argument| argument == "--engine") else {
        return false;
    };
    let [url, name, shards, every] = &arguments[at + 1..] else { panic!("four words") };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let bus = runtime.block_on(JetStream::connect(Options::new(url))).expect("the server answers");
    let bus: SharedBus = Arc::new(bus);
    let shards = shards.parse().expect("a number");
    let mut options = EngineOptions::new(bus, Subjects::default(), shards, name);
    options.snapshot_every = Duration::from_secs(every.parse().expect("a number"));
    let inside = runtime.enter();
    let engine = Engine::start(options).expect("the engine starts");
    drop(inside);
    for _ in std::io::stdin().lines() {
        println!("{}", serde_json::to_string(&status(&engine)).expect("numbers serialise"));
    }
    true
}

fn status(engine: &Engine) -> Status {
    let logs = engine.health().logs;
    let shards = || logs.iter().filter(|log| matches!(log.log, LogId::Shard(_)) && log.owned);
    let number = |log| if let LogId::Shard(number) = log { number } else { 0 };
    Status {
        owned: shards().map(|log| (number(log.log), log.position)).collect(),
        replaying: shards().any(|log| log.replaying),
        samples: shards().map(|log| log.counters.samples).sum(),
        snapshots: shards().map(|log| log.snapshots).sum(),
        pauses: (
            shards().map(|log| log.pauses.count).sum(),
            shards().map(|log| log.pauses.seconds).sum(),
        ),
    }
}
