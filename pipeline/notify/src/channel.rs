//! The channels there are, and what a try on one can come to.
//!
//! A new channel is a folder with a type that implements [`Channel`] and one arm in [`open`].

use crate::email::{Email, Mailer};
use crate::http::Http;
use crate::pager_duty::PagerDuty;
use crate::webhook::Webhook;
use async_trait::async_trait;
use settings::Endpoint;
use stages::wire::Intent;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What a try came to. The texts are published, so they hold no secrets.
#[derive(Clone, Debug, PartialEq)]
pub enum Sent {
    /// The provider took it.
    Delivered(String),
    /// Written to this file instead.
    Outbox(String),
    /// Worth another try, after this long if the provider said so.
    Failed {
        /// What happened.
        why: String,
        /// `Retry-After`.
        after: Option<Duration>,
    },
    /// Not worth another try on this channel.
    Refused(String),
}

impl Sent {
    /// Worth another try, whenever.
    pub fn failed(why: impl Into<String>) -> Self {
        Self::Failed { why: why.into(), after: None }
    }

    /// What is published about it.
    pub fn detail(&self) -> &str {
        match self {
            Self::Delivered(text) | Self::Outbox(text) | Self::Refused(text) => text,
            Self::Failed { why, .. } => why,
        }
    }
}

/// A way to tell somebody something.
#[async_trait]
pub trait Channel: Send + Sync {
    /// `email`, `pager_duty`, `webhook`.
    fn kind(&self) -> &'static str;
    /// Channels of one provider are paced together.
    fn provider(&self) -> String;
    /// Tries once.
    async fn send(&self, intent: &Intent) -> Sent;
}

/// What all channels share.
#[derive(Clone)]
pub struct Parts {
    /// Mail server, if one is configured.
    pub mailer: Option<Arc<Mailer>>,
    /// Sender of mails.
    pub mail_from: String,
    /// Client of everything that speaks HTTP.
    pub http: Http,
    /// Where to write what cannot be sent because nothing is configured.
    pub outbox: Option<PathBuf>,
    /// Address of the board, for links.
    pub board_url: String,
}

impl Parts {
    /// Writes to the outbox, or says what is missing where there is none.
    pub async fn unsent(&self, intent: &Intent, ending: &str, bytes: &[u8], missing: &str) -> Sent {
        let Some(folder) = &self.outbox else { return Sent::Refused(missing.to_owned()) };
        match crate::outbox::write(folder, intent, ending, bytes).await {
            Ok(file) => {
                let file = shown(folder, &file);
                tracing::info!(
                    receiver = intent.receiver,
                    file,
                    "{missing}: written to the outbox instead"
                );
                Sent::Outbox(format!("{missing}: written to {file}"))
            }
            Err(error) => Sent::failed(format!("outbox cannot be written: {error}")),
        }
    }
}

/// Folder's own name and file: what a person looks for, without the machine's paths.
fn shown(folder: &Path, file: &Path) -> String {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    format!("{}/{}", name(folder), name(file))
}

/// The channel behind an endpoint.
pub fn open(endpoint: &Endpoint, parts: &Parts) -> Arc<dyn Channel> {
    let parts = parts.clone();
    match endpoint.clone() {
        Endpoint::Email { to } => Arc::new(Email::new(to, parts)),
        Endpoint::PagerDuty { key, url } => Arc::new(PagerDuty::new(key, url, parts)),
        Endpoint::Webhook { url, token } => Arc::new(Webhook::new(url, token, parts)),
    }
}
