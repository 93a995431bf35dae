//! `ops up`, `ops lab`, `ops agent`: brings the parts up in order, serves, takes them down in order.

use crate::cli::{Format, UpOptions};
use crate::connect::{self, Connection};
use crate::console::Console;
use crate::exit::{Failure, Kind};
use crate::health::{self, Parts};
use crate::reload::{self, Rules};
use crate::signals::{Said, Signals};
use crate::watch::Watch;
use crate::{load, ready};
use axum::Router;
use bus::{SharedBus, accounts};
use collector::{CollectorHandle, CollectorLimits, CollectorOptions, Token};
use engine::{Engine, EngineOptions, current_settings};
use notify::{Notifier, NotifierOptions, Retry};
use rollback::{Agent, AgentOptions};
use settings::{Loaded, OpsConfig, Role};
use stages::subject::Subjects;
use stages::subject::fnv1a_32;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Each part but the agent has this long to end in good order; the bus has what it did not finish.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the process is started as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// For real: files are applied only to a bus that has no settings yet. SIGHUP reads what stays at the edge.
    Up,
    /// The lab: files are applied at every start and on SIGHUP.
    Lab,
    /// The agent alone, on a bus that runs already.
    Agent,
}

/// Runs until SIGTERM or SIGINT; a second one ends the wait for a rollback script.
pub async fn run(
    (options, watch): (UpOptions, bool),
    occasion: Occasion,
    format: Format,
) -> Result<(), Failure> {
    let mut loaded = load::load(&options)?;
    if occasion == Occasion::Agent {
        loaded.ops.roles = BTreeSet::from([Role::Agent]);
        // config/ops.yml speaks of the process with the board, which may run beside this one.
        if options.listen.is_none() && std::env::var_os("OPS_LISTEN").is_none() {
            loaded.ops.listen = vec![(Ipv4Addr::LOCALHOST, 0).into()];
        }
    }
    for warning in loaded.warnings.iter() {
        tracing::warn!("{warning}");
    }
    make_data_folder(&loaded.ops.data)?;
    let listeners = listen(&loaded.ops).await?;
    loaded.ops.listen = listeners.iter().filter_map(|it| it.local_addr().ok()).collect();
    let process = options.name.clone().unwrap_or_else(|| process_name(&loaded.ops.data));
    let connection = match occasion {
        Occasion::Up | Occasion::Lab => connect::open(&loaded.ops, &process).await?,
        Occasion::Agent => connect::existing(&loaded.ops).await?,
    };
    let mut running = start(&loaded, (&options, format), &connection, process).await?;
    let mut signals = Signals::listen();
    let mut watch = if watch { Watch::folders(&options.folders)? } else { Watch::nothing() };
    let (server, stop) = serve(listeners, running.routes.clone());
    let applied = apply(&connection, &loaded, occasion, &running).await;
    if applied.is_ok() {
        ready::announce(&loaded, format);
        // Not before: the first line is what a reader waits for.
        if let Some(console) = running.console.take() {
            tokio::spawn(console.follow());
        }
        let parts = &running.parts;
        let wakes = (&mut signals, &mut watch);
        until_told_to_stop(wakes, (&options, &connection, parts), occasion).await;
    }
    take_down(running, (server, stop), &mut signals).await;
    connection.close().await;
    applied
}

/// The parts of this process and what they are reached by.
struct Running {
    parts: Arc<Parts>,
    routes: Router,
    console: Option<Console>,
    _board: Option<board::Board>,
}

/// Creates the data folder and proves that it can be written.
pub fn make_data_folder(folder: &Path) -> Result<(), Failure> {
    let proof = folder.join(".writable");
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&proof, b""))
        .and_then(|()| std::fs::remove_file(&proof))
        .map_err(|error| Failure::data(folder, &error))
}

/// Unique among the processes on one bus, and the same after a restart: the host's name, and a hash of the data
/// folder, because two processes of one host differ in it at least.
fn process_name(data: &Path) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let data = data.canonicalize().unwrap_or_else(|_| data.to_owned());
    let hash = fnv1a_32(data.as_os_str().as_encoded_bytes().iter().copied());
    format!("{}-{hash:08x}", plain(host.trim()))
}

/// A subject, a consumer and an account are named after the host: only what may stand in all of them.
fn plain(host: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let host: String = host.chars().take(40).map(plain).collect();
    if host.is_empty() { "ops".to_owned() } else { host }
}

