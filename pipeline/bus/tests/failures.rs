//! What goes wrong with a real server, and what a caller then sees.

use bus::accounts::{Keys, Role};
use bus::jetstream::JetStream;
use bus::layout::Layout;
use bus::server::{LocalServer, ServerOptions};
use bus::{Bus, BusError, Expect, Message, Outgoing, Reader, Stream, WorkOptions};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Anything awaited in a test comes within this, or the test has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// A request that nobody answers waits longer than this.
const FAST: Duration = Duration::from_secs(3);

struct Site {
    server: LocalServer,
    keys: Keys,
    data: tempfile::TempDir,
}

impl Site {
    async fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let options = ServerOptions {
            data: data.path().to_owned(),
            port: None,
            layout: Layout::default(),
            agent: "host1".to_owned(),
        };
        let server = LocalServer::start(options).await.unwrap();
        let keys = Keys::open(data.path().join("nats/keys")).unwrap();
        let site = Self { server, keys, data };
        site.bus(Role::Admin).await.ensure(1).await.unwrap();
        site
    }

    async fn bus(&self, role: Role) -> JetStream {
        JetStream::connect(self.server.options(role)).await.unwrap()
    }

    /// A call of the JetStream API that the product itself never makes.
    async fn call(&self, call: &str) {
        let seed = std::fs::read_to_string(self.keys.seed_file(Role::Admin)).unwrap();
        let options = async_nats::ConnectOptions::new()
            .nkey(seed)
            .custom_inbox_prefix(Role::Admin.inbox_prefix());
        let client = options.connect(self.server.url()).await.unwrap();
        let answer = client.request(format!("$JS.API.{call}"), Bytes::new()).await.unwrap();
        let answer = String::from_utf8_lossy(&answer.payload).into_owned();
        assert!(answer.contains("\"success\":true"), "{call}: {answer}");
    }

    /// Kills the server without warning; its supervisor starts it again.
    fn kill_server(&self) {
        let ports = std::fs::read_dir(self.data.path().join("nats/ports")).unwrap();
        let file = ports.map(|file| file.unwrap().file_name()).next().unwrap();
        let name = file.into_string().unwrap();
        let pid = name.strip_prefix("nats-server_").unwrap().strip_suffix(".ports").unwrap();
        let killed = std::process::Command::new("kill").args(["-9", pid]).status().unwrap();
        assert!(killed.success());
    }
}

fn message(subject: &str, payload: &str) -> Outgoing {
    let (subject, payload) = (subject.to_owned(), Bytes::copy_from_slice(payload.as_bytes()));
    Outgoing { subject, payload, ..Outgoing::default() }
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not in time"))
}

async fn take(reader: &mut dyn Reader, count: usize) -> Vec<Message> {
    let mut messages = Vec::new();
    while messages.len() < count {
        within("a reader", reader.next(&mut messages)).await.unwrap();
    }
    messages
}

#[tokio::test]
async fn a_reader_of_a_stream_that_was_created_anew_says_so() {
    let site = Site::new().await;
    let owner = site.bus(Role::Owner).await;
    for _ in 0..5 {
        owner.publish(message("ops.log.0.tick", "old")).await.unwrap();
    }
    let mut reader = owner.read(Stream::Log, None, 1).await.unwrap();
    take(&mut *reader, 5).await;
    site.call("STREAM.DELETE.OPS_LOG").await;
    site.bus(Role::Admin).await.ensure(1).await.unwrap();
    for _ in 0..9 {
        owner.publish(message("ops.log.0.tick", "new")).await.unwrap();
    }
    // Not the new 6 as if it came behind the old 5, now and however often it is asked.
    for _ in 0..2 {
        let mut messages = Vec::new();
        let next = within("the reader", reader.next(&mut messages)).await;
        assert!(matches!(&next, Err(BusError::Anew { stream }) if stream == "OPS_LOG"), "{next:?}");
        assert!(messages.is_empty());
    }
    let mut fresh = owner.read(Stream::Log, None, 1).await.unwrap();
    assert!(take(&mut *fresh, 9).await.iter().all(|message| &message.payload[..] == b"new"));
}

