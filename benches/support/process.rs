//! Processes as `/proc` shows them: CPU time and memory of ourselves, of the server, of `ops`.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// The kernel's unit of CPU time in `/proc`; fixed on Linux for all architectures Rust's standard library runs on.
const TICKS_PER_SECOND: u64 = 100;

/// CPU time of a process so far, all threads, user and system.
pub fn cpu(pid: u32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The second field is the name in parentheses and may hold anything.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(12) + ticks(13)) * 1000 / TICKS_PER_SECOND)
}

/// CPU time of this process so far, to the nanosecond.
pub fn own_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Resident memory of a process in MiB.
pub fn resident_mib(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().unwrap_or(f64::NAN);
    kib / 1024.0
}

/// The nats-server whose command line names `folder`.
pub fn server_of(folder: &Path) -> Option<u32> {
    let folder = folder.canonicalize().ok()?;
    let folder = folder.to_string_lossy().into_owned();
    fs::read_dir("/proc").ok()?.filter_map(Result::ok).find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        let server = words.first()?.ends_with("nats-server");
        (server && words.iter().any(|word| word.starts_with(&folder))).then_some(pid)
    })
}
