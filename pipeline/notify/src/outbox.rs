//! The outbox: what would be sent, as files, where no provider is configured.
//!
//! Names sort by time and contain the intent's key, so a repeat replaces its own file. A file appears whole.

use stages::subject::escape;
use stages::time::Time;
use stages::wire::Intent;
use std::io;
use std::path::{Path, PathBuf};

/// Longest part of a file's name taken from a receiver's name, in bytes.
const RECEIVER_BYTES_MAX: usize = 80;

/// Writes `bytes` for `intent`; `ending` is `eml` or `json`. Returns the file.
///
/// # Errors
/// The folder cannot be made or written.
pub async fn write(
    folder: &Path,
    intent: &Intent,
    ending: &str,
    bytes: &[u8],
) -> io::Result<PathBuf> {
    tokio::fs::create_dir_all(folder).await?;
    let name = name(intent, ending);
    let (fresh, file) = (folder.join(format!(".{name}.new")), folder.join(name));
    tokio::fs::write(&fresh, bytes).await?;
    tokio::fs::rename(&fresh, &file).await?;
    Ok(file)
}

fn name(intent: &Intent, ending: &str) -> String {
    let mut receiver = escape(&intent.receiver);
    receiver.truncate(RECEIVER_BYTES_MAX);
    let reason = serde_json::to_value(intent.reason).ok();
    let reason = reason.as_ref().and_then(|word| word.as_str()).unwrap_or("intent");
    let mut key = escape(&intent.key);
    key.truncate(64);
    format!("{}-{receiver}-{reason}-{key}.{ending}", stamp(intent.time))
}

/// `20261120T160701.123Z`: sorts as text, and is a file name everywhere.
fn stamp(time: Time) -> String {
    let text = time.to_string();
    let seconds = text.get(..23).unwrap_or(&text);
    let plain: String = seconds.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    format!("{plain}Z")
}
