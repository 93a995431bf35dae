//! Logs and events behind one trait: JetStream for real, memory for tests and simulation.
//!
//! Only this crate knows async-nats. Everything the product stores goes through [`Bus`]; the conformance
//! suite (`tests/conformance.rs`) holds both implementations to the same words. [`server`] runs a local
//! nats-server, [`accounts`] says who may do what on any.

pub mod accounts;
mod contract;
mod error;
pub mod failpoint;
pub mod jetstream;
pub mod layout;
pub mod memory;
mod revision;
pub mod server;

pub use contract::*;
pub use error::BusError;
pub use revision::{Head, newest_revision, revision_batch};
