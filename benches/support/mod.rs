//! What the benches share: the load they play, the processes they watch, the table they print.
//!
//! Each bench is a program of its own (`harness = false`): it measures, prints its rows and keeps them in
//! `target/measured/`, from where `make bench` prints one table. Nothing asserts on a timing.
#![allow(dead_code)]

pub mod consumer;
pub mod fill;
pub mod load;
pub mod machine;
pub mod plain_server;
pub mod process;
pub mod spread;
pub mod table;

/// Whether `cargo bench` runs this program. `cargo test --all-targets` runs it too; then there is nothing to do.
pub fn asked_for(name: &str) -> bool {
    let asked = std::env::args().any(|argument| argument == "--bench");
    if !asked {
        println!("{name}: measured by `cargo bench --bench {name}`");
    }
    asked
}

/// A number from the environment, for longer or shorter runs.
pub fn from_env(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text}: write a whole number")),
        Err(_) => default,
    }
}
