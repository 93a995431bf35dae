//! The product on the bus it runs itself: engine, notifier and agent in this process, each in its own role; and the
//! three places where an alert is awaited.

use crate::support::load;
use axum::routing::post;
use bus::accounts::Role;
use bus::jetstream::JetStream;
use bus::layout::Layout;
use bus::server::{LocalServer, ServerOptions};
use bus::{SharedBus, Stream};
use engine::{Engine, EngineOptions, apply_settings, wait_in_force};
use notify::{Contacts, Notifier, NotifierOptions, Retry};
use rollback::{Agent, AgentOptions};
use settings::{Endpoint, Endpoints, NotifyConfig, Pacing, WebhookUrl};
use stages::settings::{Action, Plan, Rule, Settings, Stat, Verify};
use stages::subject::Subjects;
use stages::time::Span;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(60);
const RECEIVER: &str = "hook";
const HOUR: Span = Span::from_secs(3_600);

/// Something reached its place.
pub struct Seen {
    /// Which probe.
    pub probe: usize,
    /// When.
    pub at: Instant,
}

/// The three places.
pub struct Places {
    /// `ops.alert.critical.<rule>.fired`, stored.
    pub alerts: mpsc::UnboundedReceiver<Seen>,
    /// The webhook's post.
    pub hooks: mpsc::UnboundedReceiver<Seen>,
    /// First line of the script.
    pub scripts: mpsc::UnboundedReceiver<Seen>,
}

/// Everything that runs.
pub struct House {
    pub server: LocalServer,
    engine: Engine,
    notifier: Notifier,
    agent: Agent,
    _folder: tempfile::TempDir,
}

/// Name of a probe's metric and rule.
pub fn probe(number: usize) -> String {
    format!("probe_{number}")
}

fn number_of(text: &str) -> Option<usize> {
    let (_, rest) = text.split_once("probe_")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

/// The bus in a role.
pub async fn connect(server: &LocalServer, role: Role) -> SharedBus {
    Arc::new(JetStream::connect(server.options(role)).await.expect("the server answers"))
}

impl House {
    /// Starts it with `probes` rules of their own beside the 1 000 of the load.
    pub async fn start(probes: usize) -> (Self, Places) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = folder.path().join("data");
        let layout = Layout::default();
        let (port, agent) = (None, "local".to_owned());
        let options = ServerOptions { data: data.clone(), port, layout, agent };
        let server = LocalServer::start(options).await.expect("a nats-server");
        let admin = connect(&server, Role::Admin).await;
        admin.ensure(1).await.expect("streams are made");
        let (url, hooks) = web().await;
        let scripts = scripts(&folder.path().join("plans"), &data, probes);
        let owner = connect(&server, Role::Owner).await;
        let subjects = Subjects::default();
        let engine = Engine::start(EngineOptions::new(owner, subjects.clone(), 1, "bench"));
        let bus = connect(&server, Role::Notifier).await;
        let notifier = Notifier::start(notifier_options(bus, url)).expect("the notifier starts");
        let agent = Agent::start(AgentOptions {
            bus: connect(&server, Role::Agent).await,
            subjects: subjects.clone(),
            name: "local".to_owned(),
            plans_dir: folder.path().join("plans"),
            data_dir: data.clone(),
            journal: data.join("agent.journal"),
            limits: rollback::Limits::default(),
        });
        let agent = agent.await.expect("the agent starts");
        let settings = settings(probes);
        let applied = apply_settings(&admin, &subjects, &settings).await;
        let wanted = (&*settings.revision, applied.expect("settings are stored"));
        let in_force = wait_in_force(&admin, &subjects, 1, wanted, PATIENCE).await;
        in_force.expect("settings are in force");
        let alerts = alerts(connect(&server, Role::Board).await).await;
        let engine = engine.expect("the engine starts");
        let house = Self { server, engine, notifier, agent, _folder: folder };
        (house, Places { alerts, hooks, scripts })
    }

    /// Ends it in good order.
    pub async fn stop(self) {
        self.engine.shutdown(PATIENCE).await;
        self.agent.shutdown().await;
        self.notifier.shutdown().await;
        self.server.stop().await;
    }
}

