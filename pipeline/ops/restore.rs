//! `ops restore`: all streams from a folder that `ops backup` made, on a bus that has none of them.
//!
//! All or nothing: every file is compared with its checksum before the first stream is made, and if one cannot be made
//! those before it go again.

use crate::backup::{self, Manifest, told};
use crate::cli::{Format, UpOptions};
use crate::connect::{self, Connection};
use crate::exit::{Failure, Kind};
use crate::load;
use bus::accounts::Role;
use bus::jetstream::JetStream;
use bus::layout::{Layout, SPECS, Spec};
use engine::{EngineOptions, Standstill};
use serde_json::json;
use settings::OpsConfig;
use std::path::Path;

/// Restores a backup.
pub async fn run(folder: &Path, options: &UpOptions, format: Format) -> Result<(), Failure> {
    let loaded = load::load(options)?;
    let manifest = backup::read(folder)?;
    let config = &loaded.ops.bus;
    let other = |what: &str, of: &str, here: &str| {
        let text = format!(
            "the backup has {what} {of}, and config/ops.yml says {here}; set bus.{what} to {of}"
        );
        Failure::new(Kind::Settings, text)
    };
    if manifest.prefix != config.prefix {
        return Err(other("prefix", &manifest.prefix, &config.prefix));
    }
    if manifest.shards != config.shards {
        return Err(other("shards", &manifest.shards.to_string(), &config.shards.to_string()));
    }
    let connection = connect::begin(&loaded.ops, "restore").await?;
    let restored = restore(&connection, &loaded.ops, folder, &manifest).await;
    connection.close().await;
    restored?;
    match format {
        Format::Json => {
            let streams: Vec<_> = manifest.streams.iter().map(told).collect();
            println!("{}", json!({ "folder": folder, "streams": streams }));
        }
        Format::Text => {
            for entry in &manifest.streams {
                println!("{}: {} messages", entry.name, entry.copied.messages());
            }
            println!("restored; engines go on from here");
        }
    }
    Ok(())
}

async fn restore(
    connection: &Connection,
    ops: &OpsConfig,
    folder: &Path,
    manifest: &Manifest,
) -> Result<(), Failure> {
    let admin = connection.jetstream(Role::Admin).await?;
    if let Some(stream) = admin.present().await?.first() {
        let name = Layout::default().stream_name(*stream);
        let text = format!(
            "stream {name} is there already: restore on a bus without HMS-OPS, or into an empty data folder (--data)"
        );
        return Err(Failure::new(Kind::StreamMismatch, text));
    }
    if let Err(failure) = make(&admin, folder, manifest).await {
        for stream in admin.present().await? {
            admin.delete(stream).await?;
        }
        return Err(failure);
    }
    connection.ensure(ops).await?;
    // The copy says that its maker holds the logs. Whoever starts next shall not wait until that is found dead.
    let owner = connection.in_role(Role::Owner).await?;
    let with = EngineOptions::new(owner, connection.subjects.clone(), manifest.shards, "restore");
    let still = Standstill::begin(&with).await.map_err(connect::engine_failed)?;
    still.end().await.map_err(connect::engine_failed)?;
    Ok(())
}

/// Makes every stream.
async fn make(admin: &JetStream, folder: &Path, manifest: &Manifest) -> Result<(), Failure> {
    let layout = Layout::default();
    for entry in &manifest.streams {
        let file = entry.file(folder);
        let named = |spec: &&Spec| layout.stream_name(spec.stream) == entry.name;
        let Some(spec) = SPECS.iter().find(named) else {
            let text = format!("{}: no stream of this version of ops", file.display());
            return Err(Failure::new(Kind::Data, text));
        };
        let unreadable = |error| Failure::new(Kind::Data, format!("{}: {error}", file.display()));
        let mut copy = tokio::fs::File::open(&file).await.map_err(unreadable)?;
        admin.copy_in(spec.stream, &entry.copied, &mut copy).await?;
    }
    Ok(())
}
