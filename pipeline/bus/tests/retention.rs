//! How long samples are kept is said once, when the log is made; a log that keeps less is refused.

#![allow(clippy::unwrap_used)]

use bus::accounts::Role;
use bus::jetstream::JetStream;
use bus::layout::Layout;
use bus::server::{LocalServer, ServerOptions};
use bus::{Bus, BusError};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn a_log_keeps_samples_as_long_as_it_was_told() {
    let data = tempfile::tempdir().unwrap();
    let options = ServerOptions {
        data: data.path().to_owned(),
        port: None,
        layout: Layout::default(),
        agent: "local".to_owned(),
    };
    let server = LocalServer::start(options).await.unwrap();
    let ensure = async |keep: Option<Duration>| {
        let mut admin = server.options(Role::Admin);
        admin.log_age_max = keep;
        JetStream::connect(admin).await.unwrap().ensure(1).await
    };
    ensure(Some(3 * HOUR)).await.unwrap();
    ensure(Some(2 * HOUR)).await.expect("a log that keeps more is fine");
    for longer in [Some(4 * HOUR), None] {
        let refused = ensure(longer).await.unwrap_err();
        let BusError::Mismatch { stream, field, remedy, .. } = refused else { panic!("{refused}") };
        assert_eq!((stream.as_str(), field.as_str()), ("OPS_LOG", "max_age"));
        assert!(!remedy.is_empty());
    }
    server.stop().await;
}
