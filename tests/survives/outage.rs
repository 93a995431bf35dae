//! The bus dies under load and comes back.

use crate::events::{Happened, counted, first, local};
use crate::load::Load;
use crate::site::{RULE, Running, Site, caught_up, signal};
use bus::Stream;
use bus::accounts::Role;

/// Kills the nats-server; readiness goes bad, and good again.
async fn lose_the_bus(site: &Site, lab: &Running) {
    lab.until(|health| health["ready"] == true).await;
    let server = site.server();
    signal(server, "KILL").await;
    lab.until(|health| health["ready"] == false).await;
    lab.until(|health| health["ready"] == true).await;
    assert_ne!(site.server(), server, "another one runs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_bus_costs_no_sample_and_fires_nothing_twice() {
    let site = Site::new(RULE).await;
    site.write("data/hold", "");
    let lab = site.lab().await;
    let load = Load::start(&site, lab.url());
    load.more(50).await;
    lose_the_bus(&site, &lab).await;
    load.more(50).await;
    load.turn_slow();
    site.made("data/starts").await;
    lose_the_bus(&site, &lab).await;
    std::fs::remove_file(site.path("data/hold")).unwrap();
    let bus = local(&site, Role::Admin).await;
    first(&bus, Stream::Events, "ops.alert.critical.web.resolved").await;
    load.more(50).await;
    let sent = load.end().await;
    lab.until(caught_up).await;
    counted(&lab.url(), "web_ms", sent).await;
    let happened = Happened::so_far(&bus).await;
    let [incident] = happened.alerts("fired")[..] else { panic!("{:#?}", happened.alerts) };
    assert_eq!(happened.alerts("resolved"), [incident]);
    assert_eq!(site.lines("data/starts").len(), 1);
    for state in ["succeeded", "recovered"] {
        assert_eq!(happened.rollbacks(state), [incident], "{:#?}", happened.rollbacks);
    }
    assert!(lab.stop().await.success());
}
