//! One run: a storm of some tens of seconds, a calm in which everything comes to rest, and the verdict.

use crate::dice::Dice;
use crate::faulty::{Life, Mutant, Weather};
use crate::oracle::{self, Counts, is_glimpse};
use crate::support::{METRIC, subjects};
use crate::world::{self, Place, Truth, lives};
use bus::layout::Layout;
use bus::memory::MemoryBus;
use bus::{Bus, SharedBus, Stream};
use engine::{Engine, EngineOptions, apply_settings};
use stages::time::{Span, Time};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// When the world begins: some Friday.
const BEGIN: Time = Time(1_700_236_800_000_000_000);
/// Everything must have come to rest this long after the storm.
const REST_MAX: Duration = Duration::from_secs(300);

/// Runs a seed.
pub fn run(seed: u64, mutant: Option<Mutant>) -> Result<Counts, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let ran = catch_unwind(AssertUnwindSafe(|| runtime.block_on(live(seed, mutant))));
    ran.unwrap_or_else(|_| Err("somebody panicked".to_owned()))
}

async fn live(seed: u64, mutant: Option<Mutant>) -> Result<Counts, String> {
    let mut dice = Dice::new(seed);
    let shards = [1, 1, 2, 3][dice.below(4) as usize];
    let apart = shards > 1 && seed.is_multiple_of(4);
    let bus = MemoryBus::runtime_time(Layout::default(), BEGIN);
    bus.ensure(shards).await.unwrap();
    let shared: SharedBus = Arc::new(bus.clone());
    apply_settings(&shared, &subjects(), &world::settings(0, apart)).await.unwrap();
    let weather = watch::Sender::new(storm(&mut dice));
    let truth = Arc::new(Truth::default());
    let place = Arc::new(Place {
        apart,
        bus: bus.clone(),
        weather: weather.subscribe(),
        truth: truth.clone(),
    });

    let mut all = JoinSet::new();
    for metric in [METRIC, "other_ms"] {
        all.spawn(world::service(place.clone(), metric, dice.split()));
    }
    all.spawn(world::people(place.clone(), dice.split()));
    for name in ["host1", "host2"] {
        let work = move |bus, truth, dice| world::agent(bus, truth, name, dice);
        all.spawn(lives(place.clone(), dice.split(), work));
    }
    for _ in 0..2 {
        all.spawn(lives(place.clone(), dice.split(), |bus, truth, _| world::notifier(bus, truth)));
    }
    let end = Arc::new(Notify::new());
    let mut engines = JoinSet::new();
    let processes = dice.below(3) + 1;
    for number in 0..processes {
        let name = format!("ops-{number}");
        let with = Process { place: place.clone(), shards, name, mutant, end: end.clone() };
        engines.spawn(with.live(dice.split()));
    }

    for _ in 0..dice.below(4) + 1 {
        sleep(dice.millis(4_000, 12_000)).await;
        weather.send_replace(storm(&mut dice));
        if dice.happens(100) {
            truth.stepped.store(true, Ordering::Relaxed);
            bus.step_time(Span::from_secs(if dice.happens(500) { 3_600 } else { -3_600 }));
        }
    }
    truth.calm.store(true, Ordering::Relaxed);
    weather.send_replace(Weather::default());
    let rested = timeout(REST_MAX, rest(&bus, &truth, processes)).await;
    end.notify_waiters();
    let ended = timeout(REST_MAX, async { while engines.join_next().await.is_some() {} }).await;
    all.abort_all();
    engines.abort_all();
    let judged = oracle::judge(&bus, shards, &truth).await;
    match (judged, rested) {
        (Ok(_), Err(_)) => Err("it did not come to rest".to_owned()),
        (Ok(_), Ok(())) if ended.is_err() => Err("an engine did not end".to_owned()),
        (judged, _) => judged,
    }
}

fn storm(dice: &mut Dice) -> Weather {
    let worst = [0, 5, 30, 120][dice.below(4) as usize];
    Weather {
        slow: dice.below(400),
        answer_lost: dice.below(worst + 1),
        request_lost: dice.below(worst + 1),
        refused: dice.below(worst + 1),
    }
}

/// Waits until every engine has begun its last life and nothing but ticks, samples and records comes any more.
async fn rest(bus: &MemoryBus, truth: &Truth, processes: u64) {
    while truth.last_lives.load(Ordering::Relaxed) < processes {
        sleep(Duration::from_secs(1)).await;
    }
    let own = [subjects().of("commit."), subjects().of("own.")];
    let said = |subject: &[u8]| !own.iter().any(|own| subject.starts_with(own.as_bytes()));
    let (mut quiet, mut last) = (0, 0);
    // Agents and notifiers come back within four seconds, waits for acks are over within three.
    while quiet < 20 {
        sleep(Duration::from_secs(1)).await;
        let events = bus.messages(Stream::Events);
        let newest = events.iter().rfind(|message| said(&message.subject) && !is_glimpse(message));
        let now = newest.map_or(0, |message| message.sequence)
            + bus.state(Stream::Outcomes).await.unwrap().last;
        quiet = if now == last { quiet + 1 } else { 0 };
        last = now;
    }
}

/// One engine process, started again whenever it dies.
struct Process {
    place: Arc<Place>,
    shards: u32,
    name: String,
    mutant: Option<Mutant>,
    end: Arc<Notify>,
}

impl Process {
    async fn live(self, mut dice: Dice) {
        loop {
            let calm = self.place.truth.is_calm();
            let dies_at = if calm || dice.happens(200) { u64::MAX } else { dice.below(800) };
            let life = Life::until(dies_at, dice.happens(500));
            let bus = self.place.connect(&life, dice.split()).broken(self.mutant).shared();
            let engine = Engine::start(self.options(bus)).unwrap();
            self.place.truth.last_lives.fetch_add(u64::from(calm), Ordering::Relaxed);
            let lives_on = dice.millis(200, 15_000);
            tokio::select! {
                biased;
                () = self.end.notified() => {
                    engine.shutdown(Duration::from_secs(60)).await;
                    return;
                }
                () = life.died.notified() => {
                    self.place.truth.kills.fetch_add(1, Ordering::Relaxed);
                    drop(engine);
                }
                () = sleep(lives_on), if !calm => match dice.below(3) {
                    0 => engine.shutdown(dice.millis(1, 5_000)).await,
                    1 => {
                        // Frozen, it loses its logs; awake again, it must not speak for them.
                        life.freeze(true);
                        sleep(dice.millis(500, 20_000)).await;
                        life.freeze(false);
                        sleep(dice.millis(0, 3_000)).await;
                        self.place.truth.kills.fetch_add(1, Ordering::Relaxed);
                        life.kill();
                        drop(engine);
                    }
                    _ => {
                        self.place.truth.kills.fetch_add(1, Ordering::Relaxed);
                        life.kill();
                        drop(engine);
                    }
                }
            }
            sleep(dice.millis(0, 5_000)).await;
        }
    }

    fn options(&self, bus: SharedBus) -> EngineOptions {
        EngineOptions {
            snapshot_every: Duration::from_secs(2),
            anchor_every: Duration::from_secs(6),
            position_every: Duration::from_secs(1),
            heartbeat_every: Duration::from_millis(500),
            tick_every: Duration::from_secs(2),
            lockstep: true,
            ..EngineOptions::new(bus, subjects(), self.shards, self.name.clone())
        }
    }
}
