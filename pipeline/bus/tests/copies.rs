//! Streams that are copied out of one server and into another: every message with its place and time, consumers with
//! what they have done, and when it all began.

#![allow(clippy::unwrap_used)]

use bus::accounts::Role;
use bus::jetstream::JetStream;
use bus::layout::Layout;
use bus::server::{LocalServer, ServerOptions};
use bus::{Bus, BusError, Message, Outgoing, Stream, WorkOptions};
use std::path::Path;
use std::time::Duration;

const WORK: WorkOptions =
    WorkOptions { ack_wait: Duration::from_secs(30), in_flight_max: 10, only_new: false };

async fn server(data: &Path) -> (LocalServer, JetStream) {
    let layout = Layout::default();
    let data = data.to_owned();
    let options = ServerOptions { data, port: None, layout, agent: "local".to_owned() };
    let server = LocalServer::start(options).await.unwrap();
    let admin = JetStream::connect(server.options(Role::Admin)).await.unwrap();
    (server, admin)
}

async fn read(bus: &JetStream, stream: Stream) -> Vec<Message> {
    let last = bus.state(stream).await.unwrap().last;
    let (mut reader, mut messages) = (bus.read(stream, None, 1).await.unwrap(), Vec::new());
    while messages.last().is_none_or(|message: &Message| message.sequence < last) {
        reader.next(&mut messages).await.unwrap();
    }
    messages
}

#[tokio::test]
async fn a_stream_goes_on_elsewhere_as_if_nothing_had_been() {
    // One chunk on the way, and several.
    for bytes in [20, 2000] {
        goes_on_elsewhere(bytes).await;
    }
}

async fn goes_on_elsewhere(bytes: u32) {
    let data = tempfile::tempdir().unwrap();
    let (here, admin) = server(data.path()).await;
    admin.ensure(1).await.unwrap();
    let owner = JetStream::connect(here.options(Role::Owner)).await.unwrap();
    for n in 0..300_u32 {
        let subject = format!("ops.notify.r{}", n % 7);
        let noise = (0..bytes).map(|i| ((i ^ n).wrapping_mul(2_654_435_761) >> 13) as u8);
        let payload = noise.collect::<Vec<_>>().into();
        owner.publish(Outgoing { subject, payload, ..Outgoing::default() }).await.unwrap();
    }
    let notifier = JetStream::connect(here.options(Role::Notifier)).await.unwrap();
    let mut worker = notifier.work(Stream::Events, "ops.notify.>", "notifier", WORK).await.unwrap();
    for _ in 0..3 {
        worker.next().await.unwrap().answer.done().await.unwrap();
    }
    drop(worker);
    let (state, messages) =
        (admin.state(Stream::Events).await.unwrap(), read(&owner, Stream::Events).await);
    let mut copy = Vec::new();
    let copied = admin.copy_out(Stream::Events, &mut copy).await.unwrap();
    assert_eq!((copied.last(), copied.messages()), (300, 300));
    let refused = admin.copy_in(Stream::Events, &copied, &mut copy.as_slice()).await.unwrap_err();
    assert!(
        matches!(&refused, BusError::Unavailable { why, .. } if why.contains("already")),
        "{refused}"
    );
    here.stop().await;

    // Twice over: a copy of a copy is the same again.
    for _ in 0..2 {
        let data = tempfile::tempdir().unwrap();
        let (there, admin) = server(data.path()).await;
        let damaged = admin.copy_in(Stream::Events, &copied, &mut &copy[..copy.len() / 2]).await;
        assert!(damaged.is_err(), "half a copy is none");
        assert_eq!(admin.present().await.unwrap(), []);
        admin.copy_in(Stream::Events, &copied, &mut copy.as_slice()).await.unwrap();
        assert_eq!(admin.present().await.unwrap(), [Stream::Events]);
        admin.ensure(1).await.unwrap();
        assert_eq!(admin.state(Stream::Events).await.unwrap(), state);
        let owner = JetStream::connect(there.options(Role::Owner)).await.unwrap();
        assert_eq!(read(&owner, Stream::Events).await, messages);
        let notifier = JetStream::connect(there.options(Role::Notifier)).await.unwrap();
        let mut worker =
            notifier.work(Stream::Events, "ops.notify.>", "notifier", WORK).await.unwrap();
        assert_eq!(worker.next().await.unwrap().message.sequence, 4, "three were done");
        drop(worker);
        let mut again = Vec::new();
        let copied_again = admin.copy_out(Stream::Events, &mut again).await.unwrap();
        assert_eq!(copied_again.created, copied.created);
        there.stop().await;
    }
}
