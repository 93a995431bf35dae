//! `ops backup`: all streams into a folder, as they are at one moment.
//!
//! A file a stream, in the server's own format, and `backup.json` with their checksums, which is written last: a folder
//! without it is no backup. What the engine writes and what it reads is copied while every log stands still; rollups
//! and dead letters, from which nothing follows, after that.

use crate::cli::{Format, UpOptions};
use crate::exit::{Failure, Kind};
use crate::{connect, load};
use bus::Stream;
use bus::accounts::Role;
use bus::jetstream::{Copied, JetStream};
use bus::layout::Layout;
use engine::{EngineOptions, Standstill};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What describes a backup.
pub const MANIFEST: &str = "backup.json";
/// Version of its form.
pub const SCHEMA: u32 = 1;
/// Between them lies what makes the next word or entry: copied while nothing happens.
const AT_ONE_MOMENT: [Stream; 5] =
    [Stream::Log, Stream::Desk, Stream::Events, Stream::Outcomes, Stream::State];
/// Copied as they are a little later.
const AFTER: [Stream; 2] = [Stream::Rollups, Stream::DeadLetter];
/// Heartbeats alone stay behind: they lie in memory and say who is alive now.
pub const STREAMS: usize = AT_ONE_MOMENT.len() + AFTER.len();

/// What is in a backup.
#[derive(Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this form.
    pub schema: u32,
    /// Version of the product that made it.
    pub version: String,
    /// First tokens of all subjects.
    pub prefix: String,
    /// Number of shards.
    pub shards: u32,
    /// The streams.
    pub streams: Vec<Entry>,
}

/// The copy of one stream.
#[derive(Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Its name, and the name of its file before `.copy`.
    pub name: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// What it is a copy of.
    pub copied: Copied,
}

impl Entry {
    /// Its file.
    pub fn file(&self, folder: &Path) -> PathBuf {
        copy_of(folder, &self.name)
    }
}

/// Makes a backup.
pub async fn run(folder: &Path, options: &UpOptions, format: Format) -> Result<(), Failure> {
    let loaded = load::load(options)?;
    let connection = connect::existing(&loaded.ops).await?;
    let admin = connection.jetstream(Role::Admin).await?;
    let owner = connection.in_role(Role::Owner).await?;
    let (config, subjects) = (&loaded.ops.bus, connection.subjects.clone());
    make_folder(folder).map_err(|error| unusable(folder, &error))?;
    let with = EngineOptions::new(owner, subjects, config.shards, "backup");
    let (streams, stood) = copy_all(&admin, &with, folder).await?;
    let mut manifest = Manifest {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        prefix: config.prefix.clone(),
        shards: config.shards,
        streams: Vec::new(),
    };
    for (stream, copied) in streams {
        let name = Layout::default().stream_name(stream);
        let (bytes, sha256) =
            checksum(&copy_of(folder, &name)).map_err(|error| unusable(folder, &error))?;
        manifest.streams.push(Entry { name, bytes, sha256, copied });
    }
    write_manifest(folder, &manifest).map_err(|error| unusable(folder, &error))?;
    let stood = stood.as_secs_f64();
    match format {
        Format::Json => println!(
            "{}",
            json!({ "folder": folder, "stood_still_s": stood, "streams": manifest.streams.iter().map(told).collect::<Vec<_>>() })
        ),
        Format::Text => {
            for entry in &manifest.streams {
                let (messages, kib) = (entry.copied.messages(), entry.bytes.div_ceil(1024));
                println!("{}: {messages} messages, {kib} KiB", entry.name);
            }
            println!(
                "backup complete in {}; alerting stood still for {stood:.1} s",
                folder.display()
            );
        }
    }
    Ok(())
}

/// What is said of a stream: not its configuration.
pub fn told(entry: &Entry) -> serde_json::Value {
    let (messages, last) = (entry.copied.messages(), entry.copied.last());
    json!({ "name": entry.name, "bytes": entry.bytes, "messages": messages, "last": last })
}

/// Copies every stream; says for how long the logs stood still.
async fn copy_all(
    admin: &JetStream,
    with: &EngineOptions,
    folder: &Path,
) -> Result<(Vec<(Stream, Copied)>, Duration), Failure> {
    let began = Instant::now();
    let still = Standstill::begin(with).await.map_err(connect::engine_failed)?;
    let copied = copy(admin, &AT_ONE_MOMENT, folder).await;
    let lost = still.end().await.map_err(connect::engine_failed)?;
    let stood = began.elapsed();
    let mut streams = copied?;
    if let Some(log) = lost.first() {
        let text = format!(
            "an engine took log {log} while it was copied: this is no backup; try again when the bus is less busy"
        );
        return Err(Failure::new(Kind::Failed, text));
    }
    streams.extend(copy(admin, &AFTER, folder).await?);
    Ok((streams, stood))
}

