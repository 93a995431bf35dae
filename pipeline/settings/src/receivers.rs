//! `config/roster.yml` and `config/receivers.yml`: who can be told, and how.
//!
//! ```yaml
//! # roster.yml: people by the name rules write; email may be left out where the name is an address
//! people:
//!   oncall@opm.gov: {name: "OPM on-call engineer"}
//!   anna: {name: "Anna Ames", email: anna@opm.gov, budget: {burst: 5}}
//!
//! # receivers.yml: everything else; channels are tried in order
//! fallback: oncall@opm.gov         # hears of what could not be delivered
//! receivers:
//!   pager_duty:
//!     channels:
//!       - {kind: pager_duty, key_env: OPS_PAGERDUTY_KEY}     # or key_file; url for another address
//!       - {kind: webhook, url_env: CHAT_URL}                 # or url_file, url; token_file, token_env
//!       - {kind: email, to: [oncall@opm.gov]}
//!     budget: {burst: 10, refill: 30s, reserve: 3, digest_every: 5m}
//! ```
//!
//! What decisions need (names, kinds, budgets) goes into [`Receiver`] and from there into the logs;
//! addresses and references to keys stay in [`Endpoint`], at the edge.

use crate::fields::{Fields, Said, short};
use crate::hint::did_you_mean;
use crate::problem::{Kind, Place, Report};
use crate::secret::{self, Secret, secret_names, url_holds_secret};
use crate::yaml::{Node, Value};
use stages::settings::{Budget, Receiver};
use stages::time::Span;
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
    /// The kind of channel, as [`Receiver::channels`] spells it.
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

/// Channels of every receiver by its name, in the order of [`Receiver::channels`].
pub type Endpoints = BTreeMap<String, Vec<Endpoint>>;

/// Everybody who can be told.
#[derive(Debug, Default)]
pub(crate) struct Book {
    receivers: BTreeMap<String, (Receiver, Vec<Endpoint>)>,
    places: BTreeMap<String, Place>,
    /// Name of a person by mail address.
    by_address: BTreeMap<String, String>,
    pub fallback: Option<Said>,
}

impl Book {
    /// Finds or makes the receiver a name stands for; its own name, or a note in the report.
    ///
    /// A name is a receiver's, a person's, or a person's address; any other address is a receiver by itself.
    pub fn resolve(&mut self, said: &Said, report: &Report) -> Option<String> {
        if self.receivers.contains_key(&said.text) {
            return Some(said.text.clone());
        }
        if let Some(name) = self.by_address.get(&said.text) {
            return Some(name.clone());
        }
        if is_address(&said.text) {
            let endpoints = vec![Endpoint::Email { to: vec![said.text.clone()] }];
            self.insert(&said.text, &said.place, (endpoints, budget(None)), report);
            return Some(said.text.clone());
        }
        let remedy = did_you_mean(&said.text, self.receivers.keys().map(String::as_str), || {
            "add it to config/roster.yml or config/receivers.yml, or write a mail address"
                .to_owned()
        });
        let message = format!("receiver {:?} does not exist", short(&said.text));
        report.error(&said.place, Kind::UnknownReceiver, message, remedy);
        None
    }

    /// Splits into what decisions need and what stays at the edge.
    pub fn split(self) -> (Vec<Receiver>, Endpoints) {
        let mut endpoints = Endpoints::new();
        let mut receivers = Vec::with_capacity(self.receivers.len());
        for (name, (receiver, channels)) in self.receivers {
            endpoints.insert(name, channels);
            receivers.push(receiver);
        }
        (receivers, endpoints)
    }

    fn insert(&mut self, name: &str, place: &Place, how: (Vec<Endpoint>, Budget), report: &Report) {
        if let Some(first) = self.places.get(name) {
            let message = format!("receiver {:?} exists already, at {first}", short(name));
            report.error(place, Kind::DuplicateName, message, "rename or remove one of them");
            return;
        }
        let (endpoints, budget) = how;
        let channels = endpoints.iter().map(|endpoint| endpoint.kind().to_owned()).collect();
        let receiver = Receiver { name: name.to_owned(), channels, budget };
        self.places.insert(name.to_owned(), place.clone());
        self.receivers.insert(name.to_owned(), (receiver, endpoints));
    }

