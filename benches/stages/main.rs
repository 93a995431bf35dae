//! The stages alone: samples a second and core through the dataflow, without a bus; memory of what they keep.
//!
//! Entries are encoded before the clock starts. What decoding them costs is measured beside it, over the same
//! bytes, and taken off: the figure is the windows, the judging and the tracking, rollups included.

#[path = "../support/heap.rs"]
mod heap;
#[path = "../support/mod.rs"]
mod support;

use bytes::Bytes;
use stages::batch::{Batch, TableCache};
use stages::settings::{Settings, Stat};
use stages::time::{Span, Time};
use std::hint::black_box;
use support::load::{self, SERIES, Values};
use support::machine::{Machine, Took};
use support::process::own_cpu;
use support::spread::median;
use support::table::{Goal, Table, millions, short};

/// 16 November 2026, 09:00 UTC: any moment does.
const START: Time = Time::from_millis(1_794_819_600_000);
/// Measurements of each figure, of which the middle one counts.
const RUNS: usize = 3;
/// Steps of 100 ms in one second of log time.
const STEPS_A_SECOND: usize = 10;
const P99: Stat = Stat::Percentile(99.0);
/// A value beyond every threshold.
const SLOW: f64 = 4_000.0;

fn main() {
    if !support::asked_for("stages") {
        return;
    }
    let mut table = Table::new("stages");
    let keys = load::keys();
    type Part = fn(&mut Table, &[String]);
    let parts: [(&str, Part); 5] = [
        ("busy", busy),
        ("each_second", each_second),
        ("lengths", lengths),
        ("memory", mean_memory),
        ("snapshots", snapshots),
    ];
    let only = std::env::var("OPS_BENCH_PART").ok();
    for (_, part) in parts.iter().filter(|(name, _)| only.as_deref().is_none_or(|o| o == *name)) {
        part(&mut table, &keys);
    }
    table.finish();
}

/// Ten batches of 1 000 series, `each` samples of every series: one step of a busy fleet.
fn busy_step(keys: &[String], each: usize) -> Vec<Bytes> {
    let mut values = Values::new(1);
    let mut value = |_| values.next_ms();
    (0..10)
        .map(|tenth| load::batch(keys, tenth * 1000..(tenth + 1) * 1000, each, None, &mut value))
        .collect()
}

/// What reading the samples of these batches costs, in nanoseconds of CPU a sample.
fn decode_nanos(batches: &[Bytes], times: usize) -> f64 {
    let (mut tables, mut count, mut sum) = (TableCache::<u32>::default(), 0_u64, 0.0);
    let began = own_cpu();
    for batch in std::iter::repeat_n(batches, times).flatten() {
        let batch = Batch::parse(batch).expect("just encoded");
        for section in batch.sections() {
            let ids = tables.ids(section.table, |row| row.key.len() as u32).expect("a table");
            for (block, id) in section.blocks().zip(ids.iter()) {
                let read = block.for_each(|_, value, _| {
                    sum += value;
                    count += u64::from(*id > 0);
                });
                read.expect("just encoded");
            }
        }
    }
    black_box(sum);
    (own_cpu() - began).as_nanos() as f64 / count as f64
}

/// 1 000 rules over 10 000 series that send 100 samples a second each.
fn busy(table: &mut Table, keys: &[String]) {
    let step = busy_step(keys, 10);
    let decode = median((0..RUNS).map(|_| decode_nanos(&step, 60)).collect());
    let rate = millions(1e9 / decode);
    table.note("decoding alone, 10 samples a series and entry", rate, format!("{decode:.1} ns"));
    let minute = Span::from_secs(60);
    let cases = [("mean", Stat::Mean, 20.0), ("p99", P99, 10.0)];
    for (name, stat, goal) in cases {
        let mut machine = Machine::start(&load::settings(stat, minute, &[]), START);
        fill(&mut machine, &busy_step(keys, 1), minute);
        let runs = (0..RUNS).map(|_| {
            machine.measure(|machine| (0..100).for_each(|_| machine.batches(&step))).nanos()
        });
        let all = median(runs.collect());
        machine.stop();
        let what = format!("1 000 {name} rules, 10 000 series at 100 samples/s");
        throughput(table, &what, all, decode, goal);
    }
}

