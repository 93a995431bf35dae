//! Bad days of the bus: no room left on it, a stream deleted under a running engine.

use crate::events::{Happened, all, fired, first};
use crate::load::{Load, post};
use crate::server::Server;
use crate::site::{Running, Site, caught_up};
use crate::support::{free_port, with_tls};
use bus::Stream;
use std::process::Output;
use std::time::Duration;

const RULE: &str = "metric: web_ms\nthreshold: 1000\nwindow: 3s\nnotify: [hook]\n";

async fn up(site: &Site, server: &Server) -> Running {
    let listen = format!("127.0.0.1:{}", free_port());
    let args = ["up", "--listen", &listen, "--nats-url", &server.url];
    site.start(site.command(&args, "data"), listen).await
}

/// Calls the JetStream API as somebody with the keys of the house.
async fn call(server: &Server, call: &str) {
    let client = async_nats::connect(&server.url).await.unwrap();
    let answer = client.request(format!("$JS.API.{call}"), "".into()).await.unwrap();
    let text = String::from_utf8(answer.payload.to_vec()).unwrap();
    assert!(!text.contains("\"error\""), "{text}");
}

/// Whether nothing goes on, for a reason with this text in it.
fn says(health: &serde_json::Value, text: &str) -> bool {
    health["ready"] == false && health["why"].to_string().contains(text)
}

async fn recover(site: &Site, server: &Server, options: &[&str]) -> Output {
    let args = [&["recover", "--nats-url", &server.url][..], options].concat();
    site.command(&args, "data").output().await.unwrap()
}

/// `ops recover` says why, and what is lost, until that is accepted.
async fn accept_loss(site: &Site, server: &Server, text: &str) {
    let looked = recover(site, server, &[]).await;
    let said = String::from_utf8_lossy(&looked.stdout).into_owned();
    assert!(looked.status.code() == Some(9) && said.contains(text), "{said}");
    assert!(recover(site, server, &["--accept-loss"]).await.status.success());
}

async fn send(running: &Running, value: u32) {
    post(&running.url(), &format!(r#"{{"name":"web_ms","val":{value}}}"#)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_without_room_takes_no_sample_says_so_and_goes_on_when_there_is_some() {
    let site = Site::new(RULE).await;
    let mut server = Server::open(&site).await;
    let running = up(&site, &server).await;
    let load = Load::start(&site, running.url());
    load.more(20).await;
    // Somebody else's stream takes all there is. The bound comes after our streams, which may grow beyond it.
    let client = async_nats::connect(&server.url).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let config = async_nats::jetstream::stream::Config {
        name: "SOMEBODY_ELSE".to_owned(),
        subjects: vec!["somebody.else".to_owned()],
        ..Default::default()
    };
    let filling = jetstream.create_stream(config).await.unwrap();
    server.bound("30MB");
    server.lose(Duration::ZERO).await;
    load.more(20).await;
    let mut size = 1_000_000;
    while size > 0 {
        match jetstream.publish("somebody.else", vec![0; size].into()).await.unwrap().await {
            Ok(_) => {}
            Err(_) => size /= 4,
        }
    }
    with_tls();
    let body = r#"{"name":"web_ms","val":1}"#;
    let refused = loop {
        let answer = reqwest::Client::new().post(format!("{}/metric", running.url())).body(body);
        let answer = answer.send().await.unwrap();
        if answer.status() == 503 {
            break answer;
        }
        assert_eq!(answer.status(), 202, "taken, while the last bit of room lasts");
    };
    assert!(refused.headers().contains_key("retry-after"));
    let why = refused.text().await.unwrap();
    assert!(why.contains("did not store it in time") && why.contains("resource"), "{why}");
    filling.purge().await.unwrap();
    load.more(20).await;
    load.turn_slow();
    let bus = server.bus().await;
    fired(&bus, "web").await;
    load.end().await;
    running.until(caught_up).await;
    assert_eq!(Happened::so_far(&bus).await.alerts("fired").len(), 1);
    assert!(running.stop().await.success());
    let audit = ["audit", "verify", "--nats-url", &server.url];
    let proven = site.command(&audit, "data").output().await.unwrap();
    assert!(proven.status.success(), "{}", String::from_utf8_lossy(&proven.stdout));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_stream_stops_its_logs_and_they_go_on_once_the_loss_is_accepted() {
    let site = Site::new(RULE).await;
    let server = Server::open(&site).await;
    let running = up(&site, &server).await;
    running.until(caught_up).await;
    send(&running, 1).await;
    running.until(caught_up).await;
    call(&server, "STREAM.DELETE.OPS_LOG").await;
    running.until(|health| says(health, "stream OPS_LOG is gone")).await;
    assert!(running.stop().await.success());

    // The next start makes the stream anew; what it held is not there.
    let running = up(&site, &server).await;
    running.until(|health| says(health, "ops recover")).await;
    assert!(running.stop().await.success());
    accept_loss(&site, &server, "created anew").await;
    let running = up(&site, &server).await;
    running.until(caught_up).await;
    let apply = ["rules", "apply", "--nats-url", &server.url];
    assert!(site.command(&apply, "data").output().await.unwrap().status.success());
    send(&running, 5000).await;
    fired(&server.bus().await, "web").await;
    assert!(running.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_said_again_after_all_that_was_said_is_lost() {
    let site = Site::new(RULE).await;
    let server = Server::open(&site).await;
    let bus = server.bus().await;
    let running = up(&site, &server).await;
    running.until(caught_up).await;
    send(&running, 5000).await;
    let before = fired(&bus, "web").await;
    running.until(caught_up).await;
    assert!(running.stop().await.success());
    call(&server, "STREAM.DELETE.OPS_EVENTS").await;

    let running = up(&site, &server).await;
    running.until(|health| says(health, "position records are gone")).await;
    assert!(running.stop().await.success());
    accept_loss(&site, &server, "counts as said").await;

    let running = up(&site, &server).await;
    running.until(caught_up).await;
    // The alert that fired is still the one that is told of: its end is said, its beginning is not.
    let resolved = async {
        loop {
            send(&running, 1).await;
            let happened = Happened::so_far(&bus).await;
            if let [incident] = happened.alerts("resolved")[..] {
                assert_eq!(Some(incident), before.incident.as_deref());
                assert!(happened.alerts("fired").is_empty());
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), resolved).await.unwrap();
    send(&running, 5000).await;
    assert_ne!(fired(&bus, "web").await.incident, before.incident);
    assert!(running.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_hear_that_the_stream_of_outcomes_was_made_anew_and_later_outcomes_count() {
    let site = Site::new(RULE).await;
    let server = Server::open(&site).await;
    let bus = server.bus().await;
    let running = up(&site, &server).await;
    running.until(caught_up).await;
    send(&running, 5000).await;
    first(&bus, Stream::Desk, "ops.desk.outcome.status.notify.>").await;
    assert!(running.stop().await.success());
    call(&server, "STREAM.DELETE.OPS_OUTCOMES").await;

    let running = up(&site, &server).await;
    running.until(caught_up).await;
    // People are told, and how that went is the first outcome of the new stream.
    let told = async {
        let holds = async |stream, text: &str| {
            let all = all(&bus, stream).await;
            all.iter().any(|message| String::from_utf8_lossy(&message.payload).contains(text))
        };
        while !holds(Stream::Events, "\"stream_anew\"").await
            || !holds(Stream::Desk, "\"outcomes@").await
        {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), told).await.unwrap();
    assert!(running.stop().await.success());
}
