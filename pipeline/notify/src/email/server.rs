//! The mail server: how it is spoken to, and what its answers mean.

use crate::channel::Sent;
use crate::wording::one_line;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls as Wire, TlsParameters};
use lettre::transport::smtp::{Error, PoolConfig};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use settings::{SecretError, Smtp, Tls};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One step of a conversation may take this long.
const STEP_MAX: Duration = Duration::from_secs(10);
/// Connections kept to the server; more conversations wait for one.
const CONNECTIONS_MAX: u32 = 4;

/// Why mail cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// A password in the clear would be read by everybody on the way.
    #[error("mail server {0}: a password without TLS; write tls: starttls or tls: tls")]
    PasswordInTheClear(String),
    /// The password cannot be read.
    #[error("password of the mail server: {0}")]
    Password(#[from] SecretError),
    /// The variable with the password is not set.
    #[error("mail server {0}: its user has no password; set the variable that password_env names")]
    NoPassword(String),
    /// The file of certificates cannot be used.
    #[error("{path}: certificates of the mail server cannot be used: {why}")]
    Certificates {
        /// Its path.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// TLS cannot be set up for this host.
    #[error("mail server {host}: {why}")]
    Tls {
        /// Host.
        host: String,
        /// What is wrong.
        why: String,
    },
}

/// A mail server, ready to send.
pub struct Mailer {
    /// Its name.
    pub host: String,
    transport: AsyncSmtpTransport<Tokio1Executor>,
}

impl Mailer {
    /// Sets up `smtp`; nothing is connected yet.
    ///
    /// # Errors
    /// What cannot work however often it is tried.
    pub fn new(smtp: &Smtp) -> Result<Self, MailError> {
        let secured = smtp.tls != Tls::None;
        let authorities = smtp.authorities.as_deref();
        let wire = match smtp.tls {
            Tls::None => Wire::None,
            Tls::StartTls => Wire::Required(parameters(&smtp.host, authorities)?),
            Tls::Tls => Wire::Wrapper(parameters(&smtp.host, authorities)?),
        };
        if !secured && !is_loopback(&smtp.host) {
            if smtp.user.is_some() {
                return Err(MailError::PasswordInTheClear(smtp.host.clone()));
            }
            tracing::warn!(host = smtp.host, "mails leave this machine without TLS");
        }
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&smtp.host)
            .port(smtp.port)
            .tls(wire)
            .timeout(Some(STEP_MAX))
            .pool_config(PoolConfig::new().max_size(CONNECTIONS_MAX));
        if let (Some(user), Some(password)) = (&smtp.user, &smtp.password) {
            let password =
                password.read()?.ok_or_else(|| MailError::NoPassword(smtp.host.clone()))?;
            builder = builder.credentials(Credentials::new(user.clone(), password));
        }
        Ok(Self { host: smtp.host.clone(), transport: builder.build() })
    }

    /// Sends once.
    pub async fn send(&self, message: Message) -> Sent {
        match self.transport.send(message).await {
            Ok(answer) => {
                let first = answer.first_line().unwrap_or_default();
                Sent::Delivered(one_line(&format!("{} {first}", answer.code())))
            }
            Err(error) => judge(&error),
        }
    }
}

/// A refusal (5xx, or a server that cannot do what is asked) stays one; all else may pass: 4xx, no connection,
/// no answer. Certificates are renewed while we retry, so TLS trouble may pass too.
fn judge(error: &Error) -> Sent {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    let text: String = one_line(&text).chars().take(300).collect();
    if error.is_permanent() || error.is_client() { Sent::Refused(text) } else { Sent::failed(text) }
}

fn parameters(host: &str, authorities: Option<&Path>) -> Result<TlsParameters, MailError> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(path) = authorities {
        let wrong = |why: String| MailError::Certificates { path: path.to_owned(), why };
        let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        let found = pem_certificates(&pem);
        if found.is_empty() {
            return Err(wrong("no certificate in it".to_owned()));
        }
        for one in found {
            let certificate =
                Certificate::from_pem(one.as_bytes()).map_err(|error| wrong(error.to_string()))?;
            builder = builder.add_root_certificate(certificate);
        }
    }
    builder
        .build()
        .map_err(|error| MailError::Tls { host: host.to_owned(), why: error.to_string() })
}

/// Each certificate of a file by itself.
fn pem_certificates(pem: &[u8]) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let text = String::from_utf8_lossy(pem);
    let parts = text.split_inclusive(END);
    parts.filter(|part| part.ends_with(END)).map(ToOwned::to_owned).collect()
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}
