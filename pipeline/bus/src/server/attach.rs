//! How this and other processes of the machine reach a local server that runs already.

use super::{LocalServer, ServerError, listening};
use crate::accounts::{Keyring, Keys};
use crate::jetstream::Options;
use crate::layout::Layout;
use std::path::Path;

impl LocalServer {
    /// How to connect in any role, for as long as this server runs.
    pub fn keyring(&self) -> Keyring {
        keyring(self.url(), self.keys.clone(), self.layout.clone())
    }
}

/// How to connect to the local server of a data folder that another process runs.
///
/// # Errors
/// None runs there, or its keys cannot be read.
pub async fn attach(data: &Path, layout: Layout) -> Result<Keyring, ServerError> {
    let folder = data.join("nats");
    let Some(port) = listening(&folder.join("ports")).await else {
        return Err(ServerError::Absent(data.to_owned()));
    };
    Ok(keyring(format!("nats://127.0.0.1:{port}"), Keys::open(folder.join("keys"))?, layout))
}

fn keyring(url: String, keys: Keys, layout: Layout) -> Keyring {
    Keyring::new(Options { layout, ..Options::new(url) }, keys)
}
