//! Email by SMTP.

mod message;
mod server;

pub use message::compose;
pub use server::{MailError, Mailer};

use crate::channel::{Channel, Parts, Sent};
use crate::wording::links;
use async_trait::async_trait;
use stages::wire::Intent;

/// Mail to fixed addresses.
pub struct Email {
    to: Vec<String>,
    parts: Parts,
    from: String,
}

impl Email {
    /// Mail to `to`, from the sender and by the server of `parts`.
    pub fn new(to: Vec<String>, parts: Parts) -> Self {
        let from = parts.mail_from.clone();
        Self { to, parts, from }
    }
}

#[async_trait]
impl Channel for Email {
    fn kind(&self) -> &'static str {
        "email"
    }

    fn provider(&self) -> String {
        self.parts.mailer.as_ref().map_or_else(|| "outbox".to_owned(), |mailer| mailer.host.clone())
    }

    async fn send(&self, intent: &Intent) -> Sent {
        let links = links(intent, &self.parts.board_url);
        let message = match compose(intent, &links, &self.from, &self.to) {
            Ok(message) => message,
            Err(why) => return Sent::Refused(why),
        };
        match &self.parts.mailer {
            Some(mailer) => mailer.send(message).await,
            None => {
                let missing = "no mail server is configured";
                self.parts.unsent(intent, "eml", &message.formatted(), missing).await
            }
        }
    }
}
