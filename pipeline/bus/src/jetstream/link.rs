//! A connection and what happens to it: requests that fail fast, and a count that rises with every
//! (re)connection, so that readers notice at once.
//!
//! A refused subject is no answer but an asynchronous error text, and the request behind it would only time
//! out. So every request listens to those texts while it waits.

use super::options::{Credentials, Options};
use crate::BusError;
use async_nats::connection::State;
use async_nats::{
    Client, ConnectErrorKind, ConnectOptions, Event, HeaderMap, Message, Request, RequestErrorKind,
    ServerError,
};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{broadcast, watch};

/// Longest wait for an answer. An election of a stream's leader takes up to 5.5 s, but is answered at once.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest pause between attempts to reconnect.
const RECONNECT_DELAY_MAX: Duration = Duration::from_secs(2);

/// A connection, shared by everything that uses it.
pub(super) struct Link {
    pub(super) client: Client,
    pub(super) options: Options,
    events: Events,
    /// Readers that share the bytes in flight.
    pub(super) readers: AtomicUsize,
    names: AtomicUsize,
}

#[derive(Clone)]
struct Events {
    violations: broadcast::Sender<Arc<str>>,
    connections: watch::Sender<u64>,
}

/// Why a request has no good answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server does not let us.
    Denied(String),
    /// The server answered with an error.
    Refused { code: u64, text: String },
    /// Sent, perhaps; no answer.
    Silent,
    /// Certainly not received by anybody.
    Unreachable(&'static str),
    /// Larger than the server takes.
    TooLarge(String),
}

#[derive(Deserialize)]
struct ApiAnswer {
    error: Option<ApiError>,
}

#[derive(Deserialize)]
struct ApiError {
    #[serde(default)]
    code: u64,
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

impl Link {
    /// Connects.
    pub(super) async fn connect(options: Options) -> Result<Self, BusError> {
        let events =
            Events { violations: broadcast::Sender::new(64), connections: watch::Sender::new(0) };
        let connect = connect_options(&options, events.clone()).await?;
        let client = connect
            .connect(&options.urls)
            .await
            .map_err(|error| connect_error(&options.urls, &error))?;
        let (readers, names) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Ok(Self { client, options, events, readers, names })
    }

    /// Whether the connection stands.
    pub(super) fn connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Whether the server is one of a cluster.
    pub(super) fn clustered(&self) -> bool {
        let info = self.client.try_server_info();
        info.and_then(|info| info.cluster).is_some_and(|name| !name.is_empty())
    }

    /// Rises with every loss and every return of the connection.
    pub(super) fn connections(&self) -> watch::Receiver<u64> {
        self.events.connections.subscribe()
    }

    /// A name nobody else has: the random part of an inbox, and a count.
    pub(super) fn unique_name(&self) -> String {
        let inbox = self.client.new_inbox();
        let random = inbox.rsplit('.').next().unwrap_or_default();
        format!("{random}-{}", self.names.fetch_add(1, Ordering::Relaxed))
    }

    /// Listens to refusals; to be called before the first byte is sent.
    pub(super) fn refusals(&self) -> Refusals {
        Refusals {
            texts: self.events.violations.subscribe(),
            inbox: format!("\"{}", self.options.inbox_prefix),
        }
    }

    /// Sends a request and waits for its answer.
    pub(super) async fn request(
        &self,
        subject: &str,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<Message, Failure> {
        self.request_within(subject, headers, payload, REQUEST_TIMEOUT).await
    }

    /// The same, with a wait of its own.
    pub(super) async fn request_within(
        &self,
        subject: &str,
        headers: Option<HeaderMap>,
        payload: Bytes,
        wait: Duration,
    ) -> Result<Message, Failure> {
        if !self.connected() {
            return Err(Failure::Unreachable("not connected"));
        }
        let mut refusals = self.refusals();
        let mut request = Request::new().payload(payload).timeout(Some(wait));
        if let Some(headers) = headers {
            request = request.headers(headers);
        }
        let answer = tokio::select! {
            answer = self.client.send_request(subject.to_owned(), request) => answer,
            text = refusals.about(subject) => return Err(Failure::Denied(text)),
        };
        answer.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => Failure::Unreachable("nobody answers"),
            RequestErrorKind::MaxPayloadExceeded => Failure::TooLarge(error.to_string()),
            RequestErrorKind::InvalidSubject => Failure::TooLarge(format!("{subject}: {error}")),
            RequestErrorKind::TimedOut | RequestErrorKind::Other => Failure::Silent,
        })
    }

