//! Places at which a process can be told to die, for the tests that kill it there.
//!
//! `OPS_FAILPOINT=<name>` ends the process when it first comes to that place, `<name>:<n>` when it comes there for the
//! n-th time; at once and without unwinding, as `kill -9` would. Whoever acts on the world stands on the bus, so the
//! places of all crates are listed here. A release build knows neither the variable nor the places.

macro_rules! places {
    ($($(#[$about:meta])+ $place:ident = $name:literal,)+) => {
        /// A place.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Failpoint { $($(#[$about])+ $place,)+ }

        impl Failpoint {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$place,)+];

            /// What the variable calls it; begins with the part of the product it lies in.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$place => $name,)+ }
            }
        }
    };
}

places! {
    /// The log is taken, and nothing recovered.
    EngineTaken = "engine-taken",
    /// The log is recovered, and nothing read.
    EngineRecovered = "engine-recovered",
    /// Before the first output of a step.
    EngineBeforeOutputs = "engine-before-outputs",
    /// Behind an output that goes alone, before the next.
    EngineBetweenOutputs = "engine-between-outputs",
    /// All outputs of a step are out, and the position is not.
    EngineBeforePosition = "engine-before-position",
    /// The position is out, and the engine does not know.
    EngineAfterPosition = "engine-after-position",
    /// All pieces of a snapshot are stored, and no record names it.
    EngineSnapshotUnnamed = "engine-snapshot-unnamed",
    /// Something was relayed, and the relay does not know.
    EngineRelayed = "engine-relayed",
    /// A command was read.
    AgentBeforeClaim = "agent-before-claim",
    /// The claim is in the ledger.
    AgentClaimed = "agent-claimed",
    /// The ledger says started, and the journal does not.
    AgentStarted = "agent-started",
    /// Ledger and journal say started.
    AgentBeforeSpawn = "agent-before-spawn",
    /// The script runs, and the journal does not know its process.
    AgentSpawned = "agent-spawned",
    /// The script runs, and the journal knows.
    AgentFollowing = "agent-following",
    /// The script has ended, and the journal does not know.
    AgentExited = "agent-exited",
    /// The end is in the journal.
    AgentBeforeReport = "agent-before-report",
    /// The end is in journal and ledger.
    AgentConcluded = "agent-concluded",
    /// The outcome is told, and the command not acknowledged.
    AgentReported = "agent-reported",
    /// Before a receiver is told.
    NotifierBeforeDelivery = "notifier-before-delivery",
    /// The receiver was told, and the bus does not know.
    NotifierDelivered = "notifier-delivered",
    /// The delivery is on the bus, and the intent not acknowledged.
    NotifierBeforeAck = "notifier-before-ack",
    /// A batch was put together.
    CollectorBeforeStore = "collector-before-store",
    /// The batch is stored, and nobody was answered.
    CollectorStored = "collector-stored",
}

/// Dies here if that was asked for.
#[inline]
pub fn reach(place: Failpoint) {
    #[cfg(debug_assertions)]
    armed::reach(place);
    #[cfg(not(debug_assertions))]
    let _ = place;
}

#[cfg(debug_assertions)]
mod armed {
    use super::Failpoint;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    const VARIABLE: &str = "OPS_FAILPOINT";

    /// Where to die, and how often to pass there before.
    pub(super) struct Armed {
        pub place: Failpoint,
        pub left: AtomicU64,
    }

    pub(super) fn reach(place: Failpoint) {
        static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
        let Some(armed) = ARMED.get_or_init(from_environment) else { return };
        if armed.place == place && armed.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            tracing::warn!(place = place.name(), "{VARIABLE} ends this process");
            std::process::abort();
        }
    }

    fn from_environment() -> Option<Armed> {
        let text = std::env::var(VARIABLE).ok()?;
        let armed = read(&text);
        if armed.is_none() {
            let names: Vec<&str> = Failpoint::ALL.iter().map(|place| place.name()).collect();
            let names = names.join(", ");
            tracing::error!(
                "{VARIABLE}={text}: not a place; write <name> or <name>:<n>, <name> one of {names}"
            );
        }
        armed
    }

    pub(super) fn read(text: &str) -> Option<Armed> {
        let (name, times) = text.split_once(':').unwrap_or((text, "1"));
        let place = Failpoint::ALL.iter().copied().find(|place| place.name() == name)?;
        let times = times.parse().ok().filter(|times| *times > 0)?;
        Some(Armed { place, left: AtomicU64::new(times) })
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::Failpoint;
    use super::armed::read;

    #[test]
    fn a_place_is_named_with_or_without_a_count() {
        let read = |text| read(text).map(|armed| (armed.place, armed.left.into_inner()));
        assert_eq!(read("agent-claimed"), Some((Failpoint::AgentClaimed, 1)));
        assert_eq!(read("agent-claimed:3"), Some((Failpoint::AgentClaimed, 3)));
        for wrong in ["", "agent", "agent-claimed:", "agent-claimed:0", "agent-claimed:x"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
