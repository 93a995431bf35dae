//! Backtests: samples a second through the production stages, over the collector's entries in a log and over files of each
//! form, from the first byte read to the last incident known.

#[path = "../support/allocator.rs"]
mod allocator;
#[path = "../support/mod.rs"]
mod support;

mod measure;

fn main() {
    if support::asked_for("backtest") {
        let mut table = support::table::Table::new("backtest");
        measure::all(&mut table);
        table.finish();
    }
}
