//! One metric with a thousand rules beside one metric with one rule, in turns in one run.

use crate::START;
use crate::support::load::{self, SERIES_EACH, Values};
use crate::support::machine::{Machine, Took};
use crate::support::spread::median;
use crate::support::table::{Goal, Table, short};
use bytes::Bytes;
use stages::log::STEP;
use stages::settings::{Compare, Rule, Settings, Stat};
use stages::time::Span;
use std::sync::Arc;
use std::time::Duration;

const RULES: usize = 1_000;
const RUNS: usize = 5;
/// Series of the metric.
const HOSTS: usize = 100;
/// Steps of one run.
const STEPS: usize = 200;

/// How the thousand differ.
#[derive(Clone, Copy)]
enum Differ {
    /// In threshold, `for`, severity and texts: all look at the same panes.
    Judging,
    /// One in ten in statistic or window, too.
    Views,
}

/// Rule number `at`; ordinary values are about 110 and thresholds from 500 up, so most are calm.
fn rule(at: usize, group_by: &[&str], differ: Differ) -> Rule {
    let name = format!("rule_{at:04}");
    let windows = [300, 60, 600];
    let stats =
        [Stat::Mean, Stat::Max, Stat::Percentile(99.0), Stat::Percentile(95.0), Stat::Count];
    let (stat, window) = match differ {
        Differ::Views if at % 10 == 9 => (stats[at / 10 % 5], windows[at / 50 % 3]),
        Differ::Judging | Differ::Views => (Stat::Mean, 300),
    };
    Rule {
        group_by: group_by.iter().map(|label| (*label).to_owned()).collect(),
        compare: if stat == Stat::Count { Compare::Less } else { Compare::Greater },
        threshold: if stat == Stat::Count { 1.0 } else { 500.0 + 5.0 * at as f64 },
        hold: Span::from_secs([0, 60, 120, 300][at % 4]),
        severity: ["critical", "warning", "info"][at % 3].to_owned(),
        annotations: [("summary".to_owned(), format!("rule {at}"))].into(),
        ..load::rule(&name, &load::metric(0), stat, Span::from_secs(window))
    }
}

fn settings(count: usize, group_by: &[&str], differ: Differ) -> Settings {
    let rules = (0..count).map(|at| Arc::new(rule(at, group_by, differ))).collect();
    Settings { revision: format!("shared-{count}"), rules, ..Settings::default() }
}

/// One step of the metric: `each` samples of `hosts`.
fn step(hosts: std::ops::Range<usize>, each: usize, seed: u64) -> Bytes {
    let metric = load::metric(0);
    let key = |host| format!("{metric}\u{1f}host\u{1e}app-{host:02}");
    let keys: Vec<String> = (0..HOSTS).map(key).collect();
    let mut values = Values::new(seed);
    load::batch(&keys, hosts, each, None, &mut |_| values.next_ms())
}

/// A shard whose window is full.
fn machine(settings: &Settings) -> Machine {
    let mut machine = Machine::start(settings, START);
    for _ in 0..200 {
        machine.batches(&[step(0..HOSTS, 1, 7)]);
        machine.pass(Span(3_000_000_000 - STEP.0));
    }
    machine.take();
    machine
}

/// Loads: what they are called, and their ten steps of a second.
fn loads() -> Vec<(&'static str, Vec<Bytes>)> {
    let tenth = |at: usize| at * SERIES_EACH..(at + 1) * SERIES_EACH;
    let slow = (0..10).map(|at| step(tenth(at), 1, at as u64)).collect();
    let busy = (0..10).map(|at| step(0..HOSTS, 10, at as u64)).collect();
    vec![("100 series at 1 sample/s", slow), ("100 series at 100 samples/s", busy)]
}

/// CPU of `STEPS` steps.
fn run(machine: &mut Machine, steps: &[Bytes]) -> Took {
    machine.measure(|machine| {
        for step in steps.iter().cycle().take(STEPS) {
            machine.batches(std::slice::from_ref(step));
        }
    })
}

/// The ratio of both, with the same panes and with several.
pub fn measure(table: &mut Table) {
    let whole: &[&str] = &[];
    let kinds = [("one alert each", whole), ("an alert a host each", &["host"])];
    let differs =
        [(Differ::Judging, "1 000 rules of one view"), (Differ::Views, "1 000 rules of 16 views")];
    for (kind, group_by) in kinds {
        for (differ, name) in differs {
            let mut one = machine(&settings(1, group_by, differ));
            let mut many = machine(&settings(RULES, group_by, differ));
            for (load, steps) in loads() {
                let mut costs: [Vec<f64>; 2] = Default::default();
                for _ in 0..RUNS {
                    costs[0].push(micros(run(&mut one, &steps).cpu));
                    costs[1].push(micros(run(&mut many, &steps).cpu));
                }
                let [one, many] = costs.map(median);
                let what = format!("{name}, {kind}, {load}");
                let ratio = (many / one, "that of 1 rule");
                let figure = format!("{} µs a step, {} µs with 1 rule", short(many), short(one));
                match differ {
                    Differ::Judging => table.goal_of_ratio(what, figure, ratio, Goal::AtMost(3.0)),
                    // Windows of their own are more work, not the same shared.
                    Differ::Views => {
                        table.note(what, figure, format!("{:.2} x {}", ratio.0, ratio.1))
                    }
                }
            }
            one.stop();
            many.stop();
        }
    }
}

fn micros(cpu: Duration) -> f64 {
    cpu.as_secs_f64() * 1e6 / STEPS as f64
}
