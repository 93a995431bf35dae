//! The rollback agent: the only part of the product that starts a process.
//!
//! A command on `ops.rollback.<plan>.command` becomes at most one run of one script in one of the agent's own
//! plan folders. Three things make "at most one" true: the claim on the ledger (`ops.exec.<plan>.<incident>`,
//! create-once), the `started` record there (compare-and-set, stored before the script runs) and the agent's own
//! [`journal`] (synced to disk before the script runs and before its result is told). Whatever happens, the
//! command gets an outcome on `ops.status.rollback.<plan>`; where nobody can say what the script did, that
//! outcome is `unknown` and the script is not run again by itself.
//!
//! A script outlives its agent: the next one waits for it, or reads how it ended from what it left on disk.
//!
//! One file, one noun: [`agent`] takes work, [`execution`] carries one command through its steps, [`next`] says
//! which is due, [`ledger`] and [`journal`] remember, [`freeze`] reads the kill switch, [`folder`] finds the
//! script, [`attempt`] sees it from its start to its outcome, [`script`] runs it, [`run_folder`] holds what it
//! leaves, [`process`] knows it again.

mod agent;
mod attempt;
mod environment;
mod execution;
pub mod folder;
mod freeze;
pub mod journal;
mod ledger;
mod next;
mod patience;
pub mod process;
pub mod run_folder;
pub mod script;
mod scripts;
mod tail;

pub use agent::{Agent, AgentError, AgentOptions, Counters};
pub use execution::Limits;
