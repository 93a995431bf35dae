//! An agent that dies, at every point of its way, and the one that comes after it.

#![allow(clippy::unwrap_used)]

mod lab;

use bus::Outgoing;
use bus::memory::{Faults, MemoryBus, WriteFault};
use lab::{Lab, kill_group, made};
use rollback::journal::{Journal, Line, Step};
use rollback::process::Process;
use stages::time::{Span, Time};
use stages::wire::{Command, EndCause, LedgerState, RollbackState};
use std::fs;
use std::sync::Arc;

/// Runs until told to go, and counts its starts.
const SLOW: &str = "#!/bin/sh\necho start >> \"$OPS_DATA/starts\"\n\
    while [ ! -e \"$OPS_DATA/go\" ]; do sleep 0.02; done\necho done\necho end >> \"$OPS_DATA/ends\"\n";

fn starts(lab: &Lab) -> usize {
    fs::read_to_string(lab.data("starts")).unwrap_or_default().lines().count()
}

/// Lets agent `a1` start `command` and die while its script runs; the script's process group.
async fn die_while_running(lab: &Lab, command: &Command) -> i32 {
    let agent = lab.agent("a1").await;
    lab.order(command).await;
    made(&lab.data("starts")).await;
    lab.running("i1").await;
    let group = lab.spawned("a1").await;
    drop(agent);
    group
}

#[tokio::test]
async fn a_script_outlives_its_agent_and_the_next_one_waits_for_its_end() {
    let lab = Lab::in_memory().await;
    lab.script("run.sh", SLOW, 0o755);
    die_while_running(&lab, &lab.command("i1")).await;
    let agent = lab.agent("a1").await;
    fs::write(lab.data("go"), "").unwrap();
    let outcome = lab.end("i1").await;
    assert_eq!((outcome.state, outcome.exit_code), (RollbackState::Succeeded, Some(0)));
    assert_eq!(outcome.output.as_deref(), Some("done\n"), "written while nobody was there, too");
    agent.shutdown().await;
    assert_eq!(starts(&lab), 1);
    assert!(!lab.run_folder("a1", 1).exists(), "nothing is left behind");
}

#[tokio::test]
async fn a_script_that_ends_without_its_agent_is_told_as_it_ended() {
    let lab = Lab::in_memory().await;
    lab.script("run.sh", &format!("{SLOW}exit 5\n"), 0o755);
    die_while_running(&lab, &lab.command("i1")).await;
    fs::write(lab.data("go"), "").unwrap();
    made(&lab.run_folder("a1", 1).join("end")).await;
    let agent = lab.agent("a1").await;
    let outcome = lab.end("i1").await;
    assert_eq!((outcome.state, outcome.cause), (RollbackState::Failed, Some(EndCause::ExitCode)));
    assert_eq!((outcome.exit_code, outcome.output.as_deref()), (Some(5), Some("done\n")));
    agent.shutdown().await;
    assert_eq!(starts(&lab), 1);
}

#[tokio::test]
async fn a_script_that_outlives_its_agent_is_stopped_when_its_time_is_up() {
    let lab = Lab::in_memory().await;
    lab.script("run.sh", SLOW, 0o755);
    let command = Command { timeout: Span::from_secs(1), ..lab.command("i1") };
    let group = die_while_running(&lab, &command).await;
    let agent = lab.agent("a1").await;
    let outcome = lab.end("i1").await;
    assert_eq!((outcome.state, outcome.cause), (RollbackState::TimedOut, Some(EndCause::Timeout)));
    assert!(outcome.took.unwrap() < Span::from_secs(20), "counted from its own start");
    agent.shutdown().await;
    assert!(!Process::of(group).runs());
}

#[tokio::test]
async fn an_agent_that_dies_with_its_script_leaves_an_unknown_outcome() {
    let lab = Lab::in_memory().await;
    lab.script("run.sh", &format!("#!/bin/sh\necho at work\n{SLOW}"), 0o755);
    kill_group(die_while_running(&lab, &lab.command("i1")).await);
    let agent = lab.agent("a1").await;
    let outcome = lab.end("i1").await;
    assert_eq!((outcome.state, outcome.cause), (RollbackState::Unknown, Some(EndCause::AgentDied)));
    assert_eq!(outcome.output.as_deref(), Some("at work\n"), "all there is to go by");
    agent.shutdown().await;
    assert_eq!(starts(&lab), 1, "never run again by itself");
    let ended = LedgerState::Ended {
        outcome: RollbackState::Unknown,
        exit_code: None,
        cause: Some(EndCause::AgentDied),
    };
    assert_eq!(lab.ledger("PLAN", "i1").await.unwrap().state, ended);
}

#[tokio::test]
async fn a_process_of_the_same_number_is_not_taken_for_the_script() {
    let lab = Lab::in_memory().await;
    lab.script("run.sh", SLOW, 0o755);
    let mut process = Process::of(i32::try_from(std::process::id()).unwrap());
    process.birth.as_mut().unwrap().ticks -= 1;
    let steps = [Step::Claimed { fence: 1 }, Step::Started { fence: 1 }, Step::Spawned(process)];
    has_done(&lab, steps);
    lab.hold("i1", "a1", LedgerState::Started { fence: 1 }).await;
    lab.order(&Command { timeout: Span::from_millis(1), ..lab.command("i1") }).await;
    let agent = lab.agent("a1").await;
    assert_eq!(lab.end("i1").await.state, RollbackState::Unknown, "and we are still alive");
    agent.shutdown().await;
}

