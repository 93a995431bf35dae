//! A bare nats-server with JetStream in a folder of its own. Unlike the one `ops up` runs it does not wait for the
//! disk at each message, so that filling a stream takes seconds; what is read from it costs the same.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Longest wait until it answers.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server; ends with this value.
pub struct PlainServer {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl PlainServer {
    /// Starts it on a free port and waits until it answers.
    pub async fn start() -> Self {
        let binary = bus::server::find().await.expect("a nats-server: `make setup-lab` gets one");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.expect("a free port").port();
        let child = Command::new(binary)
            .args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server runs");
        let server = Self { child, port, _folder: folder };
        let answers = async {
            while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, answers).await.expect("nats-server answers");
        server
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for PlainServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
