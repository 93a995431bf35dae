//! `--watch`: says when somebody has changed the folders that people edit.
//!
//! An editor that saves makes several changes at once (a new file, a rename, a touch), and `git checkout` makes many:
//! they are one change, told when it has been quiet for a moment. What changed is not told: the files are read as a
//! whole anyway, and read again only if they say something else than before.

use crate::cli::Folders;
use crate::exit::{Failure, Kind};
use fs_notify::event::{AccessKind, AccessMode, EventKind};
use fs_notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

/// Quiet after a change before it is told: an editor's save takes some milliseconds, a checkout of a few hundred files
/// not much longer.
const QUIET: Duration = Duration::from_millis(300);

/// Longest wait for quiet: somebody may write into these folders all the time.
const QUIET_WITHIN: Duration = Duration::from_secs(5);

/// Changes waiting to be told. One is as good as many, so a full queue drops the rest.
const QUEUE: usize = 16;

/// Folders being watched.
pub struct Watch {
    changes: mpsc::Receiver<()>,
    /// When a change began that is not told yet.
    since: Option<Instant>,
    /// Watches as long as it lives.
    _watcher: Option<RecommendedWatcher>,
}

impl Watch {
    /// Watches nothing: no change is ever told.
    pub fn nothing() -> Self {
        Self { changes: mpsc::channel(1).1, since: None, _watcher: None }
    }

    /// Watches the folders and everything below them.
    pub fn folders(folders: &Folders) -> Result<Self, Failure> {
        let (tell, changes) = mpsc::channel(QUEUE);
        let seen = move |event: Result<Event, fs_notify::Error>| match event {
            Ok(event) if !is_change(event.kind) => {}
            // A queue that overflowed has lost changes: that is one.
            Ok(_) => drop(tell.try_send(())),
            Err(error) => tracing::warn!(%error, "a change of the folders may be missed"),
        };
        let mut watcher =
            fs_notify::recommended_watcher(seen).map_err(|error| cannot(None, &error))?;
        for folder in [&folders.rules, &folders.config, &folders.plans] {
            // A folder that is not there is an empty one to whoever reads it.
            if folder.is_dir() {
                let watched = watcher.watch(folder, RecursiveMode::Recursive);
                watched.map_err(|error| cannot(Some(folder), &error))?;
            } else {
                tracing::warn!(folder = %folder.display(), "not watched: it is not there");
            }
        }
        Ok(Self { changes, since: None, _watcher: Some(watcher) })
    }

    /// Waits for the end of a change. Cancel-safe: one that is not told yet is told the next time.
    pub async fn changed(&mut self) {
        loop {
            let Some(since) = self.since else {
                if self.changes.recv().await.is_none() {
                    return std::future::pending().await;
                }
                self.since = Some(Instant::now());
                continue;
            };
            let left = QUIET_WITHIN.saturating_sub(since.elapsed());
            let more = timeout(QUIET.min(left), self.changes.recv()).await;
            if !matches!(more, Ok(Some(()))) || left.is_zero() {
                self.since = None;
                return;
            }
        }
    }
}

/// Whether something may be different now. That files are read, by us among others, is none.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}

fn cannot(folder: Option<&Path>, error: &fs_notify::Error) -> Failure {
    let what = folder.map_or("folders".to_owned(), |folder| folder.display().to_string());
    Failure::new(Kind::Failed, format!("{what} cannot be watched: {error}; run without --watch"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[tokio::test]
    async fn many_changes_at_once_are_told_once_and_reading_is_none() {
        let root = tempfile::tempdir().unwrap();
        let [rules, config, plans] =
            ["alerts", "config", "plans"].map(|name| root.path().join(name));
        fs::create_dir_all(rules.join("deep")).unwrap();
        fs::create_dir_all(&config).unwrap();
        let mut watch = Watch::folders(&Folders { rules: rules.clone(), config, plans }).unwrap();
        for number in 0..50 {
            fs::write(rules.join("deep").join(format!("{number}.yml")), "metric: a\n").unwrap();
        }
        watch.changed().await;
        fs::read_to_string(rules.join("deep/0.yml")).unwrap();
        let told = timeout(3 * QUIET, watch.changed()).await;
        assert!(told.is_err(), "nothing changed since");
        fs::rename(rules.join("deep/0.yml"), rules.join("deep/moved.yml")).unwrap();
        watch.changed().await;
    }

    #[tokio::test]
    async fn without_watching_no_change_is_told() {
        let told = timeout(QUIET, Watch::nothing().changed()).await;
        assert!(told.is_err());
    }
}
