//! How to reach a bus: addresses, credentials, TLS, names, limits. Secrets never print.

use crate::layout::Layout;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where and as whom to connect.
#[derive(Clone, Debug)]
pub struct Options {
    /// Servers, any of them: `nats://host:4222`, `tls://host:4222`.
    pub urls: Vec<String>,
    /// Who we are.
    pub credentials: Credentials,
    /// TLS.
    pub tls: Tls,
    /// Name of this connection as the server lists it.
    pub name: String,
    /// First token of the subjects answers arrive on. Each role may listen to its own only.
    pub inbox_prefix: String,
    /// Names of streams and subjects.
    pub layout: Layout,
    /// Copies of each stream: 1, 3 or 5; none: three on a cluster, else one.
    pub replicas: Option<u32>,
    /// Bounds of streams.
    pub limits: Limits,
    /// How long samples are kept; what [`crate::layout`] says if none.
    pub log_age_max: Option<Duration>,
    /// Read the last message of a subject through the API whose permission names the subject. Narrow roles
    /// need it; in a cluster any replica may answer, perhaps a little late.
    pub scoped_reads: bool,
    /// What the subjects of the JetStream API begin with: another one where the streams live in another account.
    pub api_prefix: String,
}

/// What the subjects of the JetStream API begin with in the streams' own account.
pub const API_PREFIX: &str = "$JS.API";

impl Options {
    /// Options with defaults for one server.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            urls: vec![url.into()],
            credentials: Credentials::None,
            tls: Tls::default(),
            name: "ops".to_owned(),
            inbox_prefix: "_INBOX".to_owned(),
            layout: Layout::default(),
            replicas: None,
            limits: Limits::default(),
            log_age_max: None,
            scoped_reads: false,
            api_prefix: API_PREFIX.to_owned(),
        }
    }
}

/// Who we are on the bus.
#[derive(Clone, Debug, Default)]
pub enum Credentials {
    /// Nobody: the server's `no_auth_user`, or a server without authentication.
    #[default]
    None,
    /// File with an nkey seed (`SU...`).
    NkeySeed(PathBuf),
    /// File with a JWT and its seed (`.creds`).
    CredentialsFile(PathBuf),
    /// User and password.
    Password {
        /// User.
        user: String,
        /// Password.
        password: Secret,
    },
    /// Token.
    Token(Secret),
}

/// Text that never prints.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret read from elsewhere.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The first line of a file.
    ///
    /// # Errors
    /// Names the file, never its content.
    pub fn from_file(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read the secret in {}: {error}", path.display()))?;
        Ok(Self(text.lines().next().unwrap_or_default().trim().to_owned()))
    }

    /// The value of an environment variable.
    ///
    /// # Errors
    /// Names the variable.
    pub fn from_env(name: &str) -> Result<Self, String> {
        std::env::var(name).map(Self).map_err(|_| format!("{name} is not set"))
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// TLS towards the servers.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Refuse servers without TLS.
    pub required: bool,
    /// Certificates of the authorities to trust, instead of the host's.
    pub authorities: Option<PathBuf>,
    /// Our own certificate and its key, where the server asks for one.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// Most bytes a stream may hold; 0 leaves it unbounded. The log's own bound keeps a flood of samples from
/// filling the disk that decisions are stored on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Samples. At 41 bytes a sample in batches, 2 GiB are 50 million samples: 14 h of 1,000 a second.
    pub log_bytes_max: u64,
    /// Rollups.
    pub rollup_bytes_max: u64,
    /// Refused input.
    pub deadletter_bytes_max: u64,
    /// Heartbeats, in memory.
    pub alive_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            log_bytes_max: 2 << 30,
            rollup_bytes_max: 1 << 30,
            deadletter_bytes_max: 256 << 20,
            alive_bytes_max: 16 << 20,
        }
    }
}
