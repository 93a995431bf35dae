//! Web channels, the outbox, retries, order, restarts.

#![allow(clippy::unwrap_used)]

mod lab;

use axum::response::IntoResponse;
use bus::Stream;
use bus::memory::{Faults, WriteFault};
use lab::{HANG, Lab, Web, answer, mail_to, now, page, start};
use settings::{Endpoint, Secret, WebhookUrl};
use stages::time::Span;
use stages::wire::{DeliveryState, Intent, Reason};
use std::time::Duration;

#[tokio::test]
async fn pager_duty_is_triggered_and_resolved_under_one_key() {
    let (lab, mut web) = (Lab::new().await, Web::start(Vec::new()).await);
    let key = lab.file("key", "r0utingkey\n");
    let notifier = start(lab.options(vec![web.pager(&key)]));
    for (key, reason) in
        [("k1", Reason::Fired), ("k2", Reason::Acknowledged), ("k3", Reason::Resolved)]
    {
        lab.tell(&page(key, reason, &["pager_duty"])).await;
    }
    for (key, action) in [("k1", "trigger"), ("k2", "acknowledge"), ("k3", "resolve")] {
        let posted = web.next().await;
        assert_eq!(posted.body["event_action"], action);
        assert_eq!(posted.body["dedup_key"], "incident-1-oncall");
        assert_eq!(posted.body["routing_key"], "r0utingkey");
        assert_eq!(posted.headers["idempotency-key"], key);
        assert_eq!(lab.states(key).await, [("pager_duty".to_owned(), DeliveryState::Delivered)]);
    }
    notifier.shutdown().await;
}

#[tokio::test]
async fn every_passing_error_is_tried_again() {
    let codes = [408, 425, 429, 500, 503];
    let lab = Lab::new().await;
    let mut web = Web::start(codes.map(answer).into()).await;
    let notifier = start(lab.options(vec![web.webhook()]));
    lab.tell(&page("k1", Reason::Fired, &["webhook"])).await;
    for _ in 0..=codes.len() {
        assert_eq!(web.next().await.headers["idempotency-key"], "k1");
    }
    let deliveries = lab.deliveries("k1").await;
    assert_eq!(deliveries.len(), codes.len() + 1);
    for (delivery, code) in deliveries.iter().zip(codes) {
        assert_eq!(delivery.state, DeliveryState::Retrying);
        assert_eq!(delivery.detail.as_deref(), Some(format!("HTTP {code}").as_str()));
    }
    assert_eq!(deliveries.last().unwrap().attempt, 6);
    notifier.shutdown().await;
}

#[tokio::test]
async fn a_provider_that_asks_for_longer_than_the_deadline_is_left() {
    let lab = Lab::new().await;
    let wait =
        (axum::http::StatusCode::TOO_MANY_REQUESTS, [("retry-after", "3600")]).into_response();
    let (mut full, mut other) = (Web::start(vec![wait]).await, Web::start(Vec::new()).await);
    let notifier = start(lab.options(vec![full.webhook(), other.webhook()]));
    lab.tell(&page("k1", Reason::Fired, &["webhook", "webhook"])).await;
    full.next().await;
    other.next().await;
    let states: Vec<_> = lab.states("k1").await.into_iter().map(|(_, state)| state).collect();
    assert_eq!(states, [DeliveryState::NextChannel, DeliveryState::Delivered]);
    notifier.shutdown().await;
}

#[tokio::test]
async fn a_refusal_goes_to_the_next_channel_and_then_to_the_fallback_receiver() {
    let lab = Lab::new().await;
    let key = lab.file("key", "r0utingkey");
    let moved = (axum::http::StatusCode::TEMPORARY_REDIRECT, [("location", "http://127.0.0.1:1/")]);
    let echo = (axum::http::StatusCode::BAD_REQUEST, "bad key r0utingkey").into_response();
    let mut pager = Web::start(vec![echo]).await;
    let mut hook = Web::start(vec![moved.into_response()]).await;
    let mut fallback = Web::start(Vec::new()).await;
    let mut options = lab.options(vec![pager.pager(&key), hook.webhook()]);
    options.contacts.endpoints.insert("desk".to_owned(), vec![fallback.webhook()]);
    options.contacts.fallback = Some("desk".to_owned());
    let notifier = start(options);
    lab.tell(&page("k1", Reason::Fired, &["pager_duty", "webhook"])).await;
    pager.next().await;
    hook.next().await;
    fallback.next().await;
    let deliveries = lab.deliveries("k1").await;
    let seen: Vec<_> = deliveries.iter().map(|one| (one.receiver.as_str(), one.state)).collect();
    use DeliveryState::{Delivered, NextChannel};
    assert_eq!(seen, [("oncall", NextChannel), ("oncall", NextChannel), ("desk", Delivered)]);
    assert!(!lab.everything_said().contains("r0utingkey"));
    notifier.shutdown().await;
}

