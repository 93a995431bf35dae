//! What a running process reads again: on SIGHUP, and for an intent whose receiver it does not know.
//!
//! Two things are kept apart. Rules, plans and routes are one revision on the bus, the same for all processes: the lab
//! applies it, else `ops rules apply` does. Addresses, keys, pacing and mail server stay at the edge: each process with
//! a notifier has them from its own files.

use crate::cli::UpOptions;
use crate::connect::{self, Connection};
use crate::exit::{Failure, Kind};
use crate::health::Parts;
use crate::load;
use crate::up::Occasion;
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

/// Reads the files again; refused ones change nothing and say why.
pub async fn hung_up(
    options: &UpOptions,
    connection: &Connection,
    parts: &Parts,
    occasion: Occasion,
) {
    if let Err(failure) = again(options, connection, parts, occasion).await {
        tracing::error!("{failure}");
    }
}

async fn again(
    options: &UpOptions,
    connection: &Connection,
    parts: &Parts,
    occasion: Occasion,
) -> Result<(), Failure> {
    let loaded = load::load(options)?;
    // Before the rules: whom a new rule names is known when it fires.
    if let Some(replaced) = parts.notifier.with(|notifier| notifier.replace(contacts(&loaded))) {
        replaced.map_err(not_usable)?;
        tracing::info!("receivers, pacing and mail server are read again");
    }
    if occasion != Occasion::Lab {
        tracing::info!("rules and plans stay as they are in force: `ops rules apply` changes them");
        return Ok(());
    }
    let revision = load::revision(&loaded, "ops", "applied on SIGHUP");
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
