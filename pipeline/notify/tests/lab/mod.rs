//! A bus, a notifier, and the providers it talks to: real servers on free ports.
#![allow(dead_code, clippy::unwrap_used)]

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bus::layout::Layout;
use bus::memory::MemoryBus;
use bus::{Bus, Outgoing, Stream};
use notify::{Contacts, Notifier, NotifierOptions, Retry};
use serde_json::{Value, json};
use settings::{Endpoint, Endpoints, NotifyConfig, Pacing, Secret, Smtp, Tls, WebhookUrl};
use stages::subject::Subjects;
use stages::time::{Span, Time};
use stages::wire::{Delivery, DeliveryState, Evidence, Intent, Reason, SCHEMA};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;

/// Nothing here takes this long; it keeps a broken test from hanging.
pub const HANG: Duration = Duration::from_secs(60);

pub struct Lab {
    pub folder: tempfile::TempDir,
    pub bus: MemoryBus,
    pub subjects: Subjects,
}

impl Lab {
    pub async fn new() -> Self {
        let bus = MemoryBus::real_time(Layout::default());
        bus.ensure(1).await.unwrap();
        Self { folder: tempfile::tempdir().unwrap(), bus, subjects: Subjects::default() }
    }

    /// A notifier's options with `channels` for receiver `oncall`, to be changed by the test.
    pub fn options(&self, channels: Vec<Endpoint>) -> NotifierOptions {
        let pacing = Pacing {
            email_per_minute: 60_000,
            pager_duty_per_minute: 60_000,
            webhook_per_minute: 60_000,
        };
        NotifierOptions {
            bus: Arc::new(self.bus.clone()),
            subjects: self.subjects.clone(),
            contacts: Contacts {
                endpoints: Endpoints::from([("oncall".to_owned(), channels)]),
                config: NotifyConfig { smtp: None, from: "hms-ops@opm.gov".to_owned(), pacing },
                fallback: None,
                board_url: "http://localhost:9900".to_owned(),
                late_after: Duration::from_secs(900),
            },
            read_again: None,
            outbox: None,
            retry: Retry {
                wait_min: Duration::from_millis(5),
                wait_max: Duration::from_millis(20),
                ..Retry::default()
            },
        }
    }

    pub async fn tell(&self, intent: &Intent) {
        let message = Outgoing {
            subject: self.subjects.notify(&intent.receiver),
            payload: serde_json::to_vec(intent).unwrap().into(),
            ..Outgoing::default()
        };
        self.bus.publish(message).await.unwrap();
    }

    /// All deliveries of `key`, in order, once there is one with a last word.
    pub async fn deliveries(&self, key: &str) -> Vec<Delivery> {
        let filter = self.subjects.of("status.notify.>");
        let mut reader = self.bus.read(Stream::Outcomes, Some(&filter), 1).await.unwrap();
        let mut found: Vec<Delivery> = Vec::new();
        let reading = async {
            while !found.iter().any(|one| is_last(one.state)) {
                let mut messages = Vec::new();
                reader.next(&mut messages).await.unwrap();
                let read = messages.iter().map(|one| serde_json::from_slice(&one.payload).unwrap());
                found.extend(read.filter(|one: &Delivery| one.key == key));
            }
        };
        tokio::time::timeout(HANG, reading).await.expect("a last word comes");
        found
    }

    /// The states of all deliveries of `key`, with the channels they were about.
    pub async fn states(&self, key: &str) -> Vec<(String, DeliveryState)> {
        self.deliveries(key).await.into_iter().map(|one| (one.channel, one.state)).collect()
    }

    /// Everything on the bus, as text.
    pub fn everything_said(&self) -> String {
        let said = self.bus.messages(Stream::Outcomes);
        said.iter().map(|one| String::from_utf8_lossy(&one.payload).into_owned()).collect()
    }

    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

fn is_last(state: DeliveryState) -> bool {
    matches!(state, DeliveryState::Delivered | DeliveryState::Outbox | DeliveryState::Failed)
}

pub fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Time(i64::try_from(since.as_nanos()).unwrap())
}

