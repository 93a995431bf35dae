//! Every way a rollback can end at the agent, each on its own.

#![allow(clippy::unwrap_used)]

mod lab;

use bus::Stream;
use lab::{Lab, limits, made};
use rollback::Agent;
use stages::time::{Span, Time};
use stages::wire::{EndCause, LedgerState, RollbackState};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

/// What the plan's script is in most tests.
const FINE: &str = "#!/bin/sh\necho rolled back\n";

async fn end_of(
    lab: &Lab,
    change: impl FnOnce(&mut stages::wire::Command),
) -> stages::wire::RollbackOutcome {
    let mut command = lab.command("i1");
    change(&mut command);
    let agent = lab.agent("a1").await;
    lab.order(&command).await;
    let outcome = lab.end("i1").await;
    agent.shutdown().await;
    outcome
}

/// What machines are told.
fn ended(outcome: &stages::wire::RollbackOutcome) -> (RollbackState, Option<EndCause>) {
    (outcome.state, outcome.cause)
}

fn detail(outcome: &stages::wire::RollbackOutcome) -> &str {
    outcome.detail.as_deref().unwrap_or_default()
}

#[tokio::test]
async fn a_script_that_works_succeeds() {
    let lab = Lab::in_memory().await;
    lab.script("run.sh", FINE, 0o755);
    let outcome = end_of(&lab, |_| ()).await;
    assert_eq!((outcome.state, outcome.exit_code), (RollbackState::Succeeded, Some(0)));
    assert_eq!(outcome.cause, None);
    assert_eq!((outcome.output.as_deref(), outcome.agent.as_str()), (Some("rolled back\n"), "a1"));
    assert_eq!(lab.running("i1").await.agent, "a1");
    let ended =
        LedgerState::Ended { outcome: RollbackState::Succeeded, exit_code: Some(0), cause: None };
    assert_eq!(lab.ledger("PLAN", "i1").await.unwrap().state, ended);
}

#[tokio::test]
async fn an_exit_code_is_a_failure_that_says_which() {
    let lab = Lab::in_memory().await;
    lab.script("run.sh", "#!/bin/sh\necho no such revision >&2\nexit 3\n", 0o755);
    let outcome = end_of(&lab, |_| ()).await;
    assert_eq!(ended(&outcome), (RollbackState::Failed, Some(EndCause::ExitCode)));
    assert_eq!(outcome.exit_code, Some(3));
    assert_eq!(
        (detail(&outcome), outcome.output.as_deref()),
        ("exit code 3", Some("no such revision\n"))
    );
    let (outcome, cause) = ended(&outcome);
    let ended = LedgerState::Ended { outcome, exit_code: Some(3), cause };
    assert_eq!(lab.ledger("PLAN", "i1").await.unwrap().state, ended);
}

#[tokio::test]
async fn a_signal_is_a_failure_that_says_which() {
    let lab = Lab::in_memory().await;
    lab.script("run.sh", "#!/bin/sh\nkill -SEGV $$\n", 0o755);
    let outcome = end_of(&lab, |_| ()).await;
    assert_eq!(ended(&outcome), (RollbackState::Failed, Some(EndCause::Signal)));
    assert_eq!(detail(&outcome), "killed by signal 11 (exit code 139)");
}

#[tokio::test]
async fn an_unknown_plan_fails() {
    let lab = Lab::in_memory().await;
    let outcome = end_of(&lab, |command| command.plan = "NONE".to_owned()).await;
    assert_eq!(ended(&outcome), (RollbackState::Failed, Some(EndCause::UnknownPlan)));
}

#[tokio::test]
async fn a_missing_script_fails() {
    let lab = Lab::in_memory().await;
    lab.script("other.sh", FINE, 0o755);
    let outcome = end_of(&lab, |_| ()).await;
    assert_eq!(ended(&outcome), (RollbackState::Failed, Some(EndCause::MissingScript)));
}

#[tokio::test]
async fn a_script_that_is_not_executable_fails() {
    let lab = Lab::in_memory().await;
    lab.script("run.sh", FINE, 0o644);
    let outcome = end_of(&lab, |_| ()).await;
    assert_eq!(ended(&outcome), (RollbackState::Failed, Some(EndCause::NotExecutable)));
}

