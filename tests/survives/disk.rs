//! A disk that is really full under nats-server: a small mount that only its processes see.

use crate::events::{counted, fired};
use crate::load::Load;
use crate::server::Server;
use crate::site::{Site, caught_up};
use crate::support::{free_port, with_tls};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const RULE: &str = "metric: web_ms\nthreshold: 1000\nwindow: 3s\nnotify: [hook]\n";

/// A small mount, in a namespace that lives as long as the process that holds it.
pub struct SmallDisk {
    holder: Child,
    folder: PathBuf,
    /// Whether its namespace has users of its own: whoever is not root needs that to mount anything.
    own_users: bool,
}

impl SmallDisk {
    /// Mounts it; none where this machine lets nobody mount anything.
    async fn mount(folder: &Path, megabytes: u32) -> Option<Self> {
        std::fs::create_dir_all(folder).unwrap();
        for own_users in [false, true] {
            let unshare = if own_users { "-Urm" } else { "-m" };
            let mount = format!(
                "mount -t tmpfs -o size={megabytes}m tmpfs \"$0\" && echo there && exec sleep 600"
            );
            let mut command = Command::new("unshare");
            command.args([unshare, "sh", "-c", &mount]).arg(folder);
            command.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
            let mut holder = command.spawn().unwrap();
            let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
            if lines.next_line().await.unwrap().as_deref() == Some("there") {
                return Some(Self { holder, folder: folder.to_owned(), own_users });
            }
        }
        None
    }

    /// What starts a program where the mount is seen.
    fn within(&self) -> Vec<String> {
        let holder = self.holder.id().unwrap().to_string();
        let users: &[&str] = if self.own_users { &["-U", "--preserve-credentials"] } else { &[] };
        let words = [&["nsenter", "-t", &holder, "-m"], users, &["--"]].concat();
        words.into_iter().map(str::to_owned).collect()
    }

    fn command(&self, program: &str) -> Command {
        let within = self.within();
        let mut command = Command::new(&within[0]);
        command.args(&within[1..]).arg(program);
        command
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }

    /// Somebody else's file takes all that is left.
    async fn fill(&self) {
        let mut command = self.command("dd");
        command.arg("if=/dev/zero").arg(format!("of={}", self.ballast().display())).arg("bs=4k");
        let said = command.output().await.unwrap();
        assert!(!said.status.success(), "dd ends when there is no space left");
    }

    /// The file is gone.
    async fn free(&self) {
        assert!(self.command("rm").arg(self.ballast()).status().await.unwrap().success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_loses_no_sample_that_was_taken_and_all_goes_on_when_there_is_room() {
    let site = Site::new(RULE).await;
    let Some(disk) = SmallDisk::mount(&site.path("nats"), 64).await else {
        // The same with the server's own bound is shown in `bad_days`.
        println!("nobody may mount anything on this machine");
        return;
    };
    let mut server = Server::started_by(&site, disk.within()).await;
    // It believes in more than there is, as servers do whose disk is shared.
    server.bound("100GB");
    server.lose(Duration::ZERO).await;
    let listen = format!("127.0.0.1:{}", free_port());
    let args = ["up", "--listen", &listen, "--nats-url", &server.url];
    let running = site.start(site.command(&args, "data"), listen).await;
    let load = Load::start(&site, running.url());
    load.more(50).await;
    disk.fill().await;
    with_tls();
    let body = r#"{"name":"other_ms","val":1}"#;
    loop {
        let answer = reqwest::Client::new().post(format!("{}/metric", running.url())).body(body);
        let answer = answer.send().await.unwrap();
        if answer.status() == 503 {
            assert!(answer.headers().contains_key("retry-after"));
            break;
        }
        assert_eq!(answer.status(), 202, "taken, while the last bit of room lasts");
    }
    running.until(|health| health["ready"] == false).await;
    disk.free().await;
    // A server that ran out of space does without JetStream until it is started again.
    server.lose(Duration::ZERO).await;
    load.more(50).await;
    load.turn_slow();
    fired(&server.bus().await, "web").await;
    let sent = load.end().await;
    running.until(caught_up).await;
    counted(&running.url(), "web_ms", sent).await;
    assert!(running.stop().await.success());
    let audit = ["audit", "verify", "--nats-url", &server.url];
    let proven = site.command(&audit, "data").output().await.unwrap();
    assert!(proven.status.success(), "{}", String::from_utf8_lossy(&proven.stdout));
}
