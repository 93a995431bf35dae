//! A collector on a free port, a client that speaks plain HTTP to it, and a bus whose acks wait.

#![allow(dead_code, clippy::unwrap_used, missing_docs)]

use async_trait::async_trait;
use bus::layout::Layout;
use bus::memory::MemoryBus;
use bus::{
    Bus, BusError, Message, Outgoing, Reader, Stored, Stream, StreamState, WorkOptions, Worker,
};
use collector::{CollectorHandle, CollectorLimits, CollectorOptions};
use stages::batch::{Batch, TableCache};
use stages::subject::Subjects;
use stages::time::Time;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

pub struct Collector {
    pub address: SocketAddr,
    pub handle: CollectorHandle,
}

pub fn options(bus: impl Bus) -> CollectorOptions {
    CollectorOptions {
        bus: Arc::new(bus),
        subjects: Subjects::default(),
        shards: 1,
        token: None,
        limits: CollectorLimits::default(),
        behind: None,
    }
}

pub async fn memory() -> MemoryBus {
    let bus = MemoryBus::real_time(Layout::default());
    bus.ensure(1).await.unwrap();
    bus
}

pub async fn start(options: CollectorOptions) -> Collector {
    let (routes, handle) = collector::router(options);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Collector { address, handle }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: serde_json::Value,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

impl Collector {
    pub async fn post(&self, body: impl AsRef<[u8]>) -> Answer {
        self.ask("POST", "/metric", &[], body).await
    }

    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Answer {
        let body = body.as_ref();
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n");
        head += &format!("Content-Length: {}\r\n", body.len());
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(b"\r\n").await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body = serde_json::from_str(body).unwrap_or_default();
        Answer { status, head: head.to_owned(), body }
    }
}

/// The samples of all batches in the log: client, number, key, value.
pub fn stored(messages: &[Message]) -> Vec<(String, u64, String, f64)> {
    let mut all = Vec::new();
    for message in messages {
        let batch = Batch::parse(&message.payload).unwrap();
        for section in batch.sections() {
            let mut cache = TableCache::default();
            let keys = cache.ids(section.table, |row| row.key.to_owned()).unwrap();
            for (block, key) in section.blocks().zip(keys.iter()) {
                block
                    .for_each(|_, value, _| {
                        all.push((section.client.to_owned(), section.number, key.clone(), value));
                    })
                    .unwrap();
            }
        }
    }
    all
}

/// A bus that stores batches at once, but keeps the ack back until it is let go.
#[derive(Clone)]
pub struct Withholding {
    pub inner: MemoryBus,
    /// Gets a permit for each batch that is stored and not acked.
    pub stored: Arc<Semaphore>,
    /// Takes a permit for each ack.
    pub acks: Arc<Semaphore>,
}

impl Withholding {
    pub async fn new() -> Self {
        let nothing = || Arc::new(Semaphore::new(0));
        Self { inner: memory().await, stored: nothing(), acks: nothing() }
    }

    pub async fn one_is_stored(&self) {
        self.stored.acquire().await.unwrap().forget();
    }
}

#[async_trait]
impl Bus for Withholding {
    async fn ensure(&self, shards: u32) -> Result<(), BusError> {
        self.inner.ensure(shards).await
    }
    async fn publish(&self, message: Outgoing) -> Result<Stored, BusError> {
        let withheld = message.subject.ends_with(".batch");
        let stored = self.inner.publish(message).await?;
        if withheld {
            self.stored.add_permits(1);
            self.acks.acquire().await.unwrap().forget();
        }
        Ok(stored)
    }
    async fn commit(&self, batch: Vec<Outgoing>) -> Result<u64, BusError> {
        self.inner.commit(batch).await
    }
    async fn last(&self, stream: Stream, subject: &str) -> Result<Option<Message>, BusError> {
        self.inner.last(stream, subject).await
    }
    async fn subjects(&self, stream: Stream, filter: &str) -> Result<Vec<String>, BusError> {
        self.inner.subjects(stream, filter).await
    }

    async fn state(&self, stream: Stream) -> Result<StreamState, BusError> {
        self.inner.state(stream).await
    }
    async fn first_at(&self, stream: Stream, time: Time) -> Result<u64, BusError> {
        self.inner.first_at(stream, time).await
    }
    async fn read(
        &self,
        stream: Stream,
        filter: Option<&str>,
        from: u64,
    ) -> Result<Box<dyn Reader>, BusError> {
        self.inner.read(stream, filter, from).await
    }
    async fn work(
        &self,
        stream: Stream,
        filter: &str,
        name: &str,
        options: WorkOptions,
    ) -> Result<Box<dyn Worker>, BusError> {
        self.inner.work(stream, filter, name, options).await
    }
    async fn purge(&self, stream: Stream, subject: &str, keep: u64) -> Result<(), BusError> {
        self.inner.purge(stream, subject, keep).await
    }
    fn connected(&self) -> bool {
        self.inner.connected()
    }
}
