//! Runs one script: own process group, bounded time, bounded output.
//!
//! Standard output and error share one pipe that is always read, so a script can neither block on it nor fill
//! memory; only the newest bytes are kept. When the time is up the whole group is told to stop (TERM), and what
//! is left of it after a grace is killed, grandchildren included. A process that left the group by itself
//! (`setsid`) is out of reach. After the script itself has ended nobody waits for what it left in the
//! background: a restarted service may keep the pipe open for ever.

use crate::folder::Found;
use crate::tail::Tail;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How often a group that was told to stop is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long output already written is collected after the script has ended.
const DRAIN_MAX: Duration = Duration::from_millis(250);
/// A file still being written cannot be started; whoever writes it is given this long.
const BUSY_TRIES: u32 = 20;
const BUSY_WAIT: Duration = Duration::from_millis(50);

/// What to run and within which bounds.
#[derive(Debug)]
pub struct Run {
    /// The script and its folder.
    pub found: Found,
    /// All of its environment.
    pub variables: Vec<(&'static str, String)>,
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
    /// By itself, with this exit code.
    Exited(i32),
    /// By this signal, which was not ours.
    Signalled(i32),
    /// It ran too long and was stopped.
    TimedOut,
}

/// A script that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// How.
    pub ended: Ended,
    /// End of what it wrote.
    pub output: String,
    /// How long it ran.
    pub took: Duration,
}

/// A script that runs.
#[derive(Debug)]
pub struct Running {
    child: Child,
    group: Pid,
    pipe: Option<pipe::Receiver>,
    tail: Tail,
    started: Instant,
    timeout: Duration,
    stop_grace: Duration,
}

/// Starts a script.
///
/// # Errors
/// What the system says: not a program, out of processes, ...
pub async fn start(run: Run) -> io::Result<Running> {
    let mut tries = 0;
    let (child, reader) = loop {
        match spawn(&run) {
            Err(error)
                if error.kind() == io::ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES =>
            {
                tries += 1;
                sleep(BUSY_WAIT).await;
            }
            other => break other?,
        }
    };
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    let group = Pid::from_raw(id.expect("a child that was not waited for has its id"));
    Ok(Running {
        child,
        group,
        pipe: Some(pipe::Receiver::from_owned_fd(reader)?),
        tail: Tail::new(run.output_bytes_max),
        started: Instant::now(),
        timeout: run.timeout,
        stop_grace: run.stop_grace,
    })
}

fn spawn(run: &Run) -> io::Result<(Child, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    // The command, and with it our copies of the writing end, ends with this function: the end of the pipe is
    // then the end of the script and its children.
    let child = Command::new(&run.found.script)
        .current_dir(&run.found.folder)
        .env_clear()
        .envs(run.variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .spawn()?;
    Ok((child, reader.into()))
}

impl Running {
    /// Its process group, for people who must look after an orphan.
    pub fn group(&self) -> i32 {
        self.group.as_raw()
    }

    /// Waits for its end, and makes one when its time is up.
    pub async fn finish(mut self) -> Finished {
        let deadline = sleep(self.timeout);
        tokio::pin!(deadline);
        let ended = loop {
            tokio::select! {
                status = self.child.wait() => break ended(status),
                () = read(&mut self.pipe, &mut self.tail) => {}
                () = &mut deadline => {
                    self.stop().await;
                    break Ended::TimedOut;
                }
            }
        };
        let took = self.started.elapsed();
        let drain = async {
            while self.pipe.is_some() {
                read(&mut self.pipe, &mut self.tail).await;
            }
        };
        // Whether all was read or the time is up: what came so far is kept.
        let _ = timeout(DRAIN_MAX, drain).await;
        Finished { ended, output: self.tail.text(), took }
    }

    /// Tells the group to stop, and kills what is left of it after the grace.
    async fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        let until = Instant::now() + self.stop_grace;
        let mut reaped = false;
        while Instant::now() < until && !(reaped && self.group_is_gone()) {
            let look = (Instant::now() + LOOK_EVERY).min(until);
            tokio::select! {
                _ = self.child.wait(), if !reaped => reaped = true,
                () = read(&mut self.pipe, &mut self.tail) => {}
                () = sleep_until(look) => {}
            }
        }
        self.signal(Signal::SIGKILL);
        if let Err(error) = self.child.wait().await {
            tracing::error!(%error, group = self.group.as_raw(), "cannot wait for a killed script");
        }
    }

    fn group_is_gone(&self) -> bool {
        killpg(self.group, None).is_err()
    }

    fn signal(&self, signal: Signal) {
        // ESRCH: the group is gone already, which is what is wanted.
        if let Err(error) = killpg(self.group, signal)
            && error != nix::errno::Errno::ESRCH
        {
            tracing::error!(%error, group = self.group.as_raw(), %signal, "cannot signal a script");
        }
    }
}

/// Takes what is there, closes the pipe at its end; for ever pending once closed.
async fn read(pipe: &mut Option<pipe::Receiver>, tail: &mut Tail) {
    let Some(open) = pipe else { return std::future::pending().await };
    let mut buffer = [0_u8; 16 * 1024];
    match open.read(&mut buffer).await {
        Ok(0) | Err(_) => *pipe = None,
        Ok(bytes) => tail.push(&buffer[..bytes]),
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
            Ended::Signalled(0)
        }
    }
}