    /// The subject of a call of the JetStream API.
    pub(super) fn api_subject(&self, call: &str) -> String {
        format!("{}.{call}", self.options.api_prefix)
    }

    /// Calls the JetStream API, which answers in JSON.
    pub(super) async fn api<T: DeserializeOwned>(
        &self,
        call: &str,
        body: &serde_json::Value,
    ) -> Result<T, Failure> {
        let payload = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let answer = self.request(&self.api_subject(call), None, payload).await?;
        read_answer(&answer.payload)
    }
}

/// Error texts of the server that may concern a request in flight.
pub(super) struct Refusals {
    texts: broadcast::Receiver<Arc<str>>,
    inbox: String,
}

impl Refusals {
    /// Resolves when the server refuses `subject`, or our inbox; never otherwise.
    async fn about(&mut self, subject: &str) -> String {
        let quoted = format!("\"{subject}\"");
        loop {
            match self.texts.recv().await {
                Ok(text) if text.contains(&quoted) || text.contains(&self.inbox) => {
                    return text.to_string();
                }
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    /// Whether one of `subjects` was refused so far.
    pub(super) fn any_of<'a>(
        &mut self,
        mut subjects: impl Iterator<Item = &'a str> + Clone,
    ) -> Option<String> {
        while let Ok(text) = self.texts.try_recv() {
            if subjects.clone().any(|subject| text.contains(&format!("\"{subject}\""))) {
                return subjects
                    .find(|s| text.contains(&format!("\"{s}\"")))
                    .map(|_| text.to_string());
            }
        }
        None
    }
}

impl Failure {
    /// As an error of something that changes nothing when it fails.
    pub(super) fn of_read(self, what: &str) -> BusError {
        let what = what.to_owned();
        match self {
            Self::Denied(text) => BusError::Denied { what: format!("{what}: {text}") },
            Self::Refused { text, .. } => BusError::Unavailable { what, why: text },
            Self::Silent => BusError::Unavailable { what, why: "no answer".to_owned() },
            Self::Unreachable(why) => BusError::Unavailable { what, why: why.to_owned() },
            Self::TooLarge(text) => BusError::Invalid(format!("{what}: {text}")),
        }
    }

    /// As an error of a write: without an answer nobody knows.
    pub(super) fn of_write(self, what: &str) -> BusError {
        match self {
            Self::Silent => BusError::Unclear { what: what.to_owned() },
            other => other.of_read(what),
        }
    }
}

/// Reads an answer of the API, or the error in it.
pub(super) fn read_answer<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Failure> {
    let garbled = |error: serde_json::Error| Failure::Refused {
        code: 0,
        text: format!("an answer that is not understood: {error}"),
    };
    let answer: ApiAnswer = serde_json::from_slice(payload).map_err(garbled)?;
    match answer.error {
        Some(error) => {
            let code = if error.err_code == 0 { error.code } else { error.err_code };
            Err(Failure::Refused { code, text: format!("{} ({code})", error.description) })
        }
        None => serde_json::from_slice(payload).map_err(garbled),
    }
}

async fn connect_options(options: &Options, events: Events) -> Result<ConnectOptions, BusError> {
    let mut connect = ConnectOptions::new()
        .name(&options.name)
        .custom_inbox_prefix(&options.inbox_prefix)
        .connection_timeout(CONNECT_TIMEOUT)
        .max_reconnects(None)
        .reconnect_delay_callback(|attempt| {
            let shift = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX).min(5);
            (Duration::from_millis(50) * 2_u32.pow(shift)).min(RECONNECT_DELAY_MAX)
        })
        .event_callback(move |event| {
            let events = events.clone();
            async move { events.take(event) }
        });
    if options.tls.required {
        connect = connect.require_tls(true);
    }
    if let Some(path) = &options.tls.authorities {
        connect = connect.add_root_certificates(path.clone());
    }
    if let Some((certificate, key)) = &options.tls.certificate {
        connect = connect.add_client_certificate(certificate.clone(), key.clone());
    }
    sign_in(connect, options).await
}

async fn sign_in(connect: ConnectOptions, options: &Options) -> Result<ConnectOptions, BusError> {
    let unreadable = |path: &std::path::Path, error: String| BusError::Connect {
        address: addresses(&options.urls),
        why: format!("the credentials in {} cannot be used: {error}", path.display()),
        credentials: true,
    };
    Ok(match &options.credentials {
        Credentials::None => connect,
        Credentials::NkeySeed(path) => {
            let text = tokio::fs::read_to_string(path)
                .await
                .map_err(|error| unreadable(path, error.to_string()))?;
            let seed = text.trim();
            // Checked here: an unreadable seed would only show as a refused signature.
            nkeys::KeyPair::from_seed(seed)
                .map_err(|_| unreadable(path, "it is not an nkey seed".to_owned()))?;
            connect.nkey(seed.to_owned())
        }
        Credentials::CredentialsFile(path) => connect
            .credentials_file(path)
            .await
            .map_err(|error| unreadable(path, error.kind().to_string()))?,
        Credentials::Password { user, password } => {
            connect.user_and_password(user.clone(), password.reveal().to_owned())
        }
        Credentials::Token(token) => connect.token(token.reveal().to_owned()),
    })
}

impl Events {
    fn take(&self, event: Event) {
        match event {
            Event::Connected | Event::Disconnected => {
                tracing::info!(%event, "bus");
                self.connections.send_modify(|count| *count += 1);
            }
            Event::ServerError(ServerError::Other(text)) if text.contains("ermissions") => {
                tracing::warn!(%text, "bus refused");
                // Nobody waiting is fine: the log line stands.
                let _ = self.violations.send(text.into());
            }
            // Our own doing: a connection was dropped.
            Event::Closed => tracing::debug!("bus connection closed"),
            other => tracing::warn!(event = %other, "bus"),
        }
    }
}

fn connect_error(urls: &[String], error: &async_nats::ConnectError) -> BusError {
    let address = addresses(urls);
    let (credentials, why) = match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            (true, "the server refuses these credentials; check user, password or key file")
        }
        ConnectErrorKind::ServerParse => (false, "this is no address; write nats://host:4222"),
        ConnectErrorKind::Dns => (false, "the host name is not known; correct the address"),
        ConnectErrorKind::TimedOut => {
            (false, "no answer within 5 s; is it a nats-server, and is the port open to us?")
        }
        ConnectErrorKind::Tls => {
            (false, "TLS failed; check the authorities file and whether the server speaks TLS")
        }
        ConnectErrorKind::Io | ConnectErrorKind::MaxReconnects => {
            (false, "nobody listens there; start nats-server or correct the address")
        }
    };
    BusError::Connect { address, why: why.to_owned(), credentials }
}

/// Addresses without the credentials that may stand in them.
fn addresses(urls: &[String]) -> String {
    let bare = urls.iter().map(|url| {
        let (scheme, rest) = url.split_once("://").unwrap_or(("nats", url));
        let host = rest.rsplit('@').next().unwrap_or(rest);
        format!("{scheme}://{host}")
    });
    bare.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_without_credentials() {
        let urls = ["nats://ann:pa@ss@host:4222".to_owned(), "other:4222".to_owned()];
        assert_eq!(addresses(&urls), "nats://host:4222, nats://other:4222");
    }
}
