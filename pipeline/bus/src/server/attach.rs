//! How other processes of this machine reach a local server that runs already, and how roles connect to it.

use super::{LocalServer, ServerError, listening};
use crate::accounts::{Keys, Role};
use crate::jetstream::{Credentials, Options};
use crate::layout::Layout;
use std::path::Path;

impl LocalServer {
    /// How to connect in any role, for as long as this server runs.
    pub fn keyring(&self) -> impl Fn(Role) -> Options + Send + Sync + 'static {
        keyring(self.url(), self.keys.clone(), self.layout.clone())
    }
}

/// How to connect to the local server of a data folder that another process runs.
///
/// # Errors
/// None runs there, or its keys cannot be read.
pub async fn attach(
    data: &Path,
    layout: Layout,
) -> Result<impl Fn(Role) -> Options + Send + Sync + 'static, ServerError> {
    let folder = data.join("nats");
    let Some(port) = listening(&folder.join("ports")).await else {
        let why = "no local bus runs there; start `ops up` or name another bus".to_owned();
        return Err(ServerError::Start { why, log: folder.join("nats-server.log") });
    };
    let keys = Keys::open(folder.join("keys"))?;
    Ok(keyring(format!("nats://127.0.0.1:{port}"), keys, layout))
}

fn keyring(
    url: String,
    keys: Keys,
    layout: Layout,
) -> impl Fn(Role) -> Options + Send + Sync + 'static {
    move |role| {
        let mut options = Options::new(url.clone());
        options.credentials = Credentials::NkeySeed(keys.seed_file(role));
        options.name = format!("ops {}", role.name());
        options.inbox_prefix = role.inbox_prefix();
        options.layout = layout.clone();
        options.scoped_reads = role.scoped_reads();
        options.api_prefix = role.api_prefix().to_owned();
        options
    }
}
