//! From the file to [`OpsConfig`], with all defaults.

use super::{BusConfig, NotifyConfig, OpsConfig, Pacing, ROLES, Role, Smtp, Tls};
use crate::fields::{Fields, Said, short};
use crate::forms::{is_address, is_plain_name, url, url_holds_secret};
use crate::hint::did_you_mean;
use crate::problem::{Kind, Report};
use crate::secret::{self, secret_names};
use crate::yaml::{Node, Value};
use stages::dataflow::WORKERS_MAX;
use stages::settings::Limits;
use stages::time::Span;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// Reads the file, the environment already laid over it.
pub(crate) fn read(node: &Node, root: &Path, report: &Report) -> Option<(OpsConfig, Limits)> {
    let empty = Node { place: node.place.clone(), value: Value::Map(Vec::new()) };
    let node = if node.value == Value::Null { &empty } else { node };
    let fields = Fields::open(node, report)?;
    let token = secret::read(&fields, &secret_names!("token"), root);
    let whole = |name, range, default| fields.whole(name, range).unwrap_or(default);
    let config = OpsConfig {
        listen: listen(&fields, token.is_some()),
        public_url: url(&fields, "public_url").map_or_else(
            || "http://localhost:9900".to_owned(),
            |url| url.trim_end_matches('/').to_owned(),
        ),
        token,
        data: root.join(fields.text("data").map_or_else(|| "data".to_owned(), |said| said.text)),
        roles: roles(&fields),
        workers: usize::try_from(whole("workers", 1..=WORKERS_MAX as u64, 1)).unwrap_or(1),
        bus: bus(fields.nested("bus"), root),
        notify: notify(fields.nested("notify"), root),
    };
    let limits = limits(fields.nested("limits"));
    fields.finish();
    Some((config, limits))
}

/// Addresses to listen on: this machine's own without a token, any with one.
fn listen(fields: &Fields<'_>, protected: bool) -> Vec<SocketAddr> {
    const PORT: u16 = 9900;
    let Some(said) = fields.texts("listen") else {
        return vec![(Ipv4Addr::LOCALHOST, PORT).into(), (Ipv6Addr::LOCALHOST, PORT).into()];
    };
    let mut addresses = Vec::with_capacity(said.len());
    for Said { place, text } in &said {
        match text.parse::<SocketAddr>() {
            Ok(address) if !address.ip().is_loopback() && !protected => {
                let message =
                    format!("{address} is open to the network, and no token is asked for");
                let remedy = "add token_file: <path> (or OPS_TOKEN_FILE), or listen on 127.0.0.1";
                fields.report.error(place, Kind::Unprotected, message, remedy);
            }
            Ok(address) => addresses.push(address),
            Err(_) => {
                let message = format!("listen {:?} is not an address", short(text));
                let remedy = "write address and port, like 127.0.0.1:9900 or [::1]:9900";
                fields.report.error(place, Kind::BadValue, message, remedy);
            }
        }
    }
    addresses
}

fn roles(fields: &Fields<'_>) -> BTreeSet<Role> {
    let Some(said) = fields.texts("roles") else {
        return ROLES.iter().map(|(_, role)| *role).collect();
    };
    let mut roles = BTreeSet::new();
    for Said { place, text } in &said {
        if let Some((_, role)) = ROLES.iter().find(|(word, _)| word == text) {
            roles.insert(*role);
            continue;
        }
        let words = || ROLES.iter().map(|(word, _)| *word);
        let remedy = did_you_mean(text, words(), || {
            format!("write some of {}", words().collect::<Vec<_>>().join(", "))
        });
        let message = format!("role {:?} is not known", short(text));
        fields.report.error(place, Kind::BadValue, message, remedy);
    }
    roles
}

fn bus(said: Option<Fields<'_>>, root: &Path) -> BusConfig {
    let mut bus = BusConfig {
        url: None,
        user: None,
        password: None,
        credentials_file: None,
        keys_folder: None,
        prefix: "ops".to_owned(),
        shards: 1,
        replicas: None,
        log_keep: Span::from_secs(48 * 3_600),
        actions_without_authentication: false,
    };
    let Some(said) = said else { return bus };
    let count = |name, range, default: u32| {
        said.whole(name, range).and_then(|n| u32::try_from(n).ok()).unwrap_or(default)
    };
    bus.url = bus_url(&said);
    bus.user = said.text("user").map(|said| said.text);
    bus.password = secret::read(&said, &secret_names!("password"), root);
    bus.credentials_file = said.text("credentials_file").map(|said| root.join(said.text));
    bus.keys_folder = said.text("keys_folder").map(|said| root.join(said.text));
    bus.prefix = prefix(&said).unwrap_or(bus.prefix);
    bus.shards = count("shards", 1..=1_024, bus.shards);
    bus.replicas = replicas(&said);
    let keep = Span::from_secs(3_600)..=Span::from_secs(90 * 86_400);
    bus.log_keep = said.span("log_keep", keep).unwrap_or(bus.log_keep);
    bus.actions_without_authentication =
        said.flag("actions_without_authentication").unwrap_or(false);
    let by_password = bus.user.is_some() || bus.password.is_some();
    let ways = [by_password, bus.credentials_file.is_some(), bus.keys_folder.is_some()];
    if ways.into_iter().filter(|way| *way).count() > 1 {
        let message = "user and password, credentials_file and keys_folder exclude each other";
        said.report.error(&said.place, Kind::Conflict, message, "keep one of them");
    }
    said.finish();
    bus
}

