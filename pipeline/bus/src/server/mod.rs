//! Supervises a local nats-server with JetStream in a data folder.
//!
//! Together with rollback scripts this is the only process the product spawns: the decision is recorded in
//! ARCHITECTURE.md. The server must never outlive us, not even when we are killed, and `PR_SET_PDEATHSIG` needs
//! unsafe code. So a few lines of shell stand in between and hold one end of a pipe: when our end closes,
//! however we ended, they end the server. The server's standard output is the lock file of the data folder, so
//! the lock is held exactly as long as anybody may write there.

mod attach;
mod binary;

pub use attach::attach;
pub use binary::find;

use crate::accounts::{Identity, Keys, KeysError, Role, accounts_conf};
use crate::jetstream::Options;
use crate::layout::Layout;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// Longest wait until the server is ready: it first reads back what it stored.
const READY_MAX: Duration = Duration::from_secs(60);
/// Longest wait for the folder's lock: the server of a killed process needs a moment to end.
const LOCK_MAX: Duration = Duration::from_secs(15);
/// Longest wait for the server to end by itself; the shell kills it after 10 s.
const STOP_MAX: Duration = Duration::from_secs(15);
/// File with the port the server listened on last.
const LAST_PORT: &str = "port";
/// Pauses before a restart, doubling.
const RESTART: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Runs its arguments; ends them when standard input closes, and itself when they end.
const GUARD: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- & server=$!
{ read -r _ <&3; kill "$server"; sleep 10; kill -9 "$server"; } >/dev/null 2>&1 & watch=$!
trap '' TERM INT HUP
wait "$server"; code=$?
kill -9 "$watch" 2>/dev/null
exit "$code"
"#;

/// What a local server needs to know.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Folder for everything it keeps.
    pub data: PathBuf,
    /// Port on 127.0.0.1; if none, the one of the last time if that is free, else any that is.
    pub port: Option<u16>,
    /// Names of streams and subjects, for permissions.
    pub layout: Layout,
    /// Name of the rollback agent of this machine.
    pub agent: String,
}

/// A local server cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// No binary, or too old.
    #[error("{0}")]
    Binary(String),
    /// The data folder cannot be used.
    #[error("data folder {}: {why}", path.display())]
    Data {
        /// Folder or file.
        path: PathBuf,
        /// What is wrong and what to do.
        why: String,
    },
    /// Nobody runs one there.
    #[error("no local bus runs on data folder {}: start `ops up` on it, or name a bus with --nats-url", .0.display())]
    Absent(PathBuf),
    /// It ended, or did not become ready.
    #[error("nats-server did not start: {why}; its log is {}", log.display())]
    Start {
        /// What it said last.
        why: String,
        /// Its log.
        log: PathBuf,
    },
    /// A key cannot be made or read.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

/// A supervised local server; ends with this value.
pub struct LocalServer {
    layout: Layout,
    keys: Keys,
    port: u16,
    running: watch::Receiver<bool>,
    stop: Option<oneshot::Sender<()>>,
    supervisor: Option<JoinHandle<()>>,
}

impl LocalServer {
    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub async fn start(options: ServerOptions) -> Result<Self, ServerError> {
        let binary = binary::find().await.map_err(ServerError::Binary)?;
        let place = Place::prepare(&options).await?;
        let port = options.port.or_else(|| place.last_port());
        let mut process = Process::spawn(&binary, &place, port).await?;
        let port = process.ready(&place).await?;
        write(&place.folder.join(LAST_PORT), &format!("{port}\n"))?;
        let (stop, stopped) = oneshot::channel();
        let (state, running) = watch::channel(true);
        let keys = place.keys.clone();
        let supervisor = Supervisor { binary, place, port, state };
        let supervisor = tokio::spawn(supervisor.run(process, stopped));
        Ok(Self {
            layout: options.layout,
            keys,
            port,
            running,
            stop: Some(stop),
            supervisor: Some(supervisor),
        })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Whether it runs right now.
    pub fn running(&self) -> bool {
        *self.running.borrow()
    }

    /// How to connect in a role.
    pub fn options(&self, role: Role) -> Options {
        self.keyring().options(role)
    }

    /// Ends it and waits until it has.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        if let Some(supervisor) = self.supervisor.take() {
            // A supervisor that panicked has dropped its process, which ends it too.
            let _ = supervisor.await;
        }
    }
}

