//! PagerDuty, Events API v2: <https://developer.pagerduty.com/docs/events-api-v2/overview/>.

mod event;

pub use event::event;

use crate::channel::{Channel, Parts, Sent};
use crate::http::Post;
use crate::wording::links;
use async_trait::async_trait;
use settings::Secret;
use stages::wire::Intent;

/// One integration (routing key) of a PagerDuty account.
pub struct PagerDuty {
    key: Secret,
    url: String,
    parts: Parts,
}

impl PagerDuty {
    /// Events to `url` under the routing key behind `key`.
    pub fn new(key: Secret, url: String, parts: Parts) -> Self {
        Self { key, url, parts }
    }
}

#[async_trait]
impl Channel for PagerDuty {
    fn kind(&self) -> &'static str {
        "pager_duty"
    }

    fn provider(&self) -> String {
        // Its limit counts for each integration.
        format!("{:?}", self.key)
    }

    async fn send(&self, intent: &Intent) -> Sent {
        let links = links(intent, &self.parts.board_url);
        let mut body = event(intent, &links, &self.parts.board_url);
        // Read at every attempt: a new key in the file needs no restart.
        let key = match self.key.read() {
            Ok(Some(key)) => key,
            Ok(None) => {
                let bytes = serde_json::to_vec_pretty(&body).expect("an event is JSON");
                let missing = "no PagerDuty key is set";
                return self.parts.unsent(intent, "json", &bytes, missing).await;
            }
            Err(error) => return Sent::failed(error.to_string()),
        };
        body["routing_key"] = key.as_str().into();
        let body = serde_json::to_vec(&body).expect("an event is JSON");
        let (idempotency_key, secrets) = (intent.key.as_str(), &[key.as_str()][..]);
        let post = Post { url: &self.url, body, idempotency_key, token: None, secrets };
        self.parts.http.post(post).await
    }
}
