//! Trying rules before they page anybody: the production stages, offline, under virtual time.
//!
//! A [`Trial`] holds the logs in memory, stamps entries with virtual time, appends ticks as an owner would, relays what
//! the logs say to each other and lets agents do what a script says. What it says is what the engine says of the same logs
//! (tested). On it stand the unit tests of rules ([`check`]), and backtests.

pub mod backtest;
mod case;
mod edge;
mod error;
mod feed;
mod firing;
mod found;
pub mod input;
mod line;
pub mod report;
mod said;
mod trial;
pub mod why;

pub use case::{Difference, Missing, Verdict, check};
pub use edge::Script;
pub use error::TrialError;
pub use found::Found;
pub use said::{Said, Spoken};
pub use trial::{Kept, Setup, Trial};
