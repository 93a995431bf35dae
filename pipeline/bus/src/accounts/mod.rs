//! Who may say what on the bus: one table of roles, from which `accounts.conf` is generated.
//!
//! Least privilege by subject. What the table relies on: a consumer with one filter carries it in the subject of
//! its creation, so what a role may read is enforceable; a consumer's *name* is not, so roles that could pull from
//! somebody else's consumer (`MSG.NEXT.<stream>.*`) are only the owner and the board. Narrow roles read through
//! `DIRECT.GET.<stream>.<subject>` ([`Role::scoped_reads`]) and hand out their one durable by its exact name.
//! Everybody has an inbox of their own, so nobody reads another's answers.
//!
//! A permission says what may be published, not where the answer goes: with `ops.own.desk` as the reply subject of
//! a sample, the server itself stores its ack there (tried on 2.15.1: the desk never started again). So every role
//! that reads no stream as a whole lives in an account of its own that imports exactly what it may say; answers
//! return into that account, and reach nothing but what it may say anyway.
//!
//! From such an account the JetStream API is called as `$JS.OPS.API` (in NATS clients: domain `OPS`). Under its usual
//! name two answers come, the first one from the caller's own account, which has no JetStream (tried on 2.15.1). A
//! pull is answered by as many messages as come, so its export says so, else the first one ends it.
//!
//! Known limit: owner, board and admin share the account of the streams, because whoever may create a consumer may have
//! it deliver what they can read to any subject anyway.

mod grants;
mod keyring;
mod keys;

pub use grants::Grants;
pub use keyring::Keyring;
pub use keys::{Keys, KeysError};

use crate::Stream;
use crate::jetstream::API_PREFIX;
use crate::layout::Layout;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// How the API of the account of the streams is called from another account.
const API_PREFIX_APART: &str = "$JS.OPS.API";

/// A role on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A service that publishes metrics; also whoever comes without credentials, who may hear alerts too.
    Publisher,
    /// Hears alerts.
    Reader,
    /// A person: acknowledges, silences, approves, closes, freezes, under their own name.
    Person,
    /// A rollback agent, or deployment tooling in its place.
    Agent,
    /// Delivers notifications.
    Notifier,
    /// The engine.
    Owner,
    /// Takes samples in.
    Collector,
    /// The web board.
    Board,
    /// Sets streams up and applies settings.
    Admin,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 9] = [
        Self::Publisher,
        Self::Reader,
        Self::Person,
        Self::Agent,
        Self::Notifier,
        Self::Owner,
        Self::Collector,
        Self::Board,
        Self::Admin,
    ];

    /// Its name, as in file names and inboxes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Publisher => "publisher",
            Self::Reader => "reader",
            Self::Person => "person",
            Self::Agent => "agent",
            Self::Notifier => "notifier",
            Self::Owner => "owner",
            Self::Collector => "collector",
            Self::Board => "board",
            Self::Admin => "admin",
        }
    }

    /// First token of the subjects its answers arrive on. Publishers have the one every NATS client has
    /// by default, so that a service needs no setting; nobody else listens there.
    pub fn inbox_prefix(self) -> String {
        match self {
            Self::Publisher => "_INBOX".to_owned(),
            other => format!("_INBOX_{}", other.name()),
        }
    }

    /// Whether it lives in an account of its own, apart from the streams.
    pub const fn own_account(self) -> bool {
        match self {
            Self::Publisher
            | Self::Reader
            | Self::Person
            | Self::Agent
            | Self::Notifier
            | Self::Collector => true,
            Self::Owner | Self::Board | Self::Admin => false,
        }
    }

    /// What it calls the JetStream API by.
    pub const fn api_prefix(self) -> &'static str {
        if self.own_account() { API_PREFIX_APART } else { API_PREFIX }
    }

    /// Whether it may read single subjects only: who lives apart reads no stream as a whole.
    pub const fn scoped_reads(self) -> bool {
        self.own_account()
    }
}

/// Somebody in a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The role.
    pub role: Role,
    /// Under which name: a person's (`*`: any), an agent's. Other roles do not use it.
    pub name: String,
    /// Public nkey.
    pub public_key: String,
}

