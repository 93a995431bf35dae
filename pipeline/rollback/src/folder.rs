//! Finds the script of a plan, and refuses everything that is not exactly one file of one plan folder.
//!
//! A command comes over the bus, so its names are checked again here although rules were checked when they were
//! loaded: a plan is the exact name of a folder, a script the plain name of a file in it, and after all links are
//! followed both must still lie where they claim to lie.

use stages::wire::EndCause;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Longest name of a plan or a script, in bytes: what common file systems allow.
const NAME_BYTES_MAX: usize = 255;

/// Why a plan cannot be run here. Its text is the outcome's `detail`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The plan's name could leave the folder of plans.
    #[error("plan name {0:?} is not allowed: a plan is the exact name of a folder, [A-Za-z0-9_-]+")]
    PlanName(String),
    /// The script's name could leave the plan's folder.
    #[error(
        "script name {0:?} is not allowed: a script is the plain name of a file in its plan's folder, [A-Za-z0-9._-]+"
    )]
    ScriptName(String),
    /// No folder of that name.
    #[error("unknown plan: this agent has no folder {0:?}")]
    UnknownPlan(String),
    /// The folder has no such file.
    #[error("missing script: plan {plan} has no file {script:?}")]
    MissingScript {
        /// Plan.
        plan: String,
        /// Script.
        script: String,
    },
    /// A link leads out of the folder.
    #[error("{0:?} leads out of its folder: links may not leave the plan's folder")]
    Escapes(String),
    /// Not a regular file.
    #[error("script {0:?} is not a regular file")]
    NotAFile(String),
    /// No executable bit.
    #[error("script {0:?} is not executable: chmod +x it")]
    NotExecutable(String),
    /// The folder cannot be read.
    #[error("plan {plan} cannot be read: {why}")]
    Unreadable {
        /// Plan.
        plan: String,
        /// What the system said.
        why: String,
    },
}

impl Refusal {
    /// Its word for machines.
    pub fn cause(&self) -> EndCause {
        match self {
            Self::PlanName(_) | Self::ScriptName(_) | Self::Escapes(_) | Self::NotAFile(_) => {
                EndCause::PlanRefused
            }
            Self::UnknownPlan(_) => EndCause::UnknownPlan,
            Self::MissingScript { .. } => EndCause::MissingScript,
            Self::NotExecutable(_) => EndCause::NotExecutable,
            Self::Unreadable { .. } => EndCause::PlanUnreadable,
        }
    }
}

/// A script that may be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The plan's folder: the script's working folder.
    pub folder: PathBuf,
    /// The script, all links followed.
    pub script: PathBuf,
}

/// Finds `script` of `plan` below `plans`.
///
/// # Errors
/// What is wrong with the names or with what lies under them.
pub fn find(plans: &Path, plan: &str, script: &str) -> Result<Found, Refusal> {
    check_plan_name(plan)?;
    check_script_name(script)?;
    let unreadable = |error: &std::io::Error| Refusal::Unreadable {
        plan: plan.to_owned(),
        why: error.to_string(),
    };
    let root = plans.canonicalize().map_err(|error| unreadable(&error))?;
    let folder = match root.join(plan).canonicalize() {
        Ok(folder) if folder.is_dir() => folder,
        Ok(_) => return Err(Refusal::UnknownPlan(plan.to_owned())),
        Err(error) if missing(&error) => return Err(Refusal::UnknownPlan(plan.to_owned())),
        Err(error) => return Err(unreadable(&error)),
    };
    if !folder.starts_with(&root) {
        return Err(Refusal::Escapes(plan.to_owned()));
    }
    let file = match folder.join(script).canonicalize() {
        Ok(file) => file,
        Err(error) if missing(&error) => {
            let (plan, script) = (plan.to_owned(), script.to_owned());
            return Err(Refusal::MissingScript { plan, script });
        }
        Err(error) => return Err(unreadable(&error)),
    };
    if !file.starts_with(&folder) {
        return Err(Refusal::Escapes(script.to_owned()));
    }
    let about = file.metadata().map_err(|error| unreadable(&error))?;
    if !about.is_file() {
        return Err(Refusal::NotAFile(script.to_owned()));
    }
    if about.permissions().mode() & 0o111 == 0 {
        return Err(Refusal::NotExecutable(script.to_owned()));
    }
    Ok(Found { folder, script: file })
}

