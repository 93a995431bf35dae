//! Faults at random: every process has its own fate, and so has the nats-server.

use crate::dice::Dice;
use crate::house::{House, Process};
use crate::places::places;
use crate::server::Server;
use crate::site::{Site, signal};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Longest wait for a process to come to a place it may never come to.
const PATIENCE: Duration = Duration::from_secs(8);

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A process is killed, sometimes at a named place.
    Kill,
    /// A process is stopped for some seconds and goes on.
    Freeze,
    /// The way of a process to the bus is slow, without answers, or cut.
    BadWay,
    /// The nats-server is killed, or frozen, and is back.
    Server,
}

/// Lets these happen for a while.
pub async fn storm(house: &mut House, dice: &mut Dice, faults: &[Fault], long: Duration) {
    let until = Instant::now() + long;
    let House { site, server, engines, agents, notifier, collector, kills } = house;
    let (site, kills) = (&*site, &*kills);
    let [engine1, engine2] = engines;
    let [agent1, agent2] = agents;
    let of_processes: Vec<Fault> =
        faults.iter().copied().filter(|fault| *fault != Fault::Server).collect();
    let mut fates = [engine1, engine2, agent1, agent2, notifier, collector].map(|process| Fate {
        site,
        kills,
        process,
        faults: &of_processes,
        dice: dice.split(),
    });
    let mut server_dice = dice.split();
    let serving = async {
        if faults.contains(&Fault::Server) {
            fate_of(server, &mut server_dice, kills, until).await;
        }
    };
    tokio::join!(futures::future::join_all(fates.iter_mut().map(|fate| fate.run(until))), serving);
}

/// What happens to one process.
struct Fate<'a> {
    site: &'a Site,
    kills: &'a AtomicU64,
    process: &'a mut Process,
    faults: &'a [Fault],
    dice: Dice,
}

impl Fate<'_> {
    async fn run(&mut self, until: Instant) {
        let Self { site, kills, process, faults, dice } = self;
        while !faults.is_empty() {
            sleep(dice.millis(300, 6_000)).await;
            if Instant::now() >= until {
                return;
            }
            match faults[dice.below(faults.len() as u64) as usize] {
                Fault::Kill if dice.happens(300) => {
                    let places: Vec<_> = places(process.kind()).collect();
                    let place = places[dice.below(places.len() as u64) as usize];
                    let at = (place, 1 + dice.below(20));
                    process.die_at(site, at, (kills, PATIENCE)).await;
                }
                Fault::Kill => {
                    process.kill(kills).await;
                    sleep(dice.millis(0, 3_000)).await;
                }
                Fault::Freeze => process.freeze(dice.millis(300, 9_000)).await,
                Fault::BadWay => process.bad_way(dice).await,
                Fault::Server => unreachable!("left out above"),
            }
            if process.running.is_none() {
                process.up(site).await;
            }
        }
    }
}

async fn fate_of(server: &mut Server, dice: &mut Dice, kills: &AtomicU64, until: Instant) {
    loop {
        sleep(dice.millis(2_000, 9_000)).await;
        if Instant::now() >= until {
            return;
        }
        if dice.happens(250) {
            signal(server.pid(), "STOP").await;
            sleep(dice.millis(300, 4_000)).await;
            signal(server.pid(), "CONT").await;
        } else {
            server.lose(dice.millis(0, 2_000)).await;
            kills.fetch_add(1, Ordering::Relaxed);
        }
    }
}
