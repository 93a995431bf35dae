//! Snapshots: a log's state in `OPS_STATE`, named by the commit record once every chunk is stored.
//!
//! Subjects carry an id no other upload has, so a zombie can only leave garbage, never damage what is named. The two
//! newest are kept: one to start from, one in case it cannot be read. One an hour stays for longer ([`crate::anchors`]).

use crate::anchors::Anchors;
use crate::error::EngineError;
use crate::patience::Patience;
use bus::{BusError, Outgoing, SharedBus, Stream};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use stages::log::LogId;
use stages::subject::Subjects;
use stages::time::Time;
use stages::wire::{CommitRecord, SnapshotRef};
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::{JoinHandle, JoinSet};

/// Largest message of a snapshot: half of the server's default limit.
const PIECE_MAX: usize = 512 << 10;
/// First byte of the packed form: its version.
const FORMAT: u8 = 1;
/// Fastest level: snapshots are written every few seconds and read almost never.
const LEVEL: i32 = 1;
/// Attempts for one piece before this snapshot is given up; the next one is due soon.
const ATTEMPTS_MAX: usize = 10;

/// A snapshot on its way to the bus.
#[derive(Clone)]
pub(crate) struct Upload {
    pub log: LogId,
    pub id: String,
    pub position: u64,
    pub time: Time,
    pub stages: u32,
    pub chunks: Vec<Bytes>,
}

/// The snapshots of one log.
pub(crate) struct Snapshots {
    /// Stored, newest first.
    newest: Option<SnapshotRef>,
    before: Option<SnapshotRef>,
    /// Named by no record any more once the next one is committed.
    obsolete: Vec<SnapshotRef>,
    uploading: Option<JoinHandle<Result<SnapshotRef, BusError>>>,
    /// Taken while another was on its way.
    waiting: Option<Upload>,
    /// Those that stay; away while their list is being stored.
    anchors: Arc<Mutex<Option<Anchors>>>,
    anchoring: JoinSet<()>,
    bus: SharedBus,
    subjects: Subjects,
}

impl Snapshots {
    pub fn new(
        bus: SharedBus,
        subjects: Subjects,
        record: &CommitRecord,
        anchors: Anchors,
    ) -> Self {
        Self {
            newest: record.snapshot.clone(),
            before: record.snapshot_before.clone(),
            obsolete: Vec::new(),
            uploading: None,
            waiting: None,
            anchors: Arc::new(Mutex::new(Some(anchors))),
            anchoring: JoinSet::new(),
            bus,
            subjects,
        }
    }

    /// Stores a snapshot beside everything else; a newer one replaces one that has not begun.
    pub fn store(&mut self, upload: Upload) {
        if self.uploading.is_some() {
            self.waiting = Some(upload);
        } else {
            let (bus, subjects) = (self.bus.clone(), self.subjects.clone());
            self.uploading = Some(tokio::spawn(store(bus, subjects, upload)));
        }
    }

    pub fn busy(&self) -> bool {
        self.uploading.is_some()
    }

    /// The next snapshot that is stored. Cancel-safe; never if none is on its way.
    pub async fn stored(&mut self) -> Result<SnapshotRef, BusError> {
        let Some(uploading) = &mut self.uploading else { return std::future::pending().await };
        let stored = uploading.await;
        self.uploading = None;
        if let Some(upload) = self.waiting.take() {
            self.store(upload);
        }
        stored.unwrap_or_else(|error| Err(BusError::Invalid(format!("snapshot: {error}"))))
    }

    /// From now on records name this one.
    pub fn name(&mut self, reference: SnapshotRef) {
        self.obsolete.extend(self.before.take());
        self.before = self.newest.replace(reference);
    }

    /// What a record at `position` names: nothing that lies ahead of it.
    pub fn named(&self, position: u64) -> (Option<SnapshotRef>, Option<SnapshotRef>) {
        match &self.newest {
            Some(newest) if newest.position > position => (self.before.clone(), None),
            newest => (newest.clone(), self.before.clone()),
        }
    }

