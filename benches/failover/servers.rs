//! The bus that is measured: one nats-server or a cluster of three, which waits for the disk at each acknowledgement or
//! as nats-server comes. Anybody may come in: rights cost nothing that is measured here.

use bus::SharedBus;
use bus::jetstream::{JetStream, Options};
use std::fmt;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Longest wait until a server answers.
const PATIENCE: Duration = Duration::from_secs(20);

/// How the bus keeps what it is given.
#[derive(Clone, Copy)]
pub struct Keeping {
    /// Servers, and copies.
    pub servers: usize,
    /// Every acknowledgement waits for the disk.
    pub always: bool,
}

impl fmt::Display for Keeping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sync = if self.always { "always" } else { "default" };
        write!(f, "R{}, sync {sync}", self.servers)
    }
}

/// Running servers; they end with this value.
pub struct Servers {
    children: Vec<Child>,
    ports: Vec<u16>,
    _folder: tempfile::TempDir,
}

impl Servers {
    /// Starts them, and makes the streams.
    pub async fn start(keeping: Keeping) -> Self {
        let binary = bus::server::find().await.expect("a nats-server: `make setup-lab` gets one");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let free = || {
            let listener = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
            listener.expect("a free port").port()
        };
        let ports: Vec<u16> = (0..keeping.servers).map(|_| free()).collect();
        let routes: Vec<u16> = (0..keeping.servers).map(|_| free()).collect();
        let others: Vec<String> =
            routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let sync = if keeping.always { "sync_interval: always" } else { "" };
        let mut children = Vec::new();
        for (number, (port, route)) in ports.iter().zip(&routes).enumerate() {
            let store = folder.path().join(format!("store{number}"));
            let cluster = format!(
                "cluster {{ name: bench, listen: \"127.0.0.1:{route}\", routes: [{}] }}\n",
                others.join(", ")
            );
            let text = format!(
                "server_name: bus{number}\nlisten: \"127.0.0.1:{port}\"\njetstream {{ store_dir: {store:?}\n{sync}\n}}\n{}",
                if keeping.servers > 1 { &cluster } else { "" }
            );
            let config = folder.path().join(format!("bus{number}.conf"));
            std::fs::write(&config, text).expect("a file is written");
            let mut command = Command::new(&binary);
            command.arg("--config").arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
            children.push(command.spawn().expect("nats-server runs"));
        }
        let servers = Self { children, ports, _folder: folder };
        servers.bus().await.ensure(1).await.expect("streams are made");
        servers
    }

    /// Addresses of all of them.
    pub fn url(&self) -> String {
        let urls = self.ports.iter().map(|port| format!("nats://127.0.0.1:{port}"));
        urls.collect::<Vec<_>>().join(",")
    }

    /// A connection.
    pub async fn bus(&self) -> SharedBus {
        let urls: Vec<String> = self.url().split(',').map(str::to_owned).collect();
        let connecting = async {
            loop {
                let options = Options { urls: urls.clone(), ..Options::new("") };
                match JetStream::connect(options).await {
                    Ok(bus) => return Arc::new(bus),
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, connecting).await.expect("nats-server answers")
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
