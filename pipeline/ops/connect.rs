//! The bus of this process: a local server that is started and supervised, or one somewhere else.
//!
//! On a local server every role has a connection and a key of its own, so the lab runs with the permissions
//! of production. Elsewhere it is the same with a folder of keys; else one connection serves all roles of the
//! process, as the user that was named.

use crate::exit::{Failure, Kind};
use bus::accounts::{Keyring, Keys, Role};
use bus::jetstream::{Credentials, JetStream, Options, Secret};
use bus::layout::Layout;
use bus::server::{LocalServer, ServerError, ServerOptions};
use bus::{Bus, SharedBus};
use engine::{Applied, EngineError, InForce, apply_settings, wait_in_force};
use settings::OpsConfig;
use stages::settings::Settings;
use stages::subject::Subjects;
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for a revision to be in force in every log.
const IN_FORCE_MAX: Duration = Duration::from_secs(20);

/// A way to the bus.
pub struct Connection {
    /// How subjects are spelled there.
    pub subjects: Subjects,
    /// The local server, if this process runs one.
    server: Option<LocalServer>,
    way: Way,
}

enum Way {
    /// A key for each role.
    Keys(Box<Keyring>),
    /// One connection for all.
    One(JetStream),
}

impl Connection {
    /// The bus in a role.
    pub async fn in_role(&self, role: Role) -> Result<SharedBus, Failure> {
        Ok(Arc::new(self.jetstream(role).await?))
    }

    /// The same, where streams are handled as a whole.
    pub async fn jetstream(&self, role: Role) -> Result<JetStream, Failure> {
        match &self.way {
            Way::One(bus) => Ok(bus.clone()),
            Way::Keys(keys) if keys.holds(role) => {
                Ok(JetStream::connect(keys.options(role)).await?)
            }
            Way::Keys(_) => Err(no_key(role)),
        }
    }

    /// Whether this process may be in a role at all.
    pub fn may_be(&self, role: Role) -> bool {
        match &self.way {
            Way::One(_) => true,
            Way::Keys(keys) => keys.holds(role),
        }
    }

    /// Creates the streams that are missing and checks the others. Who sets streams up has the key for it; everybody
    /// else finds them there.
    pub async fn ensure(&self, ops: &OpsConfig) -> Result<(), Failure> {
        let bus = match &self.way {
            Way::One(bus) => bus.clone(),
            Way::Keys(keys) if keys.holds(Role::Admin) => {
                let mut admin = keys.options(Role::Admin);
                admin.log_age_max = Some(ops.bus.log_keep.as_std());
                JetStream::connect(admin).await?
            }
            Way::Keys(_) => return Ok(()),
        };
        Ok(bus.ensure(ops.bus.shards).await?)
    }

    /// Ends the local server, if there is one. Everything that uses it has ended before.
    pub async fn close(self) {
        drop(self.way);
        if let Some(server) = self.server {
            server.stop().await;
        }
    }
}

/// Connects, and sees to the streams; starts a local server where none is named.
pub async fn open(ops: &OpsConfig, agent: &str) -> Result<Connection, Failure> {
    let connection = begin(ops, agent).await?;
    connection.ensure(ops).await?;
    Ok(connection)
}

/// The same, whatever streams there are.
pub async fn begin(ops: &OpsConfig, agent: &str) -> Result<Connection, Failure> {
    if ops.bus.url.is_some() {
        return remote(ops).await;
    }
    let (data, agent) = (ops.data.clone(), agent.to_owned());
    let options = ServerOptions { data, port: None, layout: layout(ops), agent };
    let server = LocalServer::start(options).await.map_err(not_started)?;
    let way = Way::Keys(Box::new(server.keyring()));
    Ok(Connection { subjects: Subjects::new(&ops.bus.prefix), server: Some(server), way })
}

