//! Takes commands from the bus and sees to it that each is acknowledged only after its outcome is stored.

use crate::execution::{Carried, Execution, Limits};
use crate::journal::{self, Journal};
use crate::run_folder::RunFolders;
use crate::scripts::Scripts;
use bus::{SharedBus, Stream, Work, WorkOptions, Worker};
use futures::FutureExt;
use stages::subject::{Subjects, escape};
use stages::wire::{Command, RollbackState, SCHEMA};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// Scripts at once; the fleet's budget is 10 an hour.
const IN_FLIGHT_MAX: usize = 16;
/// Wait before the bus is asked for work again after an error, and before failed work is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long a predecessor that is just ending may hold the journal.
const JOURNAL_TRIES: u32 = 40;
const JOURNAL_WAIT: Duration = Duration::from_millis(50);

/// What an agent needs.
pub struct AgentOptions {
    /// The bus.
    pub bus: SharedBus,
    /// Its subjects.
    pub subjects: Subjects,
    /// Name of this agent, unique among all agents: it holds claims under it. A host name does.
    pub name: String,
    /// Folder with one folder for each plan.
    pub plans_dir: PathBuf,
    /// Folder scripts may use, handed to them as `OPS_DATA`.
    pub data_dir: PathBuf,
    /// File of the agent's journal; must survive restarts.
    pub journal: PathBuf,
    /// Bounds.
    pub limits: Limits,
}

/// Why an agent does not start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Another process has the journal.
    #[error("{0}: another agent is using this journal; give each its own")]
    JournalInUse(PathBuf),
    /// The journal cannot be opened.
    #[error("{path}: the agent's journal cannot be opened: {source}")]
    Journal {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No folder of plans.
    #[error("{path}: the folder of plans cannot be read: {source}; create it or name another one")]
    Plans {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What an agent has done, for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Outcomes by state.
    pub outcomes: BTreeMap<RollbackState, u64>,
    /// Commands that were somebody else's.
    pub left: u64,
    /// Commands that do not read.
    pub unreadable: u64,
    /// Scripts and claims in flight now.
    pub in_flight: u64,
}

/// A running agent. Dropping it ends it at once, as a crash would; scripts then run on, and the next agent with
/// this journal tells how they end.
#[derive(Debug)]
pub struct Agent {
    task: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

/// What all executions share.
pub(crate) struct Shared {
    pub(crate) bus: SharedBus,
    pub(crate) subjects: Subjects,
    pub(crate) name: String,
    pub(crate) plans: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) limits: Limits,
    pub(crate) runs: RunFolders,
    /// Cancelled when no more commands are to be taken.
    pub(crate) stop: CancellationToken,
    pub(crate) scripts: Scripts,
    journal: Mutex<Journal>,
    busy: Mutex<BTreeSet<(String, String)>>,
    counters: Mutex<Counters>,
    /// Why no commands come from the bus, if so.
    idle: Mutex<Option<String>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn journal(&self) -> MutexGuard<'_, Journal> {
        lock(&self.journal)
    }
}

impl Agent {
    /// Starts an agent. It waits for the bus by itself; only its own files can keep it from starting.
    ///
    /// # Errors
    /// The journal or the folder of plans cannot be used.
    pub async fn start(options: AgentOptions) -> Result<Self, AgentError> {
        let AgentOptions { bus, subjects, name, plans_dir, data_dir, journal, limits } = options;
        if let Err(source) = std::fs::read_dir(&plans_dir) {
            return Err(AgentError::Plans { path: plans_dir, source });
        }
        let folder = std::path::absolute(&journal).unwrap_or_else(|_| journal.clone());
        let runs = RunFolders::below(journal::beside(&folder, "runs"));
        let journal = open_journal(journal).await?;
        runs.keep(journal.unfinished().map(|(plan, fence)| runs.of(plan, fence)));
        let shared = Arc::new(Shared {
            bus,
            subjects,
            name,
            plans: plans_dir,
            // A script works in its plan's folder, where a relative path would mean something else.
            data: std::path::absolute(&data_dir).unwrap_or(data_dir),
            limits,
            runs,
            stop: CancellationToken::new(),
            scripts: Scripts::default(),
            journal: Mutex::new(journal),
            busy: Mutex::default(),
            counters: Mutex::default(),
            idle: Mutex::new(Some("they were not asked for yet".to_owned())),
        });
        let task = tokio::spawn(take(shared.clone()));
        Ok(Self { task: Some(task), shared })
    }

    /// Takes no more commands, and returns when the scripts that run have ended, each within its own time, and
    /// that is told. Dropping this future is dropping the agent.
    pub async fn shutdown(mut self) {
        self.shared.stop.cancel();
        let Some(task) = &mut self.task else { return };
        tokio::select! {
            ended = &mut *task => {
                if let Err(error) = ended {
                    tracing::error!(%error, "the agent did not end well");
                }
                self.task = None;
            }
            () = self.shared.scripts.all_told() => {
                tracing::warn!("the bus does not take the last word of a rollback: the next start of this agent tells it");
            }
        }
    }

    /// What it has done so far.
    pub fn counters(&self) -> Counters {
        lock(&self.shared.counters).clone()
    }

