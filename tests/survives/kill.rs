//! Killed as by a power cut, at every moment of the story, and started again on the same data folder.

use crate::events::{Happened, action_state, fired, first, local};
use crate::load::Load;
use crate::site::{RULE, Running, Site, caught_up};
use bus::Stream;
use bus::accounts::Role;

const PENDING: &str = "ops.alert.critical.web.pending";
const RESOLVED: &str = "ops.alert.critical.web.resolved";
const VERIFYING: &str = "ops.rollback.PARACHUTE.verifying";

/// Starts the service and the lab, and lets the service turn slow.
async fn slow(site: &Site) -> (Running, Load) {
    let lab = site.lab().await;
    let load = Load::start(site, lab.url());
    load.more(20).await;
    load.turn_slow();
    (lab, load)
}

/// Waits for the end of the story, and holds everything to having happened once, under one incident.
async fn told_once(site: &Site, lab: Running, load: Load) -> Happened {
    let bus = local(site, Role::Admin).await;
    first(&bus, Stream::Events, RESOLVED).await;
    load.more(20).await;
    load.end().await;
    lab.until(caught_up).await;
    let happened = Happened::so_far(&bus).await;
    let [incident] = happened.alerts("fired")[..] else { panic!("{:#?}", happened.alerts) };
    assert_eq!(happened.alerts("resolved"), [incident]);
    let commands: Vec<&str> = happened.commands.iter().map(|one| one.incident.as_str()).collect();
    assert_eq!(commands, [incident]);
    let starts = site.lines("data/starts");
    assert_eq!(starts.len(), 1, "the script ran once: {starts:?}");
    assert!(starts[0].starts_with(incident), "{starts:?}");
    for (who, wanted) in [("hook", "opsKey"), ("pager", "dedup_key")] {
        let posts = site.hook.posts(who);
        assert!(posts.iter().all(|post| post[wanted].is_string()), "{posts:#?}");
    }
    assert!(lab.stop().await.success());
    happened
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_the_alert_fires_it_fires_once_afterwards() {
    let site = Site::new(&format!("{RULE}for: 2s\n")).await;
    let (lab, load) = slow(&site).await;
    let bus = local(&site, Role::Admin).await;
    first(&bus, Stream::Events, PENDING).await;
    assert!(Happened::so_far(&bus).await.alerts("fired").is_empty(), "killed too late");
    lab.kill().await;
    let lab = site.lab().await;
    let happened = told_once(&site, lab, load).await;
    assert_eq!(happened.rollbacks("recovered").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_right_after_the_alert_fired_it_does_not_fire_again() {
    let site = Site::new(RULE).await;
    let (mut lab, load) = slow(&site).await;
    lab.line(|line| line.contains("ALERT web_ms")).await;
    lab.kill().await;
    let lab = site.lab().await;
    let bus = local(&site, Role::Admin).await;
    let fired = fired(&bus, "web").await;
    let happened = told_once(&site, lab, load).await;
    assert_eq!(happened.alerts("resolved"), [fired.incident.unwrap()]);
}

/// Lets the lab come to where the script runs, and kills it there.
async fn killed_while_the_script_runs(site: &Site) -> Load {
    site.write("data/hold", "");
    let (lab, load) = slow(site).await;
    site.made("data/starts").await;
    let bus = local(site, Role::Admin).await;
    first(&bus, Stream::Outcomes, "ops.status.rollback.PARACHUTE").await;
    site.script().await;
    lab.kill().await;
    load
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_the_script_runs_it_is_told_how_the_script_ended() {
    let site = Site::new(RULE).await;
    let load = killed_while_the_script_runs(&site).await;
    let lab = site.lab().await;
    std::fs::remove_file(site.path("data/hold")).unwrap();
    let happened = told_once(&site, lab, load).await;
    for state in ["succeeded", "recovered"] {
        assert_eq!(happened.rollbacks(state).len(), 1, "{state}: {:#?}", happened.rollbacks);
    }
    let states: Vec<&str> = happened.outcomes.iter().map(|one| one.state.token()).collect();
    assert_eq!(states, ["running", "succeeded"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_with_its_script_the_outcome_is_unknown_and_a_person_is_paged() {
    let site = Site::new(RULE).await;
    let load = killed_while_the_script_runs(&site).await;
    let group = format!("-{}", site.script().await);
    let killed = std::process::Command::new("kill").args(["-KILL", "--", &group]).status();
    assert!(killed.unwrap().success());
    let lab = site.lab().await;
    site.hook.until("hook", |body| action_state(body) == Some("unknown")).await;
    // Somebody looks, and cures it by hand.
    site.write("data/cured", "");
    let happened = told_once(&site, lab, load).await;
    assert_eq!(happened.rollbacks("unknown").len(), 1, "{:#?}", happened.rollbacks);
    assert_eq!(happened.rollbacks("succeeded"), [""; 0]);
    let states: Vec<&str> = happened.outcomes.iter().map(|one| one.state.token()).collect();
    assert_eq!(states, ["running", "unknown"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_recovery_is_verified_the_verdict_comes_once() {
    let site = Site::new(RULE).await;
    site.plan("4s");
    let (lab, load) = slow(&site).await;
    let bus = local(&site, Role::Admin).await;
    first(&bus, Stream::Events, VERIFYING).await;
    assert!(Happened::so_far(&bus).await.rollbacks("recovered").is_empty(), "killed too late");
    lab.kill().await;
    let lab = site.lab().await;
    let happened = told_once(&site, lab, load).await;
    for state in ["proposed", "succeeded", "verifying", "recovered"] {
        assert_eq!(happened.rollbacks(state).len(), 1, "{state}: {:#?}", happened.rollbacks);
    }
}
