//! Runs one script: own process group, bounded time, output in a file.
//!
//! Between the agent and the script stands a few lines of shell (`runner.sh`), which write down how the script
//! ended: only a parent is told that, and the agent may not be there any more. So a script outlives its agent
//! undisturbed, and the next agent finds it still running ([`Running::found`]) or finds its end. Only the newest
//! bytes of the output are kept on disk as long as an agent looks after it.
//!
//! When the time is up the whole group is told to stop (TERM), and what is left of it after a grace is killed,
//! grandchildren included; while no agent is there, nobody keeps the time. A process that left the group by itself
//! (`setsid`) is out of reach. After the script itself has ended nobody waits for what it left in the background.

use crate::folder::Found;
use crate::process::Process;
use crate::run_folder::{End, RunFolder};
use crate::tail::Tail;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

/// How often a group that was told to stop is looked at, and a process that is not our child.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often room of the output is given back. A script that writes a gigabyte a second has 100 MB on disk.
const RELEASE_EVERY: Duration = Duration::from_millis(100);
/// The shell that runs the script, and what it is told. The script is an argument, never part of the text.
const SHELL: &str = "/bin/sh";
const RUNNER: &str = include_str!("runner.sh");

/// What to run and within which bounds.
#[derive(Debug)]
pub struct Run {
    /// The script and its folder.
    pub found: Found,
    /// All of its environment.
    pub variables: Vec<(&'static str, String)>,
    /// Where it leaves its output and its end.
    pub folder: RunFolder,
    /// Bounds.
    pub bounds: Bounds,
}

/// Bounds of a run.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How long it may run.
    pub timeout: Duration,
    /// How long it may take to stop when told to.
    pub stop_grace: Duration,
    /// How much of its output is kept.
    pub output_bytes_max: usize,
}

/// How a script ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this exit code; 128 and more where a signal ended it.
    Exited(i32),
    /// The shell around it was ended by this signal, which was not ours.
    Signalled(i32),
    /// The system would not start it; the output says why.
    Refused,
    /// It ran too long and was stopped.
    TimedOut,
    /// It runs no longer, and nothing says how it ended.
    Lost,
}

/// A script that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// How.
    pub ended: Ended,
    /// End of what it wrote.
    pub output: String,
    /// How long it ran, where that was seen.
    pub took: Option<Duration>,
}

/// A script that runs, or whose end was not heard of yet.
#[derive(Debug)]
pub struct Running {
    watched: Watched,
    folder: RunFolder,
    tail: Tail,
    bounds: Bounds,
    /// How long it had run when it was found.
    before: Duration,
    since: Instant,
}

/// What is waited for.
#[derive(Debug)]
enum Watched {
    /// Our own child.
    Child(Child, Process),
    /// That of an agent before us; none where it has ended.
    Orphan(Option<Process>),
}

/// Starts a script.
///
/// # Errors
/// What the system says: no disk, out of processes, ...
pub fn start(run: Run) -> io::Result<Running> {
    let output = run.folder.create()?;
    let child = Command::new(SHELL)
        .args(["-c", RUNNER, "ops-run"])
        .args([&run.found.script, &run.folder.end_file(), &run.folder.output()])
        .current_dir(&run.found.folder)
        .env_clear()
        .envs(run.variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .process_group(0)
        .spawn()?;
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    let process = Process::of(id.expect("a child that was not waited for has its id"));
    let watched = Watched::Child(child, process);
    Ok(Running::new(watched, run.folder, run.bounds, Duration::ZERO))
}

impl Running {
    /// A script that an agent before us has started: it runs as `process`, or its end is in its folder.
    pub fn found(process: Option<Process>, folder: RunFolder, bounds: Bounds) -> Self {
        let before = process.as_ref().map_or(Duration::ZERO, Process::age);
        Self::new(Watched::Orphan(process), folder, bounds, before)
    }

    fn new(watched: Watched, folder: RunFolder, bounds: Bounds, before: Duration) -> Self {
        let tail = Tail::of(folder.output(), bounds.output_bytes_max);
        Self { watched, folder, tail, bounds, before, since: Instant::now() }
    }

    /// What finds it again.
    pub fn process(&self) -> Option<&Process> {
        match &self.watched {
            Watched::Child(_, process) => Some(process),
            Watched::Orphan(process) => process.as_ref(),
        }
    }

    /// Waits for its end, and makes one when its time is up.
    pub async fn finish(mut self) -> Finished {
        let seen = self.process().is_some();
        let deadline = sleep(self.bounds.timeout.saturating_sub(self.before));
        tokio::pin!(deadline);
        let mut release = interval(RELEASE_EVERY);
        release.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let ended = loop {
            tokio::select! {
                biased;
                ended = self.watched.ended() => break self.read_end(ended),
                () = &mut deadline => {
                    self.stop().await;
                    break Ended::TimedOut;
                }
                _ = release.tick() => self.tail.release(),
            }
        };
        let took = seen.then(|| self.before + self.since.elapsed());
        let output = self.tail.text().unwrap_or_else(|error| {
            tracing::warn!(%error, path = %self.folder.path().display(), "the output cannot be read");
            String::new()
        });
        Finished { ended, output, took }
    }

    /// What the folder says, else what was seen.
    fn read_end(&self, seen: Ended) -> Ended {
        match self.folder.end() {
            Some(End::Exited(code)) => Ended::Exited(code),
            Some(End::Refused) => Ended::Refused,
            None => seen,
        }
    }

    /// Tells the group to stop, and kills what is left of it after the grace.
    async fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        let until = Instant::now() + self.bounds.stop_grace;
        let mut over = false;
        while Instant::now() < until && !(over && self.group_is_gone()) {
            let look = (Instant::now() + LOOK_EVERY).min(until);
            tokio::select! {
                _ = self.watched.ended(), if !over => over = true,
                () = sleep_until(look) => {}
            }
        }
        self.signal(Signal::SIGKILL);
        self.watched.ended().await;
    }

    fn group(&self) -> Option<Pid> {
        self.process().map(|process| Pid::from_raw(process.group))
    }

    fn group_is_gone(&self) -> bool {
        self.group().is_none_or(|group| killpg(group, None).is_err())
    }

    fn signal(&self, signal: Signal) {
        let Some(group) = self.group() else { return };
        // ESRCH: the group is gone already, which is what is wanted.
        if let Err(error) = killpg(group, signal)
            && error != nix::errno::Errno::ESRCH
        {
            tracing::error!(%error, %group, %signal, "cannot signal a script");
        }
    }
}

impl Watched {
    /// Waits for the end of the process; again at once where that was seen before.
    async fn ended(&mut self) -> Ended {
        match self {
            Self::Child(child, _) => ended(child.wait().await),
            Self::Orphan(process) => {
                while process.as_ref().is_some_and(Process::runs) {
                    sleep(LOOK_EVERY).await;
                }
                Ended::Lost
            }
        }
    }
}

fn ended(status: io::Result<ExitStatus>) -> Ended {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => Ended::Exited(code),
            (None, signal) => Ended::Signalled(signal.unwrap_or_default()),
        },
        Err(error) => {
            tracing::error!(%error, "cannot wait for a script");
            Ended::Lost
        }
    }
}
