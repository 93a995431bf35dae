//! Agents on a real nats-server, with the permissions of their role and no more.

#![allow(clippy::unwrap_used)]

mod lab;

use bus::SharedBus;
use bus::accounts::Role;
use bus::failpoint::Failpoint;
use bus::jetstream::JetStream;
use bus::layout::Layout;
use bus::server::{LocalServer, ServerOptions};
use lab::{Lab, kill_group, made};
use rollback::{Agent, AgentOptions};
use stages::wire::{EndCause, LedgerState, RollbackState};
use std::fs;
use std::process::{Child, Command};
use std::sync::Arc;

const AGENT: &str = "host1";

/// A server, a lab whose bus is the owner's, and the folder both live in.
async fn server() -> (LocalServer, Lab, tempfile::TempDir) {
    let data = tempfile::tempdir().unwrap();
    let server = LocalServer::start(ServerOptions {
        data: data.path().to_owned(),
        port: None,
        layout: Layout::default(),
        agent: AGENT.to_owned(),
    })
    .await
    .unwrap();
    connect(&server, Role::Admin).await.ensure(1).await.unwrap();
    let lab = Lab::beside(connect(&server, Role::Owner).await);
    (server, lab, data)
}

async fn connect(server: &LocalServer, role: Role) -> SharedBus {
    Arc::new(JetStream::connect(server.options(role)).await.unwrap())
}

#[tokio::test]
async fn a_command_is_carried_out_with_the_permissions_of_an_agent() {
    let (server, lab, _data) = server().await;
    lab.script("run.sh", "#!/bin/sh\necho fence $OPS_FENCE\n", 0o755);
    let bus = connect(&server, Role::Agent).await;
    let agent = Agent::start(AgentOptions { bus, ..lab.options(AGENT) }).await.unwrap();
    lab.order(&lab.command("i1")).await;
    let outcome = lab.end("i1").await;
    assert_eq!(outcome.state, RollbackState::Succeeded, "{outcome:?}");
    assert_eq!(outcome.output.as_deref(), Some("fence 1\n"));
    let late = stages::wire::Command { not_after: stages::time::Time(1), ..lab.command("i2") };
    lab.order(&late).await;
    assert_eq!(lab.end("i2").await.state, RollbackState::Expired);
    agent.shutdown().await;
    server.stop().await;
}

/// An agent as a process of its own, see `lab/agent_process.rs`.
fn process(server: &LocalServer, lab: &Lab) -> Child {
    command(server, lab).spawn().unwrap()
}

