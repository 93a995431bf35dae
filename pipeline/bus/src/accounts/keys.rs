//! Keys of the roles on a local server: made once, kept in files only the user may read.

use super::{Identity, Role};
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// A folder of seeds, one a role.
#[derive(Clone, Debug)]
pub struct Keys {
    folder: PathBuf,
}

/// A key cannot be made or read.
#[derive(Debug, thiserror::Error)]
#[error("key file {}: {why}", path.display())]
pub struct KeysError {
    /// File or folder.
    pub path: PathBuf,
    /// What is wrong; never the content.
    pub why: String,
}

impl Keys {
    /// Keys in `folder`, which is made if it is missing.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, KeysError> {
        let folder = folder.into();
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|error| fault(&folder, &error.to_string()))?;
        Ok(Self { folder })
    }

    /// Keys that somebody else put into `folder`.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Where the seed of a role lies.
    pub fn seed_file(&self, role: Role) -> PathBuf {
        self.folder.join(format!("{}.nk", role.name()))
    }

    /// The identity of a role, its key made if there is none yet.
    ///
    /// # Errors
    /// The file cannot be read or written, or holds no seed.
    pub fn identity(&self, role: Role, name: &str) -> Result<Identity, KeysError> {
        let path = self.seed_file(role);
        let seed = match fs::read_to_string(&path) {
            Ok(seed) => seed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(&path)?,
            Err(error) => return Err(fault(&path, &error.to_string())),
        };
        let pair = nkeys::KeyPair::from_seed(seed.trim())
            .map_err(|_| fault(&path, "holds no nkey seed; remove it to have a new one made"))?;
        Ok(Identity { role, name: name.to_owned(), public_key: pair.public_key() })
    }
}

fn make(path: &Path) -> Result<String, KeysError> {
    let seed =
        nkeys::KeyPair::new_user().seed().map_err(|_| fault(path, "no key could be made"))?;
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(seed.as_bytes()));
    written.map_err(|error| fault(path, &error.to_string()))?;
    Ok(seed)
}

fn fault(path: &Path, why: &str) -> KeysError {
    KeysError { path: path.to_owned(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_is_made_once_and_readable_by_its_user_only() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(folder.path().join("keys")).unwrap();
        let first = keys.identity(Role::Owner, "-").unwrap();
        assert_eq!(keys.identity(Role::Owner, "-").unwrap(), first);
        let mode = fs::metadata(keys.seed_file(Role::Owner)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_broken_key_is_named_without_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(folder.path()).unwrap();
        fs::write(keys.seed_file(Role::Admin), "SUSECRET").unwrap();
        let error = keys.identity(Role::Admin, "-").unwrap_err().to_string();
        assert!(error.contains("admin.nk") && !error.contains("SUSECRET"), "{error}");
    }
}