#[tokio::test]
async fn an_idempotent_plan_is_run_again_with_a_newer_fence() {
    let lab = Lab::in_memory().await;
    lab.script("run.sh", "#!/bin/sh\necho $OPS_FENCE >> \"$OPS_DATA/starts\"\nif [ $(wc -l < \"$OPS_DATA/starts\") -eq 1 ]; then exec sleep 60; fi\n", 0o755);
    let mut command = lab.command("i1");
    command.idempotent = true;
    kill_group(die_while_running(&lab, &command).await);
    let agent = lab.agent("a1").await;
    assert_eq!(lab.end("i1").await.state, RollbackState::Succeeded);
    agent.shutdown().await;
    let fences = fs::read_to_string(lab.data("starts")).unwrap();
    let fences: Vec<u64> = fences.lines().map(|line| line.parse().unwrap()).collect();
    assert!(fences.len() == 2 && fences[0] < fences[1], "{fences:?}");
}

/// Leaves a journal in which agent `a1` has come so far with `i1`.
fn has_done(lab: &Lab, steps: impl IntoIterator<Item = Step>) {
    let mut journal = Journal::open(&lab.options("a1").journal).unwrap();
    for step in steps {
        let (plan, incident) = ("PLAN".to_owned(), "i1".to_owned());
        journal.record(Line { at: Time(0), plan, incident, step }).unwrap();
    }
}

/// A folder in which the agent `a1` died while it ran the script of `i1`, as its journal has it.
fn died_while_running(lab: &Lab) {
    has_done(lab, [Step::Claimed { fence: 1 }, Step::Started { fence: 1 }]);
}

/// Bus and lab with a clock to set, which stands at `AT`.
async fn with_clock() -> (MemoryBus, Lab) {
    let bus = MemoryBus::manual_time(bus::layout::Layout::default(), AT);
    (bus.clone(), Lab::on(Arc::new(bus)).await)
}

const AT: Time = Time::from_millis(1_700_000_000_000);

#[tokio::test]
async fn an_idempotent_plan_is_run_again_though_its_not_after_has_passed() {
    let (bus, lab) = with_clock().await;
    lab.script("run.sh", "#!/bin/sh\necho start >> \"$OPS_DATA/starts\"\n", 0o755);
    died_while_running(&lab);
    // It was started at the last moment, and ran for nearly as long as it may.
    let not_after = AT.minus(Span::from_secs(29));
    let command = Command { not_after, idempotent: true, ..lab.command("i1") };
    lab.hold("i1", "a1", LedgerState::Started { fence: 1 }).await;
    bus.set_time(AT.plus(Span::from_secs(30)));
    lab.order(&command).await;
    let agent = lab.agent("a1").await;
    let outcome = lab.end("i1").await;
    assert_eq!(outcome.state, RollbackState::Succeeded, "{outcome:?}");
    agent.shutdown().await;
    assert_eq!(starts(&lab), 1);
}

#[tokio::test]
async fn what_is_not_run_again_is_unknown_and_says_why() {
    for (frozen, later, why) in [
        (false, 61, "; not run again: late"),
        (true, 30, "; not run again: frozen"),
        (false, 30, "; not run again: missing script"),
    ] {
        let (bus, lab) = with_clock().await;
        lab.script("other.sh", "#!/bin/sh\n", 0o755);
        died_while_running(&lab);
        lab.hold("i1", "a1", LedgerState::Started { fence: 1 }).await;
        if frozen {
            lab.freeze(true).await;
        }
        bus.set_time(AT.plus(Span::from_secs(later)));
        lab.order(&Command { not_after: AT, idempotent: true, ..lab.command("i1") }).await;
        let agent = lab.agent("a1").await;
        let outcome = lab.end("i1").await;
        agent.shutdown().await;
        assert_eq!(outcome.state, RollbackState::Unknown, "{outcome:?}");
        assert_eq!(outcome.cause, Some(EndCause::AgentDied));
        let detail = outcome.detail.unwrap();
        assert!(detail.contains(why), "{detail}");
    }
}

#[tokio::test]
async fn a_start_that_never_came_to_be_is_late_after_a_while() {
    let (bus, lab) = with_clock().await;
    lab.script("run.sh", "#!/bin/sh\necho start >> \"$OPS_DATA/starts\"\n", 0o755);
    has_done(&lab, [Step::Claimed { fence: 1 }]);
    lab.hold("i1", "a1", LedgerState::Started { fence: 1 }).await;
    bus.set_time(AT.plus(Span::from_secs(3600)));
    lab.order(&Command { not_after: AT.plus(Span::from_secs(1)), ..lab.command("i1") }).await;
    let agent = lab.agent("a1").await;
    let outcome = lab.end("i1").await;
    assert_eq!(
        (outcome.state, outcome.cause),
        (RollbackState::Expired, Some(EndCause::StartedLate))
    );
    agent.shutdown().await;
    assert_eq!(starts(&lab), 0);
}

