//! The settings of the folders a person named, with the command line laid over them.

use crate::cli::{Folders, UpOptions};
use crate::exit::{Failure, Kind};
use settings::{Layout, Loaded, OpsConfig, Problems};
use stages::settings::Settings;
use std::path::Path;

/// Loads all settings; what the command line says takes the place of the variable that says the same.
pub fn load(options: &UpOptions) -> Result<Loaded, Failure> {
    settings::load_with(&layout(&options.folders), environment(options)).map_err(refused)
}

/// The same, with the rules of `file` in place of those of the same names, and the names of its rules.
pub fn load_beside(options: &UpOptions, file: &Path) -> Result<(Loaded, Vec<String>), Failure> {
    settings::load_beside(&layout(&options.folders), file, environment(options)).map_err(refused)
}

/// The variables, with the command line over them.
fn environment(options: &UpOptions) -> impl Fn(&str) -> Option<String> {
    let options = options.clone();
    let data = options.data.as_ref().map(|data| absolute(data));
    let said = move |name: &str| match name {
        "OPS_DATA" => data.clone(),
        "OPS_LISTEN" => options.listen.clone(),
        "OPS_NATS_URL" => options.nats_url.clone(),
        "OPS_ROLES" => options.role.clone(),
        _ => None,
    };
    move |name: &str| said(name).or_else(|| std::env::var(name).ok())
}

/// Where the files are.
pub fn layout(folders: &Folders) -> Layout {
    // Relative paths in config/ begin at the folder that holds it.
    let parent = folders.config.parent().filter(|parent| !parent.as_os_str().is_empty());
    Layout {
        root: parent.unwrap_or(Path::new(".")).to_owned(),
        alerts: folders.rules.clone(),
        plans: folders.plans.clone(),
        config: folders.config.clone(),
    }
}

/// The revision the files make, by `author`. On a bus that asks nobody who they are, automatic actions are off
/// unless the operator said otherwise by name: anybody there could make up samples.
pub fn revision(loaded: &Loaded, author: &str, comment: &str) -> Settings {
    let mut revision = loaded.settings.clone();
    let open = !asks_who_we_are(&loaded.ops) && !loaded.ops.bus.actions_without_authentication;
    if open && revision.limits.actions_enabled {
        tracing::warn!(
            "the bus asks nobody who they are: automatic actions are off; give it accounts \
             (deploy/nats/) or set bus.actions_without_authentication in config/ops.yml"
        );
        revision.limits.actions_enabled = false;
        revision.revision = settings::revision_of(&revision);
    }
    (revision.author, revision.comment) = (author.to_owned(), comment.to_owned());
    revision
}

/// A local server always does; elsewhere we cannot have been asked if we have nothing to say.
fn asks_who_we_are(ops: &OpsConfig) -> bool {
    let bus = &ops.bus;
    bus.url.is_none()
        || bus.user.is_some()
        || bus.credentials_file.is_some()
        || bus.keys_folder.is_some()
}

/// Settings that are refused: every problem on a line of its own.
pub fn refused(problems: Problems) -> Failure {
    Failure::new(Kind::Settings, format!("the settings are refused\n{problems}").trim_end())
}

/// A path on the command line begins at the working folder, not at the folder of config/.
fn absolute(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.to_string_lossy().into_owned()
}
