//! Webhooks: the JSON Alertmanager posts, so whatever understands that understands this.

mod alertmanager;

pub use alertmanager::body;

use crate::channel::{Channel, Parts, Sent};
use crate::http::Post;
use async_trait::async_trait;
use settings::{Secret, WebhookUrl};
use stages::wire::Intent;

/// An address that takes posts.
pub struct Webhook {
    url: WebhookUrl,
    token: Option<Secret>,
    parts: Parts,
}

impl Webhook {
    /// Posts to `url`, with `token` as bearer token.
    pub fn new(url: WebhookUrl, token: Option<Secret>, parts: Parts) -> Self {
        Self { url, token, parts }
    }
}

#[async_trait]
impl Channel for Webhook {
    fn kind(&self) -> &'static str {
        "webhook"
    }

    fn provider(&self) -> String {
        match &self.url {
            WebhookUrl::Plain(url) => host(url),
            WebhookUrl::Secret(secret) => format!("{secret:?}"),
        }
    }

    async fn send(&self, intent: &Intent) -> Sent {
        let body = body(intent, &self.parts.board_url);
        let body = serde_json::to_vec_pretty(&body).expect("an alert is JSON");
        let url = match &self.url {
            WebhookUrl::Plain(url) => Some(url.clone()),
            WebhookUrl::Secret(secret) => match secret.read() {
                Ok(url) => url,
                Err(error) => return Sent::failed(error.to_string()),
            },
        };
        let Some(url) = url else {
            let missing = "no address of the webhook is set";
            return self.parts.unsent(intent, "json", &body, missing).await;
        };
        let token = match self.token.as_ref().map(Secret::read).transpose() {
            Ok(token) => token.flatten(),
            Err(error) => return Sent::failed(error.to_string()),
        };
        let secrets = [url.as_str(), token.as_deref().unwrap_or_default()];
        let (idempotency_key, token) = (intent.key.as_str(), token.as_deref());
        let post = Post { url: &url, body, idempotency_key, token, secrets: &secrets };
        self.parts.http.post(post).await
    }
}

/// Host and port of an address.
fn host(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default().to_owned()
}