#[tokio::test]
async fn a_file_that_is_no_program_fails() {
    let lab = Lab::in_memory().await;
    lab.script("run.sh", "#!/no/such/interpreter\n", 0o755);
    let outcome = end_of(&lab, |_| ()).await;
    assert_eq!(ended(&outcome), (RollbackState::Failed, Some(EndCause::NotStarted)));
}

#[tokio::test]
async fn names_that_leave_the_folder_of_plans_are_refused() {
    let lab = Lab::in_memory().await;
    lab.script("run.sh", FINE, 0o755);
    let agent = lab.agent("a1").await;
    for (incident, plan, script) in [
        ("p1", "../../x", "run.sh"),
        ("p2", "PLAN;reboot", "run.sh"),
        ("p3", "PLAN", "../PLAN/run.sh"),
        ("p4", "PLAN", "run.sh -x"),
    ] {
        let mut command = lab.command(incident);
        (command.plan, command.script) = (plan.to_owned(), script.to_owned());
        lab.order(&command).await;
        let outcome = lab.end(incident).await;
        assert_eq!(ended(&outcome), (RollbackState::Failed, Some(EndCause::PlanRefused)));
    }
    agent.shutdown().await;
}

#[tokio::test]
async fn too_long_a_run_is_stopped_with_all_its_children() {
    let lab = Lab::in_memory().await;
    // The grandchild ignores TERM and would make its file a little later; the pipe in `alive` shows its end.
    let script = "#!/bin/sh\nsh -c 'trap \"\" TERM; touch \"$OPS_DATA/child\"; while :; do sleep 0.05; done' &\n\
                  echo $! > \"$OPS_DATA/pid\"\nwait\n";
    lab.script("run.sh", script, 0o755);
    let outcome = end_of(&lab, |command| command.timeout = Span::from_millis(700)).await;
    assert_eq!(ended(&outcome), (RollbackState::TimedOut, Some(EndCause::Timeout)));
    assert_eq!(detail(&outcome), "stopped after 700ms");
    assert!(lab.data("child").exists(), "the grandchild ran");
    let pid = fs::read_to_string(lab.data("pid")).unwrap();
    let alive = || match fs::read_to_string(format!("/proc/{}/stat", pid.trim())) {
        // A zombie is dead; nobody may be there to collect it.
        Ok(stat) => !stat.contains(") Z "),
        Err(_) => false,
    };
    for _ in 0..400 {
        if !alive() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("the grandchild is still alive");
}

#[tokio::test]
async fn a_late_claim_expires() {
    let lab = Lab::in_memory().await;
    lab.script("run.sh", "#!/bin/sh\ntouch \"$OPS_DATA/ran\"\n", 0o755);
    let outcome = end_of(&lab, |command| command.not_after = Time::from_millis(1)).await;
    assert_eq!(ended(&outcome), (RollbackState::Expired, Some(EndCause::ClaimedLate)));
    assert!(!lab.data("ran").exists());
}

#[tokio::test]
async fn the_kill_switch_stops_a_script_before_it_starts() {
    let lab = Lab::in_memory().await;
    lab.script("run.sh", "#!/bin/sh\ntouch \"$OPS_DATA/ran\"\n", 0o755);
    lab.freeze(true).await;
    let outcome = end_of(&lab, |_| ()).await;
    assert_eq!(ended(&outcome), (RollbackState::Failed, Some(EndCause::Frozen)));
    assert_eq!(detail(&outcome), "frozen: automatic actions were stopped by anna: audit");
    assert!(!lab.data("ran").exists());
}

#[tokio::test]
async fn a_thawed_kill_switch_stops_nothing_and_one_that_does_not_read_stops_all() {
    let lab = Lab::in_memory().await;
    lab.script("run.sh", FINE, 0o755);
    lab.freeze(true).await;
    lab.freeze(false).await;
    let agent = lab.agent("a1").await;
    lab.order(&lab.command("i1")).await;
    assert_eq!(lab.end("i1").await.state, RollbackState::Succeeded);
    lab.publish("ops.desk.freeze.bob".to_owned(), b"yes please".to_vec()).await;
    lab.order(&lab.command("i2")).await;
    let outcome = lab.end("i2").await;
    assert_eq!(ended(&outcome), (RollbackState::Failed, Some(EndCause::Frozen)));
    agent.shutdown().await;
}

#[tokio::test]
async fn huge_output_is_bounded_and_blocks_nobody() {
    let lab = Lab::in_memory().await;
    let script = "#!/bin/sh\nhead -c 20000000 /dev/zero | tr '\\0' x\nhead -c 20000000 /dev/zero | tr '\\0' y >&2\necho the end\n";
    lab.script("run.sh", script, 0o755);
    let outcome = end_of(&lab, |_| ()).await;
    assert_eq!(outcome.state, RollbackState::Succeeded);
    let output = outcome.output.unwrap();
    assert!(output.ends_with("ythe end\n"));
    assert!(output.len() < limits().output_bytes_max + 100, "{}", output.len());
    assert!(output.starts_with("[39991816 bytes before this]"), "{}", &output[..40]);
}

#[tokio::test]
async fn output_that_will_not_be_told_takes_no_room_while_the_script_runs() {
    let lab = Lab::in_memory().await;
    let script = "#!/bin/sh\nhead -c 50000000 /dev/zero\n: > \"$OPS_DATA/written\"\n\
                  while [ ! -e \"$OPS_DATA/go\" ]; do sleep 0.02; done\n";
    lab.script("run.sh", script, 0o755);
    let agent = lab.agent("a1").await;
    lab.order(&lab.command("i1")).await;
    made(&lab.data("written")).await;
    let output = lab.run_folder("a1", 1).join("output");
    let small = async {
        while output.metadata().unwrap().blocks() * 512 > 3 << 20 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), small).await.expect("its room is given back");
    fs::write(lab.data("go"), "").unwrap();
    assert_eq!(lab.end("i1").await.state, RollbackState::Succeeded);
    agent.shutdown().await;
}

