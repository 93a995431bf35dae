//! How each role connects: with its own key, its own inbox, its own name of the JetStream API.

use super::{Keys, Role};
use crate::jetstream::{Credentials, Options};

/// The keys of roles, and the bus they open.
#[derive(Clone, Debug)]
pub struct Keyring {
    bus: Options,
    keys: Keys,
}

impl Keyring {
    /// Keys for a bus; who connects, and how, follows from the role.
    pub fn new(bus: Options, keys: Keys) -> Self {
        Self { bus, keys }
    }

    /// Whether the key of a role is there.
    pub fn holds(&self, role: Role) -> bool {
        self.keys.seed_file(role).exists()
    }

    /// How to connect in a role.
    pub fn options(&self, role: Role) -> Options {
        Options {
            credentials: Credentials::NkeySeed(self.keys.seed_file(role)),
            name: format!("ops {}", role.name()),
            inbox_prefix: role.inbox_prefix(),
            scoped_reads: role.scoped_reads(),
            api_prefix: role.api_prefix().to_owned(),
            ..self.bus.clone()
        }
    }
}