/// Connects to a bus that runs already: the one that is named, or the local one of the data folder.
pub async fn existing(ops: &OpsConfig) -> Result<Connection, Failure> {
    if ops.bus.url.is_some() {
        let connection = remote(ops).await?;
        connection.ensure(ops).await?;
        return Ok(connection);
    }
    let keys = bus::server::attach(&ops.data, layout(ops)).await.map_err(not_started)?;
    let subjects = Subjects::new(&ops.bus.prefix);
    Ok(Connection { subjects, server: None, way: Way::Keys(Box::new(keys)) })
}

/// What came of applying a revision.
pub struct Outcome {
    /// Whether it was not in force before.
    pub changed: bool,
    /// What is in force by now.
    pub now: InForce,
}

/// Makes a revision the one in force, and waits until it is, or a later one.
pub async fn apply(
    connection: &Connection,
    revision: &Settings,
    shards: u32,
) -> Result<Outcome, Failure> {
    let admin = connection.in_role(Role::Admin).await?;
    let subjects = &connection.subjects;
    let applied = apply_settings(&admin, subjects, revision).await.map_err(engine_failed)?;
    let wanted = (&*revision.revision, applied);
    let now = wait_in_force(&admin, subjects, shards, wanted, IN_FORCE_MAX).await;
    let now = now.map_err(engine_failed)?;
    Ok(Outcome { changed: matches!(applied, Applied::Stored(_)), now })
}

/// What a role of this process is called on the bus.
pub const fn on_the_bus(role: settings::Role) -> Role {
    match role {
        settings::Role::Engine => Role::Owner,
        settings::Role::Collector => Role::Collector,
        settings::Role::Notifier => Role::Notifier,
        settings::Role::Agent => Role::Agent,
        settings::Role::Board => Role::Board,
    }
}

/// What the engine says, as a failure of the right kind.
pub fn engine_failed(error: EngineError) -> Failure {
    match error {
        EngineError::Bus(error) => error.into(),
        other => Failure::new(Kind::Failed, other.to_string()),
    }
}

fn layout(ops: &OpsConfig) -> Layout {
    Layout { subject_prefix: ops.bus.prefix.clone(), ..Layout::default() }
}

async fn remote(ops: &OpsConfig) -> Result<Connection, Failure> {
    let config = &ops.bus;
    let urls = config.url.iter().flat_map(|urls| urls.split(',')).map(|url| url.trim().to_owned());
    let mut options = Options::new("");
    options.urls = urls.collect();
    options.layout = layout(ops);
    options.replicas = config.replicas;
    options.log_age_max = Some(config.log_keep.as_std());
    options.credentials = match (&config.credentials_file, &config.user, &config.password) {
        (Some(file), ..) => Credentials::CredentialsFile(file.clone()),
        (None, Some(user), Some(password)) => {
            let password =
                password.read().map_err(|error| Failure::new(Kind::Settings, error.to_string()))?;
            let password = Secret::new(password.unwrap_or_default());
            Credentials::Password { user: user.clone(), password }
        }
        _ => Credentials::None,
    };
    let subjects = Subjects::new(&config.prefix);
    let way = match &config.keys_folder {
        Some(folder) => Way::Keys(Box::new(Keyring::new(options, Keys::at(folder)))),
        None => Way::One(JetStream::connect(options).await?),
    };
    Ok(Connection { subjects, server: None, way })
}

fn no_key(role: Role) -> Failure {
    let name = role.name();
    let text = format!(
        "bus.keys_folder holds no {name}.nk, the key of the {name}: put it there (`ops keys` makes keys), or \
         leave out the role"
    );
    Failure::new(Kind::Settings, text)
}

fn not_started(error: ServerError) -> Failure {
    let kind = match &error {
        ServerError::Data { .. } | ServerError::Keys(_) => Kind::Data,
        ServerError::Absent(_) | ServerError::Binary(_) | ServerError::Start { .. } => {
            Kind::BusUnreachable
        }
    };
    Failure::new(kind, error.to_string())
}