#[tokio::test]
async fn a_script_that_is_still_being_written_is_waited_for() {
    let lab = Lab::in_memory().await;
    lab.script("run.sh", FINE, 0o755);
    let path = lab.folder.path().join("plans/PLAN/run.sh");
    let writer = fs::OpenOptions::new().append(true).open(&path).unwrap();
    let agent = lab.agent("a1").await;
    lab.order(&lab.command("i1")).await;
    lab.spawned("a1").await;
    drop(writer);
    let outcome = lab.end("i1").await;
    assert_eq!(outcome.state, RollbackState::Succeeded, "{outcome:?}");
    assert_eq!(outcome.output.as_deref(), Some("rolled back\n"));
    agent.shutdown().await;
}

#[tokio::test]
async fn what_a_script_leaves_in_the_background_is_not_waited_for() {
    let lab = Lab::in_memory().await;
    lab.script(
        "run.sh",
        "#!/bin/sh\nsleep 600 &\necho $! > \"$OPS_DATA/pid\"\necho started\n",
        0o755,
    );
    let outcome = end_of(&lab, |_| ()).await;
    assert_eq!(
        (outcome.state, outcome.output.as_deref()),
        (RollbackState::Succeeded, Some("started\n"))
    );
    let pid = fs::read_to_string(lab.data("pid")).unwrap().trim().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL)
        .expect("it is still there");
}

#[tokio::test]
async fn a_script_sees_its_own_variables_and_no_others() {
    let lab = Lab::in_memory().await;
    // The kernel's copy: a shell adds PWD and the like to what it was given.
    lab.script("run.sh", "#!/bin/sh\ncat /proc/$$/environ | tr '\\0' '\\n' > \"$OPS_DATA/environment\"\npwd\nif read -r line; then echo input; fi\n", 0o755);
    let outcome = end_of(&lab, |_| ()).await;
    assert_eq!(outcome.state, RollbackState::Succeeded, "{outcome:?}");
    let text = fs::read_to_string(lab.data("environment")).unwrap();
    let mut names: Vec<&str> =
        text.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["OPS_DATA", "OPS_FENCE", "OPS_FROM_REVISION", "OPS_INCIDENT", "OPS_PLAN", "PATH"]
    );
    assert!(text.contains("OPS_FROM_REVISION=r42\n") && text.contains("OPS_INCIDENT=i1\n"));
    let folder = fs::canonicalize(lab.folder.path().join("plans/PLAN")).unwrap();
    assert_eq!(outcome.output.unwrap().trim(), folder.to_str().unwrap());
}

