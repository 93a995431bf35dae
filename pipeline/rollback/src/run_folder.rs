//! What a run leaves on disk while it runs: what it wrote, and how it ended. It is what an agent that comes back
//! finds, and it is gone once the journal has the outcome.
//!
//! A script writes to a file and not to a pipe: the reader of a pipe may die, and its writer with it.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// A name of a file is at most 255 bytes; the fence alone is unique, the plan is for people.
const PLAN_CHARS_MAX: usize = 100;

/// Folder of all runs of one agent.
#[derive(Debug)]
pub struct RunFolders {
    root: PathBuf,
}

/// Folder of one run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

/// How a run ended, as its folder has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With this exit code, as a shell gives it: 128 and more for a signal.
    Exited(i32),
    /// The system would not start it.
    Refused,
}

impl RunFolders {
    /// Those below `root`, which need not be there yet.
    pub fn below(root: PathBuf) -> Self {
        Self { root }
    }

    /// Where the run of `plan` under `fence` leaves its traces.
    pub fn of(&self, plan: &str, fence: u64) -> RunFolder {
        let plan: String = plan.chars().take(PLAN_CHARS_MAX).collect();
        RunFolder { path: self.root.join(format!("{plan}-{fence}")) }
    }

    /// Removes those of which the journal no longer needs anything.
    pub fn keep(&self, needed: impl IntoIterator<Item = RunFolder>) {
        let needed: BTreeSet<PathBuf> = needed.into_iter().map(|folder| folder.path).collect();
        let Ok(entries) = fs::read_dir(&self.root) else { return };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if !needed.contains(&path) {
                RunFolder { path }.remove();
            }
        }
    }
}

impl RunFolder {
    /// Makes the folder anew, and the file for the output: whoever has it open writes at its end.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(&self) -> io::Result<File> {
        // One of an older bus, whose sequences began at 1 as well.
        self.remove();
        fs::create_dir_all(&self.path)?;
        OpenOptions::new().create_new(true).append(true).open(self.output())
    }

    /// The file the script writes to.
    pub fn output(&self) -> PathBuf {
        self.path.join("output")
    }

    /// The file that says how it ended.
    pub fn end_file(&self) -> PathBuf {
        self.path.join("end")
    }

    /// How it ended; none while it runs, and where it died with whoever was to write it down.
    pub fn end(&self) -> Option<End> {
        let text = fs::read_to_string(self.end_file()).ok()?;
        match text.trim_end().split_once(' ')? {
            ("exited", code) => Some(End::Exited(code.parse().ok()?)),
            ("refused", _) => Some(End::Refused),
            _ => None,
        }
    }

    /// Removes it. What the script left in the background may still have the output open, so its room is freed
    /// first.
    pub fn remove(&self) {
        let _ = File::create(self.output());
        if let Err(error) = fs::remove_dir_all(&self.path)
            && self.path.exists()
        {
            tracing::warn!(%error, path = %self.path.display(), "cannot remove the folder of a run");
        }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_read_or_there_is_none() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolders::below(root.path().join("runs")).of("PLAN", 7);
        folder.create().unwrap();
        assert_eq!(folder.end(), None);
        for (text, end) in [
            ("exited 0\n", Some(End::Exited(0))),
            ("exited 139\n", Some(End::Exited(139))),
            ("refused 127\n", Some(End::Refused)),
            ("", None),
            ("exited", None),
            ("exited x\n", None),
            ("vanished 1\n", None),
        ] {
            fs::write(folder.end_file(), text).unwrap();
            assert_eq!(folder.end(), end, "{text:?}");
        }
    }

    #[test]
    fn only_what_is_needed_is_kept() {
        let root = tempfile::tempdir().unwrap();
        let folders = RunFolders::below(root.path().join("runs"));
        folders.keep([]);
        let runs = [folders.of("A", 1), folders.of("A", 2), folders.of(&"B".repeat(255), 3)];
        for run in &runs {
            run.create().unwrap();
        }
        folders.keep([runs[2].clone()]);
        assert_eq!(runs.map(|run| run.path().exists()), [false, false, true]);
    }
}
