//! The agent's own memory of what it started: an append-only file, one JSON line a step, synced to disk.
//!
//! The ledger on the bus keeps other agents away; the journal tells this agent after a crash whether a script
//! may have run, and what it returned. It is written before the fact it guards is acted on. A torn last line is
//! what a crash looks like and is passed over; so is anything else that does not read.
//!
//! A run leaves at most four lines, 9 KiB with the longest output. At [`RUNS_KEPT`] runs the file is therefore
//! below 9 MiB; when it is opened with more than twice as many, the older ones are dropped.

use crate::process::Process;
use serde::{Deserialize, Serialize};
use stages::time::Time;
use stages::wire::RollbackOutcome;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Runs that survive a clean-up. Commands are only ever repeated by the bus while they are unacknowledged.
pub const RUNS_KEPT: usize = 1000;

/// A line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// By the agent's own clock; for people only.
    pub at: Time,
    /// Plan.
    pub plan: String,
    /// Incident.
    pub incident: String,
    /// What was done or is about to be.
    #[serde(flatten)]
    pub step: Step,
}

/// A step of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// The ledger says it is ours.
    Claimed {
        /// Revision of the claim.
        fence: u64,
    },
    /// The script is about to be started. From here on nobody may assume that it did not run.
    Started {
        /// Given to the script.
        fence: u64,
    },
    /// It runs as this process.
    Spawned(Process),
    /// It is over, with this to tell.
    Ended {
        /// What is to be published.
        outcome: Box<RollbackOutcome>,
    },
}

/// What the journal knows of one run.
#[derive(Clone, Debug, PartialEq)]
pub enum Known {
    /// Claimed, never started.
    Claimed,
    /// Started `starts` times, no end seen.
    Started {
        /// How often; more than once only where the plan is idempotent.
        starts: u32,
        /// Given to the newest; 0 where that line was lost.
        fence: u64,
        /// The newest process, where it was written down.
        process: Option<Process>,
    },
    /// Over.
    Ended(Box<RollbackOutcome>),
}

/// The open journal; one process at a time.
#[derive(Debug)]
pub struct Journal {
    file: File,
    known: BTreeMap<(String, String), Known>,
    /// Held for as long as the journal is open.
    _lock: File,
}

impl Journal {
    /// Opens or creates the journal at `path` and reads it.
    ///
    /// # Errors
    /// The file cannot be read or written, or another process has it ([`io::ErrorKind::WouldBlock`]).
    pub fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(beside(path, "lock"))?;
        lock.try_lock().map_err(|error| match error {
            std::fs::TryLockError::Error(error) => error,
            std::fs::TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
        })?;
        let mut file = OpenOptions::new().create(true).append(true).read(true).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (mut lines, skipped) = read_lines(&bytes);
        if skipped > 0 {
            tracing::warn!(path = %path.display(), skipped, "passed over lines of the journal that do not read");
        }
        if let Some(kept) = newest(&lines) {
            file = rewrite(path, &kept)?;
            lines = kept;
        } else if bytes.last().is_some_and(|last| *last != b'\n') {
            // The torn line gets its end, so that the next one stands alone.
            file.write_all(b"\n")?;
        }
        sync_folder(path)?;
        let mut journal = Self { file, known: BTreeMap::new(), _lock: lock };
        lines.into_iter().for_each(|line| journal.learn(line));
        Ok(journal)
    }

    /// What is known of a run.
    pub fn of(&self, plan: &str, incident: &str) -> Option<&Known> {
        self.known.get(&(plan.to_owned(), incident.to_owned()))
    }

    /// Plan and fence of every run that was started and whose end is not known.
    pub fn unfinished(&self) -> impl Iterator<Item = (&str, u64)> {
        self.known.iter().filter_map(|((plan, _), known)| match known {
            Known::Started { fence, .. } => Some((plan.as_str(), *fence)),
            Known::Claimed | Known::Ended(_) => None,
        })
    }

    /// Writes a line and waits until it is on disk.
    ///
    /// # Errors
    /// It is not on disk; what it guards must not be done.
    pub fn record(&mut self, line: Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\n');
        // A line that was written in part (full disk) must not swallow the next one.
        if let Err(error) = self.file.write_all(&text) {
            let _ = self.file.write_all(b"\n");
            return Err(error);
        }
        self.file.sync_data()?;
        self.learn(line);
        Ok(())
    }

    fn learn(&mut self, line: Line) {
        let key = (line.plan, line.incident);
        let before = self.known.remove(&key);
        let after = match (before, line.step) {
            (Some(Known::Ended(outcome)), _) => Known::Ended(outcome),
            (_, Step::Ended { outcome }) => Known::Ended(outcome),
            (Some(Known::Started { starts, .. }), Step::Started { fence }) => {
                Known::Started { starts: starts + 1, fence, process: None }
            }
            (None | Some(Known::Claimed), Step::Started { fence }) => {
                Known::Started { starts: 1, fence, process: None }
            }
            (Some(Known::Started { starts, fence, .. }), Step::Spawned(process)) => {
                Known::Started { starts, fence, process: Some(process) }
            }
            // The line before it was lost: what matters is that something was started.
            (None | Some(Known::Claimed), Step::Spawned(process)) => {
                Known::Started { starts: 1, fence: 0, process: Some(process) }
            }
            (Some(started @ Known::Started { .. }), Step::Claimed { .. }) => started,
            (None | Some(Known::Claimed), Step::Claimed { .. }) => Known::Claimed,
        };
        self.known.insert(key, after);
    }
}