/// A row for a throughput: with decoding as it runs, the goal for what is left without it.
fn throughput(table: &mut Table, what: &str, all: f64, decode: f64, goal: f64) {
    let rest = (all - decode).max(0.1);
    let ratio = format!("{} with decoding ({all:.1} ns)", millions(1e9 / all));
    let figure = (1e3 / rest, "M samples/s/core");
    table.goal(what, figure, Goal::AtLeast(goal), ratio);
}

/// Lets every window of length `window` be full: a step every second at most every 5 s of log time.
fn fill(machine: &mut Machine, step: &[Bytes], window: Span) {
    let every = Span((window.0 / 60).clamp(1_000_000_000, 5_000_000_000));
    for _ in 0..window.0 / every.0 + 2 {
        machine.batches(step);
        machine.pass(Span(every.0 - stages::log::STEP.0));
    }
    machine.take();
}

/// Every series once a second, a tenth of them in each step: seconds `range` of the load. With `slow` every
/// series is slow for 10 s out of 600, each at its own time.
fn seconds(keys: &[String], range: std::ops::Range<usize>, slow: bool) -> Vec<Bytes> {
    let mut steps = Vec::with_capacity(range.len() * STEPS_A_SECOND);
    for second in range {
        let mut values = Values::new(second as u64);
        let mut value = |series: usize| {
            let its_time = slow && series % 60 == second / 10 % 60;
            if its_time { SLOW } else { values.next_ms() }
        };
        for tenth in 0..STEPS_A_SECOND {
            let range = tenth * SERIES / 10..(tenth + 1) * SERIES / 10;
            steps.push(load::batch(keys, range, 1, None, &mut value));
        }
    }
    steps
}

fn play(machine: &mut Machine, steps: &[Bytes]) {
    for step in steps {
        machine.batches(std::slice::from_ref(step));
    }
}

/// p99 of every series by itself at one sample a second over 5 min, with and without transitions; its memory.
fn each_second(table: &mut Table, keys: &[String]) {
    let five = Span::from_secs(300);
    let settings = load::settings(P99, five, &["host"]);
    let decode = {
        let steps = seconds(keys, 0..60, false);
        median((0..RUNS).map(|_| decode_nanos(&steps, 5)).collect())
    };
    let rate = millions(1e9 / decode);
    table.note("decoding alone, 1 sample a series and entry", rate, format!("{decode:.1} ns"));
    for slow in [false, true] {
        let steps = seconds(keys, 0..600, slow);
        let empty = heap::held();
        let mut machine = Machine::start(&settings, START);
        play(&mut machine, &steps[..310 * STEPS_A_SECOND]);
        machine.take();
        let kept = heap::held() - empty;
        let took = machine.measure(|machine| play(machine, &steps[310 * STEPS_A_SECOND..]));
        machine.stop();
        let a_minute = took.tally.transitions as f64 / 290.0 * 60.0;
        let what = format!(
            "p99 of each of 10 000 series at 1 sample/s, {} transitions/min",
            short(a_minute)
        );
        throughput(table, &what, took.nanos(), decode, 5.0);
        if !slow {
            let each = kept as f64 / SERIES as f64 / 1024.0;
            let what = "memory per p99 rule x group, 1 sample/s over 5 min";
            table.goal(what, (each, "KiB"), Goal::AtMost(4.0), "keys, series, rollups included");
        }
    }
}