#[tokio::test]
async fn nobody_reached_is_said() {
    let lab = Lab::new().await;
    let web = Web::start(vec![answer(404)]).await;
    let notifier = start(lab.options(vec![web.webhook()]));
    lab.tell(&page("k1", Reason::Fired, &["webhook", "email"])).await;
    let states: Vec<_> = lab.states("k1").await.into_iter().map(|(_, state)| state).collect();
    use DeliveryState::{Failed, NextChannel};
    assert_eq!(states, [NextChannel, NextChannel, Failed]);
    assert_eq!(notifier.counters().failed, 1);
    notifier.shutdown().await;
}

#[tokio::test]
async fn a_webhook_reads_like_alertmanager_and_carries_its_token() {
    let (lab, mut web) = (Lab::new().await, Web::start(Vec::new()).await);
    let token = Some(Secret::File(lab.file("token", "t0ken")));
    let hook = Endpoint::Webhook { url: WebhookUrl::Plain(web.url.clone()), token };
    let notifier = start(lab.options(vec![hook]));
    lab.tell(&page("k1", Reason::Fired, &["webhook"])).await;
    let posted = web.next().await;
    assert_eq!(posted.headers["authorization"], "Bearer t0ken");
    assert_eq!(posted.headers["content-type"], "application/json");
    assert_eq!((&posted.body["version"], &posted.body["status"]), (&"4".into(), &"firing".into()));
    assert_eq!(posted.body["alerts"][0]["labels"]["alertname"], "county_api");
    notifier.shutdown().await;
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let lab = Lab::new().await;
    let part = || Ok::<_, std::io::Error>(axum::body::Bytes::from("x".repeat(65_536)));
    let endless = futures::stream::repeat_with(part);
    let mut web = Web::start(vec![axum::body::Body::from_stream(endless).into_response()]).await;
    let notifier = start(lab.options(vec![web.webhook()]));
    lab.tell(&page("k1", Reason::Fired, &["webhook"])).await;
    web.next().await;
    let deliveries = lab.deliveries("k1").await;
    assert_eq!(deliveries[0].state, DeliveryState::Delivered);
    assert!(deliveries[0].detail.as_ref().unwrap().len() < 300);
    notifier.shutdown().await;
}

#[tokio::test]
async fn without_providers_the_outbox_holds_what_would_be_sent() {
    let lab = Lab::new().await;
    let key = Secret::Env("OPS_TEST_NO_SUCH_KEY".to_owned());
    let pager = Endpoint::PagerDuty { key, url: "http://127.0.0.1:1/".to_owned() };
    let mut options = lab.options(vec![mail_to("oncall@opm.gov"), pager]);
    let outbox = lab.folder.path().join("outbox");
    options.outbox = Some(outbox.clone());
    let notifier = start(options);
    lab.tell(&page("k1", Reason::Fired, &["email"])).await;
    lab.tell(&page("k2", Reason::Fired, &["pager_duty"])).await;
    assert_eq!(lab.states("k1").await, [("email".to_owned(), DeliveryState::Outbox)]);
    assert_eq!(lab.states("k2").await, [("pager_duty".to_owned(), DeliveryState::Outbox)]);
    notifier.shutdown().await;
    let mut files: Vec<_> =
        std::fs::read_dir(&outbox).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 2);
    let mail = std::fs::read_to_string(&files[0]).unwrap();
    assert!(
        files[0].extension().unwrap() == "eml" && mail.contains("To: oncall@opm.gov\r\n"),
        "{mail}"
    );
    let event: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&files[1]).unwrap()).unwrap();
    assert_eq!(event["event_action"], "trigger");
}

#[tokio::test]
async fn resolved_never_overtakes_its_page() {
    let lab = Lab::new().await;
    let mut web = Web::start(vec![answer(503), answer(503), answer(503)]).await;
    let notifier = start(lab.options(vec![web.webhook()]));
    lab.tell(&page("k1", Reason::Fired, &["webhook"])).await;
    lab.tell(&page("k2", Reason::Resolved, &["webhook"])).await;
    for key in ["k1", "k1", "k1", "k1", "k2"] {
        assert_eq!(web.next().await.headers["idempotency-key"], key);
    }
    notifier.shutdown().await;
}

#[tokio::test]
async fn what_is_old_becomes_one_digest() {
    let (lab, mut web) = (Lab::new().await, Web::start(Vec::new()).await);
    for number in 0..40 {
        let old = Intent {
            time: now().minus(Span::from_secs(3600 - number)),
            dedup_key: number.to_string(),
            ..page(&format!("old{number}"), Reason::Fired, &["webhook"])
        };
        lab.tell(&old).await;
    }
    lab.tell(&page("young", Reason::Fired, &["webhook"])).await;
    let notifier = start(lab.options(vec![web.webhook()]));
    let (first, second) = (web.next().await, web.next().await);
    let (young, digest) =
        if first.body["opsKey"] == "young" { (first, second) } else { (second, first) };
    assert_eq!(young.body["opsKey"], "young");
    assert_eq!(digest.body["opsReason"], "digest");
    let message = digest.body["alerts"][0]["annotations"]["message"].as_str().unwrap();
    assert!(message.contains("40 notifications happened while down"), "{message}");
    notifier.shutdown().await;
    assert!(web.posts.try_recv().is_err(), "nothing was sent one by one");
}

