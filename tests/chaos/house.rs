//! The processes of a site, each with a way of its own to the bus, and what can be done to them.

use crate::dice::Dice;
use crate::proxy::{Proxy, Way};
use crate::server::Server;
use crate::site::{Running, Site, signal};
use crate::support::{PATIENCE, free_port};
use bus::SharedBus;
use bus::failpoint::Failpoint;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Shards of the log.
pub const SHARDS: u32 = 2;
/// Between two starts of a process that ended by itself, as a supervisor would.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Everything that can die.
pub struct House {
    pub site: Site,
    pub server: Server,
    pub engines: [Process; 2],
    pub agents: [Process; 2],
    pub notifier: Process,
    pub collector: Process,
    pub kills: AtomicU64,
}

impl House {
    /// A house in which everybody runs.
    pub async fn start() -> Self {
        let site = Site::new(&alarm("web_ms", "5s")).await;
        furnish(&site);
        let server = Server::open(&site).await;
        let port = server.url.rsplit(':').next().unwrap().parse().unwrap();
        let process = async |name, args: &[&str]| Process::new(&site, name, args, port).await;
        let engine = ["up", "--role", "engine"];
        let engines = [process("engine1", &engine).await, process("engine2", &engine).await];
        let agents = [
            process("agent1", &["agent", "--name", "agent1"]).await,
            process("agent2", &["agent", "--name", "agent2"]).await,
        ];
        let notifier = process("notifier", &["up", "--role", "notifier"]).await;
        let collector = process("collector", &["up", "--role", "collector"]).await;
        let kills = AtomicU64::new(0);
        let mut house = Self { site, server, engines, agents, notifier, collector, kills };
        // The first engine creates the streams and puts the settings in force.
        let (first, others) = house.engines.split_first_mut().unwrap();
        first.up(&house.site).await;
        let others = others.iter_mut().chain(&mut house.agents);
        for process in others.chain([&mut house.notifier, &mut house.collector]) {
            process.up(&house.site).await;
        }
        house
    }

    /// The bus, by a good way.
    pub async fn bus(&self) -> SharedBus {
        self.server.bus().await
    }

    /// Every process, the engines first.
    pub fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
        let edges = [&mut self.notifier, &mut self.collector];
        self.engines.iter_mut().chain(&mut self.agents).chain(edges)
    }

    /// Whatever was done to it, it runs and its way is good.
    pub async fn heal(&mut self) {
        for process in self.engines.iter_mut().chain(&mut self.agents) {
            process.heal(&self.site).await;
        }
        self.notifier.heal(&self.site).await;
        self.collector.heal(&self.site).await;
    }

    /// Asks everybody to stop, the engines last.
    pub async fn stop(&mut self) {
        let mut all: Vec<&mut Process> = self.processes().collect();
        all.reverse();
        for process in all {
            if let Some(running) = process.running.take() {
                let ended = running.stop().await;
                assert!(ended.success(), "{} ended with {ended}", process.name);
            }
        }
    }
}

/// A rule that fires for each group of its own.
fn alarm(metric: &str, window: &str) -> String {
    format!(
        "metric: {metric}\nthreshold: 1000\nwindow: {window}\ngroup_by: [wave]\nnotify: [hook]\n"
    )
}

/// Rules, receivers and plans for much to happen in a short time.
fn furnish(site: &Site) {
    let hook = site.hook.url();
    site.write(
        "config/receivers.yml",
        &format!(
            "fallback: hook\nreceivers:\n  hook:\n    channels: [{{kind: webhook, url: \"{hook}/hook\"}}]\n    \
             budget: {{burst: 1000, refill: 100ms, reserve: 10, digest_every: 10s}}\n"
        ),
    );
    site.write(
        "config/ops.yml",
        &format!(
            "bus: {{shards: {SHARDS}, actions_without_authentication: true}}\n\
             limits: {{rollbacks_per_hour: 10000}}\n"
        ),
    );
    site.write("alerts/slow.yml", &format!("{}stat: p95\nfor: 500ms\n", alarm("wave_ms", "2s")));
    site.write("alerts/wave.yml", &alarm("wave_ms", "1s"));
    std::fs::remove_dir_all(site.path("plans/PARACHUTE")).unwrap();
    for plan in ["LEVER_1", "LEVER_2", "LEVER_3", "LEVER_4"] {
        std::fs::create_dir(site.path(&format!("plans/{plan}"))).unwrap();
        let text = "script: pull.sh\ncooldown: 0s\nlock_after: never\nverify: {settle: 0s, for: 1s, within: 6s, \
                    min_samples: 3}\n";
        site.write(&format!("plans/{plan}/plan.yml"), text);
        let script = format!("plans/{plan}/pull.sh");
        site.write(
            &script,
            "#!/bin/sh\nPATH=/usr/bin:/bin\necho \"$OPS_INCIDENT $OPS_FENCE\" >> \"$OPS_DATA/../starts\"\nsleep 0.3\n",
        );
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(site.path(&script), executable).unwrap();
        let metric = format!("{}_ms", plan.to_lowercase());
        let rule = alarm(&metric, "2s");
        site.write(
            &format!("alerts/{}.yml", plan.to_lowercase()),
            &format!("{rule}action: \"ROLLBACK:{plan}\"\naction_min_samples: 3\n"),
        );
    }
}

