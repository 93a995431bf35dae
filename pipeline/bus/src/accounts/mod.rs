//! Who may say what on the bus: one table of roles, from which `accounts.conf` is generated.
//!
//! Least privilege by subject. What the table relies on: a consumer with one filter carries it in the subject of
//! its creation, so what a role may read is enforceable; a consumer's *name* is not, so roles that could pull from
//! somebody else's consumer (`MSG.NEXT.<stream>.*`) are only the owner and the board. Narrow roles read through
//! `DIRECT.GET.<stream>.<subject>` ([`Role::scoped_reads`]) and hand out their one durable by its exact name.
//! Everybody has an inbox of their own, so nobody reads another's answers.
//!
//! Known limit: whoever may create a consumer may have it deliver what they can read to any subject. Only
//! the owner, the board and durable consumers of exact name and filter may create one.

mod grants;
mod keys;

pub use grants::Grants;
pub use keys::{Keys, KeysError};

use crate::layout::Layout;
use std::fmt::Write as _;

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

    /// Whether it may read single subjects only.
    pub const fn scoped_reads(self) -> bool {
        match self {
            Self::Owner | Self::Board | Self::Admin => false,
            Self::Publisher
            | Self::Reader
            | Self::Person
            | Self::Agent
            | Self::Notifier
            | Self::Collector => true,
        }
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
    let mut text = String::from(
        "# Generated from the table of roles in pipeline/bus/src/accounts/. Do not edit: change the table.\n\
         # Each user is an nkey: its public half stands here, its seed stays with who uses it.\n\
         accounts {\n  OPS {\n    jetstream: enabled\n    users: [\n",
    );
    for identity in identities {
        let grants = Grants::of(identity.role, &identity.name, layout);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "      # {} {}", identity.role.name(), identity.name);
        let _ = writeln!(text, "      {{ nkey: {}, permissions: {{", identity.public_key);
        list(&mut text, "publish", &grants.publish);
        list(&mut text, "subscribe", &grants.subscribe);
        text.push_str("      } }\n");
    }
    text.push_str("    ]\n  }\n  SYS {}\n}\nsystem_account: SYS\n");
    if let Some(publisher) = identities.iter().find(|identity| identity.role == Role::Publisher) {
        let _ = writeln!(text, "no_auth_user: {}", publisher.public_key);
    }
    text
}

fn list(text: &mut String, name: &str, subjects: &[String]) {
    let _ = writeln!(text, "        {name}: {{ allow: [");
    for subject in subjects {
        let _ = writeln!(text, "          \"{subject}\"");
    }
    text.push_str("        ] }\n");
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
