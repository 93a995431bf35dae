//! The built binary under everything that ends, cuts off or confuses it: no sample that was answered 202 is
//! lost, and every alert, page and rollback happens once.
//!
//! Each test has a site of its own (`site.rs`): a fast rule, a plan whose script writes down each start, a data
//! folder, free ports. Samples come from an open loop (`load.rs`), what the desk said is read off the bus
//! (`events.rs`), and who was told is asked of a receiver inside the test (`hook.rs`).

mod apart;
mod audit;
mod backup;
mod bad_days;
mod burst;
mod cluster;
mod disk;
mod durability;
mod events;
mod hook;
mod kill;
mod load;
mod numbers;
mod outage;
mod plans;
mod poison;
mod receivers;
mod retention;
mod rules;
mod server;
mod servers;
mod shards;
mod sharing;
mod site;
mod stop;
mod takeover;
mod telling;

#[path = "../support/mod.rs"]
mod support;
