//! `ops keys`: a key for every role, and the `accounts.conf` that lets them into a nats-server.
//!
//! `FOLDER/` has the keys of the roles that run beside the server; what another host or a person needs lies in
//! `FOLDER/agents/<name>/` and `FOLDER/people/<name>/`, and is all they get. The server gets public keys only.

use crate::cli::{Format, KeysOptions};
use crate::exit::{Failure, Kind};
use bus::accounts::{Identity, Keys, KeysError, Role, accounts_conf};
use bus::layout::Layout;
use serde_json::json;

/// Makes what is missing.
pub fn run(options: &KeysOptions, format: Format) -> Result<(), Failure> {
    let identities =
        identities(options).map_err(|error| Failure::new(Kind::Data, error.to_string()))?;
    let layout = Layout { subject_prefix: options.prefix.clone(), ..Layout::default() };
    let conf = options.folder.join("accounts.conf");
    std::fs::write(&conf, accounts_conf(&layout, &identities)).map_err(|error| {
        Failure::new(Kind::Data, format!("{}: {error}; make it writable", conf.display()))
    })?;
    let (conf, folder) = (conf.display(), options.folder.display());
    match format {
        Format::Json => {
            println!("{}", json!({ "accounts": conf.to_string(), "keys": identities.len() }))
        }
        Format::Text => println!(
            "{} keys in {folder}\n`include` {conf} in the server's configuration, where jetstream is on; \
             name the folder in bus.keys_folder (OPS_NATS_KEYS)",
            identities.len()
        ),
    }
    Ok(())
}

fn identities(options: &KeysOptions) -> Result<Vec<Identity>, KeysError> {
    let keys = Keys::open(&options.folder)?;
    let beside = Role::ALL.into_iter().filter(|role| !matches!(role, Role::Agent | Role::Person));
    let mut identities =
        beside.map(|role| keys.identity(role, "-")).collect::<Result<Vec<_>, _>>()?;
    for (folder, role, names) in
        [("agents", Role::Agent, &options.agent), ("people", Role::Person, &options.person)]
    {
        for name in names {
            let keys = Keys::open(options.folder.join(folder).join(name))?;
            identities.push(keys.identity(role, name)?);
        }
    }
    Ok(identities)
}
