//! Mail by a real SMTP server.

#![allow(clippy::unwrap_used)]

mod lab;

use lab::{HANG, Lab, Mail, MailServer, Web, mail_to, page, start};
use notify::{Notifier, NotifyError};
use serde_json::json;
use settings::{Secret, Smtp, Tls};
use stages::wire::{DeliveryState, Reason};
use std::path::PathBuf;

fn header<'a>(mail: &'a Mail, name: &str) -> Option<&'a str> {
    let head = mail.content.split("\r\n\r\n").next()?;
    head.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[tokio::test]
async fn a_page_and_its_resolved_arrive_as_one_thread() {
    let (lab, mut server) = (Lab::new().await, MailServer::plain(&[]).await);
    let mut options = lab.options(vec![mail_to("oncall@opm.gov")]);
    options.contacts.config.smtp = Some(server.smtp(Tls::None));
    let notifier = start(options);
    lab.tell(&page("k1", Reason::Fired, &["email"])).await;
    lab.tell(&page("k2", Reason::Resolved, &["email"])).await;
    let (fired, resolved) = (server.next().await, server.next().await);
    assert_eq!(
        (fired.from.as_str(), fired.to.as_slice()),
        ("hms-ops@opm.gov", &["oncall@opm.gov".to_owned()][..])
    );
    let subject = "[CRITICAL] county_api_ms 1580 ms (threshold 1000)";
    assert_eq!(header(&fired, "Subject"), Some(subject));
    assert_eq!(header(&fired, "Message-ID"), Some("<k1@opm.gov>"));
    assert_eq!(header(&resolved, "In-Reply-To"), header(&fired, "References"));
    assert!(fired.content.contains("text/plain") && fired.content.contains("text/html"));
    let delivered = [("email".to_owned(), DeliveryState::Delivered)];
    assert_eq!(lab.states("k1").await, delivered);
    assert_eq!(lab.states("k2").await, delivered);
    notifier.shutdown().await;
}

#[tokio::test]
async fn a_passing_refusal_is_tried_again_as_the_same_mail() {
    let (lab, mut server) =
        (Lab::new().await, MailServer::plain(&["451 later", "421 closing"]).await);
    let mut options = lab.options(vec![mail_to("oncall@opm.gov")]);
    options.contacts.config.smtp = Some(server.smtp(Tls::None));
    let notifier = start(options);
    lab.tell(&page("k1", Reason::Fired, &["email"])).await;
    let tries = [server.next().await, server.next().await, server.next().await];
    assert!(tries.iter().all(|mail| header(mail, "Message-ID") == Some("<k1@opm.gov>")));
    let email = |state| ("email".to_owned(), state);
    use DeliveryState::{Delivered, Retrying};
    assert_eq!(lab.states("k1").await, [email(Retrying), email(Retrying), email(Delivered)]);
    assert!(lab.deliveries("k1").await[0].detail.as_deref().unwrap().contains("451"));
    notifier.shutdown().await;
}

#[tokio::test]
async fn a_final_refusal_goes_to_the_next_channel() {
    let (lab, mut server) = (Lab::new().await, MailServer::plain(&["550 no such user"]).await);
    let mut web = Web::start(Vec::new()).await;
    let mut options = lab.options(vec![mail_to("oncall@opm.gov"), web.webhook()]);
    options.contacts.config.smtp = Some(server.smtp(Tls::None));
    let notifier = start(options);
    lab.tell(&page("k1", Reason::Fired, &["email", "webhook"])).await;
    assert_eq!(server.next().await.answer, "550 no such user");
    assert_eq!(web.next().await.body["opsKey"], "k1");
    let states = lab.states("k1").await;
    let wanted = [("email", DeliveryState::NextChannel), ("webhook", DeliveryState::Delivered)];
    assert_eq!(states, wanted.map(|(channel, state)| (channel.to_owned(), state)));
    notifier.shutdown().await;
}

