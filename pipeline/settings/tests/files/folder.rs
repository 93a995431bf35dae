//! A folder of settings files that starts out good, for tests to spoil.

use settings::{Kind, Layout, Loaded, Problems, load_with};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

pub struct Folder {
    dir: tempfile::TempDir,
}

/// A rule with everything it needs, without warnings.
pub const GOOD_RULE: &str = "metric: county_api_ms\nthreshold: 1000\nwindow: 3m\n\
    notify: oncall@opm.gov\nrunbook: https://example.org/fix\n";

impl Folder {
    pub fn new() -> Self {
        let folder = Self { dir: tempfile::tempdir().expect("a folder") };
        folder
            .with("alerts/good.yml", GOOD_RULE)
            .with("config/ops.yml", "workers: 2\n")
            .with("config/roster.yml", "people:\n  oncall@opm.gov: {name: On-call}\n")
            .with(
                "config/receivers.yml",
                "fallback: pager_duty\nreceivers:\n  pager_duty:\n    channels:\n      \
                 - {kind: pager_duty, key_env: KEY}\n",
            )
            .with("deploy/plans/UNDO/plan.yml", "script: undo.sh\nverify: {settle: 1s}\n")
            .with("deploy/plans/UNDO/undo.sh", "#!/bin/sh\n")
            .mode("deploy/plans/UNDO/undo.sh", 0o755)
    }

    pub fn with(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.dir.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        std::fs::write(path, content).expect("writes");
        self
    }

    pub fn mode(self, path: &str, mode: u32) -> Self {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(self.path().join(path), permissions).expect("sets mode");
        self
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn load(&self) -> Result<Loaded, Problems> {
        self.load_in(&[])
    }

    pub fn load_in(&self, environment: &[(&str, &str)]) -> Result<Loaded, Problems> {
        load_with(&Layout::at(self.path()), |name| {
            environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    /// Loads what must be refused: place and kind of every problem, errors and warnings.
    pub fn refused(&self) -> Vec<(String, Kind)> {
        self.refused_in(&[])
    }

    pub fn refused_in(&self, environment: &[(&str, &str)]) -> Vec<(String, Kind)> {
        let problems = self.load_in(environment).expect_err("must be refused");
        for problem in problems.iter() {
            assert!(!problem.message.is_empty() && !problem.remedy.is_empty(), "{problem:?}");
            let line = problem.to_string();
            assert!(!line.contains('\n') && line.len() < 600, "one line each: {line}");
        }
        assert!(problems.errors() > 0);
        problems.iter().map(|problem| (problem.place.to_string(), problem.kind)).collect()
    }

    /// The one remedy for what must be refused for one reason.
    pub fn remedy(&self) -> String {
        let problems = self.load().expect_err("must be refused");
        assert_eq!(problems.len(), 1, "{problems}");
        problems.iter().next().map(|problem| problem.remedy.clone()).unwrap_or_default()
    }
}
