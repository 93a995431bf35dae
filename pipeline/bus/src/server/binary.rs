//! Finds a nats-server that is new enough.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// The oldest version with everything the product relies on.
const VERSION_MIN: (u64, u64, u64) = (2, 15, 1);
/// Names the binary outright.
const VARIABLE: &str = "OPS_NATS_SERVER";

/// The binary named by `OPS_NATS_SERVER`, else in `.tools/bin` of the working folder or of a folder above the
/// executable, else on the PATH; the first one that is new enough.
///
/// # Errors
/// What was found and why it does not do, and the remedy.
pub async fn find() -> Result<PathBuf, String> {
    if let Some(named) = env::var_os(VARIABLE) {
        let named = PathBuf::from(named);
        return match check(&named).await {
            Ok(()) => Ok(named),
            Err(why) => Err(format!("{VARIABLE}: {why}; name nats-server 2.15.1 or newer")),
        };
    }
    let mut faults = Vec::new();
    for candidate in candidates(env::var_os("PATH")) {
        match check(&candidate).await {
            Ok(()) => return Ok(candidate),
            Err(why) => faults.push(why),
        }
    }
    if faults.is_empty() {
        faults.push("there is no nats-server in .tools/bin or on the PATH".to_owned());
    }
    Err(format!(
        "{}; run `deploy/tools/setup lab`, or set {VARIABLE} to nats-server 2.15.1 or newer",
        faults.join("; ")
    ))
}

fn candidates(path: Option<OsString>) -> Vec<PathBuf> {
    let exe = env::current_exe().ok();
    let above_exe = exe.iter().flat_map(|exe| exe.ancestors().skip(1).map(Path::to_owned));
    let tools = env::current_dir().into_iter().chain(above_exe).map(|dir| dir.join(".tools/bin"));
    let on_path = path.iter().flat_map(env::split_paths).collect::<Vec<_>>();
    tools.chain(on_path).map(|dir| dir.join("nats-server")).filter(|file| file.is_file()).collect()
}

async fn check(binary: &Path) -> Result<(), String> {
    let output = Command::new(binary).arg("--version").output().await;
    let output = output.map_err(|error| format!("{} cannot be run: {error}", binary.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    match version(&text) {
        Some(version) if version >= VERSION_MIN => Ok(()),
        Some((major, minor, patch)) => {
            Err(format!("{} is version {major}.{minor}.{patch}", binary.display()))
        }
        None => Err(format!("{} does not say its version", binary.display())),
    }
}

/// Reads `nats-server: v2.15.1`; a pre-release counts as older than its release.
fn version(text: &str) -> Option<(u64, u64, u64)> {
    let text = text.trim().rsplit(['v', ' ']).next()?;
    let mut parts = text.splitn(3, '.');
    let (major, minor) = (parts.next()?.parse().ok()?, parts.next()?.parse::<u64>().ok()?);
    let patch = parts.next()?;
    match patch.parse() {
        Ok(patch) => Some((major, minor, patch)),
        Err(_) => {
            let digits = patch.split('-').next()?.parse::<u64>().ok()?;
            Some((major, minor, digits.saturating_sub(1)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared() {
        assert_eq!(version("nats-server: v2.15.1\n"), Some((2, 15, 1)));
        assert!(version("nats-server: v2.16.0").unwrap() > VERSION_MIN);
        assert!(version("nats-server: v2.9.22").unwrap() < VERSION_MIN);
        assert!(version("nats-server: v2.15.1-RC.2").unwrap() < VERSION_MIN);
        assert_eq!(version("something else"), None);
    }
}