async fn copy(
    admin: &JetStream,
    streams: &[Stream],
    folder: &Path,
) -> Result<Vec<(Stream, Copied)>, Failure> {
    let mut done = Vec::new();
    for stream in streams {
        let path = copy_of(folder, &Layout::default().stream_name(*stream));
        let file = private().open(&path).map_err(|error| unusable(folder, &error))?;
        let mut file = tokio::io::BufWriter::new(tokio::fs::File::from_std(file));
        done.push((*stream, admin.copy_out(*stream, &mut file).await?));
    }
    Ok(done)
}

fn copy_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.copy"))
}

/// A new file that nobody else may read: samples, names and texts of people are in it.
fn private() -> fs::OpenOptions {
    let mut options = File::options();
    options.write(true).create_new(true).mode(0o600);
    options
}

fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    if fs::read_dir(folder)?.next().is_some() {
        return Err(io::Error::other("it is not empty; name a new one"));
    }
    Ok(())
}

/// Length and checksum of a file, which is on the disk after that.
fn checksum(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    file.sync_all()?;
    let (mut hash, mut bytes, mut part) = (Sha256::new(), 0, vec![0; 1 << 20]);
    loop {
        let read = file.read(&mut part)?;
        if read == 0 {
            let digest = hash.finalize();
            return Ok((bytes, digest.iter().map(|byte| format!("{byte:02x}")).collect()));
        }
        hash.update(&part[..read]);
        bytes += read as u64;
    }
}

fn write_manifest(folder: &Path, manifest: &Manifest) -> io::Result<()> {
    let unfinished = folder.join(format!("{MANIFEST}.unfinished"));
    let mut file = private().open(&unfinished)?;
    file.write_all(serde_json::to_string_pretty(manifest)?.as_bytes())?;
    file.sync_all()?;
    fs::rename(unfinished, folder.join(MANIFEST))?;
    File::open(folder)?.sync_all()
}

/// Reads a backup's description and compares every file with it; all faults at once.
pub fn read(folder: &Path) -> Result<Manifest, Failure> {
    let path = folder.join(MANIFEST);
    let text = fs::read_to_string(&path).map_err(|error| {
        let text =
            format!("{}: {error}; a folder without it is no complete backup", path.display());
        Failure::new(Kind::Data, text)
    })?;
    let manifest: Manifest = serde_json::from_str(&text).map_err(|error| {
        let text =
            format!("{}: {error}; restore it with the version of ops that made it", path.display());
        Failure::new(Kind::Data, text)
    })?;
    if manifest.schema > SCHEMA {
        let text = format!(
            "{}: made by ops {}, whose backups this version cannot read; restore it with that one",
            path.display(),
            manifest.version
        );
        return Err(Failure::new(Kind::Data, text));
    }
    let faults: Vec<String> =
        manifest.streams.iter().filter_map(|entry| fault(folder, entry)).collect();
    if manifest.streams.len() != STREAMS {
        let (are, path) = (manifest.streams.len(), path.display());
        let text = format!("{path}: {are} streams, not {STREAMS}; use another backup");
        return Err(Failure::new(Kind::Data, text));
    }
    if !faults.is_empty() {
        let text = format!("{}; nothing is restored; use another backup", faults.join("; "));
        return Err(Failure::new(Kind::Data, text));
    }
    Ok(manifest)
}

/// What is wrong with the file of a stream.
fn fault(folder: &Path, entry: &Entry) -> Option<String> {
    let file = entry.file(folder);
    match checksum(&file) {
        Ok((bytes, sha256)) if bytes == entry.bytes && sha256 == entry.sha256 => None,
        Ok((bytes, _)) if bytes != entry.bytes => {
            Some(format!("{}: {bytes} bytes, not {}", file.display(), entry.bytes))
        }
        Ok(_) => Some(format!("{}: its content is not what was copied", file.display())),
        Err(error) => Some(format!("{}: {error}", file.display())),
    }
}

fn unusable(folder: &Path, error: &io::Error) -> Failure {
    Failure::new(Kind::Data, format!("backup folder {}: {error}", folder.display()))
}