/// One process of `ops`, always at the same address and on the same data folder.
pub struct Process {
    pub name: &'static str,
    args: Vec<String>,
    listen: String,
    pub proxy: Proxy,
    pub running: Option<Running>,
}

impl Process {
    async fn new(site: &Site, name: &'static str, args: &[&str], server: u16) -> Self {
        std::fs::create_dir_all(site.path(name)).unwrap();
        let listen = format!("127.0.0.1:{}", free_port());
        let proxy = Proxy::to(server).await;
        let own = ["--listen".to_owned(), listen.clone(), "--nats-url".to_owned(), proxy.url()];
        let args = args.iter().map(|arg| (*arg).to_owned()).chain(own).collect();
        Self { name, args, listen, proxy, running: None }
    }

    /// Its kind, as the names of places begin.
    pub fn kind(&self) -> &'static str {
        self.name.trim_end_matches(char::is_numeric)
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    fn launch(&self, site: &Site, place: Option<(Failpoint, u64)>) -> Running {
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        let mut command = site.command(&args, self.name);
        if let Some((place, times)) = place {
            command.env("OPS_FAILPOINT", format!("{}:{times}", place.name()));
        }
        site.launch(command, self.listen.clone())
    }

    /// Starts it; one that ends by itself, because the bus is away, is started again.
    pub async fn up(&mut self, site: &Site) {
        let starting = async {
            loop {
                let mut running = self.launch(site, None);
                if running.is_ready().await {
                    return running;
                }
                sleep(AGAIN_AFTER).await;
            }
        };
        let running = timeout(PATIENCE, starting).await;
        self.running = Some(running.unwrap_or_else(|_| panic!("{} does not start", self.name)));
    }

    /// Kills it as a power cut would.
    pub async fn kill(&mut self, kills: &AtomicU64) {
        if let Some(running) = self.running.take() {
            running.kill().await;
            kills.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lets it live until it comes to a place for the n-th time; whether it did within `patience`.
    pub async fn die_at(
        &mut self,
        site: &Site,
        (place, times): (Failpoint, u64),
        (kills, patience): (&AtomicU64, Duration),
    ) -> bool {
        self.kill(kills).await;
        let dying = async {
            loop {
                let ended = self.launch(site, Some((place, times))).ended_some_time().await;
                // With a code it ended by itself: the bus is away.
                if ended.code().is_none() {
                    return;
                }
                sleep(AGAIN_AFTER).await;
            }
        };
        let died = timeout(patience, dying).await.is_ok();
        // One that did not is killed by being dropped.
        kills.fetch_add(1, Ordering::Relaxed);
        died
    }

    /// Stops the process for a while, as a paused machine does.
    pub async fn freeze(&self, pause: Duration) {
        let Some(running) = &self.running else { return };
        signal(running.pid(), "STOP").await;
        sleep(pause).await;
        signal(running.pid(), "CONT").await;
    }

    /// Lets its way to the bus be bad for a while.
    pub async fn bad_way(&self, dice: &mut Dice) {
        let way = match dice.below(4) {
            0 => Way::Cut,
            1 => Way::Slow(dice.millis(20, 400)),
            _ => Way::Deaf,
        };
        self.proxy.turn(way);
        sleep(dice.millis(200, 4_000)).await;
        self.proxy.turn(Way::Good);
    }

    async fn heal(&mut self, site: &Site) {
        self.proxy.turn(Way::Good);
        if self.running.is_none() {
            self.up(site).await;
        }
    }
}
