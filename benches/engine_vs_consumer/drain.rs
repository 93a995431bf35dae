//! The two sides of the comparison, each in a process of its own so that its CPU time is its own: the engine, and a
//! bare client that reads the same messages.

use crate::forms::Form;
use crate::support::consumer::consume;
use crate::support::process::own_cpu;
use bus::SharedBus;
use bus::jetstream::{JetStream, Options};
use engine::{Engine, EngineOptions, LogHealth};
use serde::{Deserialize, Serialize};
use stages::log::LogId;
use stages::subject::Subjects;
use std::hint::black_box;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Name of the engine's process on the bus: one that comes again under it takes its logs at once.
const PROCESS: &str = "bench";
/// How often the engine is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(2);
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// What draining the stream took.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Drained {
    pub wall_seconds: f64,
    pub cpu_seconds: f64,
    pub samples: u64,
}

/// Which side.
#[derive(Clone, Copy, Debug)]
pub enum Side {
    Engine,
    Consumer,
}

/// Runs one side in a child process over the sequences `from..=until` of the log.
pub fn drain(side: Side, url: &str, form: Form, (from, until): (u64, u64)) -> Drained {
    let side = match side {
        Side::Engine => "engine",
        Side::Consumer => "consumer",
    };
    let arguments = ["--drain", side, url, form.name(), &from.to_string(), &until.to_string()];
    let program = std::env::current_exe().expect("this program has a path");
    let output = Command::new(program).args(arguments).output().expect("this program runs again");
    let text = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("draining failed: {text} {complaint}"))
}

/// What a child does: true if this process is one.
pub fn is_child() -> bool {
    let arguments: Vec<String> = std::env::args().collect();
    let Some(at) = arguments.iter().position(|argument| argument == "--drain") else {
        return false;
    };
    let [side, url, form, from, until] = &arguments[at + 1..] else { panic!("five words") };
    let form = Form::named(form);
    let range = (from.parse().expect("a number"), until.parse().expect("a number"));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let drained = runtime.block_on(async {
        match side.as_str() {
            "engine" => engine(url, range.1).await,
            _ => consumer(url, form, range).await,
        }
    });
    println!("{}", serde_json::to_string(&drained).expect("numbers serialise"));
    true
}

/// An engine on the bus at `url`, owning everything.
pub async fn start_engine(url: &str) -> (Engine, SharedBus) {
    let bus = JetStream::connect(Options::new(url)).await.expect("the server answers");
    let bus: SharedBus = Arc::new(bus);
    let options = EngineOptions::new(bus.clone(), Subjects::default(), 1, PROCESS);
    (Engine::start(options).expect("the engine starts"), bus)
}

fn log_of(engine: &Engine) -> LogHealth {
    let logs = engine.health().logs;
    logs.into_iter().find(|log| log.log == LogId::Shard(0)).expect("the engine knows its shard")
}

async fn engine(url: &str, until: u64) -> Drained {
    let (engine, _bus) = start_engine(url).await;
    let wait = async |wanted: &dyn Fn(&LogHealth) -> bool| {
        let waiting = async {
            while !wanted(&log_of(&engine)) {
                tokio::time::sleep(ASK_EVERY).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("the engine gets there");
    };
    wait(&|log| log.owned && !log.replaying).await;
    let (cpu, began) = (own_cpu(), Instant::now());
    let before = log_of(&engine).counters.samples;
    wait(&|log| log.position >= until).await;
    let (wall, cpu) = (began.elapsed(), own_cpu() - cpu);
    let samples = log_of(&engine).counters.samples - before;
    engine.shutdown(PATIENCE).await;
    Drained { wall_seconds: wall.as_secs_f64(), cpu_seconds: cpu.as_secs_f64(), samples }
}

async fn consumer(url: &str, form: Form, (from, until): (u64, u64)) -> Drained {
    let (cpu, began) = (own_cpu(), Instant::now());
    let samples = consume(url, form.pull(), (from, until), |payload| form.read(payload)).await;
    let (wall, cpu) = (began.elapsed(), own_cpu() - cpu);
    Drained { wall_seconds: wall.as_secs_f64(), cpu_seconds: cpu.as_secs_f64(), samples }
}

/// One sample as serde reads it.
#[derive(Deserialize)]
pub struct JsonSample<'a> {
    #[serde(borrow)]
    name: &'a str,
    #[serde(borrow)]
    labels: std::collections::BTreeMap<&'a str, &'a str>,
    ts: Option<i64>,
    val: f64,
}

/// Decodes a JSON array and does nothing with it.
pub fn read_json(payload: &[u8]) -> u64 {
    let samples: Vec<JsonSample<'_>> = serde_json::from_slice(payload).expect("just written");
    for sample in &samples {
        black_box((sample.name, &sample.labels, sample.ts, sample.val));
    }
    samples.len() as u64
}
