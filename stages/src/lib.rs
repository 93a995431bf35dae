//! The pure part of HMS-OPS: what the words of the product mean, as code.
//!
//! Entries of logs go in, events come out. Nothing here reads a clock, does I/O, draws a random number or
//! iterates an unordered map, so the same log gives the same events, byte for byte, everywhere.
//!
//! Read in this order: [`log`] (entries and steps), [`wire`] (what comes out), [`settings`], then the
//! stages as the data meets them.

pub mod batch;
pub mod calendar;
pub mod dataflow;
pub mod decode;
pub mod desk;
pub mod due;
pub mod error;
pub mod exact;
pub mod histogram;
pub mod history;
pub mod joint;
pub mod judge;
pub mod level;
pub mod log;
pub mod matcher;
pub mod number;
pub mod output;
pub mod pane;
pub mod rate;
pub mod revision;
pub mod rollup;
pub mod run;
pub mod series;
pub mod settings;
pub mod shard;
pub mod stop;
pub mod subject;
pub mod term;
pub mod ticks;
pub mod time;
mod timely_adapter;
pub mod track;
pub mod verify;
pub mod window;
pub mod wire;

/// Version of the stages: outputs are promised to be equal only within one version.
pub const VERSION: u32 = 8;
/// Oldest version whose snapshots this one takes up. Where windows are stored as before, an upgrade need not raise it.
pub const READS_FROM: u32 = 3;
