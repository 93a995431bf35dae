//! Ten thousand rules over a thousand metrics and a hundred thousand series, each with a sample a second.

use crate::START;
use crate::fleet::{self, HOSTS_A_STEP, LONGEST, SERIES};
use crate::support::from_env;
use crate::support::machine::{Machine, StepTook};
use crate::support::process::resident_mib;
use crate::support::spread::Spread;
use crate::support::table::{Table, short};
use bytes::Bytes;
use stages::log::STEP;
use stages::settings::Settings;
use stages::time::Span;
use std::time::Duration;

/// Seconds of samples made beforehand, played again and again.
const SECONDS: u64 = 5;
/// While windows are filled, every series sends once in this time.
const SPARSE: Span = Span::from_secs(3);

/// The fleet's samples, and a shard that has seen enough of them for every window to be full.
pub struct House {
    pub machine: Machine,
    seconds: Vec<Vec<Bytes>>,
    played: usize,
}

impl House {
    /// All windows full.
    pub fn full(settings: &Settings) -> Self {
        let keys = fleet::keys();
        let seconds = (0..SECONDS).map(|seed| fleet::second(&keys, seed)).collect();
        let machine = Machine::start(settings, START);
        let mut house = Self { machine, seconds, played: 0 };
        for _ in 0..LONGEST.0 / SPARSE.0 + 2 {
            house.sparse();
        }
        // As it goes on: what a step owes after such big ones is not measured.
        for _ in 0..20 {
            house.step();
        }
        house.machine.take();
        house
    }

    /// A sample of every series at once, and time until the next.
    fn sparse(&mut self) {
        let second = &self.seconds[self.played % self.seconds.len()];
        self.machine.batches(second);
        self.machine.pass(Span(SPARSE.0 - STEP.0));
        self.played += 1;
    }

    /// The batches of the next step: a sample of every series of a tenth of the hosts.
    pub fn next(&mut self) -> Vec<Bytes> {
        let (second, tenth) = (self.played / 10 % self.seconds.len(), self.played % 10);
        self.played += 1;
        self.seconds[second][tenth * HOSTS_A_STEP..(tenth + 1) * HOSTS_A_STEP].to_vec()
    }

    /// Plays the next step.
    pub fn step(&mut self) -> StepTook {
        let batches = self.next();
        self.machine.alone(|machine| machine.batches(&batches))
    }
}

/// CPU, steps and memory of it.
pub fn measure(table: &mut Table) {
    let before = resident_mib(std::process::id());
    let mut house = House::full(&fleet::settings("scale", |_, _| ()));
    let seconds = from_env("OPS_BENCH_SECONDS", 60);
    let steps: Vec<StepTook> = (0..seconds * 10).map(|_| house.step()).collect();
    let tally = house.machine.take();
    let memory = resident_mib(std::process::id()) - before;
    let cpu: Duration = steps.iter().map(|step| step.cpu).sum();
    let what = "10 000 rules, 1 000 metrics, 100 000 series at 1 sample/s";
    let a_second = cpu.as_secs_f64() / seconds as f64;
    let samples = tally.samples as f64 / seconds as f64;
    table.note(
        format!("{what}: CPU of a second"),
        format!("{:.0} ms", a_second * 1e3),
        format!("{samples:.0} samples, {} evaluations", tally.evaluations / seconds),
    );
    let walls = Spread::of(steps.iter().map(|step| step.wall).collect());
    let [p50, p99, most] = [50.0, 99.0, 100.0].map(|percent| short(walls.percentile_ms(percent)));
    let text = format!("p50 {p50} ms, longest {most} ms, of {}", walls.len());
    table.note(format!("{what}: a step of 100 ms"), format!("p99 {p99} ms"), text);
    let each = memory * 1024.0 / SERIES as f64;
    let text = format!("{} KiB a series, samples of the bench included", short(each));
    table.note(format!("{what}: resident memory"), format!("{memory:.0} MiB"), text);
    house.machine.stop();
}
