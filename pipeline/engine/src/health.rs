//! How the engine is: one snapshot of plain numbers, for `/readyz` and `/metrics`.

use bus::{BusError, StreamState};
use stages::log::LogId;
use stages::output::Counters;
use stages::stop::Stop;
use stages::time::Time;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;

/// Upper bounds in seconds of the buckets of a [`Timing`]; the last bucket is everything above.
pub const TIMING_BOUNDS: [f64; 10] =
    [0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5];

/// How long something took, as a histogram.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timing {
    /// How often it happened.
    pub count: u64,
    /// Total seconds.
    pub seconds: f64,
    /// Per bucket of [`TIMING_BOUNDS`] and above, not cumulated.
    pub buckets: [u64; TIMING_BOUNDS.len() + 1],
}

impl Timing {
    pub(crate) fn record(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        self.count += 1;
        self.seconds += seconds;
        self.buckets[TIMING_BOUNDS.partition_point(|bound| *bound < seconds)] += 1;
    }
}

/// How one log is.
#[derive(Clone, Debug, PartialEq)]
pub struct LogHealth {
    /// Which.
    pub log: LogId,
    /// This process owns it.
    pub owned: bool,
    /// Fence of this tenure.
    pub fence: u64,
    /// Who owns it, or why nobody does, where it is not this process.
    pub elsewhere: Option<String>,
    /// Works through what was committed already; says nothing yet.
    pub replaying: bool,
    /// Last entry whose outputs are out.
    pub position: u64,
    /// Log time there.
    pub time: Time,
    /// Last entry read.
    pub read: u64,
    /// Entries on the bus that are not worked off yet.
    pub lag_entries: u64,
    /// How far log time is behind, in seconds; 0 without a lag in entries.
    pub lag_seconds: f64,
    /// From feeding a step until it was worked off.
    pub steps: Timing,
    /// From asking for a snapshot until it was taken, packing and storing apart: so long the next step waits.
    pub pauses: Timing,
    /// Commits, retries included.
    pub commits: Timing,
    /// Messages committed.
    pub committed: u64,
    /// Sums of the stages; series and alerts are those known now.
    pub counters: Counters,
    /// Holes of missing entries seen.
    pub data_gaps: u64,
    /// Snapshots stored.
    pub snapshots: u64,
    /// Ticks sent.
    pub ticks: u64,
    /// The log stands still. Where and why.
    pub stopped: Option<Stop>,
}

impl LogHealth {
    fn new(log: LogId) -> Self {
        Self {
            log,
            owned: false,
            fence: 0,
            elsewhere: None,
            replaying: false,
            position: 0,
            time: Time(0),
            read: 0,
            lag_entries: 0,
            lag_seconds: 0.0,
            steps: Timing::default(),
            pauses: Timing::default(),
            commits: Timing::default(),
            committed: 0,
            counters: Counters::default(),
            data_gaps: 0,
            snapshots: 0,
            ticks: 0,
            stopped: None,
        }
    }

    pub(crate) fn count(&mut self, counters: Counters) {
        let sums = &mut self.counters;
        sums.samples += counters.samples;
        sums.late += counters.late;
        sums.clamped += counters.clamped;
        sums.repeated += counters.repeated;
        sums.evaluations += counters.evaluations;
        for (reason, count) in counters.refused {
            *sums.refused.entry(reason).or_default() += count;
        }
        (sums.series, sums.alerts) = (counters.series, counters.alerts);
    }
}

/// How the engine is.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// Name of the process.
    pub process: String,
    /// The bus answers.
    pub connected: bool,
    /// Every log of the bus, shards first.
    pub logs: Vec<LogHealth>,
    /// Bytes the stream of the shards' logs holds, and may hold (0: no limit).
    pub log_bytes: (u64, u64),
    /// Messages relayed between logs.
    pub relayed: u64,
    /// Rollups and dead letters given up because the bus did not take them.
    pub dropped: u64,
    /// The newest thing that went wrong, for people.
    pub trouble: Option<String>,
}

