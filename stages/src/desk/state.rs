//! All the desk remembers, and its snapshot: versioned JSON, compressed, in chunks that fit a message each.
//!
//! JSON because it is checked by eye and by `jq` when something is doubted; every map is ordered and every
//! number exact, so what is restored goes on byte for byte.

use crate::desk::act::Plans;
use crate::desk::apart::Apart;
use crate::desk::budget::Budgets;
use crate::desk::incident::Incident;
use crate::desk::intake::Memory;
use crate::desk::notices::Outage;
use crate::desk::silence::Silences;
use crate::desk::standing::Standing;
use crate::error::StageError;
use crate::series::Labels;
use crate::settings::{Rule, Settings};
use crate::time::Time;
use crate::wire::{Axis, Change, DataFlag, Evidence, Freeze};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Version of the state below; raised whenever an older snapshot could not be read as what it meant.
const VERSION: u32 = 3;
/// Bytes of one chunk: half of the bus's usual 1 MiB, so that headers and any smaller limit fit too.
const CHUNK: usize = 512 * 1024;

/// What the desk will do by itself at a moment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Chore {
    /// An incident's rollback has a deadline.
    Rollback(String),
    /// The hours of an incident's rule begin.
    HoursBegin(String),
    /// A silence begins to end; whoever was withheld is told.
    SilenceEnds(String),
    /// An incident is still open.
    Remind(String),
    /// A receiver's digest goes.
    Digest(String),
    /// An incident has been over for long enough.
    Forget(String),
    /// Digests of a receiver have stood for long enough.
    DigestEnds(String),
    /// A message that stands by itself has, by its key.
    StandingEnds(String),
    /// A shard has been silent for long.
    ShardSilent(u32),
}

/// An alert as the desk knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Rule.
    pub rule: String,
    /// Group of labels.
    pub group: Labels,
    /// Where it is on its axis.
    pub axis: Axis,
    /// Whether there is data.
    pub data: DataFlag,
    /// Whether it flaps.
    pub flapping: bool,
    /// Log time of the shard when it last spoke.
    pub time: Time,
    /// What was seen then.
    pub evidence: Evidence,
    /// Its newest incident.
    pub incident: Option<String>,
}

/// A change of a target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Changed {
    /// When the bus stored it.
    pub time: Time,
    /// What was said.
    pub change: Change,
}

/// All the desk remembers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    version: u32,
    /// Log time.
    pub now: Time,
    /// Last entry read; 0 before the first.
    pub position: u64,
    /// The revision in force.
    pub settings: Arc<Settings>,
    /// Rules that are gone from it while their incidents are not.
    pub removed: BTreeMap<String, Arc<Rule>>,
    /// Names already complained about under this revision.
    pub complained: BTreeSet<String>,
    /// What reading entries takes from those before them.
    pub memory: Memory,
    /// Alerts that are not plainly Ok, by [`crate::series::series_key`] of rule and group.
    pub alerts: BTreeMap<String, Alert>,
    /// Incidents that are open or were lately.
    pub incidents: BTreeMap<String, Incident>,
    /// Incidents whose rollback is forbidden by something that may pass.
    pub held: BTreeSet<String>,
    /// Silences.
    pub silences: Silences,
    /// Budgets of receivers.
    pub budgets: Budgets,
    /// Messages that stand by themselves, by `dedup_key`.
    pub standing: BTreeMap<String, Standing>,
    /// What plans did lately.
    pub plans: Plans,
    /// Outages people were told of, newest last.
    pub outages: VecDeque<Outage>,
    /// The kill switch as last thrown.
    pub freeze: Option<Freeze>,
    /// Newest change by target.
    pub changes: BTreeMap<String, Changed>,
    /// What is to be done when; entries whose moment has moved are passed over when it comes.
    pub agenda: BTreeSet<(Time, Chore)>,
    /// Rules the desk judges itself.
    #[serde(default, skip_serializing_if = "Apart::is_empty")]
    pub apart: Apart,
}

impl State {
    /// Before the first entry.
    pub fn new(created: Time) -> Self {
        Self {
            version: VERSION,
            now: created,
            position: 0,
            settings: Arc::default(),
            removed: BTreeMap::new(),
            complained: BTreeSet::new(),
            memory: Memory::default(),
            alerts: BTreeMap::new(),
            incidents: BTreeMap::new(),
            held: BTreeSet::new(),
            silences: Silences::default(),
            budgets: Budgets::default(),
            standing: BTreeMap::new(),
            plans: Plans::default(),
            outages: VecDeque::new(),
            freeze: None,
            changes: BTreeMap::new(),
            agenda: BTreeSet::new(),
            apart: Apart::default(),
        }
    }

    /// The rule of this name, in force or removed under an incident.
    pub fn rule(&self, name: &str) -> Option<Arc<Rule>> {
        let rules = &self.settings.rules;
        let found = rules.binary_search_by(|rule| rule.name.as_str().cmp(name)).ok();
        // Sorted by contract; a revision that is not must not lose a rule.
        let found = found.or_else(|| rules.iter().position(|rule| rule.name == name));
        found.map(|at| rules[at].clone()).or_else(|| self.removed.get(name).cloned())
    }

    /// All of it, in chunks.
    pub fn save(&self) -> Vec<Bytes> {
        let json = serde_json::to_vec(self).expect("plain structs with text keys serialise");
        let packed = zstd::bulk::compress(&json, 3).expect("a buffer compresses into memory");
        Bytes::from(packed).chunks(CHUNK).map(Bytes::copy_from_slice).collect()
    }

    /// What [`Self::save`] gave, again.
    pub fn load(chunks: &[Bytes]) -> Result<Self, StageError> {
        let unreadable = |why: String| StageError::Snapshot(format!("desk: {why}"));
        let packed = chunks.concat();
        let json = zstd::stream::decode_all(packed.as_slice())
            .map_err(|error| unreadable(error.to_string()))?;
        let version: Version =
            serde_json::from_slice(&json).map_err(|error| unreadable(error.to_string()))?;
        if version.version != VERSION {
            let found = version.version;
            return Err(unreadable(format!("version {found}, this one reads {VERSION}")));
        }
        serde_json::from_slice(&json).map_err(|error| unreadable(error.to_string()))
    }
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}