fn command(server: &LocalServer, lab: &Lab) -> Command {
    let options = server.options(Role::Agent);
    let bus::jetstream::Credentials::NkeySeed(seed) = &options.credentials else {
        panic!("agents have seeds");
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent_under_test"));
    command.args([&options.urls[0]]).arg(seed).arg(&options.inbox_prefix);
    command.arg(lab.folder.path()).arg(AGENT).env_remove("OPS_FAILPOINT");
    command
}

/// Lets an agent of its own process start a script, and kills it while that runs; the script's process group.
async fn kill_while_running(server: &LocalServer, lab: &Lab) -> i32 {
    let script = "#!/bin/sh\necho start >> \"$OPS_DATA/starts\"\n\
        while [ ! -e \"$OPS_DATA/go\" ]; do sleep 0.02; done\necho done\n";
    lab.script("run.sh", script, 0o755);
    let mut agent = process(server, lab);
    lab.order(&lab.command("i1")).await;
    lab.running("i1").await;
    made(&lab.data("starts")).await;
    let group = lab.spawned(AGENT).await;
    agent.kill().unwrap();
    agent.wait().unwrap();
    group
}

#[tokio::test]
async fn an_agent_killed_while_the_script_runs_comes_back_to_its_end() {
    let (server, lab, _data) = server().await;
    kill_while_running(&server, &lab).await;
    let mut second = process(&server, &lab);
    fs::write(lab.data("go"), "").unwrap();
    let outcome = lab.end("i1").await;
    assert_eq!((outcome.state, outcome.exit_code), (RollbackState::Succeeded, Some(0)));
    assert_eq!(outcome.output.as_deref(), Some("done\n"));
    second.kill().unwrap();
    second.wait().unwrap();
    assert_eq!(fs::read_to_string(lab.data("starts")).unwrap().lines().count(), 1);
    server.stop().await;
}

#[tokio::test]
async fn an_agent_killed_with_its_script_leaves_an_unknown_outcome() {
    let (server, lab, _data) = server().await;
    kill_group(kill_while_running(&server, &lab).await);
    let mut second = process(&server, &lab);
    let outcome = lab.end("i1").await;
    assert_eq!((outcome.state, outcome.cause), (RollbackState::Unknown, Some(EndCause::AgentDied)));
    fs::write(lab.data("go"), "").unwrap();
    lab.order(&lab.command("i2")).await;
    assert_eq!(lab.end("i2").await.state, RollbackState::Succeeded);
    second.kill().unwrap();
    second.wait().unwrap();
    assert_eq!(fs::read_to_string(lab.data("starts")).unwrap().lines().count(), 2);
    let ended = LedgerState::Ended {
        outcome: RollbackState::Unknown,
        exit_code: None,
        cause: Some(EndCause::AgentDied),
    };
    assert_eq!(lab.ledger("PLAN", "i1").await.unwrap().state, ended);
    server.stop().await;
}

/// Where an agent dies, how often the script starts in all, and what is told. Where the ledger says started and nobody
/// knows of an end, it stays unknown; before that, and once the end is written down, the next agent goes on.
const DEATHS: [(Failpoint, usize, &[RollbackState]); 10] = {
    use Failpoint as At;
    const TOLD: &[RollbackState] = &[RollbackState::Succeeded];
    const LOST: &[RollbackState] = &[RollbackState::Unknown];
    // Only the end that the script leaves tells of it: there or not yet when the next agent looks.
    const EITHER: &[RollbackState] = &[RollbackState::Succeeded, RollbackState::Unknown];
    [
        (At::AgentBeforeClaim, 1, TOLD),
        (At::AgentClaimed, 1, TOLD),
        (At::AgentStarted, 0, LOST),
        (At::AgentBeforeSpawn, 0, LOST),
        (At::AgentSpawned, 1, EITHER),
        (At::AgentFollowing, 1, TOLD),
        (At::AgentExited, 1, TOLD),
        (At::AgentBeforeReport, 1, TOLD),
        (At::AgentConcluded, 1, TOLD),
        (At::AgentReported, 1, TOLD),
    ]
};

#[tokio::test]
async fn an_agent_killed_at_any_step_starts_the_script_once_at_most() {
    let (server, lab, _data) = server().await;
    lab.script("run.sh", "#!/bin/sh\necho $OPS_INCIDENT >> \"$OPS_DATA/starts\"\n", 0o755);
    for (place, starts, states) in DEATHS {
        let incident = place.name();
        let mut dying = command(&server, &lab).env("OPS_FAILPOINT", incident).spawn().unwrap();
        lab.order(&lab.command(incident)).await;
        let died = tokio::task::spawn_blocking(move || dying.wait().unwrap()).await.unwrap();
        assert_eq!(died.code(), None, "{incident}: it did not die there");
        let mut next = process(&server, &lab);
        let outcome = lab.end(incident).await;
        assert!(states.contains(&outcome.state), "{incident}: {outcome:?}");
        let ended = async {
            while !matches!(
                lab.ledger("PLAN", incident).await.map(|record| record.state),
                Some(LedgerState::Ended { outcome: state, .. }) if state == outcome.state
            ) {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(30), ended).await.expect(incident);
        next.kill().unwrap();
        next.wait().unwrap();
        let text = fs::read_to_string(lab.data("starts")).unwrap_or_default();
        let started = text.lines().filter(|line| *line == incident).count();
        assert_eq!(started, starts, "{incident}: {outcome:?}");
    }
    let agents: Vec<&Failpoint> =
        Failpoint::ALL.iter().filter(|place| place.name().starts_with("agent-")).collect();
    assert_eq!(agents.len(), DEATHS.len(), "every step is died at");
    server.stop().await;
}
