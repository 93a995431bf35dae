//! The channels of a receiver: where they lead, and which key they need. Stays at the edge.

use crate::fields::Fields;
use crate::forms::{address, url};
use crate::problem::Kind;
use crate::secret::{self, Secret, secret_names};
use crate::yaml::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// PagerDuty's own address for events, API version 2.
pub const PAGER_DUTY_URL: &str = "https://events.pagerduty.com/v2/enqueue";

/// Where a channel leads. Never enters a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Mail to these addresses.
    Email {
        /// At least one.
        to: Vec<String>,
    },
    /// PagerDuty, Events API v2.
    PagerDuty {
        /// The integration's routing key.
        key: Secret,
        /// [`PAGER_DUTY_URL`] unless said.
        url: String,
    },
    /// JSON by POST.
    Webhook {
        /// Where to.
        url: WebhookUrl,
        /// Bearer token.
        token: Option<Secret>,
    },
}

impl Endpoint {
    /// The kind of channel, as [`stages::settings::Receiver::channels`] spells it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Email { .. } => "email",
            Self::PagerDuty { .. } => "pager_duty",
            Self::Webhook { .. } => "webhook",
        }
    }
}

/// The address of a webhook; of many services it is itself a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookUrl {
    /// As written.
    Plain(String),
    /// In a file or an environment variable.
    Secret(Secret),
}

/// Channels of every receiver by its name, in the order of [`stages::settings::Receiver::channels`].
pub type Endpoints = BTreeMap<String, Vec<Endpoint>>;

/// The channels of one receiver; those that cannot be read are noted and left out.
pub(crate) fn read_all(receiver: &Fields<'_>, root: &Path) -> Vec<Endpoint> {
    let example = "channels: [{kind: email, to: name@example.org}]";
    let Some(node) = receiver.node("channels") else {
        receiver.missing("channels", example);
        return Vec::new();
    };
    match &node.value {
        Value::List(items) if !items.is_empty() => items
            .iter()
            .filter_map(|item| {
                let channel = Fields::open(item, receiver.report)?;
                let endpoint = endpoint(&channel, root);
                if channel.has("kind") {
                    channel.finish();
                }
                endpoint
            })
            .collect(),
        _ => {
            receiver.wrong_type("channels", node, &format!("write a list, like {example}"));
            Vec::new()
        }
    }
}

fn endpoint(channel: &Fields<'_>, root: &Path) -> Option<Endpoint> {
    #[derive(Clone, Copy)]
    enum Chosen {
        Email,
        PagerDuty,
        Webhook,
    }
    let kinds =
        [("email", Chosen::Email), ("pager_duty", Chosen::PagerDuty), ("webhook", Chosen::Webhook)];
    channel.missing("kind", "kind: email, pager_duty or webhook");
    match channel.word("kind", &kinds)? {
        Chosen::Email => {
            channel.missing("to", "to: name@example.org");
            let said = channel.texts("to")?;
            let to: Vec<String> =
                said.iter().filter_map(|said| address(said, channel.report)).collect();
            (!to.is_empty()).then_some(Endpoint::Email { to })
        }
        Chosen::PagerDuty => {
            let key = secret::read(channel, &secret_names!("key"), root);
            if key.is_none() && !["key", "key_file", "key_env"].iter().any(|name| channel.has(name))
            {
                channel.missing("key_env", "key_env: OPS_PAGERDUTY_KEY, or key_file: <path>");
            }
            let url = url(channel, "url").unwrap_or_else(|| PAGER_DUTY_URL.to_owned());
            Some(Endpoint::PagerDuty { key: key?, url })
        }
        Chosen::Webhook => {
            let token = secret::read(channel, &secret_names!("token"), root);
            let (file, env) = (channel.text("url_file"), channel.text("url_env"));
            let url = match (url(channel, "url"), file, env) {
                (Some(url), None, None) => WebhookUrl::Plain(url),
                (None, Some(file), None) => WebhookUrl::Secret(Secret::File(root.join(file.text))),
                (None, None, Some(env)) => WebhookUrl::Secret(Secret::Env(env.text)),
                (None, None, None) => {
                    channel.missing("url", "url, url_file or url_env");
                    return None;
                }
                _ => {
                    let message = "url, url_file and url_env exclude each other";
                    channel.report.error(&channel.place, Kind::Conflict, message, "keep one");
                    return None;
                }
            };
            Some(Endpoint::Webhook { url, token })
        }
    }
}
