//! Secrets are named here, never held: a file or an environment variable, read when it is needed.
//!
//! A key in a settings file would end up in version control and in every backup of it, so
//! `password: ...` is an error with the remedy, and no message ever shows what was written.

use crate::fields::Fields;
use crate::problem::Kind;
use crate::yaml::Value;
use std::path::{Path, PathBuf};

/// Where a secret is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// The first line of this file.
    File(PathBuf),
    /// This environment variable.
    Env(String),
}

/// Why a secret could not be read; never the secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error(
        "secret file {file:?} cannot be read ({source}): create it, readable by this process only"
    )]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file's first line is empty.
    #[error("secret file {0:?} is empty: write the secret as its first line")]
    Empty(PathBuf),
}

impl Secret {
    /// Reads it; `None` if it is an environment variable that is not set: what needs it is then not set up.
    ///
    /// # Errors
    /// A file that is named but missing, unreadable, or empty.
    pub fn read(&self) -> Result<Option<String>, SecretError> {
        match self {
            Self::Env(name) => Ok(std::env::var(name).ok().filter(|value| !value.is_empty())),
            Self::File(file) => {
                let text = std::fs::read_to_string(file)
                    .map_err(|source| SecretError::Unreadable { file: file.clone(), source })?;
                match text.lines().next().map(str::trim) {
                    Some(line) if !line.is_empty() => Ok(Some(line.to_owned())),
                    _ => Err(SecretError::Empty(file.clone())),
                }
            }
        }
    }
}

/// The three field names of one secret: `password`, `password_file`, `password_env`.
pub(crate) struct SecretNames {
    pub inline: &'static str,
    pub file: &'static str,
    pub env: &'static str,
}

/// The names for a secret called `$name`.
macro_rules! secret_names {
    ($name:literal) => {
        $crate::secret::SecretNames {
            inline: $name,
            file: concat!($name, "_file"),
            env: concat!($name, "_env"),
        }
    };
}
pub(crate) use secret_names;

/// Reads a reference to a secret; paths are relative to `root`.
pub(crate) fn read(fields: &Fields<'_>, names: &SecretNames, root: &Path) -> Option<Secret> {
    refuse_inline(fields, names);
    let (file, env) = (fields.text(names.file), fields.text(names.env));
    // Both in files is a slip; a variable over a file is meant.
    if let (Some(file), Some(env)) = (&file, &env)
        && file.place.position.is_some()
    {
        let message = format!("{} and {} exclude each other", names.file, names.env);
        fields.report.error(&env.place, Kind::Conflict, message, "remove one of them");
    }
    match (file, env) {
        (Some(file), _) => Some(Secret::File(root.join(file.text))),
        (None, Some(env)) => Some(Secret::Env(env.text)),
        (None, None) => None,
    }
}

/// Notes a secret written into the file itself.
fn refuse_inline(fields: &Fields<'_>, names: &SecretNames) {
    let Some(node) = fields.node(names.inline) else { return };
    if node.value != Value::Null {
        let message = format!("{} is written where anybody can read it", names.inline);
        let remedy = format!(
            "write {}: <path> or {}: <VARIABLE>, and change the secret",
            names.file, names.env
        );
        fields.report.error(&node.place, Kind::InlineSecret, message, remedy);
    }
}