#[tokio::test]
async fn work_goes_on_when_its_durable_was_deleted() {
    let site = Site::new().await;
    let owner = site.bus(Role::Owner).await;
    let say = |plan: &str| owner.publish(message(&format!("ops.rollback.{plan}.withdraw"), plan));
    let options =
        WorkOptions { ack_wait: Duration::from_secs(600), in_flight_max: 10, only_new: false };
    let work = owner.work(Stream::Events, "ops.rollback.*.withdraw", "withdraw", options);
    let mut worker = work.await.unwrap();
    say("done").await.unwrap();
    say("open").await.unwrap();
    let done = within("work", worker.next()).await.unwrap();
    done.answer.done().await.unwrap();
    let _open = within("work", worker.next()).await.unwrap();
    site.call("CONSUMER.DELETE.OPS_EVENTS.withdraw").await;
    say("new").await.unwrap();
    for expected in ["open", "new"] {
        let work = within("work after the durable was deleted", worker.next()).await.unwrap();
        assert_eq!(&work.message.payload[..], expected.as_bytes());
        work.answer.done().await.unwrap();
    }
    // The next process finds nothing left over.
    drop(worker);
    let work = owner.work(Stream::Events, "ops.rollback.*.withdraw", "withdraw", options);
    let mut worker = work.await.unwrap();
    say("last").await.unwrap();
    let work = within("work", worker.next()).await.unwrap();
    assert_eq!(&work.message.payload[..], b"last");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_under_a_reader_costs_no_message_and_repeats_none() {
    const COUNT: u64 = 300;
    let site = Site::new().await;
    let owner = Arc::new(site.bus(Role::Owner).await);
    let mut reader = owner.read(Stream::Log, None, 1).await.unwrap();
    let writer = Arc::clone(&owner);
    let writing = tokio::spawn(async move {
        for number in 1..=COUNT {
            // By its id a message whose ack was lost is stored once all the same.
            let id = Some(number.to_string());
            let out = Outgoing { message_id: id, ..message("ops.log.0.tick", &number.to_string()) };
            while writer.publish(out.clone()).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
    let mut read = take(&mut *reader, 50).await;
    site.kill_server();
    let missing = COUNT as usize - read.len();
    read.extend(take(&mut *reader, missing).await);
    writing.await.unwrap();
    let sequences: Vec<u64> = read.iter().map(|message| message.sequence).collect();
    assert_eq!(sequences, (1..=COUNT).collect::<Vec<_>>());
    let payloads = read.iter().map(|message| String::from_utf8_lossy(&message.payload));
    assert!(payloads.eq((1..=COUNT).map(|number| number.to_string())));
}

/// Stands between a client and the server, and lets through so many more answers of the server.
struct Between {
    port: u16,
    answers: Arc<AtomicI64>,
}

/// As many as come.
const ALL: i64 = i64::MAX / 2;

impl Between {
    async fn start(server: &str) -> Self {
        let server = server.strip_prefix("nats://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answers = Arc::new(AtomicI64::new(ALL));
        let left = Arc::clone(&answers);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                tokio::spawn(carry(client, server, Arc::clone(&left)));
            }
        });
        Self { port, answers }
    }

    fn let_through(&self, answers: i64) {
        self.answers.store(answers, Ordering::Relaxed);
    }
}

async fn carry(client: TcpStream, server: TcpStream, left: Arc<AtomicI64>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
        let passes = left.fetch_sub(1, Ordering::Relaxed) > 0;
        if passes && to_client.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_whose_ack_is_lost_is_unclear_and_found_when_read_back() {
    let site = Site::new().await;
    let direct = site.bus(Role::Owner).await;
    let between = Between::start(&site.server.url()).await;
    let mut options = site.server.options(Role::Owner);
    options.urls = vec![format!("nats://127.0.0.1:{}", between.port)];
    let owner = JetStream::connect(options).await.unwrap();
    let record = |sequence| Outgoing {
        expect: Some(Expect { subject: None, sequence }),
        ..message("ops.commit.0", "record")
    };
    let first = owner.commit(vec![message("ops.transition.0", "a"), record(0)]).await.unwrap();
    assert_eq!(first, 2);
    // A single record: its ack is cut off, so nobody knows. It is there.
    between.let_through(0);
    let unclear = within("an unclear publish", owner.publish(record(first))).await;
    assert!(matches!(unclear, Err(BusError::Unclear { .. })), "{unclear:?}");
    between.let_through(ALL);
    let found = direct.last(Stream::Events, "ops.commit.0").await.unwrap().unwrap();
    assert_eq!(found.sequence, 3);
    // Sent again without looking it meets its own copy, and is stored once.
    let again = within("the same again", owner.publish(record(first))).await;
    assert!(matches!(again, Err(BusError::Conflict { .. })), "{again:?}");
    // A batch: the answer that opens it comes through, that of its end does not.
    let batch = vec![message("ops.transition.0", "b"), message("ops.transition.0", "c"), record(3)];
    between.let_through(1);
    let unclear = within("a commit in doubt", owner.commit(batch.clone())).await;
    assert!(matches!(unclear, Err(BusError::Unclear { .. })), "{unclear:?}");
    assert_eq!(direct.state(Stream::Events).await.unwrap().last, 6, "it is there, whole");
    // A batch that was not even opened is certainly not there.
    between.let_through(0);
    let refused = within("a commit nobody answers", owner.commit(batch)).await;
    assert!(matches!(refused, Err(BusError::Unavailable { .. })), "{refused:?}");
    assert_eq!(direct.state(Stream::Events).await.unwrap().last, 6);
}

#[tokio::test]
async fn what_is_not_permitted_is_refused_at_once() {
    let site = Site::new().await;
    let (agent, board) = (site.bus(Role::Agent).await, site.bus(Role::Board).await);
    let fast = async |what: &str, refused: Result<(), BusError>| {
        assert!(matches!(refused, Err(BusError::Denied { .. })), "{what}: {refused:?}");
    };
    let all = async {
        let said = agent.publish(message("ops.own.0", "")).await;
        fast("publish", said.map(drop)).await;
        let read = agent.last(Stream::Desk, "ops.desk.settings").await;
        fast("last", read.map(drop)).await;
        let read = agent.read(Stream::Events, None, 1).await;
        fast("read", read.map(drop)).await;
        let options =
            WorkOptions { ack_wait: Duration::from_secs(1), in_flight_max: 1, only_new: false };
        let work = agent.work(Stream::Events, "ops.notify.>", "notifier", options).await;
        fast("another's work", work.map(drop)).await;
        // Refused in the middle, where nothing is answered.
        let batch = ["look", "tick", "look"].map(|kind| message(&format!("ops.log.0.{kind}"), ""));
        fast("a batch", board.commit(batch.into()).await.map(drop)).await;
    };
    tokio::time::timeout(FAST, all).await.expect("without waiting for answers that never come");
    let stored = site.bus(Role::Owner).await.last(Stream::Log, ">").await.unwrap();
    assert_eq!(stored, None, "nothing of it was stored");
}

#[tokio::test]
async fn a_server_without_room_is_told_what_to_give() {
    let folder = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = format!(
        "listen: \"{free}\"\njetstream {{ store_dir: \"{}\", max_file_store: 100MB }}\n",
        folder.path().display()
    );
    let file = folder.path().join("nats.conf");
    std::fs::write(&file, config).unwrap();
    let mut server = tokio::process::Command::new(bus::server::find().await.unwrap())
        .arg("-c")
        .arg(&file)
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let connected = async {
        loop {
            let options = bus::jetstream::Options::new(format!("nats://{free}"));
            match JetStream::connect(options).await {
                Ok(bus) => return bus,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let bus = within("a connection", connected).await;
    let refused = bus.ensure(1).await.unwrap_err().to_string();
    for part in ["OPS_LOG", "2147483648 bytes", "max_file_store"] {
        assert!(refused.contains(part), "{refused}");
    }
    server.kill().await.unwrap();
}
