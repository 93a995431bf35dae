//! The audit of a running system, as an operator asks for it.

use crate::events::{all, first, local};
use crate::load::Load;
use crate::site::{RULE, Site, caught_up};
use bus::accounts::Role;
use bus::{Outgoing, Stream};

const RECOVERED: &str = "ops.rollback.PARACHUTE.recovered";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_proves_what_was_said_and_sees_what_was_not() {
    let site = Site::new(RULE).await;
    let lab = site.lab().await;
    let load = Load::start(&site, lab.url());
    load.more(20).await;
    load.turn_slow();
    let bus = local(&site, Role::Admin).await;
    first(&bus, Stream::Events, RECOVERED).await;
    load.end().await;
    lab.until(caught_up).await;
    let proven = site.run(&["audit", "verify", "--since", "1h"]).await;
    let said = String::from_utf8(proven.stdout).unwrap();
    assert!(proven.status.success(), "{said}{}", String::from_utf8_lossy(&proven.stderr));
    assert!(said.lines().filter(|line| line.contains("events proven")).count() == 2, "{said}");

    let fine = site.run(&["recover"]).await;
    let said = String::from_utf8(fine.stdout).unwrap();
    assert!(fine.status.success() && said.matches("can be continued").count() == 2, "{said}");

    // Somebody with the keys of the house says that it fired once more.
    let events = all(&bus, Stream::Events).await;
    let fired = events.iter().find(|message| message.subject.ends_with(b".fired")).unwrap();
    let (subject, payload) = (fired.subject.to_vec(), fired.payload.clone());
    let subject = String::from_utf8(subject).unwrap();
    let owner = local(&site, Role::Owner).await;
    owner.publish(Outgoing { subject, payload, ..Outgoing::default() }).await.unwrap();
    let different = site.run(&["audit", "verify"]).await;
    let said = String::from_utf8(different.stdout).unwrap();
    assert_eq!(different.status.code(), Some(9), "{said}");
    assert!(said.contains("DIFFERENT") && said.contains(".fired"), "{said}");
    assert!(lab.stop().await.success());
}
