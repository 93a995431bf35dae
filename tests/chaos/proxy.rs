//! A way to the nats-server that can be bad: slow, without answers, or cut.

use crate::support::free_port;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How the way is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As if there were none.
    Good,
    /// Everything takes this long, both ways.
    Slow(Duration),
    /// What is said arrives, what is answered is lost; the connection is cut when this ends.
    Deaf,
    /// Cut, and nobody gets through.
    Cut,
}

/// A way to a server.
pub struct Proxy {
    port: u16,
    way: watch::Sender<Way>,
}

impl Proxy {
    /// A good way to `port`.
    pub async fn to(server: u16) -> Self {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let way = watch::Sender::new(Way::Good);
        let heard = way.subscribe();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, heard.clone()));
            }
        });
        Self { port, way }
    }

    /// Where it begins.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// From now on the way is like this.
    pub fn turn(&self, way: Way) {
        self.way.send_replace(way);
    }
}

/// Dropped, both ends are closed.
async fn carry(client: TcpStream, server: u16, way: watch::Receiver<Way>) {
    if *way.borrow() == Way::Cut {
        return;
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = forward(from_client, to_server, way.clone(), false) => {}
        () = forward(from_server, to_client, way, true) => {}
    }
}

/// Until one end closes or the way is cut.
async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut way: watch::Receiver<Way>,
    answers: bool,
) {
    let (mut buffer, mut swallowed) = (vec![0; 64 << 10], false);
    loop {
        let read = tokio::select! {
            changed = way.changed() => match changed {
                Ok(()) => None,
                Err(_) => return,
            },
            read = from.read(&mut buffer) => Some(read.unwrap_or_default()),
        };
        let now = *way.borrow();
        if now == Way::Cut || (swallowed && now != Way::Deaf) || read == Some(0) {
            return;
        }
        let Some(read) = read else { continue };
        if now == Way::Deaf && answers {
            swallowed = true;
            continue;
        }
        if let Way::Slow(delay) = now {
            tokio::time::sleep(delay).await;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
