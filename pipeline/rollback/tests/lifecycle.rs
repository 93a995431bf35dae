//! How an agent begins, waits and ends.

#![allow(clippy::unwrap_used)]

mod lab;

use lab::{Lab, made};
use rollback::{Agent, AgentError, AgentOptions};
use stages::wire::RollbackState;
use std::fs;
use std::time::Duration;

#[tokio::test]
async fn an_agent_without_its_files_does_not_start() {
    let lab = Lab::in_memory().await;
    let missing = AgentOptions { plans_dir: lab.data("none"), ..lab.options("a1") };
    assert!(matches!(Agent::start(missing).await, Err(AgentError::Plans { .. })));
    let _first = lab.agent("a1").await;
    assert!(matches!(Agent::start(lab.options("a1")).await, Err(AgentError::JournalInUse(_))));
}

const WAITS: &str = "#!/bin/sh\ntouch \"$OPS_DATA/up\"\n\
    while [ ! -e \"$OPS_DATA/go\" ]; do sleep 0.02; done\n";

#[tokio::test]
async fn shutdown_waits_for_the_script_and_takes_no_more_commands() {
    let lab = Lab::in_memory().await;
    lab.script("run.sh", WAITS, 0o755);
    let agent = lab.agent("a1").await;
    lab.order(&lab.command("i1")).await;
    made(&lab.data("up")).await;
    let ending = tokio::spawn(agent.shutdown());
    // From here on it takes nothing more: the other agent gets all that comes.
    tokio::task::yield_now().await;
    let other = lab.agent("a2").await;
    lab.order(&lab.command("i2")).await;
    assert_eq!(lab.running("i2").await.agent, "a2");
    assert!(!ending.is_finished());
    fs::write(lab.data("go"), "").unwrap();
    ending.await.unwrap();
    assert_eq!(lab.end("i1").await.state, RollbackState::Succeeded);
    other.shutdown().await;
}

#[tokio::test]
async fn a_shutdown_that_is_dropped_leaves_the_script_to_the_next_agent() {
    let lab = Lab::in_memory().await;
    lab.script("run.sh", WAITS, 0o755);
    let agent = lab.agent("a1").await;
    lab.order(&lab.command("i1")).await;
    made(&lab.data("up")).await;
    lab.spawned("a1").await;
    let ending = tokio::spawn(agent.shutdown());
    tokio::task::yield_now().await;
    ending.abort();
    let agent = lab.agent("a1").await;
    fs::write(lab.data("go"), "").unwrap();
    assert_eq!(lab.end("i1").await.state, RollbackState::Succeeded);
    agent.shutdown().await;
}

#[tokio::test]
async fn an_agent_that_gets_no_commands_is_not_ready() {
    let lab = Lab::in_memory().await;
    let empty = bus::memory::MemoryBus::real_time(bus::layout::Layout::default());
    let bus = std::sync::Arc::new(empty.clone());
    let agent = Agent::start(AgentOptions { bus, ..lab.options("host1") }).await.unwrap();
    let says = async |wanted: fn(Option<String>) -> bool| {
        let said = async {
            while !wanted(agent.not_ready()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let said = tokio::time::timeout(Duration::from_secs(30), said).await;
        said.unwrap_or_else(|_| panic!("it says {:?}", agent.not_ready()));
    };
    says(|why| why.is_some_and(|why| why.contains("no commands"))).await;
    bus::Bus::ensure(&empty, 1).await.unwrap();
    says(|why| why.is_none()).await;
    empty.set_connected(false);
    assert_eq!(agent.not_ready().unwrap(), "the agent's bus does not answer");
    agent.shutdown().await;
}
