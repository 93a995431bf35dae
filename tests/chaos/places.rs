//! Every named place once: each process dies at each place of its own, and is back.

use crate::dice::Dice;
use crate::house::{House, Process};
use crate::site::Site;
use bus::failpoint::Failpoint;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// Longest wait for a process to come to a place: twice as long as a dead agent may keep every plan busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// Lets everybody die at every place, engines, agents and the others beside each other; of an agent's places so many.
/// What was in a dead agent's hands comes again after half a minute, so they take their time.
pub async fn every_place(house: &mut House, dice: &mut Dice, of_agent: usize) {
    let House { site, engines, agents, notifier, collector, kills, .. } = house;
    let (site, kills) = (&*site, &*kills);
    let mut dice = [(); 4].map(|()| dice.split());
    let mut agent_places: Vec<Failpoint> = places("agent").collect();
    while agent_places.len() > of_agent {
        agent_places.swap_remove(dice[1].below(agent_places.len() as u64) as usize);
    }
    let [engine_dice, agent_dice, notifier_dice, collector_dice] = &mut dice;
    tokio::join!(
        by_turns(site, engines, places("engine").collect(), engine_dice, kills),
        by_turns(site, agents, agent_places, agent_dice, kills),
        alone(site, notifier, "notifier", notifier_dice, kills),
        alone(site, collector, "collector", collector_dice, kills),
    );
}

/// The named places of one kind of process.
pub fn places(of: &str) -> impl Iterator<Item = Failpoint> {
    Failpoint::ALL.iter().copied().filter(move |place| place.name().starts_with(of))
}

/// One of two dies at a place, an engine while the other is away, so that it certainly comes there; then the other one has
/// its turn.
async fn by_turns(
    site: &Site,
    two: &mut [Process; 2],
    places: Vec<Failpoint>,
    dice: &mut Dice,
    kills: &AtomicU64,
) {
    for place in places {
        let [one, other] = two;
        // A dead agent keeps its plans busy until it is back: the other stays beside it.
        if one.kind() == "engine" {
            other.kill(kills).await;
        }
        assert!(one.die_at(site, (place, 1), (kills, PATIENCE)).await, "never came to {place:?}");
        if other.running.is_none() {
            other.up(site).await;
        }
        if one.kind() == "agent" || dice.happens(500) {
            one.up(site).await;
        }
        two.swap(0, 1);
    }
    for process in two {
        process.kill(kills).await;
        process.up(site).await;
    }
}

async fn alone(site: &Site, process: &mut Process, of: &str, dice: &mut Dice, kills: &AtomicU64) {
    for place in places(of) {
        let at = (place, 1 + dice.below(5));
        assert!(process.die_at(site, at, (kills, PATIENCE)).await, "never came to {place:?}");
        process.up(site).await;
    }
}