/// Two copies, or four, survive no more than one copy less, and wait for one more.
fn replicas(said: &Fields<'_>) -> Option<u32> {
    let count = said.whole("replicas", 1..=5)?;
    if count % 2 == 0 {
        let message = format!("{count} copies survive no more than {}", count - 1);
        let remedy = "write 1, 3 or 5, or remove the line";
        said.report.error(said.place_of("replicas"), Kind::BadValue, message, remedy);
    }
    u32::try_from(count).ok()
}

fn bus_url(said: &Fields<'_>) -> Option<String> {
    let url = said.text("url")?;
    if !["nats://", "tls://", "ws://", "wss://"].iter().any(|s| url.text.starts_with(s)) {
        let message = format!("bus url {:?} is not an address of NATS", short(&url.text));
        said.report.error(&url.place, Kind::BadValue, message, "write it like nats://host:4222");
    } else if url_holds_secret(&url.text) {
        let remedy = "write user: and password_file:, or credentials_file:";
        let message = "bus url holds a user or password";
        said.report.error(&url.place, Kind::InlineSecret, message, remedy);
    }
    Some(url.text)
}

/// One or more plain tokens with dots between.
fn prefix(said: &Fields<'_>) -> Option<String> {
    let prefix = said.text("prefix")?;
    if prefix.text.len() > 64 || !prefix.text.split('.').all(is_plain_name) {
        let message = format!("prefix {:?} is not part of a subject", short(&prefix.text));
        let remedy = "write letters, digits, _ and -, like ops or acme.ops";
        said.report.error(&prefix.place, Kind::BadName, message, remedy);
    }
    Some(prefix.text)
}

fn notify(said: Option<Fields<'_>>, root: &Path) -> NotifyConfig {
    let mut pacing =
        Pacing { email_per_minute: 60, pager_duty_per_minute: 120, webhook_per_minute: 600 };
    let mut from = "hms-ops@localhost".to_owned();
    let Some(said) = said else { return NotifyConfig { smtp: None, from, pacing } };
    if let Some(sender) = said.text("from") {
        if !is_address(&sender.text) {
            let message = format!("from {:?} is not a mail address", short(&sender.text));
            let remedy = "write it like name@example.org";
            said.report.error(&sender.place, Kind::BadValue, message, remedy);
        }
        from = sender.text;
    }
    let smtp = said.nested("smtp").and_then(|smtp| self::smtp(smtp, root));
    if let Some(paces) = said.nested("pacing") {
        let pace = |name, default: u32| {
            paces.whole(name, 1..=1_000_000).and_then(|n| u32::try_from(n).ok()).unwrap_or(default)
        };
        pacing = Pacing {
            email_per_minute: pace("email_per_minute", pacing.email_per_minute),
            pager_duty_per_minute: pace("pager_duty_per_minute", pacing.pager_duty_per_minute),
            webhook_per_minute: pace("webhook_per_minute", pacing.webhook_per_minute),
        };
        paces.finish();
    }
    said.finish();
    NotifyConfig { smtp, from, pacing }
}

fn smtp(said: Fields<'_>, root: &Path) -> Option<Smtp> {
    said.missing("host", "host: mail.example.org");
    let words = [("none", Tls::None), ("starttls", Tls::StartTls), ("tls", Tls::Tls)];
    let tls = said.word("tls", &words).unwrap_or(Tls::StartTls);
    let default_port = match tls {
        Tls::None => 25,
        Tls::StartTls => 587,
        Tls::Tls => 465,
    };
    let host = said.text("host").map(|host| host.text);
    let port = said.whole("port", 1..=65_535).and_then(|port| u16::try_from(port).ok());
    let user = said.text("user").map(|user| user.text);
    let password = secret::read(&said, &secret_names!("password"), root);
    let authorities = said.text("ca_file").map(|file| root.join(file.text));
    if authorities.is_some() && tls == Tls::None {
        let message = "ca_file is for TLS, and tls: none uses none";
        let remedy = "write tls: starttls or tls: tls, or remove ca_file";
        said.report.error(said.place_of("ca_file"), Kind::Conflict, message, remedy);
    }
    let place = said.place.clone();
    if user.is_some() != password.is_some() {
        let message = "user and password go together";
        let remedy = "add the one that is missing, or remove the other";
        said.report.error(&place, Kind::Conflict, message, remedy);
    }
    said.finish();
    let port = port.unwrap_or(default_port);
    Some(Smtp { host: host?, port, tls, authorities, user, password })
}

fn limits(said: Option<Fields<'_>>) -> Limits {
    let mut limits = Limits::default();
    let Some(said) = said else { return limits };
    let count = |name, default: u32| {
        said.whole(name, 1..=100_000_000).and_then(|n| u32::try_from(n).ok()).unwrap_or(default)
    };
    let (second, day) = (Span::from_secs(1), Span::from_secs(86_400));
    limits.series_per_metric = count("series_per_metric", limits.series_per_metric);
    limits.series_per_shard = count("series_per_shard", limits.series_per_shard);
    limits.rollbacks_per_hour = count("rollbacks_per_hour", limits.rollbacks_per_hour);
    limits.max_future = said.span("max_future", second..=day).unwrap_or(limits.max_future);
    limits.notify_max_age =
        said.span("notify_max_age", second..=day).unwrap_or(limits.notify_max_age);
    limits.actions_enabled = said.flag("actions_enabled").unwrap_or(limits.actions_enabled);
    said.finish();
    limits
}
