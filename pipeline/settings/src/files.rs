//! Finds and reads files. Paths are shown relative to the folder they were loaded from.

use crate::problem::{Kind, Place, Report};
use crate::yaml::{self, FILE_BYTES_MAX, Node};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

/// Folders in folders: more than this is a loop of links.
const DEPTH_MAX: usize = 8;
/// Files in all: far more than anybody keeps, few enough to read within seconds.
const FILES_MAX: usize = 10_000;

/// Where everything people edit is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Relative paths in the files are relative to this, and paths are shown relative to it.
    pub root: PathBuf,
    /// Rules: every `*.yml` below it, except `*.test.yml` and names beginning with `_` or `.`.
    pub alerts: PathBuf,
    /// Plans: a folder each.
    pub plans: PathBuf,
    /// `ops.yml`, `roster.yml`, `receivers.yml`.
    pub config: PathBuf,
}

impl Layout {
    /// `alerts/`, `deploy/plans/` and `config/` below `root`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self {
            alerts: root.join("alerts"),
            plans: root.join("deploy/plans"),
            config: root.join("config"),
            root,
        }
    }

    /// The path as it is shown.
    pub(crate) fn place(&self, path: &Path) -> Place {
        let shown = path.strip_prefix(&self.root).unwrap_or(path);
        Place::file(shown.to_string_lossy().as_ref())
    }
}

/// Reads and parses one file; `None` if it is not there or cannot be read, the latter with a note.
pub(crate) fn read(layout: &Layout, path: &Path, report: &Report) -> Option<Node> {
    let place = layout.place(path);
    let mut bytes = Vec::new();
    let read = std::fs::metadata(path).and_then(|found| {
        // Opening a pipe would wait for somebody to write into it.
        if !found.is_file() {
            return Err(std::io::Error::other("not a regular file"));
        }
        // One byte more than allowed is enough to know that it is too much.
        std::fs::File::open(path)?.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)
    });
    match read {
        Ok(_) => yaml::parse(&place, &bytes, report),
        Err(fault) if fault.kind() == ErrorKind::NotFound => None,
        Err(fault) => {
            let message = format!("cannot be read ({fault})");
            report.error(&place, Kind::Unreadable, message, "make it a file this user may read");
            None
        }
    }
}

/// All rule files below `layout.alerts`, and the defaults of the folders, sorted by path.
pub(crate) fn rule_files(layout: &Layout, report: &Report) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(layout, (&layout.alerts, DEPTH_MAX), Wanted::Rules, report, &mut found);
    found.sort();
    if found.len() > FILES_MAX {
        let message = format!("more than {FILES_MAX} rule files");
        let remedy = "put several rules into a file, below rules:";
        report.error(&layout.place(&layout.alerts), Kind::TooLarge, message, remedy);
        found.truncate(FILES_MAX);
    }
    found
}

/// The tests of rules among `paths` and in the folders among them, sorted.
pub(crate) fn test_files(layout: &Layout, paths: &[PathBuf], report: &Report) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            collect(layout, (path, DEPTH_MAX), Wanted::Tests, report, &mut found);
        } else if path.exists() {
            found.push(path.clone());
        } else {
            let remedy = "name a file or a folder of them";
            report.error(&layout.place(path), Kind::Unreadable, "is not there", remedy);
        }
    }
    found.sort();
    found.dedup();
    found
}

/// Which files of a folder are meant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Rules,
    Tests,
}

fn collect(
    layout: &Layout,
    (folder, depth): (&Path, usize),
    wanted: Wanted,
    report: &Report,
    found: &mut Vec<PathBuf>,
) {
    if depth == 0 || found.len() > FILES_MAX {
        let message = format!("folders nested deeper than {DEPTH_MAX}, or too many files");
        report.error(&layout.place(folder), Kind::TooComplex, message, "look for a loop of links");
        return;
    }
    for path in entries(layout, folder, report) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if wanted == Wanted::Rules && name.starts_with("_default") {
            if name == crate::defaults::FILE {
                found.push(path);
            } else {
                let message = "files beginning with _ are not read, but for _defaults.yml";
                let remedy = "rename it to _defaults.yml";
                report.warning(&layout.place(&path), Kind::NotRead, message, remedy);
            }
            continue;
        }
        if name.starts_with(['_', '.']) {
            continue;
        }
        if path.is_dir() {
            if !leads_back(layout, &path, report) {
                collect(layout, (&path, depth - 1), wanted, report, found);
            }
        } else if name.ends_with(".yaml") && wanted == Wanted::Rules {
            let message = "files ending in .yaml are not read";
            report.warning(&layout.place(&path), Kind::NotRead, message, "rename it to .yml");
        } else if name.ends_with(".yml") && name.ends_with(".test.yml") == (wanted == Wanted::Tests)
        {
            found.push(path);
        }
    }
}

/// Whether a folder is a link to one that it lies in; the rules below it would be read again and again.
fn leads_back(layout: &Layout, folder: &Path, report: &Report) -> bool {
    let (Ok(real), Some(Ok(above))) =
        (folder.canonicalize(), folder.parent().map(Path::canonicalize))
    else {
        return false;
    };
    if !folder.is_symlink() || !above.starts_with(&real) {
        return false;
    }
    let message = "this link leads back to a folder it lies in";
    report.error(&layout.place(folder), Kind::Cyclic, message, "remove the link");
    true
}

/// The folders of all plans, sorted, with their names as they stand.
pub(crate) fn plan_folders(layout: &Layout, report: &Report) -> Vec<(String, PathBuf)> {
    let mut folders: Vec<(String, PathBuf)> = entries(layout, &layout.plans, report)
        .into_iter()
        .filter(|path| path.is_dir())
        .map(|path| (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), path))
        .filter(|(name, _)| !name.starts_with(['_', '.']))
        .collect();
    folders.sort();
    folders
}

/// What is in a folder; nothing if it is not there.
fn entries(layout: &Layout, folder: &Path, report: &Report) -> Vec<PathBuf> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
        Err(fault) if fault.kind() == ErrorKind::NotFound => Vec::new(),
        Err(fault) => {
            let message = format!("cannot be read ({fault})");
            let remedy = "make it a folder this user may read";
            report.error(&layout.place(folder), Kind::Unreadable, message, remedy);
            Vec::new()
        }
    }
}