/// One sample a second and series through windows of three lengths.
fn lengths(table: &mut Table, keys: &[String]) {
    let steps = seconds(keys, 0..30, false);
    let busy = busy_step(keys, 10);
    let sparse = busy_step(keys, 1);
    let windows = [("10 s", 10), ("3 min", 180), ("60 min", 3_600)];
    let mut costs: [Vec<(f64, &str)>; 2] = [Vec::new(), Vec::new()];
    for (name, length) in windows {
        let window = Span::from_secs(length);
        let mut machine = Machine::start(&load::settings(Stat::Mean, window, &[]), START);
        fill(&mut machine, &sparse, window);
        let slow_cost = runs(&mut machine, |machine| {
            for _ in 0..5 {
                play(machine, &steps);
            }
        });
        let busy_cost = runs(&mut machine, |machine| {
            (0..100).for_each(|_| machine.batches(&busy));
        });
        machine.stop();
        costs[0].push((slow_cost.nanos(), name));
        costs[1].push((busy_cost.nanos(), name));
        assert_eq!(slow_cost.tally.transitions, 0, "no transitions were to be measured");
    }
    let loads = ["1 sample/s a series", "100 samples/s a series"];
    for (costs, load) in costs.into_iter().zip(loads) {
        let least = costs.iter().map(|(nanos, _)| *nanos).fold(f64::MAX, f64::min);
        let most = costs.iter().map(|(nanos, _)| *nanos).fold(0.0, f64::max);
        let each: Vec<String> =
            costs.iter().map(|(nanos, name)| format!("{name} {nanos:.1} ns")).collect();
        let what = format!("mean over 10 s, 3 min, 60 min; {load}");
        let ratio = (most / least, "dearest / cheapest");
        table.goal_of_ratio(what, each.join(", "), ratio, Goal::AtMost(1.2));
    }
}

/// The middle one of some runs of `work`, by CPU.
fn runs(machine: &mut Machine, work: impl Fn(&mut Machine)) -> Took {
    let mut took: Vec<Took> = (0..RUNS).map(|_| machine.measure(&work)).collect();
    took.sort_by_key(|took| took.cpu);
    took[RUNS / 2]
}

/// Mean of every series by itself over a full minute of 60 panes.
fn mean_memory(table: &mut Table, keys: &[String]) {
    let steps = seconds(keys, 0..130, false);
    let settings = load::settings(Stat::Mean, Span::from_secs(60), &["host"]);
    let held_with = |settings: &Settings| {
        let empty = heap::held();
        let mut machine = Machine::start(settings, START);
        play(&mut machine, &steps);
        machine.take();
        let held = heap::held() - empty;
        machine.stop();
        held as f64 / SERIES as f64
    };
    let all = held_with(&settings);
    let without = held_with(&Settings { revision: "none".to_owned(), ..Settings::default() });
    table.goal(
        "memory per mean rule x group, 60 panes",
        (all / 1024.0, "KiB"),
        Goal::AtMost(1.5),
        format!("keys, series, rollups included; without rules {} B", short(without)),
    );
}

/// Writing down all of a shard whose series are alerts of their own: what the next step waits for.
fn snapshots(table: &mut Table, keys: &[String]) {
    let steps = seconds(keys, 0..310, false);
    for (name, stat) in [("mean", Stat::Mean), ("p99", P99)] {
        let settings = load::settings(stat, Span::from_secs(300), &["host"]);
        let mut machine = Machine::start(&settings, START);
        play(&mut machine, &steps);
        let took = runs(&mut machine, |machine| (0..10).for_each(|_| machine.snapshot()));
        machine.stop();
        let each = took.cpu.as_nanos() as f64 / 10.0 / SERIES as f64;
        let bytes = took.tally.saved as f64 / 10.0 / SERIES as f64;
        let what = format!("snapshot of {name} rules x groups, 1 sample/s over 5 min");
        let ratio = format!("{} bytes each, before they are packed", short(bytes));
        table.note(what, format!("{each:.0} ns each"), ratio);
    }
}
