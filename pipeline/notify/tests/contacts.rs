//! Whom to reach where, changed while messages are under way.

#![allow(clippy::unwrap_used)]

mod lab;

use lab::{Lab, Web, answer, page, start};
use notify::{Contacts, Unsent};
use settings::{Endpoint, Secret, Smtp, Tls};
use stages::wire::{DeliveryState, Reason};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

fn with(contacts: &Contacts, receiver: &str, channels: Vec<Endpoint>) -> Contacts {
    let mut contacts = contacts.clone();
    contacts.endpoints.insert(receiver.to_owned(), channels);
    contacts
}

#[tokio::test]
async fn a_corrected_address_helps_what_is_under_way() {
    let lab = Lab::new().await;
    let mut wrong = Web::start((0..1000).map(|_| answer(503)).collect()).await;
    let mut right = Web::start(Vec::new()).await;
    let options = lab.options(vec![wrong.webhook()]);
    let corrected = with(&options.contacts, "oncall", vec![right.webhook()]);
    let notifier = start(options);
    lab.tell(&page("k1", Reason::Fired, &["webhook"])).await;
    wrong.next().await;
    notifier.replace(corrected).unwrap();
    assert_eq!(right.next().await.headers["idempotency-key"], "k1");
    let deliveries = lab.deliveries("k1").await;
    let (last, before) = deliveries.split_last().unwrap();
    assert_eq!(last.state, DeliveryState::Delivered);
    assert!(before.iter().all(|one| one.state == DeliveryState::Retrying), "{deliveries:?}");
    assert_eq!(last.attempt as usize, deliveries.len(), "it went on counting");
    notifier.shutdown().await;
}

#[tokio::test]
async fn contacts_that_cannot_work_change_nothing() {
    let (lab, mut web) = (Lab::new().await, Web::start(Vec::new()).await);
    let options = lab.options(vec![web.webhook()]);
    let mut refused = with(&options.contacts, "oncall", Vec::new());
    refused.config.smtp = Some(Smtp {
        host: "mail.example.org".to_owned(),
        port: 25,
        tls: Tls::None,
        authorities: None,
        user: Some("ops".to_owned()),
        password: Some(Secret::File(lab.file("password", "in the clear"))),
    });
    let notifier = start(options);
    assert!(notifier.replace(refused).is_err());
    lab.tell(&page("k1", Reason::Fired, &["webhook"])).await;
    web.next().await;
    notifier.shutdown().await;
}

#[tokio::test]
async fn a_receiver_nobody_knew_is_looked_for_before_the_fallback_is_told() {
    let lab = Lab::new().await;
    let (mut fallback, mut new) = (Web::start(Vec::new()).await, Web::start(Vec::new()).await);
    let mut options = lab.options(vec![fallback.webhook()]);
    options.contacts.fallback = Some("oncall".to_owned());
    let (readings, written) = (Arc::new(AtomicU32::new(0)), options.contacts.clone());
    let (count, hook) = (readings.clone(), new.webhook());
    options.read_again = Some(Arc::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(with(&written, "night", vec![hook.clone()]))
    }));
    let notifier = start(options);
    let to = |receiver: &str, key: &str| {
        let mut intent = page(key, Reason::Fired, &["webhook"]);
        (intent.receiver, intent.dedup_key) = (receiver.to_owned(), key.to_owned());
        intent
    };
    lab.tell(&to("oncall", "known")).await;
    fallback.next().await;
    assert_eq!(readings.load(Ordering::SeqCst), 0, "whoever is known needs no reading");
    lab.tell(&to("night", "new")).await;
    assert_eq!(new.next().await.headers["idempotency-key"], "new");
    assert_eq!(readings.load(Ordering::SeqCst), 1);
    lab.tell(&to("nobody", "lost")).await;
    assert_eq!(fallback.next().await.headers["idempotency-key"], "lost");
    assert_eq!(readings.load(Ordering::SeqCst), 2, "once, then the fallback");
    notifier.shutdown().await;
}

#[tokio::test]
async fn files_that_are_refused_leave_the_fallback() {
    let (lab, mut fallback) = (Lab::new().await, Web::start(Vec::new()).await);
    let mut options = lab.options(vec![fallback.webhook()]);
    options.contacts.fallback = Some("oncall".to_owned());
    options.read_again = Some(Arc::new(|| Err("config/receivers.yml:1:1: broken".to_owned())));
    let notifier = start(options);
    let mut intent = page("k1", Reason::Fired, &["webhook"]);
    intent.receiver = "night".to_owned();
    lab.tell(&intent).await;
    assert_eq!(fallback.next().await.headers["idempotency-key"], "k1");
    notifier.shutdown().await;
}

#[tokio::test]
async fn what_would_go_to_the_outbox_is_known_before() {
    let lab = Lab::new().await;
    let (mail, set) = (lab::mail_to("a@example.org"), Secret::File(lab.file("key", "k")));
    let pager = |key| Endpoint::PagerDuty { key, url: "http://127.0.0.1:1".to_owned() };
    let unset = Secret::Env("OPS_TEST_NO_SUCH_VARIABLE".to_owned());
    for (channels, mails, pages) in [
        (vec![mail.clone(), pager(unset)], true, true),
        (vec![mail, pager(set.clone())], true, false),
        (vec![pager(set)], false, false),
    ] {
        assert_eq!(lab.options(channels).contacts.unsent(), Unsent { mails, pages });
    }
}