#[tokio::test]
async fn a_claim_that_was_never_started_is_carried_on() {
    let lab = Lab::in_memory().await;
    lab.script("run.sh", "#!/bin/sh\necho start >> \"$OPS_DATA/starts\"\n", 0o755);
    lab.hold("i1", "a1", LedgerState::Claimed).await;
    let agent = lab.agent("a1").await;
    lab.order(&lab.command("i1")).await;
    assert_eq!(lab.end("i1").await.state, RollbackState::Succeeded);
    agent.shutdown().await;
    assert_eq!(starts(&lab), 1);
}

#[tokio::test]
async fn a_start_that_the_journal_does_not_know_is_unknown() {
    let lab = Lab::in_memory().await;
    lab.script("run.sh", "#!/bin/sh\necho start >> \"$OPS_DATA/starts\"\n", 0o755);
    lab.hold("i1", "a1", LedgerState::Started { fence: 1 }).await;
    let agent = lab.agent("a1").await;
    lab.order(&lab.command("i1")).await;
    assert_eq!(lab.end("i1").await.cause, Some(EndCause::AgentDied));
    agent.shutdown().await;
    assert_eq!(starts(&lab), 0);
}

/// Everything after the script is lost until the agent is dead.
struct NothingEnds;

impl Faults for NothingEnds {
    fn write(&mut self, batch: &[Outgoing]) -> WriteFault {
        let ended =
            batch.iter().any(|one| String::from_utf8_lossy(&one.payload).contains("\"ended\""));
        if ended { WriteFault::Unavailable } else { WriteFault::None }
    }
}

/// Nothing goes wrong.
struct Fine;

impl Faults for Fine {}

#[tokio::test]
async fn an_end_in_the_journal_is_told_by_the_next_agent() {
    let bus = MemoryBus::real_time(bus::layout::Layout::default());
    let lab = Lab::on(Arc::new(bus.clone())).await;
    lab.script(
        "run.sh",
        "#!/bin/sh\necho start >> \"$OPS_DATA/starts\"\necho done\nexit 4\n",
        0o755,
    );
    bus.set_faults(NothingEnds);
    let agent = lab.agent("a1").await;
    lab.order(&lab.command("i1")).await;
    let journal = lab.folder.path().join("a1.journal");
    while !fs::read_to_string(&journal).unwrap().contains("\"step\":\"ended\"") {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    drop(agent);
    bus.set_faults(Fine);
    let agent = lab.agent("a1").await;
    let outcome = lab.end("i1").await;
    assert_eq!((outcome.state, outcome.exit_code), (RollbackState::Failed, Some(4)));
    assert_eq!(outcome.output.as_deref(), Some("done\n"));
    agent.shutdown().await;
    assert_eq!(starts(&lab), 1);
}

/// Every third write is stored without its ack, every fifth is lost on the way.
struct Shaky(u64);

impl Faults for Shaky {
    fn write(&mut self, _: &[Outgoing]) -> WriteFault {
        self.0 += 1;
        match self.0 {
            n if n % 3 == 0 => WriteFault::LostAck,
            n if n % 5 == 0 => WriteFault::LostRequest,
            n if n % 7 == 0 => WriteFault::Unavailable,
            _ => WriteFault::None,
        }
    }
}

#[tokio::test]
async fn lost_acks_cost_neither_a_claim_nor_an_outcome() {
    let bus = MemoryBus::real_time(bus::layout::Layout::default());
    let lab = Lab::on(Arc::new(bus.clone())).await;
    lab.script("run.sh", "#!/bin/sh\necho start >> \"$OPS_DATA/starts\"\n", 0o755);
    for number in 0..12 {
        lab.order(&lab.command(&format!("i{number}"))).await;
    }
    bus.set_faults(Shaky(0));
    let agents = [lab.agent("a1").await, lab.agent("a2").await];
    for number in 0..12 {
        let outcome = lab.end(&format!("i{number}")).await;
        assert_eq!(outcome.state, RollbackState::Succeeded, "{outcome:?}");
    }
    for agent in agents {
        agent.shutdown().await;
    }
    assert_eq!(starts(&lab), 12);
}

#[tokio::test]
async fn an_outage_of_the_bus_while_the_script_runs_loses_nothing() {
    let bus = MemoryBus::real_time(bus::layout::Layout::default());
    let lab = Lab::on(Arc::new(bus.clone())).await;
    lab.script("run.sh", SLOW, 0o755);
    let agent = lab.agent("a1").await;
    lab.order(&lab.command("i1")).await;
    lab.running("i1").await;
    made(&lab.data("starts")).await;
    bus.set_connected(false);
    fs::write(lab.data("go"), "").unwrap();
    made(&lab.data("ends")).await;
    bus.set_connected(true);
    assert_eq!(lab.end("i1").await.state, RollbackState::Succeeded);
    agent.shutdown().await;
    assert_eq!(starts(&lab), 1);
}