/// The text of `accounts.conf`. The first publisher is also who comes without credentials.
pub fn accounts_conf(layout: &Layout, identities: &[Identity]) -> String {
    let (narrow, wide): (Vec<_>, Vec<_>) =
        identities.iter().partition(|identity| identity.role.own_account());
    let mut text = String::from(
        "# Generated from the table of roles in pipeline/bus/src/accounts/. Do not edit: change the table.\n\
         # Each user is an nkey: its public half stands here, its seed stays with who uses it.\n\
         # OPS has the streams. Narrow roles have accounts of their own, so that answers cannot be led astray;\n\
         # they call the JetStream API as $JS.OPS.API (in NATS clients: domain OPS).\n\
         accounts {\n  OPS {\n    jetstream: enabled\n    users: [\n",
    );
    for identity in &wide {
        let mut grants = Grants::of(identity.role, &identity.name, layout);
        if matches!(identity.role, Role::Owner | Role::Board) {
            let others = identities.iter().filter(|other| other.role != identity.role);
            let durables: Vec<String> = others.filter_map(Identity::durable).collect();
            grants.leave_alone(&layout.stream_name(Stream::Events), &durables);
        }
        user(&mut text, identity, &grants);
    }
    text.push_str("    ]\n    exports: [\n");
    let narrow: Vec<_> = narrow
        .into_iter()
        .map(|identity| (identity, Grants::of(identity.role, &identity.name, layout)))
        .collect();
    let exports: BTreeSet<String> = narrow.iter().flat_map(|(_, grants)| exports(grants)).collect();
    for export in exports {
        line(&mut text, 6, &export);
    }
    text.push_str("    ]\n  }\n");
    for (identity, grants) in &narrow {
        line(&mut text, 2, &format!("{} {{", identity.account()));
        text.push_str("    users: [\n");
        user(&mut text, identity, grants);
        text.push_str("    ]\n    imports: [\n");
        for import in imports(grants) {
            line(&mut text, 6, &import);
        }
        text.push_str("    ]\n  }\n");
    }
    text.push_str("  SYS {}\n}\nsystem_account: SYS\n");
    if let Some(publisher) = identities.iter().find(|identity| identity.role == Role::Publisher) {
        line(&mut text, 0, &format!("no_auth_user: {}", publisher.public_key));
    }
    text
}

impl Identity {
    /// Its account, where it has one of its own.
    fn account(&self) -> String {
        let role = self.role.name().to_uppercase();
        match self.name.as_str() {
            "-" | "*" => role,
            name => format!("{role}_{name}"),
        }
    }

    /// The durable consumer its work comes from.
    fn durable(&self) -> Option<String> {
        match self.role {
            Role::Agent => Some(format!("agent-{}", self.name)),
            Role::Notifier => Some("notifier".to_owned()),
            Role::Owner => Some("withdraw".to_owned()),
            Role::Publisher
            | Role::Reader
            | Role::Person
            | Role::Collector
            | Role::Board
            | Role::Admin => None,
        }
    }
}

/// What the account of the streams lets others say and hear.
fn exports(grants: &Grants) -> impl Iterator<Item = String> {
    let said = grants.publish.iter().map(|subject| {
        // One pull is answered by heartbeats, a message and a status: as many as come.
        let many =
            if subject.contains(".CONSUMER.MSG.NEXT.") { ", response_type: stream" } else { "" };
        format!("{{ service: \"{subject}\"{many} }}")
    });
    said.chain(heard(grants).map(|subject| format!("{{ stream: \"{subject}\" }}")))
}

/// The same, seen from the account of a narrow role. One subject may not be imported twice.
fn imports(grants: &Grants) -> impl Iterator<Item = String> {
    let from = |kind: &str, subject: &String| {
        let name = apart(subject);
        let to = if name == *subject { String::new() } else { format!(", to: \"{name}\"") };
        format!("{{ {kind}: {{ account: OPS, subject: \"{subject}\" }}{to} }}")
    };
    let said = grants.publish.iter().map(move |subject| from("service", subject));
    said.chain(heard(grants).map(move |subject| from("stream", subject)))
}

/// What a subject is called in the account of a narrow role.
fn apart(subject: &str) -> String {
    match subject.strip_prefix(API_PREFIX) {
        Some(call) => format!("{API_PREFIX_APART}{call}"),
        None => subject.to_owned(),
    }
}

fn heard(grants: &Grants) -> impl Iterator<Item = &String> {
    grants.subscribe.iter().filter(|subject| !subject.starts_with("_INBOX"))
}

fn user(text: &mut String, identity: &Identity, grants: &Grants) {
    line(text, 6, &format!("# {} {}", identity.role.name(), identity.name));
    line(text, 6, &format!("{{ nkey: {}, permissions: {{", identity.public_key));
    let list = |subjects: &[String]| {
        subjects.iter().map(|subject| format!("          \"{subject}\"\n")).collect::<String>()
    };
    let called = |subject: &String| {
        if identity.role.own_account() { apart(subject) } else { subject.clone() }
    };
    let publish: Vec<String> = grants.publish.iter().map(called).collect();
    let (allow, deny) = (list(&publish), list(&grants.deny));
    if deny.is_empty() {
        line(text, 8, &format!("publish: {{ allow: [\n{allow}        ] }}"));
    } else {
        line(
            text,
            8,
            &format!("publish: {{ allow: [\n{allow}        ], deny: [\n{deny}        ] }}"),
        );
    }
    line(text, 8, &format!("subscribe: {{ allow: [\n{}        ] }}", list(&grants.subscribe)));
    line(text, 6, "} }");
}

fn line(text: &mut String, indent: usize, content: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{:indent$}{content}", "");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_example_is_what_the_table_generates() {
        let identities = Role::ALL.map(|role| Identity {
            role,
            name: match role {
                Role::Person => "anna".to_owned(),
                Role::Agent => "host1".to_owned(),
                _ => "-".to_owned(),
            },
            public_key: format!("<public nkey of the {}>", role.name()),
        });
        let generated = accounts_conf(&Layout::default(), &identities);
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/nats/accounts.conf");
        if std::env::var_os("OPS_WRITE_GOLDEN").is_some() {
            std::fs::write(path, &generated).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap();
        assert!(
            committed == generated,
            "deploy/nats/accounts.conf is stale: run this test with OPS_WRITE_GOLDEN=1"
        );
    }
}
