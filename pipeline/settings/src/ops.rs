//! `config/ops.yml`: how this process runs. Stays at the edge, except `limits`, which decisions need.
//!
//! The committed file shows every field with its default. Environment variables override it
//! ([`crate::VARIABLES`]).

mod read;

pub(crate) use read::read;

use crate::secret::Secret;
use stages::time::Span;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

/// How a process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpsConfig {
    /// Addresses of collector, board and health.
    pub listen: Vec<SocketAddr>,
    /// Where people find the board, without a slash at the end; links in messages begin with it.
    pub public_url: String,
    /// What the collector asks its clients for; none: nothing.
    pub token: Option<Secret>,
    /// Where this process keeps its files: the local bus, journals, the outbox.
    pub data: PathBuf,
    /// What this process does.
    pub roles: BTreeSet<Role>,
    /// Threads of the dataflow.
    pub workers: usize,
    /// The bus.
    pub bus: BusConfig,
    /// How messages are sent.
    pub notify: NotifyConfig,
}

/// What a process can do; all of them unless said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Owns logs and decides.
    Engine,
    /// Takes samples over HTTP.
    Collector,
    /// Sends messages.
    Notifier,
    /// Runs rollback scripts.
    Agent,
    /// Shows charts.
    Board,
}

/// All roles by the word people write.
pub const ROLES: [(&str, Role); 5] = [
    ("engine", Role::Engine),
    ("collector", Role::Collector),
    ("notifier", Role::Notifier),
    ("agent", Role::Agent),
    ("board", Role::Board),
];

/// The bus: where it is and how it is laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusConfig {
    /// `nats://` or `tls://` addresses; none: start and supervise a local server.
    pub url: Option<String>,
    /// User, with `password`.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// A `.creds` file instead of user and password.
    pub credentials_file: Option<PathBuf>,
    /// A folder with an nkey seed for each role this process is in, `<role>.nk`; instead of one user for all.
    pub keys_folder: Option<PathBuf>,
    /// First tokens of all subjects.
    pub prefix: String,
    /// Shards; fixed when the streams are created.
    pub shards: u32,
    /// Copies of every stream: 1, 3 or 5; none: three on a cluster, else one.
    pub replicas: Option<u32>,
    /// How long samples are kept.
    pub log_keep: Span,
    /// Automatic actions even on a bus that lets anybody in.
    pub actions_without_authentication: bool,
}

/// How messages are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifyConfig {
    /// The mail server; none: mails are written to the outbox.
    pub smtp: Option<Smtp>,
    /// Sender of mails.
    pub from: String,
    /// What providers accept.
    pub pacing: Pacing,
}

/// A mail server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smtp {
    /// Its name.
    pub host: String,
    /// Its port; 25, 587 or 465 by the kind of TLS unless said.
    pub port: u16,
    /// How the connection is secured; by STARTTLS unless said.
    pub tls: Tls,
    /// A PEM file of authorities to trust besides the public ones, for a server with a private one's certificate.
    pub authorities: Option<PathBuf>,
    /// User, with `password`.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
}

/// How a connection to a mail server is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Not at all.
    None,
    /// From STARTTLS on, which the server must offer.
    StartTls,
    /// From the first byte.
    Tls,
}

/// Messages a provider accepts per minute; sends beyond it wait, none is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pacing {
    /// Mails; a small relay accepts one a second.
    pub email_per_minute: u32,
    /// PagerDuty documents 120 events a minute and integration.
    pub pager_duty_per_minute: u32,
    /// Posts to webhooks.
    pub webhook_per_minute: u32,
}
