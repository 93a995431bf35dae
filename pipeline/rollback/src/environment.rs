//! What a script is told: a cleared environment with exactly these variables, nothing inherited.

use stages::wire::Command;
use std::path::Path;

/// Where programs are looked for. Fixed, so that a script behaves the same under every service manager.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Longest text handed to a script, in bytes; ids and revisions are far shorter.
const TEXT_BYTES_MAX: usize = 1024;

/// The variables of one run; `fence` rises with every claim of the plan, so a target can refuse an older one.
pub fn variables(command: &Command, fence: u64, data: &Path) -> Vec<(&'static str, String)> {
    vec![
        ("PATH", PATH.to_owned()),
        ("OPS_INCIDENT", command.incident.clone()),
        ("OPS_PLAN", command.plan.clone()),
        ("OPS_FENCE", fence.to_string()),
        ("OPS_FROM_REVISION", command.from_revision.clone().unwrap_or_default()),
        ("OPS_DATA", data.display().to_string()),
    ]
}

/// Whether the texts of a command may be handed to a process at all.
///
/// # Errors
/// A sentence that names the field.
pub fn check(command: &Command) -> Result<(), String> {
    let revision = command.from_revision.as_deref().unwrap_or_default();
    for (field, text) in [("incident", command.incident.as_str()), ("from_revision", revision)] {
        if text.len() > TEXT_BYTES_MAX {
            return Err(format!("{field} has {} bytes; at most {TEXT_BYTES_MAX}", text.len()));
        }
        if text.chars().any(char::is_control) {
            return Err(format!("{field} has control characters"));
        }
    }
    if command.incident.is_empty() { Err("incident is empty".to_owned()) } else { Ok(()) }
}
