//! Three nats-servers, two engines, an agent: any one server may be killed at any time.

use crate::events::{Happened, first};
use crate::load::Load;
use crate::servers::Servers;
use crate::site::{RULE, Running, Site, caught_up};
use crate::support::free_port;
use bus::accounts::Role;
use bus::{SharedBus, Stream};

const RESOLVED: &str = "ops.alert.critical.web.resolved";

/// What runs on the servers.
struct Parts {
    /// Engines; the first takes samples in and tells people as well.
    engines: [Running; 2],
    agent: Running,
    bus: SharedBus,
}

impl Parts {
    async fn start(site: &Site, servers: &Servers) -> Self {
        let owner = |data, roles| part(site, servers, (data, Role::Owner), ["up", "--role", roles]);
        let first = owner("data", "engine,collector,notifier").await;
        let second = owner("data2", "engine").await;
        let agent = part(site, servers, ("agent", Role::Agent), ["agent", "--name", "host1"]).await;
        for part in [&first, &second, &agent] {
            part.until(|health| health["ready"] == true).await;
        }
        Self { engines: [first, second], agent, bus: servers.bus(Role::Admin).await }
    }

    /// Waits until everything is worked off, and holds all of it to having happened `times`, once an incident.
    async fn happened(&self, site: &Site, load: Load, times: usize) -> Happened {
        load.end().await;
        for engine in &self.engines {
            engine.until(caught_up).await;
        }
        let happened = Happened::so_far(&self.bus).await;
        let fired = happened.alerts("fired");
        assert_eq!(fired.len(), times, "{:#?}", happened.alerts);
        assert_eq!(happened.alerts("resolved"), fired);
        let commands: Vec<&str> = happened.commands.iter().map(|one| &*one.incident).collect();
        assert_eq!(commands, fired[..commands.len()], "at most one an incident");
        let starts = site.lines("agent/starts");
        assert_eq!(starts.len(), commands.len(), "each ran once: {starts:?}");
        happened
    }

    /// Nothing was said that does not follow from the logs.
    async fn proven(self, site: &Site, servers: &Servers) {
        let audit = ["audit", "verify", "--nats-url", &servers.url()];
        let mut audit = site.command(&audit, "data");
        let proven = audit.env("OPS_NATS_KEYS", servers.keys(Role::Owner)).output().await.unwrap();
        let said = String::from_utf8_lossy(&proven.stdout).into_owned();
        assert!(proven.status.success(), "{said}{}", String::from_utf8_lossy(&proven.stderr));
        let Self { engines: [first, second], agent, .. } = self;
        for part in [agent, second, first] {
            assert!(part.stop().await.success());
        }
    }
}

/// A process with the keys of a role and a data folder of its own.
async fn part(
    site: &Site,
    servers: &Servers,
    (data, role): (&str, Role),
    args: [&str; 3],
) -> Running {
    std::fs::create_dir_all(site.path(data)).unwrap();
    let (listen, url) = (format!("127.0.0.1:{}", free_port()), servers.url());
    let args = [&args[..], &["--listen", &listen, "--nats-url", &url]].concat();
    let mut command = site.command(&args, data);
    command.env("OPS_NATS_KEYS", servers.keys(role));
    site.start(command, listen).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_killed_under_load_loses_nothing_and_repeats_nothing() {
    let site = Site::new(RULE).await;
    std::fs::create_dir_all(site.path("agent")).unwrap();
    site.write("agent/hold", "");
    let mut servers = Servers::start(&site).await;
    let parts = Parts::start(&site, &servers).await;
    let copies = servers.until("STREAM.INFO.OPS_EVENTS", |info| info["config"].is_object()).await;
    assert_eq!(copies["config"]["num_replicas"], 3);

    let load = Load::cured_by(&site, parts.engines[0].url(), "agent/cured");
    load.more(20).await;
    load.turn_slow();
    // Who decides loses its place to say so while the script runs.
    site.made("agent/starts").await;
    let leader = servers.leader(Stream::Events).await;
    servers.kill(leader).await;
    load.more(50).await;
    std::fs::remove_file(site.path("agent/hold")).unwrap();
    first(&parts.bus, Stream::Events, RESOLVED).await;
    let happened = parts.happened(&site, load, 1).await;
    for state in ["succeeded", "recovered"] {
        assert_eq!(happened.rollbacks(state).len(), 1, "{state}: {:#?}", happened.rollbacks);
    }
    parts.proven(&site, &servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_server_killed_in_turn_and_started_again_keeps_every_copy() {
    let site = Site::new("metric: web_ms\nthreshold: 1000\nwindow: 2s\nnotify: [hook]\n").await;
    let mut servers = Servers::start(&site).await;
    let parts = Parts::start(&site, &servers).await;
    let load = Load::start(&site, parts.engines[0].url());
    load.more(20).await;
    for times in 1..=3 {
        let leader = servers.leader(Stream::Log).await;
        let killed = if times == 1 { leader } else { (leader + 1) % 3 };
        load.turn_slow();
        until(&parts.bus, &load, "fired", times).await;
        servers.kill(killed).await;
        load.turn_fast();
        until(&parts.bus, &load, "resolved", times).await;
        servers.start_again(killed).await;
    }
    parts.happened(&site, load, 3).await;
    parts.proven(&site, &servers).await;
}

/// Waits until that many alerts are in this state, under load.
async fn until(bus: &SharedBus, load: &Load, state: &str, times: usize) {
    while Happened::so_far(bus).await.alerts(state).len() < times {
        load.more(10).await;
    }
}
