//! Three nats-servers of one cluster, each with the configuration of `deploy/nats/cluster/`.

use crate::site::{ASK_EVERY, Site};
use crate::support::{PATIENCE, free_port, ops, root};
use bus::accounts::{Keyring, Keys, Role};
use bus::jetstream::{JetStream, Options};
use bus::{SharedBus, layout::Layout};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use tokio::process::{Child, Command};

/// How many they are.
const COUNT: usize = 3;

/// The servers, and the folder with everybody's keys.
pub struct Servers {
    running: [Option<Child>; COUNT],
    clients: [u16; COUNT],
    routes: [u16; COUNT],
    folder: PathBuf,
    admin: async_nats::Client,
}

impl Servers {
    /// Makes keys for one agent, `host1`, starts the servers, and waits until they have elected a leader.
    pub async fn start(site: &Site) -> Self {
        let folder = site.path("bus");
        let made = ops(&["keys", folder.to_str().unwrap(), "--agent", "host1"]).output().await;
        assert!(made.unwrap().status.success());
        std::fs::copy(root().join("deploy/nats/cluster/server.conf"), folder.join("server.conf"))
            .unwrap();
        let (clients, routes) =
            ([(); COUNT].map(|()| free_port()), [(); COUNT].map(|()| free_port()));
        let mut running = [const { None }; COUNT];
        for (number, server) in running.iter_mut().enumerate() {
            *server = Some(spawn(&folder, (&clients, &routes), number).await);
        }
        let seed = std::fs::read_to_string(folder.join("admin.nk")).unwrap();
        let admin = async_nats::ConnectOptions::with_nkey(seed.trim().to_owned())
            .custom_inbox_prefix("_INBOX_admin")
            .retry_on_initial_connect();
        let admin = admin.connect(urls(&clients)).await.unwrap();
        let servers = Self { running, clients, routes, folder, admin };
        servers.until("INFO", |answer| answer["error"].is_null()).await;
        servers
    }

    /// All their addresses.
    pub fn url(&self) -> String {
        urls(&self.clients).join(",")
    }

    /// The folder with the keys of a role; an agent has one of its own.
    pub fn keys(&self, role: Role) -> PathBuf {
        match role {
            Role::Agent => self.folder.join("agents/host1"),
            _ => self.folder.clone(),
        }
    }

    /// The bus in a role.
    pub async fn bus(&self, role: Role) -> SharedBus {
        let options = Options { urls: urls(&self.clients), ..Options::new("") };
        let keys = Keyring::new(options, Keys::at(&self.folder));
        Arc::new(JetStream::connect(keys.options(role)).await.unwrap())
    }

    /// Calls the API of JetStream as admin until the answer is as `wanted`.
    pub async fn until(&self, call: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let asking = async {
            loop {
                let answer = self.admin.request(format!("$JS.API.{call}"), "".into()).await;
                if let Ok(answer) = answer {
                    last = serde_json::from_slice(&answer.payload).unwrap();
                    if wanted(&last) {
                        return last.clone();
                    }
                }
                tokio::time::sleep(ASK_EVERY).await;
            }
        };
        let answered = tokio::time::timeout(PATIENCE, asking).await;
        answered.unwrap_or_else(|_| panic!("{call}: never so; last {last:#}"))
    }

    /// Number of the server that leads a stream.
    pub async fn leader(&self, stream: bus::Stream) -> usize {
        let call = format!("STREAM.INFO.{}", Layout::default().stream_name(stream));
        let led = self.until(&call, |info| info["cluster"]["leader"].is_string()).await;
        let name = led["cluster"]["leader"].as_str().unwrap();
        (0..COUNT).find(|number| name == self::name(*number)).unwrap()
    }

    /// Kills a server as a power cut would; its disk stays.
    pub async fn kill(&mut self, number: usize) {
        self.running[number].take().expect("it runs").kill().await.unwrap();
    }

    /// Starts it again, and waits until every copy of the product's streams is as new as the others.
    pub async fn start_again(&mut self, number: usize) {
        let ports = (&self.clients[..], &self.routes[..]);
        self.running[number] = Some(spawn(&self.folder, ports, number).await);
        for spec in bus::layout::SPECS {
            let call = format!("STREAM.INFO.{}", Layout::default().stream_name(spec.stream));
            self.until(&call, |info| {
                let others = info["cluster"]["replicas"].as_array();
                let whole = |copy: &Value| copy["current"] == true && copy["offline"] != true;
                others.is_some_and(|others| others.len() == COUNT - 1 && others.iter().all(whole))
            })
            .await;
        }
    }
}

fn name(number: usize) -> String {
    format!("bus{}", number + 1)
}

fn urls(ports: &[u16]) -> Vec<String> {
    ports.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect()
}

async fn spawn(folder: &Path, (clients, routes): (&[u16], &[u16]), number: usize) -> Child {
    let route = |port: &u16| format!("nats://route:between@127.0.0.1:{port}");
    let others: Vec<String> = routes.iter().map(route).collect();
    let name = name(number);
    let mut command = Command::new(bus::server::find().await.unwrap());
    let log =
        std::fs::File::options().create(true).append(true).open(folder.join(format!("{name}.log")));
    command
        .arg("--config")
        .arg(folder.join("server.conf"))
        .env("OPS_NATS_NAME", &name)
        .env("OPS_NATS_LISTEN", format!("127.0.0.1:{}", clients[number]))
        .env("OPS_NATS_CLUSTER_LISTEN", format!("127.0.0.1:{}", routes[number]))
        .env("OPS_NATS_ROUTES", format!("[{}]", others.join(", ")))
        .env("OPS_NATS_ROUTE_PASSWORD", "between")
        .env("OPS_NATS_STORE", folder.join(&name))
        .stdout(Stdio::null())
        .stderr(log.unwrap())
        .kill_on_drop(true);
    command.spawn().unwrap()
}