    /// Reads `roster.yml`.
    pub fn read_roster(&mut self, node: &Node, report: &Report) {
        if node.value == Value::Null {
            return;
        }
        let Some(fields) = Fields::open(node, report) else { return };
        let people = fields.nested("people");
        fields.finish();
        for (name, place, node) in people.iter().flat_map(Fields::entries) {
            check_name(name, place, report);
            let Some(person) = Fields::open(node, report) else { continue };
            // The full name is for readers of the file.
            person.text("name");
            let address = match person.text("email") {
                Some(said) => address(&said, report),
                None if is_address(name) => Some(name.to_owned()),
                None => {
                    person.missing("email", "email: name@example.org");
                    None
                }
            };
            let budget = budget(person.nested("budget"));
            person.finish();
            if let Some(address) = address {
                self.by_address.entry(address.clone()).or_insert_with(|| name.to_owned());
                let how = (vec![Endpoint::Email { to: vec![address] }], budget);
                self.insert(name, place, how, report);
            }
        }
    }

    /// Reads `receivers.yml`; secrets' paths are relative to `root`.
    pub fn read_receivers(&mut self, node: &Node, root: &Path, report: &Report) {
        if node.value == Value::Null {
            return;
        }
        let Some(fields) = Fields::open(node, report) else { return };
        self.fallback = fields.text("fallback");
        let receivers = fields.nested("receivers");
        fields.finish();
        for (name, place, node) in receivers.iter().flat_map(Fields::entries) {
            check_name(name, place, report);
            let Some(receiver) = Fields::open(node, report) else { continue };
            let endpoints = channels(&receiver, root);
            let budget = budget(receiver.nested("budget"));
            receiver.finish();
            if !endpoints.is_empty() {
                self.insert(name, place, (endpoints, budget), report);
            }
        }
    }
}

fn check_name(name: &str, place: &Place, report: &Report) {
    if name.is_empty() || name.len() > 200 || name.chars().any(|c| c.is_control() || c == ' ') {
        let message = format!("{:?} is not a receiver's name", short(name));
        report.error(place, Kind::BadName, message, "write 1 to 200 bytes without blanks");
    }
}

/// The channels of one receiver; those that cannot be read are noted and left out.
fn channels(receiver: &Fields<'_>, root: &Path) -> Vec<Endpoint> {
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

/// An address beginning with `http://` or `https://`, without a password in it.
pub(crate) fn url(fields: &Fields<'_>, name: &'static str) -> Option<String> {
    let said = fields.text(name)?;
    let web = said.text.starts_with("http://") || said.text.starts_with("https://");
    if !web || said.text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        let message = format!("{name} {:?} is not a web address", short(&said.text));
        fields.report.error(&said.place, Kind::BadValue, message, "write https://host/path");
        return None;
    }
    if url_holds_secret(&said.text) {
        let message = format!("{name} holds a user or password");
        let remedy = "remove them from the address; write a token_file or url_env";
        fields.report.error(&said.place, Kind::InlineSecret, message, remedy);
        return None;
    }
    Some(said.text)
}

fn address(said: &Said, report: &Report) -> Option<String> {
    if is_address(&said.text) {
        return Some(said.text.clone());
    }
    let message = format!("{:?} is not a mail address", short(&said.text));
    report.error(&said.place, Kind::BadValue, message, "write it like name@example.org");
    None
}

/// Whether it looks like `name@host`. The mail library has the last word when it sends.
pub(crate) fn is_address(text: &str) -> bool {
    let Some((local, host)) = text.split_once('@') else { return false };
    let allowed = |c: char| !c.is_whitespace() && !c.is_control() && !"<>()[],;:\\\"@".contains(c);
    (1..=64).contains(&local.len())
        && (1..=190).contains(&host.len())
        && local.chars().all(allowed)
        && host.chars().all(|c| c.is_alphanumeric() || c == '.' || c == '-')
        && !host.split('.').any(str::is_empty)
}

/// How often somebody may be told: ten at once, one more every 30 s, three of the ten kept for `critical`.
/// In an hour that is 130 messages at most, and a person reads no more.
fn budget(said: Option<Fields<'_>>) -> Budget {
    let seconds = Span::from_secs;
    let mut budget =
        Budget { burst: 10, refill: seconds(30), reserve: 3, digest_every: seconds(300) };
    let Some(said) = said else { return budget };
    let count = |name, range, default: u32| {
        said.whole(name, range).and_then(|n| u32::try_from(n).ok()).unwrap_or(default)
    };
    let day = seconds(86_400);
    budget.burst = count("burst", 1..=10_000, budget.burst);
    budget.refill = said.span("refill", Span::from_millis(100)..=day).unwrap_or(budget.refill);
    budget.reserve = count("reserve", 0..=10_000, budget.reserve.min(budget.burst - 1));
    budget.digest_every =
        said.span("digest_every", seconds(10)..=day).unwrap_or(budget.digest_every);
    if budget.reserve >= budget.burst {
        let message =
            format!("reserve {} leaves nothing of burst {}", budget.reserve, budget.burst);
        said.report.error(&said.place, Kind::Conflict, message, "write a smaller reserve");
    }
    said.finish();
    budget
}
