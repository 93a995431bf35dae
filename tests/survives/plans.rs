//! A plan that locked itself, and the person who lets it run again.

use crate::events::{first, local};
use crate::load::Load;
use crate::site::{RULE, Site};
use bus::Stream;
use bus::accounts::Role;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_unlocks_a_plan_and_hears_what_the_desk_says() {
    let site = Site::new(RULE).await;
    let plan = "script: pull.sh\nlock_after: 1\nverify: {settle: 0s, for: 1s, within: 1m, min_samples: 3}\n";
    site.write("plans/PARACHUTE/plan.yml", plan);
    let lab = site.lab().await;
    let unlock = ["plans", "unlock", "PARACHUTE", "--author", "anna", "--comment", "fixed"];
    let early = site.run(&unlock).await;
    let said = String::from_utf8(early.stderr).unwrap();
    assert_eq!(early.status.code(), Some(1), "{said}");
    assert!(said.contains("plan PARACHUTE is not locked"), "{said}");
    let load = Load::start(&site, lab.url());
    load.more(20).await;
    load.turn_slow();
    let bus = local(&site, Role::Admin).await;
    first(&bus, Stream::Events, "ops.rollback.PARACHUTE.succeeded").await;
    let done = site.run(&unlock).await;
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(said.trim(), "plan PARACHUTE is unlocked by anna: fixed");
    load.end().await;
    assert!(lab.stop().await.success());
}

#[tokio::test]
async fn unlocking_needs_a_reason() {
    let site = Site::new(RULE).await;
    let refused = site.run(&["plans", "unlock", "PARACHUTE"]).await;
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("--comment"), "{said}");
}