    /// A record was committed: what it does not name is removed, unless it stays as an anchor.
    pub fn committed(&mut self, log: LogId, record: &CommitRecord) {
        if record.snapshot != self.newest {
            return;
        }
        for snapshot in std::mem::take(&mut self.obsolete) {
            if let Some((list, gone)) = self.anchored(&snapshot) {
                self.store_anchors(log, list, gone);
                continue;
            }
            let (bus, subjects) = (self.bus.clone(), self.subjects.clone());
            tokio::spawn(async move { remove(&bus, &subjects, log, &snapshot).await });
        }
    }

    /// The list with this snapshot on it and what goes instead, if it is time for another anchor.
    fn anchored(&self, snapshot: &SnapshotRef) -> Option<(Anchors, Vec<SnapshotRef>)> {
        let mut anchors = self.anchors.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = anchors.as_mut()?.offer(snapshot)?;
        Some((anchors.take()?, gone))
    }

    /// Stores the list, then removes what is not on it any more.
    fn store_anchors(&mut self, log: LogId, mut list: Anchors, gone: Vec<SnapshotRef>) {
        let (bus, subjects) = (self.bus.clone(), self.subjects.clone());
        let anchors = self.anchors.clone();
        while self.anchoring.try_join_next().is_some() {}
        self.anchoring.spawn(async move {
            match list.store(&bus, &subjects, log).await {
                Ok(()) => {
                    for snapshot in gone {
                        remove(&bus, &subjects, log, &snapshot).await;
                    }
                }
                Err(error) => tracing::warn!(%log, %error, "the list of anchors was not stored"),
            }
            *anchors.lock().unwrap_or_else(PoisonError::into_inner) = Some(list);
        });
    }
}

impl Drop for Snapshots {
    fn drop(&mut self) {
        if let Some(uploading) = &self.uploading {
            uploading.abort();
        }
    }
}

async fn remove(bus: &SharedBus, subjects: &Subjects, log: LogId, snapshot: &SnapshotRef) {
    let subject = all_pieces(subjects, log, &snapshot.id);
    if let Err(error) = bus.purge(Stream::State, &subject, 0).await {
        tracing::warn!(%error, subject, "an old snapshot stays behind");
    }
}

fn all_pieces(subjects: &Subjects, log: LogId, id: &str) -> String {
    subjects.of(&format!("state.{log}.{id}.*"))
}

async fn store(
    bus: SharedBus,
    subjects: Subjects,
    upload: Upload,
) -> Result<SnapshotRef, BusError> {
    let Upload { log, id, position, time, stages, chunks } = upload;
    let size = chunks.iter().map(Bytes::len).sum();
    let packed = aside(size, move || pack(chunks)).await;
    let packed = packed.ok_or_else(|| BusError::Invalid("snapshot: not packed".to_owned()))?;
    let sha256 = hex(&Sha256::digest(&packed));
    let mut count = 0;
    for start in (0..packed.len()).step_by(PIECE_MAX) {
        let piece = packed.slice(start..packed.len().min(start + PIECE_MAX));
        let subject = subjects.state(log, &id, count as usize);
        publish(&bus, Outgoing { subject, payload: piece, ..Outgoing::default() }).await?;
        count += 1;
    }
    Ok(SnapshotRef { id, position, time, chunks: count, sha256, stages })
}