/// The brief's page to `oncall`, by the given kinds of channel.
pub fn page(key: &str, reason: Reason, channels: &[&str]) -> Intent {
    Intent {
        schema: SCHEMA,
        key: key.to_owned(),
        dedup_key: "incident-1-oncall".to_owned(),
        receiver: "oncall".to_owned(),
        channels: channels.iter().map(|kind| (*kind).to_owned()).collect(),
        reason,
        incident: Some("1234567890abcdef".to_owned()),
        rule: "county_api".to_owned(),
        metric: "county_api_ms".to_owned(),
        group: [].into(),
        severity: "critical".to_owned(),
        summary: "county_api_ms 1580 ms (threshold 1000)".to_owned(),
        time: now(),
        opened: Some(now()),
        ended: None,
        deadline: now().plus(Span::from_secs(300)),
        position: 7,
        unit: "ms".to_owned(),
        evidence: Some(Evidence { threshold: 1000.0, count: 570, ..Evidence::default() }),
        action: None,
        action_name: Some("ROLLBACK:DOCKET_RULE".to_owned()),
        action_detail: None,
        runbook: Some("wiki/slow-county-api".to_owned()),
        labels: [].into(),
        annotations: [].into(),
        folded: Vec::new(),
        folded_count: 0,
    }
}

/// What a web provider was sent.
#[derive(Debug)]
pub struct Posted {
    pub headers: HeaderMap,
    pub body: Value,
}

/// A web server that takes posts and answers what it is told to, then 202.
pub struct Web {
    pub url: String,
    pub posts: mpsc::UnboundedReceiver<Posted>,
    answers: Arc<Mutex<VecDeque<Response>>>,
}

type Shared = (mpsc::UnboundedSender<Posted>, Arc<Mutex<VecDeque<Response>>>);

impl Web {
    pub async fn start(answers: Vec<Response>) -> Self {
        let (sender, posts) = mpsc::unbounded_channel();
        let answers = Arc::new(Mutex::new(VecDeque::from(answers)));
        let take = |State((sender, answers)): State<Shared>, headers: HeaderMap, body: Bytes| async move {
            let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
            let _ = sender.send(Posted { headers, body });
            let next = answers.lock().unwrap().pop_front();
            next.unwrap_or_else(|| (StatusCode::ACCEPTED, "taken").into_response())
        };
        let app = axum::Router::new().fallback(take).with_state((sender, answers.clone()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, posts, answers }
    }

    pub async fn next(&mut self) -> Posted {
        tokio::time::timeout(HANG, self.posts.recv()).await.expect("a post comes").unwrap()
    }

    pub fn webhook(&self) -> Endpoint {
        Endpoint::Webhook { url: WebhookUrl::Plain(self.url.clone()), token: None }
    }

    pub fn pager(&self, key: &Path) -> Endpoint {
        Endpoint::PagerDuty { key: Secret::File(key.to_owned()), url: self.url.clone() }
    }
}

pub fn answer(status: u16) -> Response {
    StatusCode::from_u16(status).unwrap().into_response()
}

/// A mail the SMTP server was given.
#[derive(Debug, serde::Deserialize)]
pub struct Mail {
    pub from: String,
    pub to: Vec<String>,
    pub content: String,
    pub encrypted: bool,
    pub authenticated: bool,
    pub answer: String,
}

/// A real SMTP server.
pub struct MailServer {
    pub port: u16,
    lines: Lines<BufReader<ChildStdout>>,
    _input: ChildStdin,
    _child: Child,
}

impl MailServer {
    /// Starts one; see `smtp_server.py` for what `how` may say.
    pub async fn start(how: Value) -> Self {
        let mut child = Command::new(python())
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/smtp_server.py"))
            .arg(how.to_string())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the Python of the tests; `make setup` installs it");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next_line().await.unwrap().expect("the SMTP server starts");
        let first: Value = serde_json::from_str(&first).unwrap();
        let port = u16::try_from(first["port"].as_u64().unwrap()).unwrap();
        Self { port, lines, _input: child.stdin.take().unwrap(), _child: child }
    }

    pub async fn plain(answers: &[&str]) -> Self {
        Self::start(json!({ "tls": "none", "answers": answers })).await
    }

    pub async fn next(&mut self) -> Mail {
        let line = tokio::time::timeout(HANG, self.lines.next_line()).await.expect("a mail comes");
        serde_json::from_str(&line.unwrap().unwrap()).unwrap()
    }

    pub fn smtp(&self, tls: Tls) -> Smtp {
        let host = "localhost".to_owned();
        Smtp { host, port: self.port, tls, authorities: None, user: None, password: None }
    }
}

/// The Python with aiosmtpd: `OPS_TEST_PYTHON`, else the project's own.
fn python() -> PathBuf {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.tools/venv/bin/python");
    std::env::var_os("OPS_TEST_PYTHON").map_or_else(|| PathBuf::from(own), PathBuf::from)
}

pub fn mail_to(address: &str) -> Endpoint {
    Endpoint::Email { to: vec![address.to_owned()] }
}

pub fn start(options: NotifierOptions) -> Notifier {
    Notifier::start(options).unwrap()
}