fn read_lines(bytes: &[u8]) -> (Vec<Line>, usize) {
    let (mut lines, mut skipped) = (Vec::new(), 0);
    for text in bytes.split(|byte| *byte == b'\n').filter(|text| !text.is_empty()) {
        match serde_json::from_slice(text) {
            Ok(line) => lines.push(line),
            Err(_) => skipped += 1,
        }
    }
    (lines, skipped)
}

/// The lines of the newest [`RUNS_KEPT`] runs, if there are more than twice as many.
fn newest(lines: &[Line]) -> Option<Vec<Line>> {
    let mut last_seen = BTreeMap::new();
    for (index, line) in lines.iter().enumerate() {
        last_seen.insert((&line.plan, &line.incident), index);
    }
    if last_seen.len() <= 2 * RUNS_KEPT {
        return None;
    }
    let mut ends: Vec<usize> = last_seen.values().copied().collect();
    ends.sort_unstable();
    let oldest = ends[ends.len() - RUNS_KEPT];
    let kept = lines.iter().filter(|line| last_seen[&(&line.plan, &line.incident)] >= oldest);
    Some(kept.cloned().collect())
}

fn rewrite(path: &Path, lines: &[Line]) -> io::Result<File> {
    let fresh = beside(path, "new");
    let mut file = File::create(&fresh)?;
    for line in lines {
        serde_json::to_writer(&mut file, line)?;
        file.write_all(b"\n")?;
    }
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    OpenOptions::new().append(true).read(true).open(path)
}

/// A file is only as durable as the folder entry that names it.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

/// A path of its own for something that belongs to the journal at `path`.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(incident: &str, step: Step) -> Line {
        Line { at: Time(0), plan: "PLAN".to_owned(), incident: incident.to_owned(), step }
    }

    #[test]
    fn what_was_recorded_is_known_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/journal");
        let process = Process::of(42);
        let mut journal = Journal::open(&path).unwrap();
        journal.record(line("a", Step::Claimed { fence: 7 })).unwrap();
        journal.record(line("b", Step::Claimed { fence: 8 })).unwrap();
        journal.record(line("b", Step::Started { fence: 8 })).unwrap();
        journal.record(line("b", Step::Spawned(process.clone()))).unwrap();
        drop(journal);
        let journal = Journal::open(&path).unwrap();
        assert_eq!(journal.of("PLAN", "a"), Some(&Known::Claimed));
        assert_eq!(
            journal.of("PLAN", "b"),
            Some(&Known::Started { starts: 1, fence: 8, process: Some(process) })
        );
        assert_eq!(journal.of("PLAN", "c"), None);
        assert_eq!(journal.unfinished().collect::<Vec<_>>(), [("PLAN", 8)]);
    }

    #[test]
    fn a_torn_line_costs_only_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::open(&path).unwrap();
        journal.record(line("a", Step::Claimed { fence: 7 })).unwrap();
        drop(journal);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"\xff\x00garbage\n{\"at\":\"2026-01-01T00:00:00Z\",\"pl").unwrap();
        let mut journal = Journal::open(&path).unwrap();
        journal.record(line("b", Step::Started { fence: 8 })).unwrap();
        drop(journal);
        let journal = Journal::open(&path).unwrap();
        assert_eq!(journal.of("PLAN", "a"), Some(&Known::Claimed));
        assert_eq!(
            journal.of("PLAN", "b"),
            Some(&Known::Started { starts: 1, fence: 8, process: None })
        );
    }

    #[test]
    fn a_journal_from_before_processes_had_a_birth_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let text = r#"{"at":"2026-01-01T00:00:00Z","plan":"PLAN","incident":"a","step":"spawned","group":42}"#;
        std::fs::write(&path, format!("{text}\n")).unwrap();
        let process = Some(Process { group: 42, birth: None });
        let journal = Journal::open(&path).unwrap();
        assert_eq!(journal.of("PLAN", "a"), Some(&Known::Started { starts: 1, fence: 0, process }));
    }

    #[test]
    fn a_second_process_is_kept_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let _first = Journal::open(&path).unwrap();
        assert_eq!(Journal::open(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn only_the_newest_runs_survive_a_clean_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut text = Vec::new();
        for number in 0..=2 * RUNS_KEPT {
            let one = line(&number.to_string(), Step::Claimed { fence: 1 });
            serde_json::to_writer(&mut text, &one).unwrap();
            text.push(b'\n');
        }
        std::fs::write(&path, text).unwrap();
        let mut journal = Journal::open(&path).unwrap();
        assert_eq!(journal.of("PLAN", "0"), None);
        let newest = (2 * RUNS_KEPT).to_string();
        assert_eq!(journal.of("PLAN", &newest), Some(&Known::Claimed));
        journal.record(line("after", Step::Claimed { fence: 2 })).unwrap();
        drop(journal);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), RUNS_KEPT + 1);
    }
}