/// A certificate authority and a certificate of `localhost`: paths of authority, certificate and key.
fn certificates(lab: &Lab) -> [PathBuf; 3] {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut about = rcgen::CertificateParams::new(Vec::new()).unwrap();
    about.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = about.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(about, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let server = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let server = server.signed_by(&key, &issuer).unwrap();
    [
        lab.file("authority.pem", &authority.pem()),
        lab.file("certificate.pem", &server.pem()),
        lab.file("key.pem", &key.serialize_pem()),
    ]
}

async fn by_tls(word: &str, tls: Tls) {
    let lab = Lab::new().await;
    let [authority, certificate, key] = certificates(&lab);
    let mut server = MailServer::start(json!({
        "tls": word, "certificate": certificate, "key": key, "user": "ops", "password": "hush-hush",
    }))
    .await;
    let mut options = lab.options(vec![mail_to("oncall@opm.gov")]);
    let password = Some(Secret::File(lab.file("password", "hush-hush\n")));
    let user = Some("ops".to_owned());
    let authorities = Some(authority);
    options.contacts.config.smtp = Some(Smtp { authorities, user, password, ..server.smtp(tls) });
    let notifier = start(options);
    lab.tell(&page("k1", Reason::Fired, &["email"])).await;
    let mail = tokio::select! {
        mail = server.next() => mail,
        said = lab.deliveries("k1") => panic!("{said:?}"),
    };
    assert!(mail.encrypted && mail.authenticated, "{mail:?}");
    assert_eq!(lab.states("k1").await, [("email".to_owned(), DeliveryState::Delivered)]);
    assert!(!lab.everything_said().contains("hush-hush"));
    notifier.shutdown().await;
}

#[tokio::test]
async fn starttls_and_a_password_work() {
    by_tls("starttls", Tls::StartTls).await;
}

#[tokio::test]
async fn tls_from_the_first_byte_and_a_password_work() {
    by_tls("tls", Tls::Tls).await;
}

#[tokio::test]
async fn a_server_without_starttls_or_with_a_strange_certificate_gets_nothing() {
    let lab = Lab::new().await;
    let plain = MailServer::plain(&[]).await;
    let [_, certificate, key] = certificates(&lab);
    let strange =
        MailServer::start(json!({ "tls": "starttls", "certificate": certificate, "key": key }))
            .await;
    for (key, mut server) in [("k1", plain), ("k2", strange)] {
        let mut web = Web::start(Vec::new()).await;
        let mut options = lab.options(vec![mail_to("oncall@opm.gov"), web.webhook()]);
        options.contacts.config.smtp = Some(server.smtp(Tls::StartTls));
        options.retry.channel_min = std::time::Duration::from_millis(100);
        options.retry.channel_max = std::time::Duration::from_millis(100);
        let notifier = start(options);
        lab.tell(&page(key, Reason::Fired, &["email", "webhook"])).await;
        let posted = tokio::select! {
            posted = web.next() => posted,
            mail = server.next() => panic!("sent without protection: {mail:?}"),
        };
        assert_eq!(posted.body["opsKey"], key);
        notifier.shutdown().await;
    }
}

#[tokio::test]
async fn a_file_that_holds_no_authority_is_named_at_the_start() {
    let (lab, server) = (Lab::new().await, MailServer::plain(&[]).await);
    for file in [lab.file("empty.pem", "no certificate"), PathBuf::from("/nowhere/ca.pem")] {
        let mut options = lab.options(vec![mail_to("oncall@opm.gov")]);
        let authorities = Some(file.clone());
        options.contacts.config.smtp = Some(Smtp { authorities, ..server.smtp(Tls::StartTls) });
        let Err(refused) = Notifier::start(options) else { panic!("{file:?} was taken") };
        assert!(matches!(refused, NotifyError::Mail(_)), "{refused:?}");
        assert!(refused.to_string().contains(&file.display().to_string()), "{refused}");
    }
}

#[tokio::test]
async fn a_password_never_leaves_this_machine_without_tls() {
    let lab = Lab::new().await;
    let mut options = lab.options(vec![mail_to("oncall@opm.gov")]);
    options.contacts.config.smtp = Some(Smtp {
        host: "mail.example.org".to_owned(),
        port: 25,
        tls: Tls::None,
        authorities: None,
        user: Some("ops".to_owned()),
        password: Some(Secret::File(lab.file("password", "hush-hush"))),
    });
    let refused = Notifier::start(options);
    assert!(matches!(refused, Err(NotifyError::Mail(_))));
}

#[tokio::test]
async fn a_dead_mail_server_is_tried_until_the_deadline_and_then_left() {
    let lab = Lab::new().await;
    let mut web = Web::start(Vec::new()).await;
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let mut options = lab.options(vec![mail_to("oncall@opm.gov"), web.webhook()]);
    options.contacts.config.smtp = Some(Smtp {
        host: "localhost".to_owned(),
        port,
        tls: Tls::None,
        authorities: None,
        user: None,
        password: None,
    });
    options.retry.channel_min = std::time::Duration::from_millis(60);
    options.retry.channel_max = std::time::Duration::from_millis(60);
    let notifier = start(options);
    lab.tell(&page("k1", Reason::Fired, &["email", "webhook"])).await;
    tokio::time::timeout(HANG, web.next()).await.unwrap();
    let states = lab.states("k1").await;
    assert!(states.contains(&("email".to_owned(), DeliveryState::Retrying)), "{states:?}");
    assert!(states.contains(&("email".to_owned(), DeliveryState::NextChannel)), "{states:?}");
    notifier.shutdown().await;
}