/// Files of the server in the data folder.
struct Place {
    folder: PathBuf,
    log: PathBuf,
    keys: Keys,
    lock: File,
}

impl Place {
    async fn prepare(options: &ServerOptions) -> Result<Self, ServerError> {
        let folder = options.data.join("nats");
        fs::create_dir_all(folder.join("ports")).map_err(|error| unusable(&folder, &error))?;
        let folder = folder.canonicalize().map_err(|error| unusable(&folder, &error))?;
        let lock = lock(&folder.join("lock")).await?;
        let keys = Keys::open(folder.join("keys"))?;
        let identities: Result<Vec<Identity>, KeysError> = Role::ALL
            .into_iter()
            .map(|role| match role {
                Role::Agent => keys.identity(role, &options.agent),
                // Whoever sits at this machine may act under any name.
                Role::Person => keys.identity(role, "*"),
                _ => keys.identity(role, "-"),
            })
            .collect();
        write(&folder.join("accounts.conf"), &accounts_conf(&options.layout, &identities?))?;
        Ok(Self { log: folder.join("nats-server.log"), folder, keys, lock })
    }

    /// The port of the last time, if nobody has taken it: an agent that was attached finds the server again.
    fn last_port(&self) -> Option<u16> {
        let port = fs::read_to_string(self.folder.join(LAST_PORT)).ok()?.trim().parse().ok()?;
        std::net::TcpListener::bind(("127.0.0.1", port)).ok().map(|_| port)
    }

    /// Writes the configuration. Every ack waits for the disk: what was acked survives a power cut.
    fn configure(&self, port: Option<u16>) -> Result<PathBuf, ServerError> {
        let quoted = |path: &Path| format!("{:?}", path.display().to_string());
        let text = format!(
            "# Generated at each start.\nhost: 127.0.0.1\nport: {}\nports_file_dir: {}\n\
             server_name: ops_local\nlog_file: {}\nlogfile_size_limit: 10MB\nlogfile_max_num: 3\n\
             jetstream {{\n  store_dir: {}\n  sync_interval: always\n}}\ninclude accounts.conf\n",
            port.map_or(-1, i32::from),
            quoted(&self.folder.join("ports")),
            quoted(&self.log),
            quoted(&self.folder.join("store")),
        );
        let path = self.folder.join("nats-server.conf");
        write(&path, &text)?;
        Ok(path)
    }
}

/// One run of the server.
struct Process {
    child: Child,
    /// Our end of the pipe. Taken out of the child, whose `wait` would close it.
    pipe: Option<ChildStdin>,
}

