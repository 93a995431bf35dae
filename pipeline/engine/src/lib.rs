//! The engine: moves entries from the bus into the dataflow and what it says back, and loses nothing in between.
//!
//! ```text
//! bus ── feeder ── rounds ── dataflow ── rounds ── committer ── bus       one feeder a stream, one committer a log
//!          └ ticks                                    ├ snapshot
//!                                                     └ loose (rollups, dead letters)
//! audit: replays a log and compares, beside all that.   recover: goes on without what is gone, by hand.
//! skip: goes on without an entry that stops a stage, by hand.
//! standstill: holds all logs while their streams are copied.
//! keeper: heartbeats, take-over and recovery of logs.   relay, withdraw: edges of the desk's owner.
//! ```
//!
//! It knows no rule, no alert and no channel: outputs of the stages are bytes with a subject. Whatever dies, the
//! next owner finds the newest commit record, loads the snapshot it names, replays the log up to the committed
//! position without saying anything, and goes on.

mod alive;
mod anchors;
mod apply;
mod audit;
mod boot;
mod claims;
mod commit;
mod engine;
mod error;
mod feeder;
mod filling;
mod health;
mod history;
mod keeper;
mod loose;
mod notices;
mod options;
mod ownership;
mod packing;
mod patience;
mod read_back;
mod readers;
mod recover;
mod recovery;
mod relay;
mod rounds;
mod said;
mod share;
mod skip;
mod snapshot;
mod standstill;
mod whole;
mod withdraw;

pub use apply::{Applied, InForce, apply_settings, current_settings, wait_in_force};
pub use audit::{
    Audit, AuditOptions, Difference, Progress, Stood, Unproven, audit, audit_until, stood,
};
pub use engine::Engine;
pub use error::EngineError;
pub use health::{Health, LogHealth, TIMING_BOUNDS, Timing, why_stopped};
pub use history::{Applying, history, settings_at};
pub use keeper::all_logs;
pub use options::{EngineOptions, StagesVersion};
pub use recover::{Loss, recover};
pub use skip::{Skip, Skipped, skip, stops};
pub use standstill::Standstill;