#[tokio::test]
async fn a_restart_delivers_what_was_not_delivered_under_the_same_key() {
    let lab = Lab::new().await;
    let refusals = (0..1000).map(|_| answer(503)).collect();
    let mut down = Web::start(refusals).await;
    let notifier = start(lab.options(vec![down.webhook()]));
    lab.tell(&page("k1", Reason::Fired, &["webhook"])).await;
    assert_eq!(down.next().await.headers["idempotency-key"], "k1");
    notifier.shutdown().await;
    let mut up = Web::start(Vec::new()).await;
    let notifier = start(lab.options(vec![up.webhook()]));
    assert_eq!(up.next().await.headers["idempotency-key"], "k1");
    assert_eq!(lab.deliveries("k1").await.last().unwrap().state, DeliveryState::Delivered);
    notifier.shutdown().await;
}

/// The first writes of every delivery are refused.
struct Reluctant(u32);

impl Faults for Reluctant {
    fn write(&mut self, _: &[bus::Outgoing]) -> WriteFault {
        self.0 += 1;
        if self.0 <= 3 { WriteFault::Unavailable } else { WriteFault::None }
    }
}

#[tokio::test]
async fn the_last_word_is_stored_before_the_intent_is_given_up() {
    let (lab, mut web) = (Lab::new().await, Web::start(Vec::new()).await);
    lab.tell(&page("k1", Reason::Fired, &["webhook"])).await;
    lab.bus.set_faults(Reluctant(0));
    let notifier = start(lab.options(vec![web.webhook()]));
    web.next().await;
    assert_eq!(lab.states("k1").await, [("webhook".to_owned(), DeliveryState::Delivered)]);
    notifier.shutdown().await;
    assert!(web.posts.try_recv().is_err(), "told once");
    assert_eq!(lab.bus.messages(Stream::Outcomes).len(), 1);
}

#[tokio::test]
async fn an_intent_that_does_not_read_costs_only_itself() {
    let (lab, mut web) = (Lab::new().await, Web::start(Vec::new()).await);
    let subject = lab.subjects.notify("oncall");
    let broken = bus::Outgoing { subject, payload: "{\"key\":".into(), ..bus::Outgoing::default() };
    bus::Bus::publish(&lab.bus, broken).await.unwrap();
    let notifier = start(lab.options(vec![web.webhook()]));
    lab.tell(&page("k1", Reason::Fired, &["webhook"])).await;
    web.next().await;
    assert_eq!(notifier.counters().unreadable, 1);
    notifier.shutdown().await;
}

#[tokio::test]
async fn pacing_delays_and_drops_nothing() {
    let (lab, mut web) = (Lab::new().await, Web::start(Vec::new()).await);
    let mut options = lab.options(vec![web.webhook()]);
    options.contacts.config.pacing.webhook_per_minute = 600;
    let notifier = start(options);
    for number in 0..110 {
        let one = Intent {
            dedup_key: number.to_string(),
            ..page(&format!("k{number}"), Reason::Fired, &["webhook"])
        };
        lab.tell(&one).await;
    }
    for _ in 0..110 {
        web.next().await;
    }
    notifier.shutdown().await;
    tokio::time::timeout(Duration::from_millis(1), web.posts.recv()).await.unwrap_err();
}

/// Waits until the notifier says this of itself.
async fn says(notifier: &notify::Notifier, wanted: impl Fn(Option<&str>) -> bool) {
    let said = async {
        while !wanted(notifier.not_ready().as_deref()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let said = tokio::time::timeout(HANG, said).await;
    said.unwrap_or_else(|_| panic!("it says {:?}", notifier.not_ready()));
}

#[tokio::test]
async fn a_notifier_that_gets_no_intents_is_not_ready() {
    let lab = Lab::new().await;
    let mut options = lab.options(vec![mail_to("oncall@opm.gov")]);
    let empty = bus::memory::MemoryBus::real_time(bus::layout::Layout::default());
    options.bus = std::sync::Arc::new(empty.clone());
    let notifier = start(options);
    says(&notifier, |why| why.is_some_and(|why| why.contains("no intents"))).await;
    bus::Bus::ensure(&empty, 1).await.unwrap();
    says(&notifier, |why| why.is_none()).await;
    empty.set_connected(false);
    assert_eq!(notifier.not_ready().unwrap(), "the notifier's bus does not answer");
    empty.set_connected(true);
    says(&notifier, |why| why.is_none()).await;
    notifier.shutdown().await;
}