/// A probe's window is an hour, so that nothing of an earlier run falls due during a later one; otherwise its rule is
/// the brief's. Its plan verifies long after the bench is over, for the same reason.
fn settings(probes: usize) -> Settings {
    let mut settings = load::settings(Stat::Mean, Span::from_secs(60), &[]);
    let rule = |number| {
        Arc::new(Rule {
            fresh_for: HOUR,
            action: Some(Action::Rollback(probe(number))),
            action_min_samples: 1,
            notify: vec![RECEIVER.to_owned()],
            ..load::rule(&probe(number), &probe(number), Stat::Mean, HOUR)
        })
    };
    settings.rules.extend((0..probes).map(rule));
    settings.rules.sort_by(|one, other| one.name.cmp(&other.name));
    settings.plans = (0..probes).map(|number| Arc::new(plan(&probe(number)))).collect();
    settings.plans.sort_by(|one, other| one.name.cmp(&other.name));
    settings.receivers = vec![Arc::new(load::receiver(RECEIVER, "webhook"))];
    settings.limits = load::wide_limits();
    settings
}

fn plan(name: &str) -> Plan {
    let minutes = |count: i64| Span::from_secs(60 * count);
    Plan {
        name: name.to_owned(),
        script: "run.sh".to_owned(),
        target: name.to_owned(),
        timeout: minutes(1),
        cooldown: minutes(30),
        lock_after: None,
        lock_window: minutes(1440),
        not_after: minutes(2),
        approval_expires: minutes(15),
        idempotent: false,
        verify: Verify { settle: HOUR, hold: minutes(1), within: HOUR, min_samples: 1 },
    }
}

fn notifier_options(bus: SharedBus, url: String) -> NotifierOptions {
    let webhook = Endpoint::Webhook { url: WebhookUrl::Plain(url), token: None };
    let pacing = Pacing {
        email_per_minute: 60_000,
        pager_duty_per_minute: 60_000,
        webhook_per_minute: 60_000,
    };
    NotifierOptions {
        bus,
        subjects: Subjects::default(),
        contacts: Contacts {
            endpoints: Endpoints::from([(RECEIVER.to_owned(), vec![webhook])]),
            config: NotifyConfig { smtp: None, from: "hms-ops@opm.gov".to_owned(), pacing },
            fallback: None,
            board_url: "http://localhost:9900".to_owned(),
            late_after: Duration::from_secs(900),
        },
        read_again: None,
        outbox: None,
        retry: Retry::default(),
    }
}

/// A webhook's receiver: the first post that names a probe is its page.
async fn web() -> (String, mpsc::UnboundedReceiver<Seen>) {
    let (say, hear) = mpsc::unbounded_channel();
    let take = move |body: String| {
        let (at, say) = (Instant::now(), say.clone());
        async move {
            if let Some(probe) = number_of(&body) {
                let _ = say.send(Seen { probe, at });
            }
        }
    };
    let app = axum::Router::new().route("/hook", post(take));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, hear)
}

/// A plan for each probe, whose script writes its plan's name into a pipe that is read here.
fn scripts(plans: &Path, data: &Path, probes: usize) -> mpsc::UnboundedReceiver<Seen> {
    for number in 0..probes {
        let folder = plans.join(probe(number));
        fs::create_dir_all(&folder).expect("a folder is made");
        let script = folder.join("run.sh");
        let text = "#!/bin/sh\necho \"$OPS_PLAN\" > \"$OPS_DATA/started\"\n";
        fs::write(&script, text).expect("a script is written");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("it may run");
    }
    let pipe: PathBuf = data.join("started");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo makes a pipe");
    let (say, hear) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        // Open for writing, too: it never ends while scripts come and go.
        let file = fs::OpenOptions::new().read(true).write(true).open(&pipe);
        for line in BufReader::new(file.expect("the pipe opens")).lines() {
            let (at, Ok(line)) = (Instant::now(), line) else { return };
            let Some(probe) = number_of(&line) else { continue };
            if say.send(Seen { probe, at }).is_err() {
                return;
            }
        }
    });
    hear
}

/// Fired alerts of probes, as they are stored.
async fn alerts(bus: SharedBus) -> mpsc::UnboundedReceiver<Seen> {
    let filter = Subjects::default().of("alert.>");
    let mut reader = bus.read(Stream::Events, Some(&filter), 1).await.expect("alerts can be read");
    let (say, hear) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut fetched = Vec::new();
        while reader.next(&mut fetched).await.is_ok() {
            let at = Instant::now();
            for message in fetched.drain(..) {
                let subject = String::from_utf8_lossy(&message.subject).into_owned();
                let Some(probe) = number_of(&subject).filter(|_| subject.ends_with(".fired"))
                else {
                    continue;
                };
                if say.send(Seen { probe, at }).is_err() {
                    return;
                }
            }
        }
    });
    hear
}
