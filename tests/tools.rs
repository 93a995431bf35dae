//! The scripts behind `make`, on machines that lack something.

#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

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

/// A machine with Debian's bare python3: no pip, no venv, until apt-get has brought them.
struct Machine(tempfile::TempDir);

/// Knows what apt-get installed here; fetches and makes nothing.
const PYTHON: &str = r#"#!/bin/sh
here=${0%/*}/..
case "$*" in
*"import pip"*) test -e "$here/python3-pip" ;;
*"import venv"*) test -e "$here/python3-venv" ;;
*"-m pip download"*) echo "no route to the index" >&2; exit 1 ;;
*) exit 3 ;;
esac
"#;

impl Machine {
    /// One whose user is `uid`, with a nats-server of this version.
    fn new(uid: u32, nats: &str) -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        let apt = "#!/bin/sh\nfor last; do :; done\ncase $1 in install) : > \"${0%/*}/../$last\" ;; esac\n";
        for (name, text) in [
            ("bin/python3", PYTHON),
            ("bin/apt-get", apt),
            ("bin/id", &format!("#!/bin/sh\necho {uid}\n")),
            ("bin/nats-server", &format!("#!/bin/sh\necho nats-server: v{nats}\n")),
            (
                "deploy/tools/setup",
                &std::fs::read_to_string(root().join("deploy/tools/setup")).unwrap(),
            ),
        ] {
            let path = machine.0.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        machine
    }

    fn has(&self, package: &str) -> bool {
        self.0.path().join(package).exists()
    }

    /// Sets up what the `lab` or the `test` needs; the last word.
    fn set_up(&self, what: &str) -> String {
        let path = format!("{}:/usr/bin:/bin", self.0.path().join("bin").display());
        let mut command = Command::new(self.0.path().join("deploy/tools/setup"));
        let Output { status, stderr, .. } = command.arg(what).env("PATH", path).output().unwrap();
        let said = String::from_utf8(stderr).unwrap();
        assert!(!status.success(), "{said}");
        said.lines().last().unwrap().to_owned()
    }
}

#[test]
fn a_missing_pip_is_installed_by_root_and_else_named() {
    let person = Machine::new(1000, "2.0.0");
    let said = person.set_up("lab");
    assert_eq!(said, "setup: pip of python3 is missing: sudo apt-get install python3-pip");
    assert!(!person.has("python3-pip"));
    let owner = Machine::new(0, "2.0.0");
    let said = owner.set_up("lab");
    assert!(owner.has("python3-pip"), "{said}");
    assert!(said.contains("cannot be fetched, pip says why"), "the next fault is another: {said}");
}

#[test]
fn a_missing_venv_is_installed_by_root_and_else_named() {
    let person = Machine::new(1000, "9.0.0");
    let said = person.set_up("test");
    assert_eq!(said, "setup: venv of python3 is missing: sudo apt-get install python3-venv");
    assert!(!person.has("python3-venv"));
    let owner = Machine::new(0, "9.0.0");
    owner.set_up("test");
    assert!(owner.has("python3-venv"));
}
