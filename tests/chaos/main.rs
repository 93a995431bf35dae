//! Real processes, really killed, under load: nothing lost, nothing twice.
//!
//! A scenario is a name and its faults ([`disturb`]). It has a house of its own (`house.rs`): a nats-server, two engines,
//! two agents, a notifier and a collector, each behind a proxy of its own (`proxy.rs`), while services send wave after wave
//! of slow calls (`service.rs`). It does its faults, waits for rest, is judged from the logs (`oracle.rs`), and prints a line.
//!
//! `cargo test --test chaos` runs the short form, `make chaos` all scenarios; names after `--` choose some. `OPS_SEED`
//! chooses the faults; processes are not clockwork, so the same seed is the same plan, not the same run.

#![allow(clippy::unwrap_used)]

#[path = "../survives/events.rs"]
mod events;
#[path = "../survives/hook.rs"]
mod hook;
#[path = "../survives/server.rs"]
mod server;
#[path = "../survives/site.rs"]
mod site;
#[path = "../support/mod.rs"]
mod support;

#[allow(dead_code)]
#[path = "../../pipeline/engine/tests/simulation/dice.rs"]
mod dice;
mod full;
mod house;
mod oracle;
mod places;
mod proxy;
mod service;
mod storm;

use dice::Dice;
use full::full;
use house::House;
use oracle::Counts;
use places::every_place;
use service::Services;
use stages::time::Time;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};
use storm::{Fault, storm};

/// Kills that `make chaos` is worth its name with.
const KILLS_MIN: u64 = 200;

/// Incidents without which a scenario proves nothing.
const INCIDENTS_MIN: u64 = 10;

/// The scenarios, the short form first.
const SCENARIOS: [&str; 8] =
    ["short", "places", "kills", "server", "frozen", "ways", "full", "everything"];

fn main() -> ExitCode {
    let full = std::env::var_os("OPS_CHAOS").is_some_and(|form| form == "full");
    let chosen: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    let wanted = |name: &&&str| match chosen.is_empty() {
        true => (**name == "short") != full,
        false => chosen.iter().any(|it| it == **name),
    };
    let seed = std::env::var("OPS_SEED")
        .ok()
        .map_or(1, |text| text.parse().expect("OPS_SEED is a number"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (mut total, mut good) = (Counts::default(), true);
    for name in SCENARIOS.iter().filter(wanted) {
        let began = Instant::now();
        match runtime.block_on(async { tokio::spawn(play(name, seed)).await }) {
            Ok((counts, mut faults)) => {
                if counts.incidents < INCIDENTS_MIN || counts.rollbacks == 0 {
                    faults.push("too little happened for this to prove anything".to_owned());
                }
                total += &counts;
                good &= faults.is_empty();
                println!("chaos {name}: {counts} ({} s)", began.elapsed().as_secs());
                faults.iter().for_each(|fault| println!("  {fault}"));
            }
            Err(error) => {
                good = false;
                println!("chaos {name}: {error}");
            }
        }
    }
    println!("chaos in all: {total}");
    if full && chosen.is_empty() && total.kills < KILLS_MIN {
        println!("that is too few: at least {KILLS_MIN} kills");
        good = false;
    }
    if good {
        return ExitCode::SUCCESS;
    }
    println!("once more: OPS_SEED={seed} cargo test --test chaos -- <scenario>");
    ExitCode::FAILURE
}

async fn play(name: &'static str, seed: u64) -> (Counts, Vec<String>) {
    let mut dice = Dice::new(seed);
    let mut house = House::start().await;
    let began = now();
    let services = Services::start(&house, &mut dice).await;
    disturb(name, &mut house, &mut dice).await;
    house.heal().await;
    let acknowledged = services.end().await;
    let (counts, mut faults) = oracle::judge(&mut house, &acknowledged, (began, now())).await;
    if !faults.is_empty() {
        let kept = support::root().join("target/chaos").join(name);
        let _ = std::fs::create_dir_all(kept.parent().unwrap());
        let _ = std::fs::copy(house.site.path("ops.log"), kept.with_extension("log"));
        faults.push(format!("what ops said: {}", kept.with_extension("log").display()));
    }
    (counts, faults)
}

async fn disturb(name: &str, house: &mut House, dice: &mut Dice) {
    use Fault::{BadWay, Freeze, Kill, Server};
    let seconds = Duration::from_secs;
    match name {
        "short" => {
            every_place(house, dice, 2).await;
            storm(house, dice, &[BadWay, Server], seconds(8)).await;
        }
        "places" => {
            for _ in 0..2 {
                every_place(house, dice, usize::MAX).await;
            }
        }
        "kills" => storm(house, dice, &[Kill, Server], seconds(240)).await,
        "server" => storm(house, dice, &[Server], seconds(60)).await,
        "frozen" => storm(house, dice, &[Freeze], seconds(60)).await,
        "ways" => storm(house, dice, &[BadWay], seconds(60)).await,
        "full" => full(house, dice, 5).await,
        "everything" => storm(house, dice, &[Kill, Freeze, BadWay, Server], seconds(120)).await,
        other => unreachable!("{other} is none of the scenarios"),
    }
}

/// Now, by this machine, whose clock the bus goes by.
fn now() -> Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Time(i64::try_from(since.as_nanos()).unwrap())
}
