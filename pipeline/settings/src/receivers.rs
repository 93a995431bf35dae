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

use crate::endpoint::{self, Endpoint, Endpoints};
use crate::fields::{Fields, Said, short};
use crate::forms::{address, is_address};
use crate::hint::did_you_mean;
use crate::problem::{Kind, Place, Report};
use crate::yaml::{Node, Value};
use stages::settings::{Budget, Receiver};
use stages::time::Span;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Everybody who can be told.
#[derive(Debug, Default)]
pub(crate) struct Book {
    receivers: BTreeMap<String, (Receiver, Vec<Endpoint>)>,
    places: BTreeMap<String, Place>,
    /// Name of a person by mail address.
    by_address: BTreeMap<String, String>,
    /// Names whose entry is wrong; the report says so, and who names them is not blamed too.
    wrong: BTreeSet<String>,
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
        if self.wrong.contains(&said.text) {
            return None;
        }
        let remedy = did_you_mean(&said.text, self.receivers.keys().map(String::as_str), || {
            "add it to config/roster.yml or config/receivers.yml, or write a mail address"
                .to_owned()
        });
        let message = format!("receiver {:?} does not exist", short(&said.text));
        report.error(&said.place, Kind::UnknownReceiver, message, remedy);
        None
    }

    /// The receiver a name or address means, where it is known.
    pub fn resolved(&self, said: &Said) -> Option<&str> {
        let named = self.receivers.get_key_value(&said.text).map(|(name, _)| name);
        named.or_else(|| self.by_address.get(&said.text)).map(String::as_str)
    }

    /// How many channels a receiver has.
    pub fn channels(&self, name: &str) -> usize {
        self.receivers.get(name).map_or(0, |(receiver, _)| receiver.channels.len())
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
            let Some(person) = Fields::open(node, report) else {
                self.wrong.insert(name.to_owned());
                continue;
            };
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
            } else {
                self.wrong.insert(name.to_owned());
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
            let Some(receiver) = Fields::open(node, report) else {
                self.wrong.insert(name.to_owned());
                continue;
            };
            let endpoints = endpoint::read_all(&receiver, root);
            let budget = budget(receiver.nested("budget"));
            receiver.finish();
            if endpoints.is_empty() {
                self.wrong.insert(name.to_owned());
            } else {
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