impl Health {
    /// Why this engine is not ready: not connected, a log without owner or standing still, or further behind than `lag_max`.
    pub fn not_ready(&self, lag_max: Duration) -> Option<String> {
        if !self.connected {
            return Some("the bus does not answer".to_owned());
        }
        self.logs.iter().find_map(|log| {
            let name = log.log;
            if let Some(stop) = &log.stopped {
                return Some(why_stopped(name, stop));
            }
            if !log.owned {
                let why = log.elsewhere.as_deref()?;
                return (!why.starts_with(ELSEWHERE)).then(|| format!("log {name}: {why}"));
            }
            if log.replaying {
                return Some(format!("log {name} is being recovered"));
            }
            (log.lag_seconds > lag_max.as_secs_f64())
                .then(|| format!("log {name} is {:.1} s behind", log.lag_seconds))
        })
    }
}

/// Why a log stands still, and what lets it go on.
pub fn why_stopped(log: LogId, stop: &Stop) -> String {
    let (place, why) = (stop.place(), &stop.why);
    let remedy = stop.entries.map_or_else(String::new, |(_, last)| {
        format!("; a version without that fault goes on by itself, `ops shard skip {log} --sequence {last}` without what it stands before")
    });
    format!("log {log} {place}: {why}{remedy}")
}

/// How [`LogHealth::elsewhere`] begins where another process owns the log in good order.
pub(crate) const ELSEWHERE: &str = "owned by ";

/// Where the parts of the engine write their numbers down.
#[derive(Debug)]
pub(crate) struct Register {
    inner: Mutex<Inner>,
    /// Rises with every change somebody may wait for.
    changed: watch::Sender<u64>,
}

#[derive(Debug)]
struct Inner {
    logs: BTreeMap<LogId, LogHealth>,
    /// Last sequence on the bus, and last sequence read, of a stream by [`LogId`]'s class.
    ends: BTreeMap<bool, (u64, u64)>,
    /// When those streams were created.
    created: BTreeMap<bool, Time>,
    /// Bytes the shards' stream holds, and may hold.
    log_bytes: (u64, u64),
    relayed: u64,
    dropped: u64,
    trouble: Option<String>,
}

