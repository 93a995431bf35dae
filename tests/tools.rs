//! The scripts behind `make`.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_lab_begins_empty_and_a_running_one_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let lab = folder.path().join("lab");
    let empty = || {
        let mut command = Command::new("deploy/tools/empty_lab");
        command.arg(&lab).current_dir(root()).output().unwrap()
    };
    assert!(empty().status.success(), "nothing there yet");
    std::fs::create_dir_all(lab.join("nats")).unwrap();
    let lock = std::fs::File::create(lab.join("nats/lock")).unwrap();
    lock.lock().unwrap();
    let refused = empty();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("runs on"));
    assert!(lab.exists());
    drop(lock);
    assert!(empty().status.success());
    assert!(!lab.exists());
}