/// Listens before anything else is started: a taken port is the commonest mistake.
async fn listen(ops: &OpsConfig) -> Result<Vec<TcpListener>, Failure> {
    let mut listeners = Vec::new();
    for address in &ops.listen {
        match TcpListener::bind(address).await {
            Ok(listener) => listeners.push(listener),
            // A host without IPv6 is fine as long as it is reached some other way.
            Err(error)
                if address.is_ipv6() && error.kind() == std::io::ErrorKind::AddrNotAvailable => {}
            Err(error) => {
                let text =
                    format!("cannot listen on {address}: {error}; choose another with --listen");
                return Err(Failure::new(Kind::Listen, text));
            }
        }
    }
    Ok(listeners)
}

async fn start(
    loaded: &Loaded,
    (options, format): (&UpOptions, Format),
    connection: &Connection,
    process: String,
) -> Result<Running, Failure> {
    let ops = &loaded.ops;
    let (subjects, shards) = (connection.subjects.clone(), ops.bus.shards);
    let parts = Arc::new(Parts::default());
    let mut routes = health::routes(Arc::clone(&parts));
    let connect = async |role| {
        let bus = connection.in_role(role).await?;
        parts.bus.set(Arc::clone(&bus));
        Ok::<_, Failure>(bus)
    };
    if ops.roles.contains(&Role::Engine) {
        let bus = connect(accounts::Role::Owner).await?;
        let options = EngineOptions {
            workers: ops.workers,
            anchor_keep: ops.bus.log_keep.as_std(),
            ..EngineOptions::new(bus, subjects.clone(), shards, process.clone())
        };
        parts.engine.set(Engine::start(options).map_err(connect::engine_failed)?);
    }
    if ops.roles.contains(&Role::Collector) {
        let bus = connect(accounts::Role::Collector).await?;
        let (collector, handle) = collector(loaded, bus, subjects.clone(), &parts)?;
        parts.collector.set(handle);
        routes = routes.merge(collector);
    }
    if ops.roles.contains(&Role::Notifier) {
        let bus = connect(accounts::Role::Notifier).await?;
        let notifier = Notifier::start(NotifierOptions {
            bus,
            subjects: subjects.clone(),
            contacts: reload::contacts(loaded),
            read_again: Some(reload::read_again(options)),
            outbox: Some(ops.data.join("outbox")),
            retry: Retry::default(),
        });
        parts.notifier.set(notifier.map_err(reload::not_usable)?);
    }
    if ops.roles.contains(&Role::Agent) {
        let agent = Agent::start(AgentOptions {
            bus: connect(accounts::Role::Agent).await?,
            subjects: subjects.clone(),
            name: process,
            plans_dir: options.folders.plans.clone(),
            data_dir: ops.data.clone(),
            journal: ops.data.join("agent.journal"),
            limits: rollback::Limits::default(),
        });
        parts.agent.set(agent.await.map_err(|error| Failure::new(Kind::Data, error.to_string()))?);
    }
    let (mut board, mut console) = (None, None);
    if ops.roles.contains(&Role::Board) {
        let reader = connect(accounts::Role::Board).await?;
        console = Some(Console::at_end(Arc::clone(&reader), subjects.clone(), format).await?);
        let runbooks = Some(options.folders.rules.join("runbooks"));
        let options = board::BoardOptions { bus: reader, subjects, shards, runbooks };
        let (pages, running) = board::start(options);
        (routes, board) = (routes.merge(pages), Some(running));
    }
    Ok(Running { parts, routes, console, _board: board })
}

fn collector(
    loaded: &Loaded,
    bus: SharedBus,
    subjects: Subjects,
    parts: &Arc<Parts>,
) -> Result<(Router, CollectorHandle), Failure> {
    let parts = Arc::clone(parts);
    let future_max = loaded.settings.limits.max_future.as_std();
    Ok(collector::router(CollectorOptions {
        bus,
        subjects,
        shards: loaded.ops.bus.shards,
        token: token(&loaded.ops)?,
        limits: CollectorLimits { future_max, ..CollectorLimits::default() },
        behind: Some(Arc::new(move || health::lag(&parts))),
    }))
}

