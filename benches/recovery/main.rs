//! Engines that are killed, started again, and more than one: how long until a restarted one has caught up, how fast it
//! replays, how large snapshots are and what they cost, and what several processes make of one machine.

#[path = "../support/allocator.rs"]
mod allocator;
#[path = "../support/mod.rs"]
mod support;

mod fleet;
mod process;

use bus::jetstream::{JetStream, Options};
use bus::{Bus, SharedBus, Stream};
use fleet::{Fleet, put_in_force};
use process::{Process, Start};
use stages::log::LogId;
use stages::subject::Subjects;
use stages::wire::CommitRecord;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::consumer::{consume, read_batch};
use support::fill::fill;
use support::load;
use support::plain_server::PlainServer;
use support::spread::median;
use support::table::{Goal, Table, millions, short};

/// Kills of each size of fleet.
const KILLS: usize = 3;
/// As the product does it.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(10);
/// Longer than any part of this.
const NEVER: Duration = Duration::from_secs(36_000);
/// Entries of 1 000 samples that are replayed, or shared out.
const ENTRIES: usize = 12_000;
/// Shards that processes share.
const SHARDS: u32 = 4;

fn main() {
    if process::is_child() || !support::asked_for("recovery") {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut table = Table::new("recovery");
    runtime.block_on(async {
        restart(&mut table, 10_000, 2.0).await;
        restart(&mut table, 100_000, 10.0).await;
        replay(&mut table).await;
        several(&mut table).await;
    });
    table.finish();
}

async fn bus(server: &PlainServer, shards: u32) -> SharedBus {
    let bus = JetStream::connect(Options::new(server.url())).await.expect("the server answers");
    bus.ensure(shards).await.expect("streams are made");
    Arc::new(bus)
}

/// Kills an engine over so many series, a sample a second each, just before its next snapshot, and starts it again a
/// second later. What came in until then is what it has to catch up with.
async fn restart(table: &mut Table, series: usize, goal: f64) {
    let server = PlainServer::start().await;
    let (url, bus) = (server.url(), bus(&server, 1).await);
    let start = Start { url: &url, name: "a", shards: 1, snapshot_every: SNAPSHOT_EVERY };
    let mut engine = Process::start(start);
    put_in_force(&bus, 1).await;
    let mut fleet = Fleet::of(&url, series, 0).await;
    let filled = fleet.fill().await;
    engine.until(|status| status.owned.iter().any(|(_, position)| *position >= filled));
    let (mut took, mut pauses, mut behind) = (Vec::new(), Vec::new(), 0);
    for _ in 0..KILLS {
        let mut clock = tokio::time::interval(Duration::from_secs(1));
        let (before, mut last, mut seen) = (engine.status(), 0, None);
        // The second of them, so that nothing of the filling is behind it.
        while seen.is_none_or(|at: Instant| at.elapsed() < SNAPSHOT_EVERY.mul_f64(0.75)) {
            clock.tick().await;
            last = fleet.send(load::now()).await;
            let status = engine.status();
            if status.snapshots >= before.snapshots + 2 && seen.is_none() {
                seen = Some(Instant::now());
                let taken = (status.pauses.0 - before.pauses.0, status.pauses.1 - before.pauses.1);
                pauses.push(taken.1 / taken.0 as f64);
            }
        }
        drop(engine);
        clock.tick().await;
        last = last.max(fleet.send(load::now()).await);
        behind = behind.max(last - snapshot_of(&bus).await.0);
        engine = Process::start(start);
        engine.until(|status| {
            !status.replaying && status.owned.iter().any(|(_, position)| *position >= last)
        });
        took.push(engine.began.elapsed().as_secs_f64());
    }
    let longest = took.iter().copied().fold(0.0, f64::max);
    let title = format!("{series} series, 5 min windows, 1 sample/s each");
    let ratio =
        format!("longest of {KILLS}; up to {behind} entries of 1 000 samples behind the snapshot");
    table.goal(format!("{title}: restart to caught up"), (longest, "s"), Goal::AtMost(goal), ratio);
    let bytes = snapshot_of(&bus).await.1;
    let each = format!("{} bytes a series", short(bytes as f64 / series as f64));
    table.note(format!("{title}: snapshot"), format!("{} MiB", short(mib(bytes))), each);
    let each = format!("{} ms", short(median(pauses) * 1e3));
    let what = format!("{title}: pause for a snapshot");
    table.note(what, each, "in which the next step waits; packing and storing go on beside it");
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Position and size of the newest snapshot of the first shard.
async fn snapshot_of(bus: &SharedBus) -> (u64, u64) {
    let (subjects, log) = (Subjects::default(), LogId::Shard(0));
    let record = bus.last(Stream::Events, &subjects.commit(log)).await.expect("the bus answers");
    let record: CommitRecord =
        serde_json::from_slice(&record.expect("a record").payload).expect("a record");
    let snapshot = record.snapshot.expect("a snapshot");
    let mut bytes = 0;
    for piece in 0..snapshot.chunks {
        let subject = subjects.state(log, &snapshot.id, piece as usize);
        let piece = bus.last(Stream::State, &subject).await.expect("the bus answers");
        bytes += piece.expect("a piece").payload.len() as u64;
    }
    (snapshot.position, bytes)
}

/// Entries of the collector for each shard, the same ones again and again.
async fn fill_shards(url: &str, shards: u32) -> Vec<u64> {
    let client = async_nats::connect(url).await.expect("the server answers");
    let (stream, keys) = (async_nats::jetstream::new(client), load::keys());
    let (now, mut values) = (load::now(), load::Values::new(5));
    let mut last = Vec::new();
    for shard in 0..shards {
        let subject = Subjects::default().entry(LogId::Shard(shard), "batch");
        let entries: Vec<_> = (0..200)
            .map(|at: usize| {
                let first = at * 1_000 % keys.len();
                load::batch(&keys, first..first + 1_000, 1, Some(now), &mut |_| values.next_ms())
            })
            .collect();
        let messages = (0..ENTRIES / shards as usize)
            .map(|at| (subject.clone(), entries[at % entries.len()].clone()));
        last.push(fill(&stream, messages).await);
    }
    last
}

/// What a log costs to work off, and to work through again after a kill, without a snapshot.
async fn replay(table: &mut Table) {
    let server = PlainServer::start().await;
    let (url, bus) = (server.url(), bus(&server, 1).await);
    let start = Start { url: &url, name: "a", shards: 1, snapshot_every: NEVER };
    let mut engine = Process::start(start);
    put_in_force(&bus, 1).await;
    drop(engine);
    let last = fill_shards(&url, 1).await[0];
    let mut rates = Vec::new();
    for again in [false, true] {
        engine = Process::start(start);
        let before = engine.until(|status| !status.owned.is_empty()).samples;
        let began = Instant::now();
        let status = engine.until(|status| {
            !status.replaying && status.owned.iter().any(|(_, position)| *position >= last)
        });
        rates.push((status.samples - before) as f64 / began.elapsed().as_secs_f64());
        if !again {
            // The position is recorded every five seconds where nothing is said.
            tokio::time::sleep(Duration::from_secs(7)).await;
        }
        drop(engine);
    }
    let figure = format!("{} samples", millions(rates[1]));
    let ratio = format!("{:.2} x live's {}", rates[1] / rates[0], millions(rates[0]));
    table.note("collector's encoding: replay", figure, ratio);
}

/// The same log in four shards, worked off by more and more processes; beside it one bare consumer.
async fn several(table: &mut Table) {
    for processes in [1, 2, 4] {
        let server = PlainServer::start().await;
        let (url, bus) = (server.url(), bus(&server, SHARDS).await);
        let name = |number: usize| format!("engine-{number}");
        let engines = || {
            let start = |number| {
                let name = name(number);
                let (shards, snapshot_every) = (SHARDS, SNAPSHOT_EVERY);
                Process::start(Start { url: &url, name: &name, shards, snapshot_every })
            };
            (0..processes).map(start).collect::<Vec<_>>()
        };
        let mut crew = engines();
        put_in_force(&bus, SHARDS).await;
        drop(crew);
        let last = fill_shards(&url, SHARDS).await;
        let began = Instant::now();
        // Nobody else wrote meanwhile: from the first entry on, one behind the other.
        let range = (last[0] + 1 - (ENTRIES / SHARDS as usize) as u64, last[SHARDS as usize - 1]);
        let bare = consume(&url, 1_000, range, read_batch).await;
        let bare = bare as f64 / began.elapsed().as_secs_f64();
        crew = engines();
        // Of each shard the owner that is farthest; logs may change hands meanwhile.
        let mut far = vec![0; SHARDS as usize];
        let mut first = None;
        while far.iter().zip(&last).any(|(far, last)| far < last) {
            std::thread::sleep(Duration::from_millis(5));
            for (shard, position) in crew.iter_mut().flat_map(|engine| engine.status().owned) {
                first.get_or_insert_with(Instant::now);
                far[shard as usize] = far[shard as usize].max(position);
            }
        }
        let took = first.expect("somebody owned something").elapsed().as_secs_f64();
        let rate = (ENTRIES * 1_000) as f64 / took;
        let spread: Vec<_> = crew.iter_mut().map(|one| one.status().owned.len()).collect();
        let what = format!("engine processes: {processes}, {SHARDS} shards");
        let ratio = format!(
            "{:.2} x the bare consumer's {}; shards each {spread:?}",
            rate / bare,
            millions(bare)
        );
        table.note(what, millions(rate), ratio);
    }
}