impl Register {
    pub fn new(logs: impl Iterator<Item = LogId>) -> Self {
        let logs = logs
            .map(|log| {
                let waiting = Some("not taken yet".to_owned());
                (log, LogHealth { elsewhere: waiting, ..LogHealth::new(log) })
            })
            .collect();
        let (ends, created) = (BTreeMap::new(), BTreeMap::new());
        let (log_bytes, trouble) = ((0, 0), None);
        let inner = Inner { logs, ends, created, log_bytes, relayed: 0, dropped: 0, trouble };
        Self { inner: Mutex::new(inner), changed: watch::Sender::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Plain numbers: a panic elsewhere leaves nothing half-written that matters.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a log's numbers.
    pub fn log(&self, log: LogId, change: impl FnOnce(&mut LogHealth)) {
        if let Some(health) = self.lock().logs.get_mut(&log) {
            change(health);
        }
        self.changed.send_modify(|count| *count += 1);
    }

    /// Whether a log can be handed over: it is recovered, and does not stand still.
    pub fn is_well(&self, log: LogId) -> bool {
        let inner = self.lock();
        inner.logs.get(&log).is_some_and(|log| !log.replaying && log.stopped.is_none())
    }

    /// How far the feeder of a stream has read: of the desk's stream, or of the shards'.
    pub fn read(&self, desk: bool, sequence: u64) {
        let mut inner = self.lock();
        let end = inner.ends.entry(desk).or_default();
        end.1 = end.1.max(sequence);
    }

    /// Where a stream ends on the bus. One that was created anew is not the log that was read: nothing of it is.
    pub fn end(&self, desk: bool, state: &StreamState) {
        let mut inner = self.lock();
        inner.ends.entry(desk).or_default().0 = state.last;
        if !desk {
            inner.log_bytes = state.bytes;
        }
        if *inner.created.entry(desk).or_insert(state.created) == state.created {
            return;
        }
        drop(inner);
        self.stop_all(desk, "its stream was created anew; `ops restore` a backup, or stop everything and see what `ops recover` would give up");
    }

    /// A stream is not there any more.
    pub fn gone(&self, desk: bool, error: &BusError) {
        self.stop_all(desk, &format!("{error}; stop everything, `ops restore` a backup, or start again and see what `ops recover` would give up"));
    }

    fn stop_all(&self, desk: bool, why: &str) {
        let mut inner = self.lock();
        for (_, health) in inner.logs.iter_mut().filter(|(log, _)| (**log == LogId::Desk) == desk) {
            if health.stopped.is_none() {
                tracing::error!(log = %health.log, "cannot go on: {why}");
                health.stopped = Some(Stop { entries: None, why: why.to_owned() });
            }
        }
        drop(inner);
        self.changed.send_modify(|count| *count += 1);
    }

    /// Fence, log time and position of a log that is ours.
    pub fn tenure(&self, log: LogId) -> Option<(u64, (Time, u64))> {
        let inner = self.lock();
        let health = inner.logs.get(&log).filter(|health| health.owned)?;
        Some((health.fence, (health.time, health.position)))
    }

    /// Logs that stand still.
    pub fn stopped(&self) -> Vec<LogId> {
        let inner = self.lock();
        inner.logs.values().filter(|log| log.stopped.is_some()).map(|log| log.log).collect()
    }

    /// Entries of a log are gone from its stream.
    pub fn lost(&self, log: LogId, first: u64, last: u64) {
        self.log(log, |health| health.data_gaps += 1);
        self.trouble(format!("log {log}: entries {first} to {last} are gone from the stream"));
    }

    pub fn relayed(&self, count: usize) {
        self.lock().relayed += count as u64;
    }

    pub fn dropped(&self, count: usize) {
        self.lock().dropped += count as u64;
    }

    /// Says what went wrong, in the product's log and in the snapshot.
    pub fn trouble(&self, text: String) {
        tracing::warn!("{text}");
        self.lock().trouble = Some(text);
    }

    /// A receiver that hears of every change.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub fn snapshot(&self, process: &str, connected: bool) -> Health {
        let inner = self.lock();
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let wall = Time(i64::try_from(wall.as_nanos()).unwrap_or(i64::MAX));
        let logs = inner.logs.values().map(|log| {
            let (end, read) =
                inner.ends.get(&(log.log == LogId::Desk)).copied().unwrap_or_default();
            let mut log = log.clone();
            if log.owned {
                let unread = end.saturating_sub(read.max(log.read));
                log.lag_entries = unread.max(log.read.saturating_sub(log.position));
                if log.lag_entries > 0 {
                    log.lag_seconds = wall.since(log.time).as_secs_f64();
                }
            }
            log
        });
        Health {
            process: process.to_owned(),
            connected,
            logs: logs.collect(),
            log_bytes: inner.log_bytes,
            relayed: inner.relayed,
            dropped: inner.dropped,
            trouble: inner.trouble.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timing_lands_in_the_bucket_that_holds_it() {
        let mut timing = Timing::default();
        timing.record(Duration::from_millis(1));
        timing.record(Duration::from_secs(9));
        assert_eq!((timing.count, timing.buckets[2], timing.buckets[10]), (2, 1, 1));
    }

    #[test]
    fn an_engine_whose_stream_was_created_anew_is_not_ready() {
        let register = Register::new([LogId::Shard(0), LogId::Desk].into_iter());
        register.log(LogId::Shard(0), |log| log.owned = true);
        register.log(LogId::Desk, |log| log.owned = true);
        let not_ready = || register.snapshot("a", true).not_ready(Duration::from_secs(5));
        let end = |desk, last, created| {
            let (first, bytes) = (1, (0, 0));
            register.end(desk, &StreamState { first, last, created: Time(created), bytes });
        };
        end(false, 9, 1);
        end(true, 9, 1);
        register.log(LogId::Shard(0), |log| (log.read, log.position) = (9, 9));
        register.log(LogId::Desk, |log| (log.read, log.position) = (9, 9));
        assert_eq!(not_ready(), None);
        end(false, 2, 2);
        assert!(not_ready().unwrap().starts_with("log 0 cannot be taken up: its stream"));
    }

    #[test]
    fn an_engine_without_its_logs_is_not_ready() {
        let register = Register::new([LogId::Shard(0), LogId::Desk].into_iter());
        let not_ready =
            |connected| register.snapshot("a", connected).not_ready(Duration::from_secs(5));
        assert_eq!(not_ready(false).unwrap(), "the bus does not answer");
        assert_eq!(not_ready(true).unwrap(), "log 0: not taken yet");
        register.log(LogId::Shard(0), |log| log.owned = true);
        register.log(LogId::Desk, |log| log.elsewhere = Some(format!("{ELSEWHERE}b")));
        assert_eq!(not_ready(true), None);
        register.log(LogId::Shard(0), |log| log.read = 5);
        assert!(not_ready(true).unwrap().contains("behind"));
    }
}
