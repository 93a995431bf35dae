//! A folder of plans, a bus, and what agents say on it.
#![allow(dead_code, clippy::unwrap_used)]

use bus::{Outgoing, Reader, SharedBus, Stream};
use rollback::journal::{Line, Step};
use rollback::{Agent, AgentOptions, Limits};
use stages::log::LogId;
use stages::subject::Subjects;
use stages::time::{Span, Time};
use stages::wire::{
    Command, Freeze, LedgerRecord, LedgerState, RollbackOutcome, RollbackState, SCHEMA,
};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nothing here takes this long; it keeps a broken test from hanging.
const HANG: Duration = Duration::from_secs(60);

pub struct Lab {
    pub folder: tempfile::TempDir,
    pub bus: SharedBus,
    pub subjects: Subjects,
}

impl Lab {
    pub async fn on(bus: SharedBus) -> Self {
        bus.ensure(1).await.unwrap();
        Self::beside(bus)
    }

    /// A lab on a bus whose streams are there.
    pub fn beside(bus: SharedBus) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("plans")).unwrap();
        fs::create_dir_all(folder.path().join("data")).unwrap();
        Self { folder, bus, subjects: Subjects::default() }
    }

    /// A bus in memory with the wall clock.
    pub async fn in_memory() -> Self {
        let bus = bus::memory::MemoryBus::real_time(bus::layout::Layout::default());
        Self::on(std::sync::Arc::new(bus)).await
    }

    pub fn data(&self, name: &str) -> PathBuf {
        self.folder.path().join("data").join(name)
    }

    /// Writes a script of plan `PLAN`.
    pub fn script(&self, name: &str, text: &str, mode: u32) {
        let folder = self.folder.path().join("plans/PLAN");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), text).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    pub fn options(&self, name: &str) -> AgentOptions {
        AgentOptions {
            bus: self.bus.clone(),
            subjects: self.subjects.clone(),
            name: name.to_owned(),
            plans_dir: self.folder.path().join("plans"),
            data_dir: self.folder.path().join("data"),
            journal: self.folder.path().join(format!("{name}.journal")),
            limits: limits(),
        }
    }

    pub async fn agent(&self, name: &str) -> Agent {
        Agent::start(self.options(name)).await.unwrap()
    }

    /// An order for `run.sh` of `PLAN`, to be changed by the test.
    pub fn command(&self, incident: &str) -> Command {
        Command {
            schema: SCHEMA,
            plan: "PLAN".to_owned(),
            script: "run.sh".to_owned(),
            incident: incident.to_owned(),
            rule: "county_api".to_owned(),
            issued: now(),
            not_after: now().plus(Span::from_secs(120)),
            timeout: Span::from_secs(30),
            from_revision: Some("r42".to_owned()),
            idempotent: false,
            position: 1,
        }
    }

    pub async fn order(&self, command: &Command) {
        let subject = self.subjects.rollback(&command.plan, "command");
        self.publish(subject, serde_json::to_vec(command).unwrap()).await;
    }

    pub async fn publish(&self, subject: String, payload: Vec<u8>) {
        let message = Outgoing { subject, payload: payload.into(), ..Outgoing::default() };
        self.bus.publish(message).await.unwrap();
    }

    pub async fn freeze(&self, frozen: bool) {
        let (author, comment) = ("anna".to_owned(), Some("audit".to_owned()));
        let entry = Freeze { schema: SCHEMA, frozen, author, comment };
        let subject = self.subjects.entry(LogId::Desk, "freeze.anna");
        self.publish(subject, serde_json::to_vec(&entry).unwrap()).await;
    }

    /// The next outcome of `incident` that `wanted` accepts.
    pub async fn outcome(
        &self,
        incident: &str,
        wanted: impl Fn(RollbackState) -> bool,
    ) -> RollbackOutcome {
        let filter = self.subjects.of("status.rollback.>");
        let mut reader = self.bus.read(Stream::Outcomes, Some(&filter), 1).await.unwrap();
        let found = async {
            loop {
                for outcome in next(reader.as_mut()).await {
                    if outcome.incident == incident && wanted(outcome.state) {
                        return outcome;
                    }
                }
            }
        };
        tokio::time::timeout(HANG, found).await.expect("an outcome comes")
    }

    /// How `incident` ended.
    pub async fn end(&self, incident: &str) -> RollbackOutcome {
        self.outcome(incident, |state| state != RollbackState::Running).await
    }

    pub async fn running(&self, incident: &str) -> RollbackOutcome {
        self.outcome(incident, |state| state == RollbackState::Running).await
    }

    pub async fn ledger(&self, plan: &str, incident: &str) -> Option<LedgerRecord> {
        let subject = self.subjects.ledger(plan, incident);
        let message = self.bus.last(Stream::Outcomes, &subject).await.unwrap()?;
        Some(serde_json::from_slice(&message.payload).unwrap())
    }

    /// The process of the script that agent `name` started, once its journal has it.
    pub async fn spawned(&self, name: &str) -> i32 {
        let journal = self.options(name).journal;
        let look = async {
            loop {
                let text = fs::read_to_string(&journal).unwrap_or_default();
                let lines = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
                let mut spawned = lines.filter_map(|line| match line.step {
                    Step::Spawned(process) => Some(process.group),
                    _ => None,
                });
                if let Some(group) = spawned.next_back() {
                    return group;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(HANG, look).await.expect("the script is started")
    }

    /// Where the run under `fence` of agent `name` leaves its traces.
    pub fn run_folder(&self, name: &str, fence: u64) -> PathBuf {
        self.folder.path().join(format!("{name}.journal.runs/PLAN-{fence}"))
    }

    /// Puts a record on the ledger as somebody else, and returns its sequence.
    pub async fn hold(&self, incident: &str, holder: &str, state: LedgerState) {
        let (plan, incident) = ("PLAN".to_owned(), incident.to_owned());
        let subject = self.subjects.ledger(&plan, &incident);
        let record =
            LedgerRecord { schema: SCHEMA, plan, incident, holder: holder.to_owned(), state };
        self.publish(subject, serde_json::to_vec(&record).unwrap()).await;
    }

    /// Every stored record of the kind `subject` matches, so far.
    pub async fn count(&self, stream: Stream, part: &str) -> usize {
        let last = self.bus.state(stream).await.unwrap().last;
        let mut reader = self.bus.read(stream, None, 1).await.unwrap();
        let (mut seen, mut messages) = (0, Vec::new());
        while seen < last {
            let mut more = Vec::new();
            reader.next(&mut more).await.unwrap();
            seen = more.last().unwrap().sequence;
            messages.extend(more);
        }
        messages.iter().filter(|one| String::from_utf8_lossy(&one.subject).contains(part)).count()
    }
}

pub fn limits() -> Limits {
    Limits {
        ack_wait: Duration::from_secs(2),
        yield_for: Duration::ZERO,
        stop_grace: Duration::from_millis(300),
        ..Limits::default()
    }
}

pub fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Time(i64::try_from(since.as_nanos()).unwrap())
}

async fn next(reader: &mut dyn Reader) -> Vec<RollbackOutcome> {
    let mut messages = Vec::new();
    reader.next(&mut messages).await.unwrap();
    messages.iter().map(|one| serde_json::from_slice(&one.payload).unwrap()).collect()
}

/// Waits until `path` is there: a script has come to where it makes it.
pub async fn made(path: &std::path::Path) {
    let look = async {
        while !path.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(HANG, look).await.expect("the script makes its file");
}

/// Kills a process group as the end of its machine would.
pub fn kill_group(group: i32) {
    use nix::sys::signal::{Signal, killpg};
    killpg(nix::unistd::Pid::from_raw(group), Signal::SIGKILL).unwrap();
}