impl Process {
    async fn spawn(binary: &Path, place: &Place, port: Option<u16>) -> Result<Self, ServerError> {
        let ports = place.folder.join("ports");
        let _ = fs::remove_dir_all(&ports);
        fs::create_dir_all(&ports).map_err(|error| unusable(&ports, &error))?;
        let config = place.configure(port)?;
        let open = |path: &Path| {
            OpenOptions::new().create(true).append(true).open(path).map_err(|e| unusable(path, &e))
        };
        let errors = open(&place.folder.join("nats-server.err"))?;
        let lock = place.lock.try_clone().map_err(|error| unusable(&place.folder, &error))?;
        let child = Command::new("sh")
            .args(["-c", GUARD, "nats-guard"])
            .arg(binary)
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::piped())
            .stdout(lock)
            .stderr(errors)
            // Away from the terminal's Ctrl-C: we end it after our own last commit.
            .process_group(0)
            .spawn();
        let mut child =
            child.map_err(|error| ServerError::Binary(format!("cannot run sh: {error}")))?;
        let pipe = child.stdin.take();
        Ok(Self { child, pipe })
    }

    /// Waits until it listens; answers on which port.
    async fn ready(&mut self, place: &Place) -> Result<u16, ServerError> {
        let deadline = Instant::now() + READY_MAX;
        loop {
            if let Some(port) = listening(&place.folder.join("ports")).await {
                return Ok(port);
            }
            let ended = self.child.try_wait().ok().flatten();
            if ended.is_some() || Instant::now() > deadline {
                let why = last_words(place).unwrap_or_else(|| "no answer within 60 s".to_owned());
                return Err(ServerError::Start { why, log: place.log.clone() });
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends it: closes the pipe, and waits.
    async fn end(mut self) {
        drop(self.pipe.take());
        if timeout(STOP_MAX, self.child.wait()).await.is_err() {
            tracing::error!("nats-server did not end");
        }
    }
}

/// Restarts the server when it ends by itself.
struct Supervisor {
    binary: PathBuf,
    place: Place,
    port: u16,
    state: watch::Sender<bool>,
}

impl Supervisor {
    async fn run(self, mut process: Process, mut stopped: oneshot::Receiver<()>) {
        let mut pause = RESTART.0;
        loop {
            let began = Instant::now();
            tokio::select! {
                _ = &mut stopped => {
                    self.state.send_replace(false);
                    return process.end().await;
                }
                status = process.child.wait() => {
                    self.state.send_replace(false);
                    tracing::error!(?status, "nats-server ended, starting it again");
                }
            }
            if began.elapsed() > RESTART.1 {
                pause = RESTART.0;
            }
            process = loop {
                tokio::select! {
                    _ = &mut stopped => return,
                    () = sleep(pause) => {}
                }
                pause = (pause * 2).min(RESTART.1);
                match self.start_again().await {
                    Ok(process) => break process,
                    Err(error) => tracing::error!(%error, "nats-server"),
                }
            };
            self.state.send_replace(true);
        }
    }

    async fn start_again(&self) -> Result<Process, ServerError> {
        let mut process = Process::spawn(&self.binary, &self.place, Some(self.port)).await?;
        process.ready(&self.place).await?;
        Ok(process)
    }
}

/// The port the server says it listens on, once it does.
async fn listening(ports: &Path) -> Option<u16> {
    let files = fs::read_dir(ports).ok()?.filter_map(Result::ok);
    let file = files
        .map(|file| file.path())
        .find(|path| path.extension().is_some_and(|e| e == "ports"))?;
    let text = fs::read_to_string(file).ok()?;
    let value: serde_json::Value = serde_json::from_str(&text).ok()?;
    let port: u16 = value["nats"][0].as_str()?.rsplit(':').next()?.parse().ok()?;
    let open = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
    open.ok().map(|_| port)
}

/// What the server said last, from its errors or its log.
fn last_words(place: &Place) -> Option<String> {
    let last_line = |path: &Path, wanted: &str| {
        let text = fs::read_to_string(path).ok()?;
        text.lines().rev().find(|line| line.contains(wanted)).map(str::to_owned)
    };
    last_line(&place.log, "[FTL]")
        .or_else(|| last_line(&place.folder.join("nats-server.err"), "nats-server"))
        .or_else(|| last_line(&place.log, "[ERR]"))
}

async fn lock(path: &Path) -> Result<File, ServerError> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    let file = file.map_err(|error| unusable(path, &error))?;
    let deadline = Instant::now() + LOCK_MAX;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(unusable(path, &error)),
            Err(TryLockError::WouldBlock) if Instant::now() > deadline => {
                let why = "another ops uses it; stop that one or name another folder".to_owned();
                return Err(ServerError::Data { path: path.to_owned(), why });
            }
            Err(TryLockError::WouldBlock) => sleep(Duration::from_millis(50)).await,
        }
    }
}

fn write(path: &Path, text: &str) -> Result<(), ServerError> {
    fs::write(path, text).map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, error: &io::Error) -> ServerError {
    ServerError::Data {
        path: path.to_owned(),
        why: format!("{error}; make it writable or name another folder"),
    }
}
