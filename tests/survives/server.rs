//! A nats-server that is not ours: `ops` is told where it is.

#![allow(dead_code, reason = "shared with tests/chaos; each uses its part of this")]

use crate::site::Site;
use crate::support::free_port;
use bus::SharedBus;
use bus::accounts::{Keyring, Keys, Role};
use bus::jetstream::{JetStream, Options};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::{Child, Command};

/// A nats-server of somebody else.
pub struct Server {
    child: Child,
    config: PathBuf,
    port: u16,
    /// What it is started by, word by word; usually nothing.
    by: Vec<String>,
    /// Where it listens.
    pub url: String,
}

impl Server {
    /// One that lets anybody in.
    pub async fn open(site: &Site) -> Self {
        Self::start(site, "", Vec::new()).await
    }

    /// The same, started by another program, for instance one that lets it see a disk of its own.
    pub async fn started_by(site: &Site, by: Vec<String>) -> Self {
        Self::start(site, "", by).await
    }

    /// One that knows the users of an `accounts.conf` in the folder of the site.
    pub async fn with_accounts(site: &Site, accounts: &str) -> Self {
        Self::start(site, &format!("include {accounts}\n"), Vec::new()).await
    }

    async fn start(site: &Site, users: &str, by: Vec<String>) -> Self {
        let port = free_port();
        let store = site.path("nats");
        site.write("nats.conf", &format!("jetstream {{ store_dir: {store:?} }}\n{users}"));
        let config = site.path("nats.conf");
        let child = serve(&config, port, &by).await;
        Self { child, config, port, by, url: format!("nats://127.0.0.1:{port}") }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// From its next start on it has room for so much, as its configuration says it.
    pub fn bound(&self, room: &str) {
        let text = std::fs::read_to_string(&self.config).unwrap();
        let bounded = text.replace("jetstream {", &format!("jetstream {{ max_file_store: {room},"));
        std::fs::write(&self.config, bounded).unwrap();
    }

    /// Kills it as a power cut would; it is back at the same address, with what it had stored, after a while.
    pub async fn lose(&mut self, away: Duration) {
        self.child.kill().await.unwrap();
        tokio::time::sleep(away).await;
        self.child = serve(&self.config, self.port, &self.by).await;
    }

    /// Its bus, where anybody may come in.
    pub async fn bus(&self) -> SharedBus {
        Arc::new(JetStream::connect(Options::new(self.url.clone())).await.unwrap())
    }

    /// Its bus with a key of a folder.
    pub async fn bus_as(&self, role: Role, keys: &Path) -> SharedBus {
        let keys = Keyring::new(Options::new(self.url.clone()), Keys::at(keys));
        Arc::new(JetStream::connect(keys.options(role)).await.unwrap())
    }
}

async fn serve(config: &Path, port: u16, by: &[String]) -> Child {
    let mut words = by.iter().map(OsString::from).collect::<Vec<_>>();
    words.push(bus::server::find().await.unwrap().into());
    let mut command = Command::new(words.remove(0));
    command.args(words);
    command.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-c"]);
    command.arg(config).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.kill_on_drop(true).spawn().unwrap();
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(child.try_wait().unwrap().is_none(), "nats-server ended");
        tokio::task::yield_now().await;
    }
    child
}