#[tokio::test]
async fn two_agents_start_one_plan_once() {
    let lab = Lab::in_memory().await;
    lab.script("run.sh", "#!/bin/sh\necho ran >> \"$OPS_DATA/runs\"\n", 0o755);
    let agents = [lab.agent("a1").await, lab.agent("a2").await];
    for number in 0..10 {
        lab.order(&lab.command(&format!("i{number}"))).await;
    }
    for number in 0..10 {
        let outcome = lab.end(&format!("i{number}")).await;
        assert_eq!(outcome.state, RollbackState::Succeeded, "{outcome:?}");
    }
    for agent in agents {
        agent.shutdown().await;
    }
    assert_eq!(fs::read_to_string(lab.data("runs")).unwrap().lines().count(), 10);
}

#[tokio::test]
async fn an_agent_without_the_plan_leaves_it_to_the_one_that_has_it() {
    let lab = Lab::in_memory().await;
    lab.script("run.sh", FINE, 0o755);
    let bare = tempfile::tempdir().unwrap();
    let mut options = lab.options("bare");
    options.plans_dir = bare.path().to_owned();
    options.limits.yield_for = std::time::Duration::from_secs(2);
    let without = Agent::start(options).await.unwrap();
    let with = lab.agent("a1").await;
    lab.order(&lab.command("i1")).await;
    let outcome = lab.end("i1").await;
    assert_eq!((outcome.agent.as_str(), outcome.state), ("a1", RollbackState::Succeeded));
    without.shutdown().await;
    with.shutdown().await;
    assert_eq!(lab.count(Stream::Outcomes, "status.rollback").await, 2);
}

#[tokio::test]
async fn a_withdrawn_command_does_not_run() {
    let lab = Lab::in_memory().await;
    lab.script("run.sh", "#!/bin/sh\ntouch \"$OPS_DATA/ran-$OPS_INCIDENT\"\n", 0o755);
    lab.hold("i1", "owner", LedgerState::Cancelled).await;
    let agent = lab.agent("a1").await;
    lab.order(&lab.command("i1")).await;
    lab.order(&lab.command("i2")).await;
    lab.end("i2").await;
    agent.shutdown().await;
    assert!(!lab.data("ran-i1").exists());
    assert_eq!(lab.ledger("PLAN", "i1").await.unwrap().state, LedgerState::Cancelled);
}

#[tokio::test]
async fn a_repeated_command_runs_once() {
    let lab = Lab::in_memory().await;
    lab.script("run.sh", "#!/bin/sh\necho ran >> \"$OPS_DATA/runs\"\n", 0o755);
    let agent = lab.agent("a1").await;
    let command = lab.command("i1");
    for _ in 0..5 {
        lab.order(&command).await;
    }
    lab.end("i1").await;
    lab.order(&lab.command("i2")).await;
    lab.end("i2").await;
    agent.shutdown().await;
    assert_eq!(fs::read_to_string(lab.data("runs")).unwrap().lines().count(), 2);
}

#[tokio::test]
async fn a_command_that_does_not_read_costs_only_itself() {
    let lab = Lab::in_memory().await;
    lab.script("run.sh", FINE, 0o755);
    let agent = lab.agent("a1").await;
    lab.publish("ops.rollback.PLAN.command".to_owned(), b"{\"plan\":".to_vec()).await;
    let other = serde_json::to_vec(&lab.command("i0")).unwrap();
    lab.publish("ops.rollback.OTHER.command".to_owned(), other).await;
    lab.order(&lab.command("i1")).await;
    assert_eq!(lab.end("i1").await.state, RollbackState::Succeeded);
    assert_eq!(agent.counters().unreadable, 2);
    agent.shutdown().await;
    assert_eq!(lab.ledger("PLAN", "i0").await, None);
}

#[tokio::test]
async fn texts_that_no_process_can_be_given_are_refused() {
    let lab = Lab::in_memory().await;
    lab.script("run.sh", FINE, 0o755);
    let outcome = end_of(&lab, |command| command.from_revision = Some("a\0b".to_owned())).await;
    assert_eq!(ended(&outcome), (RollbackState::Failed, Some(EndCause::CommandRefused)));
    assert_eq!(detail(&outcome), "from_revision has control characters");
}
