//! The same Friday on a real server, under the permissions each role has.

mod support;

use bus::SharedBus;
use bus::accounts::Role;
use bus::jetstream::JetStream;
use bus::layout::Layout;
use bus::server::{LocalServer, ServerOptions};
use engine::Engine;
use stages::wire::AlertState;
use std::sync::Arc;
use support::*;

struct Server {
    server: LocalServer,
    _data: tempfile::TempDir,
}

impl Server {
    async fn start(shards: u32) -> Self {
        let data = tempfile::tempdir().unwrap();
        let options = ServerOptions {
            data: data.path().to_owned(),
            port: None,
            layout: Layout::default(),
            agent: "local".to_owned(),
        };
        let server = LocalServer::start(options).await.unwrap();
        let this = Self { server, _data: data };
        this.connect(Role::Admin).await.ensure(shards).await.unwrap();
        this
    }

    async fn connect(&self, role: Role) -> SharedBus {
        Arc::new(JetStream::connect(self.server.options(role)).await.unwrap())
    }
}

async fn friday_on_nats(shards: u32) {
    let server = Server::start(shards).await;
    let owner = server.connect(Role::Owner).await;
    let admin = server.connect(Role::Admin).await;
    let world = World {
        service: server.connect(Role::Publisher).await,
        agent: server.connect(Role::Agent).await,
        board: server.connect(Role::Board).await,
    };
    let engine = Engine::start(options(&owner, shards, "ops-1")).unwrap();
    let applied = engine::apply_settings(&admin, &subjects(), &friday()).await.unwrap();
    owns_all(&engine).await;
    let wanted = ("friday", applied);
    engine::wait_in_force(&admin, &subjects(), shards, wanted, PATIENCE).await.unwrap();
    let (_, alerts) = world.play_friday().await;
    let fired = alerts.iter().filter(|alert| alert.state == AlertState::Fired).count();
    assert_eq!(fired, 1);
    let saved = engine.until(|health| health.logs.iter().all(|log| log.snapshots > 0));
    within("a snapshot of every log", saved).await;
    engine.shutdown(PATIENCE).await;
    // The next start has nothing to say about what was said.
    let again = Engine::start(options(&owner, shards, "ops-2")).unwrap();
    owns_all(&again).await;
    again.shutdown(PATIENCE).await;
    let fired = alerts_until(&world.board, AlertState::Resolved).await;
    assert_eq!(fired.len(), alerts.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn friday_on_a_real_server() {
    friday_on_nats(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn friday_on_a_real_server_with_three_shards() {
    friday_on_nats(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_rules_on_a_real_server() {
    let server = Server::start(2).await;
    let owner = server.connect(Role::Owner).await;
    let admin = server.connect(Role::Admin).await;
    let (service, board) =
        (server.connect(Role::Publisher).await, server.connect(Role::Board).await);
    let engine = Engine::start(options(&owner, 2, "ops-1")).unwrap();
    let applied = engine::apply_settings(&admin, &subjects(), &many_rules()).await.unwrap();
    engine::wait_in_force(&admin, &subjects(), 2, ("many", applied), PATIENCE).await.unwrap();
    let (_, current) = engine::current_settings(&board, &subjects()).await.unwrap().unwrap();
    assert_eq!(current, many_rules());
    engine.shutdown(PATIENCE).await;
    // The next owner goes on from the snapshot of the last.
    let again = Engine::start(options(&owner, 2, "ops-2")).unwrap();
    owns_all(&again).await;
    assert_eq!(again.health().trouble, None);
    sample(&*service, "m_04711_ms", 5000.0).await;
    let alerts = alerts_until(&board, AlertState::Fired).await;
    let fired = alerts.last().unwrap();
    assert_eq!((fired.rule.as_str(), fired.notified.len()), ("r_04711", 1));
    again.shutdown(PATIENCE).await;
}