/// A piece may be stored twice without harm: the subject is its own, the bytes are the same.
async fn publish(bus: &SharedBus, message: Outgoing) -> Result<(), BusError> {
    let (mut patience, mut attempt) = (Patience::new(), 1);
    loop {
        match bus.publish(message.clone()).await {
            Ok(_) => return Ok(()),
            Err(BusError::Unavailable { .. } | BusError::Unclear { .. })
                if attempt < ATTEMPTS_MAX =>
            {
                attempt += 1;
                patience.wait().await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Reads a snapshot back, chunk by chunk as the stages gave it.
pub(crate) async fn load(
    bus: &SharedBus,
    subjects: &Subjects,
    log: LogId,
    reference: &SnapshotRef,
) -> Result<Vec<Bytes>, EngineError> {
    let broken = |why: &str| EngineError::Unrecoverable {
        log,
        why: format!("snapshot {} cannot be read: {why}", reference.id),
        remedy: "restore the state stream, or see what `ops recover` would give up",
    };
    let mut packed = Vec::new();
    for piece in 0..reference.chunks {
        let subject = subjects.state(log, &reference.id, piece as usize);
        let message = bus.last(Stream::State, &subject).await?;
        packed.extend_from_slice(&message.ok_or_else(|| broken("a piece is missing"))?.payload);
    }
    if hex(&Sha256::digest(&packed)) != reference.sha256 {
        return Err(broken("the checksum is wrong"));
    }
    let chunks = aside(packed.len(), move || unpack(&packed)).await.flatten();
    chunks.ok_or_else(|| broken("it is not in this version's format"))
}

/// Runs `work` on so many bytes: on a thread of its own where that takes long enough to hold up others.
async fn aside<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    const LITTLE: usize = 64 << 10;
    if bytes <= LITTLE {
        return Some(work());
    }
    tokio::task::spawn_blocking(work).await.ok()
}

/// Version, number of chunks, then each with its length; compressed.
fn pack(chunks: Vec<Bytes>) -> Bytes {
    let compress = || -> std::io::Result<Vec<u8>> {
        let mut packed = zstd::stream::write::Encoder::new(Vec::new(), LEVEL)?;
        packed.write_all(&[FORMAT])?;
        packed.write_all(&(chunks.len() as u64).to_le_bytes())?;
        // Let go one by one: they are several bytes for one that is packed.
        for chunk in chunks {
            packed.write_all(&(chunk.len() as u64).to_le_bytes())?;
            packed.write_all(&chunk)?;
        }
        packed.finish()
    };
    Bytes::from(compress().expect("memory takes every byte"))
}

fn unpack(packed: &[u8]) -> Option<Vec<Bytes>> {
    let mut plain = Bytes::from(zstd::decode_all(packed).ok()?);
    if plain.is_empty() || plain.split_to(1)[0] != FORMAT {
        return None;
    }
    let length = |plain: &mut Bytes| -> Option<usize> {
        let bytes = (plain.len() >= 8).then(|| plain.split_to(8))?;
        usize::try_from(u64::from_le_bytes(bytes.as_ref().try_into().ok()?)).ok()
    };
    let count = length(&mut plain)?;
    let mut chunks = Vec::new();
    for _ in 0..count {
        let size = length(&mut plain)?;
        chunks.push((plain.len() >= size).then(|| plain.split_to(size))?);
    }
    plain.is_empty().then_some(chunks)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_back_as_they_went() {
        let chunks = vec![Bytes::from_static(b"one"), Bytes::new(), Bytes::from(vec![7; 100_000])];
        let packed = pack(chunks.clone());
        assert!(packed.len() < 1_000);
        assert_eq!(unpack(&packed), Some(chunks));
    }

    #[test]
    fn a_damaged_snapshot_is_refused_not_misread() {
        let packed = pack(vec![Bytes::from_static(b"state")]);
        assert_eq!(unpack(&packed[..packed.len() - 1]), None);
        let other = zstd::encode_all(&[FORMAT + 1, 0, 0, 0, 0, 0, 0, 0, 0][..], LEVEL).unwrap();
        assert_eq!(unpack(&other), None);
        let short = zstd::encode_all(&[FORMAT, 1, 0, 0, 0, 0, 0, 0, 0, 9][..], LEVEL).unwrap();
        assert_eq!(unpack(&short), None);
    }
}