    /// Why no rollback would run right now, if so.
    pub fn not_ready(&self) -> Option<String> {
        if self.task.as_ref().is_none_or(JoinHandle::is_finished) {
            return Some("the agent has ended".to_owned());
        }
        if !self.shared.bus.connected() {
            return Some("the agent's bus does not answer".to_owned());
        }
        let idle = lock(&self.shared.idle).clone();
        idle.map(|why| format!("the agent gets no commands: {why}"))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn open_journal(path: PathBuf) -> Result<Journal, AgentError> {
    let mut tries = 0;
    loop {
        match Journal::open(&path) {
            Ok(journal) => return Ok(journal),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tries += 1;
                if tries > JOURNAL_TRIES {
                    return Err(AgentError::JournalInUse(path));
                }
                tokio::time::sleep(JOURNAL_WAIT).await;
            }
            Err(source) => return Err(AgentError::Journal { path, source }),
        }
    }
}

/// Takes work until told to stop, then waits for what is in flight. Dropped, it drops all of it.
async fn take(shared: Arc<Shared>) {
    let stop = shared.stop.clone();
    let mut tasks = JoinSet::new();
    let mut worker: Option<Box<dyn Worker>> = None;
    while !stop.is_cancelled() {
        let step = async {
            if worker.is_none() {
                worker = Some(consumer(&shared).await?);
                *lock(&shared.idle) = None;
            }
            worker.as_mut().expect("made above").next().await
        };
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = tasks.join_next() => {}
            work = step => match work {
                Ok(work) => {
                    tasks.spawn(attend(shared.clone(), work));
                }
                Err(error) => {
                    tracing::warn!(%error, "no commands from the bus; asking again");
                    *lock(&shared.idle) = Some(error.to_string());
                    worker = None;
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
            },
        }
    }
    drop(worker);
    while tasks.join_next().await.is_some() {}
}

async fn consumer(shared: &Shared) -> Result<Box<dyn Worker>, bus::BusError> {
    let name = format!("agent-{}", escape(&shared.name));
    let filter = shared.subjects.of("rollback.*.command");
    let options = WorkOptions {
        ack_wait: shared.limits.ack_wait,
        in_flight_max: IN_FLIGHT_MAX,
        only_new: false,
    };
    shared.bus.work(Stream::Events, &filter, &name, options).await
}

/// Sees one command to its acknowledgement.
async fn attend(shared: Arc<Shared>, work: Work) {
    let command = match read(&shared, &work) {
        Ok(command) => command,
        Err(why) => {
            tracing::error!(subject = %String::from_utf8_lossy(&work.message.subject), why, "a command that cannot be carried out");
            lock(&shared.counters).unreadable += 1;
            return done(&work).await;
        }
    };
    let key = (command.plan.clone(), command.incident.clone());
    let Some(_busy) = Busy::enter(&shared, key) else {
        // The bus lost sight of us and repeats a command we are still at.
        return later(&work, shared.limits.still_at_it()).await;
    };
    let execution = Execution::new(shared.clone(), command);
    let carried = AssertUnwindSafe(execution.carry()).catch_unwind();
    let carried = tokio::select! {
        carried = carried => carried,
        () = still_at_it(&work, shared.limits.still_at_it()) => unreachable!("says so for ever"),
    };
    match carried {
        Ok(Ok(Carried::Told(state))) => {
            *lock(&shared.counters).outcomes.entry(state).or_default() += 1;
            done(&work).await;
        }
        Ok(Ok(Carried::NotOurs(holder))) => {
            tracing::debug!(holder, "a command somebody else has");
            lock(&shared.counters).left += 1;
            done(&work).await;
        }
        Ok(Ok(Carried::HandedBack)) => later(&work, Duration::ZERO).await,
        Ok(Err(error)) => {
            tracing::error!(%error, "a command could not be carried to its outcome; it comes again");
            later(&work, AGAIN_AFTER).await;
        }
        // Where it stood is on the ledger and in the journal: the next try goes on from there.
        Err(_) => {
            tracing::error!("a command ended in a panic; it comes again");
            later(&work, AGAIN_AFTER).await;
        }
    }
}

fn read(shared: &Shared, work: &Work) -> Result<Command, String> {
    let command: Command =
        serde_json::from_slice(&work.message.payload).map_err(|error| error.to_string())?;
    if command.schema > SCHEMA {
        return Err(format!("schema {} is newer than this agent's {SCHEMA}", command.schema));
    }
    let subject = shared.subjects.rollback(&command.plan, "command");
    if work.message.subject != subject.as_bytes() {
        return Err(format!("it names plan {:?} on another plan's subject", command.plan));
    }
    Ok(command)
}

async fn still_at_it(work: &Work, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        if let Err(error) = work.answer.working().await {
            tracing::warn!(%error, "cannot tell the bus that the command is being worked on");
        }
    }
}

/// A command whose acknowledgement is lost comes again, and is told again from ledger and journal.
async fn done(work: &Work) {
    if let Err(error) = work.answer.done().await {
        tracing::warn!(%error, "cannot acknowledge a command; it comes again");
    }
}

async fn later(work: &Work, delay: Duration) {
    if let Err(error) = work.answer.later(delay).await {
        tracing::warn!(%error, "cannot hand a command back; it comes again by itself");
    }
}

/// Keeps two deliveries of one command apart.
struct Busy<'a> {
    shared: &'a Shared,
    key: (String, String),
}

impl<'a> Busy<'a> {
    fn enter(shared: &'a Shared, key: (String, String)) -> Option<Self> {
        if !lock(&shared.busy).insert(key.clone()) {
            return None;
        }
        lock(&shared.counters).in_flight += 1;
        Some(Self { shared, key })
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        lock(&self.shared.busy).remove(&self.key);
        lock(&self.shared.counters).in_flight -= 1;
    }
}

/// What is behind these locks is whole between any two statements, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
