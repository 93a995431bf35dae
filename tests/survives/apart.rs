//! Each role in a process of its own, on a nats-server of somebody else, with no key but its own.

use crate::events::{Happened, first, local};
use crate::load::Load;
use crate::server::Server;
use crate::site::{RULE, Running, Site, caught_up};
use crate::support::free_port;
use bus::Stream;
use bus::accounts::Role;

const RECOVERED: &str = "ops.rollback.PARACHUTE.recovered";

/// Starts a process with the keys of a folder.
async fn with_keys(site: &Site, server: &Server, args: &[&str], keys: &str) -> Running {
    let listen = format!("127.0.0.1:{}", free_port());
    let served = [args, &["--listen", &listen, "--nats-url", &server.url]].concat();
    let mut command = site.command(&served, "data");
    command.env("OPS_NATS_KEYS", site.path(keys));
    site.start(command, listen).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_does_its_part_with_its_own_key() {
    let site = Site::new(RULE).await;
    let folder = site.path("keys");
    let keys = ["keys", folder.to_str().unwrap(), "--agent", "host1", "--person", "anna"];
    let made = crate::support::ops(&keys).output().await.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::create_dir(site.path("keys/telling")).unwrap();
    std::fs::rename(site.path("keys/notifier.nk"), site.path("keys/telling/notifier.nk")).unwrap();
    let server = Server::with_accounts(&site, "keys/accounts.conf").await;

    let args = ["up", "--role", "engine,collector,board"];
    let deciding = with_keys(&site, &server, &args, "keys").await;
    let args = ["up", "--role", "notifier"];
    let telling = with_keys(&site, &server, &args, "keys/telling").await;
    let args = ["agent", "--name", "host1"];
    let acting = with_keys(&site, &server, &args, "keys/agents/host1").await;
    for part in [&deciding, &telling, &acting] {
        part.until(|health| health["ready"] == true).await;
    }

    let load = Load::start(&site, deciding.url());
    load.more(20).await;
    load.turn_slow();
    let bus = server.bus_as(Role::Admin, &folder).await;
    first(&bus, Stream::Events, RECOVERED).await;
    load.end().await;
    deciding.until(caught_up).await;
    let happened = Happened::so_far(&bus).await;
    let [incident] = happened.alerts("fired")[..] else { panic!("{:#?}", happened.alerts) };
    let starts = site.lines("data/starts");
    assert_eq!(starts.len(), 1, "the script ran once: {starts:?}");
    site.hook.until("hook", |post| post["opsIncident"] == incident).await;
    for part in [acting, telling, deciding] {
        assert!(part.stop().await.success());
    }
}

/// `ops up` without the agent, always at the same address.
async fn without_agent(site: &Site, listen: &str) -> Running {
    let args = ["up", "--role", "engine,collector,notifier,board", "--listen", listen];
    site.start(site.command(&args, "data"), listen.to_owned()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_joins_the_local_bus_of_its_data_folder() {
    let site = Site::new(RULE).await;
    let alone = site.command(&["agent"], "data").output().await.unwrap();
    let said = String::from_utf8(alone.stderr).unwrap();
    assert_eq!(alone.status.code(), Some(4), "{said}");
    assert!(said.contains("start `ops up` on it"), "{said}");

    let listen = format!("127.0.0.1:{}", free_port());
    let deciding = without_agent(&site, &listen).await;
    let acting = site.agent().await;
    acting.until(|health| health["ready"] == true).await;
    // It outlives the process whose server it joined, and finds the next one.
    assert!(deciding.stop().await.success());
    acting.until(|health| health["ready"] == false).await;
    let deciding = without_agent(&site, &listen).await;
    acting.until(|health| health["ready"] == true).await;

    let load = Load::start(&site, deciding.url());
    load.more(20).await;
    load.turn_slow();
    first(&local(&site, Role::Admin).await, Stream::Events, RECOVERED).await;
    load.end().await;
    assert_eq!(site.lines("data/starts").len(), 1, "the script ran once");
    assert!(acting.stop().await.success());
    assert!(deciding.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_without_a_board_still_says_how_it_is() {
    let site = Site::new(RULE).await;
    let listen = format!("127.0.0.1:{}", free_port());
    let args = ["up", "--role", "engine,collector", "--listen", &listen];
    let running = site.start(site.command(&args, "data"), listen.clone()).await;
    running.until(caught_up).await;
    let url = running.url();
    let ask = async |args: &[&str]| {
        let args = [args, &["--url", &url]].concat();
        let output = crate::support::ops(&args).output().await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, said, _) = ask(&["status"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("ready  no board in this process"), "{said}");
    assert!(said.contains("desk"), "the logs are listed: {said}");
    let (code, said, _) = ask(&["--format", "json", "status"]).await;
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &said["health"]["ready"]), (Some(0), &true.into()));
    let (code, _, said) = ask(&["rules", "list"]).await;
    assert_eq!((code, said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("no board in that process"), "{said}");
    assert!(running.stop().await.success());
}

#[tokio::test]
async fn a_role_without_its_key_is_named() {
    let site = Site::new(RULE).await;
    let folder = site.path("keys");
    let made = crate::support::ops(&["keys", folder.to_str().unwrap()]).output().await.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let server = Server::with_accounts(&site, "keys/accounts.conf").await;
    let mut command = site.command(&["agent", "--nats-url", &server.url], "data");
    let refused = command.env("OPS_NATS_KEYS", &folder).output().await.unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(said.contains("keys_folder holds no agent.nk"), "{said}");
}

#[tokio::test]
async fn a_name_that_fits_nowhere_is_refused() {
    for args in [["agent", "--name", "host1.example.org"], ["keys", "keys", "--agent=a b"]] {
        let refused = crate::support::ops(&args).output().await.unwrap();
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.contains("letters, digits"), "{said}");
    }
}
