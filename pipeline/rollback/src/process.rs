//! A process that is found again: by its number, and by when it was started, because numbers come round.

use nix::unistd::{SysconfVar, sysconf};
use serde::{Deserialize, Serialize};
use std::fs;
use std::time::Duration;

/// Clock ticks a second in `/proc`, where the system does not say: every Linux has this many.
const TICKS_PER_SECOND: u64 = 100;

/// A process that leads a group of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number, which is its group's.
    pub group: i32,
    /// What no later process of that number has; none where the system does not tell.
    #[serde(default)]
    pub birth: Option<Birth>,
}

/// When a process was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Birth {
    /// Ticks since the machine was started.
    pub ticks: u64,
    /// Which start of the machine that was.
    pub boot: String,
}

impl Process {
    /// The process of this number as it is now.
    pub fn of(group: i32) -> Self {
        let birth = stat(group).and_then(|stat| Some(Birth { ticks: stat.ticks, boot: boot()? }));
        Self { group, birth }
    }

    /// Whether it still runs; false where that cannot be known.
    pub fn runs(&self) -> bool {
        let Some(birth) = &self.birth else { return false };
        let same = stat(self.group).is_some_and(|stat| stat.ticks == birth.ticks && !stat.dead);
        same && boot().as_ref() == Some(&birth.boot)
    }

    /// How long ago it was started.
    pub fn age(&self) -> Duration {
        let now = fs::read_to_string("/proc/uptime").ok();
        let now = now.and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
        let ticks = self.birth.as_ref().map_or(0, |birth| birth.ticks);
        let started = ticks as f64 / ticks_per_second() as f64;
        Duration::try_from_secs_f64(now.unwrap_or_default() - started).unwrap_or_default()
    }
}

struct Stat {
    ticks: u64,
    /// It has ended, and nobody has asked how.
    dead: bool,
}

/// `pid (name) state ...`, see proc(5): the 22nd field is the start. A name may hold spaces and brackets.
fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    let dead = matches!(fields.next()?, "Z" | "X");
    Some(Stat { ticks: fields.nth(18)?.parse().ok()?, dead })
}

fn boot() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

fn ticks_per_second() -> u64 {
    let said = sysconf(SysconfVar::CLK_TCK).ok().flatten();
    said.and_then(|ticks| u64::try_from(ticks).ok()).unwrap_or(TICKS_PER_SECOND).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_itself_and_no_other() {
        let me = Process::of(i32::try_from(std::process::id()).unwrap());
        assert!(me.runs());
        assert!(me.age() < Duration::from_secs(3600), "{:?}", me.age());
        let birth = me.birth.clone().unwrap();
        for other in [
            Birth { ticks: birth.ticks - 1, ..birth.clone() },
            Birth { boot: "another".to_owned(), ..birth },
        ] {
            assert!(!Process { birth: Some(other), ..me }.runs());
        }
        assert!(!Process { birth: None, ..me }.runs());
    }

    #[test]
    fn one_that_has_ended_does_not_run() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let process = Process::of(i32::try_from(child.id()).unwrap());
        // Nobody has waited for it: it is a zombie at most.
        while process.runs() {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(!process.runs());
    }
}