/// The collector's token, if one is asked for.
fn token(ops: &OpsConfig) -> Result<Option<Token>, Failure> {
    let Some(secret) = &ops.token else { return Ok(None) };
    let refused = |why: String| Failure::new(Kind::Settings, format!("collector token: {why}"));
    let text = secret.read().map_err(|error| refused(error.to_string()))?;
    let text = text.ok_or_else(|| refused("its environment variable is not set".to_owned()))?;
    Token::new(&text).map(Some).ok_or_else(|| refused("it is empty".to_owned()))
}

/// Serves on all listeners until told to stop; requests under way get their answers.
fn serve(listeners: Vec<TcpListener>, routes: Router) -> (TaskTracker, CancellationToken) {
    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    for listener in listeners {
        let (routes, stopped) = (routes.clone(), stop.clone());
        tracker.spawn(async move {
            let serving = axum::serve(listener, routes);
            let ended = serving.with_graceful_shutdown(stopped.cancelled_owned()).await;
            if let Err(error) = ended {
                tracing::error!(%error, "a listener ended");
            }
        });
    }
    tracker.close();
    (tracker, stop)
}

/// Puts the files in force: always in the lab, otherwise only on a bus that has no settings yet.
async fn apply(
    connection: &Connection,
    loaded: &Loaded,
    occasion: Occasion,
    running: &Running,
) -> Result<(), Failure> {
    if !running.parts.engine.is_set() || !connection.may_be(accounts::Role::Admin) {
        return Ok(());
    }
    let revision = load::revision(loaded, "ops", "applied at start");
    if occasion != Occasion::Lab {
        let admin = connection.in_role(accounts::Role::Admin).await?;
        let current = current_settings(&admin, &connection.subjects).await;
        if let Some((_, current)) = current.map_err(connect::engine_failed)? {
            if current.revision != revision.revision {
                let text =
                    "the files differ from the settings in force; `ops rules apply` applies them";
                tracing::warn!(in_force = current.revision, files = revision.revision, "{text}");
            }
            return Ok(());
        }
    }
    connect::apply(connection, &revision, loaded.ops.bus.shards).await.map(drop)
}

async fn until_told_to_stop(
    (signals, watch): (&mut Signals, &mut Watch),
    (options, connection, parts): (&UpOptions, &Connection, &Parts),
    occasion: Occasion,
) {
    let on_signal = match occasion {
        Occasion::Lab => Rules::Apply("applied on SIGHUP"),
        Occasion::Up | Occasion::Agent => Rules::Stay,
    };
    loop {
        let rules = tokio::select! {
            said = signals.next() => match said {
                Said::Stop => return,
                Said::Reload => on_signal,
            },
            () = watch.changed() => Rules::Apply("applied on a change of the folders"),
        };
        reload::again(options, connection, parts, rules).await;
    }
}

/// The agent first: while a script runs to its end, which may take minutes, everything else goes on. Then door first,
/// notifier last: what was accepted is stored, worked off and told.
async fn take_down(
    running: Running,
    (server, stop): (TaskTracker, CancellationToken),
    signals: &mut Signals,
) {
    let parts = &running.parts;
    if let Some(agent) = parts.agent.take() {
        if agent.counters().in_flight > 0 {
            tracing::warn!(
                "a rollback is under way and is waited for; a second signal ends the wait"
            );
        }
        tokio::select! {
            () = agent.shutdown() => {}
            () = signals.stop() => tracing::warn!(
                "told to stop once more: a script that runs is left to itself, the next start tells how it ended"
            ),
        }
    }
    if let Some(collector) = parts.collector.take() {
        let _ = tokio::time::timeout(PATIENCE, collector.close()).await;
    }
    stop.cancel();
    if let Some(engine) = parts.engine.take() {
        engine.shutdown(PATIENCE).await;
    }
    if let Some(notifier) = parts.notifier.take() {
        let _ = tokio::time::timeout(PATIENCE, notifier.shutdown()).await;
    }
    // Live charts never end by themselves.
    let _ = tokio::time::timeout(Duration::from_secs(1), server.wait()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_bear_the_name_of_any_host() {
        assert_eq!(plain("ip-10-0-0-1.ec2.internal"), "ip-10-0-0-1-ec2-internal");
        assert_eq!((plain(""), plain("höst\"")), ("ops".to_owned(), "h-st-".to_owned()));
        assert!(settings::is_plain_name(&process_name(Path::new("."))));
    }
}
