//! What a running process reads again: on SIGHUP, when a watched folder changes, and for an intent whose receiver it
//! does not know.
//!
//! Two things are kept apart. Rules, plans and routes are one revision on the bus, the same for all processes: the lab
//! applies it, else `ops rules apply` does. Addresses, keys, pacing and mail server stay at the edge: each process with
//! a notifier has them from its own files.

use crate::cli::UpOptions;
use crate::connect::{self, Connection};
use crate::exit::{Failure, Kind};
use crate::health::Parts;
use crate::load;
use engine::InForce;
use notify::{Contacts, NotifyError, ReadAgain};
use settings::Loaded;
use std::sync::Arc;

/// What the notifier takes of the files.
pub fn contacts(loaded: &Loaded) -> Contacts {
    Contacts {
        endpoints: loaded.endpoints.clone(),
        config: loaded.ops.notify.clone(),
        fallback: loaded.settings.fallback_receiver.clone(),
        board_url: loaded.ops.public_url.clone(),
        late_after: loaded.settings.limits.notify_max_age.as_std(),
    }
}

/// Reads them again from where this process has them.
pub fn read_again(options: &UpOptions) -> ReadAgain {
    let options = options.clone();
    Arc::new(move || {
        load::load(&options).map(|loaded| contacts(&loaded)).map_err(|failure| failure.to_string())
    })
}

/// What becomes of rules and plans when the files are read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// They stay as they are in force.
    Stay,
    /// They are applied, with this comment.
    Apply(&'static str),
}

/// Reads the files again; refused ones change nothing and say why.
pub async fn again(options: &UpOptions, connection: &Connection, parts: &Parts, rules: Rules) {
    if let Err(failure) = read(options, connection, parts, rules).await {
        tracing::error!("{failure}");
    }
}

async fn read(
    options: &UpOptions,
    connection: &Connection,
    parts: &Parts,
    rules: Rules,
) -> Result<(), Failure> {
    let loaded = load::load(options)?;
    // Before the rules: whom a new rule names is known when it fires.
    if let Some(replaced) = parts.notifier.with(|notifier| notifier.replace(contacts(&loaded))) {
        replaced.map_err(not_usable)?;
        tracing::info!("receivers, pacing and mail server are read again");
    }
    let Rules::Apply(comment) = rules else {
        tracing::info!("rules and plans stay as they are in force: `ops rules apply` changes them");
        return Ok(());
    };
    let revision = load::revision(&loaded, "ops", comment);
    match connect::apply(connection, &revision, loaded.ops.bus.shards).await?.now {
        InForce::Asked => tracing::info!(revision = revision.revision, "settings are in force"),
        InForce::Later { revision, author } => {
            tracing::info!(revision, author, "settings applied meanwhile are in force");
        }
    }
    Ok(())
}

/// Contacts that cannot work.
pub fn not_usable(error: NotifyError) -> Failure {
    Failure::new(Kind::Settings, error.to_string())
}