/// Whether `plan` may name a plan at all.
///
/// # Errors
/// [`Refusal::PlanName`].
pub fn check_plan_name(plan: &str) -> Result<(), Refusal> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let fits = !plan.is_empty() && plan.len() <= NAME_BYTES_MAX;
    if fits && plan.bytes().all(word) { Ok(()) } else { Err(Refusal::PlanName(shortened(plan))) }
}

fn check_script_name(script: &str) -> Result<(), Refusal> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let fits = !script.is_empty() && script.len() <= NAME_BYTES_MAX;
    let visible = !script.starts_with('.');
    if fits && visible && script.bytes().all(word) {
        Ok(())
    } else {
        Err(Refusal::ScriptName(shortened(script)))
    }
}

fn missing(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

/// A hostile name is repeated in an outcome, so it is cut.
fn shortened(name: &str) -> String {
    name.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn plans() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let plan = root.path().join("plans/GOOD");
        fs::create_dir_all(&plan).unwrap();
        for (name, mode) in [("run.sh", 0o755), ("plain.sh", 0o644)] {
            fs::write(plan.join(name), "#!/bin/sh\n").unwrap();
            fs::set_permissions(plan.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        root
    }

    fn look(root: &tempfile::TempDir, plan: &str, script: &str) -> Result<Found, Refusal> {
        find(&root.path().join("plans"), plan, script)
    }

    #[test]
    fn a_script_is_found_in_its_folder() {
        let root = plans();
        let found = look(&root, "GOOD", "run.sh").unwrap();
        assert!(found.script.ends_with("plans/GOOD/run.sh"));
        assert!(found.folder.ends_with("plans/GOOD"));
    }

    #[test]
    fn names_that_could_leave_the_folder_are_refused() {
        let root = plans();
        for plan in ["../../x", "..", ".", "", "GOOD/", "/etc", "a b", "x;reboot", "$(x)", "GOOD\0"]
        {
            let refused = look(&root, plan, "run.sh");
            assert!(matches!(refused, Err(Refusal::PlanName(_))), "{plan:?}: {refused:?}");
        }
        for script in
            ["../GOOD/run.sh", "..", ".", "", "/bin/sh", "run.sh -x", "run.sh\0", ".hidden"]
        {
            let refused = look(&root, "GOOD", script);
            assert!(matches!(refused, Err(Refusal::ScriptName(_))), "{script:?}: {refused:?}");
        }
    }

    #[test]
    fn each_fault_has_its_own_name() {
        let root = plans();
        assert!(matches!(look(&root, "NONE", "run.sh"), Err(Refusal::UnknownPlan(_))));
        assert!(matches!(look(&root, "good", "run.sh"), Err(Refusal::UnknownPlan(_))));
        assert!(matches!(look(&root, "GOOD", "none.sh"), Err(Refusal::MissingScript { .. })));
        assert!(matches!(look(&root, "GOOD", "plain.sh"), Err(Refusal::NotExecutable(_))));
        fs::create_dir(root.path().join("plans/GOOD/folder.sh")).unwrap();
        assert!(matches!(look(&root, "GOOD", "folder.sh"), Err(Refusal::NotAFile(_))));
    }

    #[test]
    fn links_may_not_leave_the_folder() {
        let root = plans();
        symlink("/bin/sh", root.path().join("plans/GOOD/out.sh")).unwrap();
        symlink("/", root.path().join("plans/OUT")).unwrap();
        symlink("run.sh", root.path().join("plans/GOOD/in.sh")).unwrap();
        assert!(matches!(look(&root, "GOOD", "out.sh"), Err(Refusal::Escapes(_))));
        assert!(matches!(look(&root, "OUT", "run.sh"), Err(Refusal::Escapes(_))));
        assert!(look(&root, "GOOD", "in.sh").unwrap().script.ends_with("GOOD/run.sh"));
    }
}
