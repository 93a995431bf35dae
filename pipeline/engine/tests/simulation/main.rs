//! The engine in a world where everything fails, by the seed: processes die at any call to the bus, freeze and wake,
//! requests and answers get lost or late, work comes twice, the server's clock steps. One seed is one run.
//!
//! ```sh
//! cargo test -p engine --test simulation            # OPS_SEEDS of them (2 000 by default)
//! OPS_SEED=17 cargo test -p engine --test simulation -- --nocapture
//! ```
//!
//! Whatever happens, the logs are what is true: [`oracle`] computes from them what should have been said, and compares.
//! That it would notice is tested, too: with the fence broken, with nothing read back, and with the position recorded
//! before the outputs ([`faulty::Mutant`]).

mod dice;
mod faulty;
mod oracle;
mod run;
#[path = "../support/mod.rs"]
mod support;
mod world;

use faulty::Mutant;
use oracle::Counts;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().map_or(default, |text| text.parse().expect("a whole number"))
}

/// Runs seeds from `first` on until one fails or `count` are done, on all cores.
fn seeds(first: u64, count: u64, mutant: Option<Mutant>) -> Result<Counts, (u64, String)> {
    let (next, failed) = (AtomicU64::new(first), Mutex::new(None::<(u64, String)>));
    let sum = Mutex::new(Counts::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while failed.lock().unwrap().is_none() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first.saturating_add(count) {
                        return;
                    }
                    match run::run(seed, mutant) {
                        Ok(counts) => sum.lock().unwrap().add(counts),
                        Err(why) => drop(failed.lock().unwrap().get_or_insert((seed, why))),
                    }
                }
            });
        }
    });
    match failed.into_inner().unwrap() {
        Some(failed) => Err(failed),
        None => Ok(sum.into_inner().unwrap()),
    }
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.kills += other.kills;
        self.takeovers += other.takeovers;
        self.hand_overs += other.hand_overs;
        self.samples += other.samples;
        self.events += other.events;
        self.rollbacks += other.rollbacks;
        self.judged += other.judged;
        self.deliveries += other.deliveries;
    }
}

#[test]
fn nothing_is_lost_and_nothing_is_said_twice() {
    let (first, count) = match std::env::var("OPS_SEED") {
        Ok(seed) => (seed.parse().expect("a whole number"), 1),
        Err(_) => (number("OPS_FIRST_SEED", 0), number("OPS_SEEDS", 2_000)),
    };
    let began = std::time::Instant::now();
    match seeds(first, count, None) {
        Ok(counts) => {
            assert!(counts.judged > 0 || count < 100, "no rule was judged at the desk: {counts:?}");
            assert!(counts.hand_overs > 0 || count < 100, "no log was handed over: {counts:?}");
            println!("{counts:?}, lost 0, repeated 0, {:.0} s", began.elapsed().as_secs_f64())
        }
        Err((seed, why)) => panic!("OPS_SEED={seed}: {why}"),
    }
}

fn is_noticed(mutant: Mutant) {
    match seeds(0, 300, Some(mutant)) {
        Ok(_) => panic!("{mutant:?} goes unnoticed"),
        Err((seed, why)) => println!("{mutant:?}: noticed with seed {seed}: {why}"),
    }
}

#[test]
fn a_broken_fence_is_noticed() {
    is_noticed(Mutant::NoFence);
}

#[test]
fn a_missing_read_back_is_noticed() {
    is_noticed(Mutant::NoReadBack);
}

#[test]
fn a_position_before_its_outputs_is_noticed() {
    is_noticed(Mutant::PositionFirst);
}
