//! Large sets of rules: ten thousand of them over a hundred thousand series, a thousand on one metric, and what putting
//! them in force makes a step wait.
//!
//! The production dataflow on one worker, under virtual time: log time runs as fast as the worker. A step's time is from
//! handing it to the worker until what it says is heard.

#[path = "../support/allocator.rs"]
mod allocator;
#[path = "../support/mod.rs"]
mod support;

mod apply;
mod fleet;
mod scale;
mod shared;

use stages::time::Time;
use support::table::Table;

/// 16 November 2026, 09:00 UTC: any moment does.
const START: Time = Time::from_millis(1_794_819_600_000);

fn main() {
    if !support::asked_for("rules") {
        return;
    }
    let mut table = Table::new("rules");
    type Part = fn(&mut Table);
    let parts: [(&str, Part); 3] =
        [("scale", scale::measure), ("shared", shared::measure), ("apply", apply::measure)];
    let only = std::env::var("OPS_BENCH_PART").ok();
    for (_, part) in parts.iter().filter(|(name, _)| only.as_deref().is_none_or(|o| o == *name)) {
        part(&mut table);
    }
    table.finish();
}
