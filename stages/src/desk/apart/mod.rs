//! The stage that judges rules that are *apart*: their metrics lie in several shards, so no shard sees all of one.
//!
//! Each shard says what it sees of its own metrics ([`crate::wire::Glimpses`]); the desk keeps of each part and label set
//! what was said last, and judges by it with the same functions as a shard. What an alert does is a transition like a
//! shard's, published on `ops.transition.desk.judged` and taken by the incidents in the same step.
//!
//! - **Time.** The clock of a rule is the newest log time any of its shards spoke of, not the desk's: so after a standstill
//!   of ours what was stored meanwhile is judged by its own times. A shard speaks every second, so the clocks of an
//!   alert (`for`, `keep_firing_for`, ...) are looked at every second and at each glimpse, and the desk owes no tick.
//! - **One instant.** All label sets are judged at whole seconds, once every shard of the rule that speaks has shown that
//!   second; between them what a glimpse is of is judged at once. Not so where one metric is divided by another's in
//!   another shard: of what counts in both only one side would have been seen, so those wait for the whole second.
//! - **Absence.** Whether samples are missing is judged at the whole second up to which their shard has shown
//!   everything. A shard that does not speak - it stands still, or has no owner - is never taken for samples that do not
//!   come: once it has been silent for 15 s, or is that far behind the others, its parts are stale and decide nothing.
//!   Until a shard has spoken under the rule as it is, there is no data.
//! - **Holes.** Over a hole in its own log a shard moves its samples' times on and says since when absence can be seen; the
//!   alerts freeze where the clock of their rule leaps. The desk's own blind time is no silence of shards.
//! - **Edits** go by the names of revisions: a glimpse counts for a rule if its shard works by the revision that changed
//!   what the rule sees, or a later one. Once all of them do, alerts of label sets that none of them shows any more end.
//!
//! What is kept of a label set takes some 600 bytes, with its alert 200 more.

mod evaluate;
mod rules;
mod seen;
mod standing;
mod verify;

use crate::settings::Rule;
use crate::shard::SHOWN_EVERY;
use crate::time::{Span, Time};
use crate::track::Alert;
use crate::wire::Glimpse;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use verify::Verifying;

/// A shard that has not spoken for this long, or is this far behind, says nothing of absence.
pub const SILENT: Span = crate::shard::HOLE;

/// All that is kept of rules that are apart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Apart {
    /// The last revisions of the settings, with the positions at which they came into force.
    revisions: VecDeque<(u64, String)>,
    shards: BTreeMap<u32, Speaks>,
    /// By name.
    rules: BTreeMap<String, Judged>,
    /// By incident.
    verifications: BTreeMap<String, Verifying>,
}

/// What a shard said last of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Speaks {
    /// Its log time then.
    time: Time,
    /// When the desk read it, moved on over the desk's own blind time.
    heard: Time,
    /// Since when it can see that something is absent.
    armed: Time,
    /// More of that instant is to come.
    more: bool,
}

/// A rule, and how its alerts stand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Judged {
    /// Position of the settings that say what it sees.
    since: u64,
    view: View,
    /// By label text.
    groups: BTreeMap<String, Group>,
    /// Alerts went on over an edit of what is seen, and not all shards have shown yet which label sets there still are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    settling: bool,
}

/// One label set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Group {
    alert: Alert,
    /// Since when absence can be seen.
    armed: Time,
}

/// What is known of the parts of a rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct View {
    /// The newest log time a shard of it spoke of.
    clock: Option<Time>,
    /// The whole second at which all of it was judged last.
    second: Option<Time>,
    parts: Vec<Part>,
    /// What judges each of the rule's conditions; not saved, for it follows from the rule.
    #[serde(skip)]
    judges: Vec<Vec<Rule>>,
}

/// One part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Part {
    shard: u32,
    term: u32,
    per: bool,
    /// Log time since which its shard speaks of it.
    began: Option<Time>,
    /// When the last sample of any label set came.
    last: Option<Time>,
    /// By label text.
    cells: BTreeMap<String, Cell>,
}

/// What was said last of one label set of a part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Cell {
    glimpse: Glimpse,
    said: Time,
    /// Position of its shard then.
    position: u64,
}

impl Apart {
    /// Whether there is nothing of it.
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }

    /// Alerts by place on the axis.
    pub(in crate::desk) fn axes(&self) -> [u64; 5] {
        let mut axes = [0; 5];
        let groups = self.rules.values().flat_map(|judged| judged.groups.values());
        groups.for_each(|group| axes[group.alert.state.axis() as usize] += 1);
        axes
    }

    /// Moves on what goes by the desk's own time, over a hole in its log.
    fn freeze(&mut self, hole: Span) {
        for shard in self.shards.values_mut() {
            shard.heard = shard.heard.plus(hole);
        }
    }

    /// The position at which a revision came into force last.
    fn revision(&self, name: &str) -> Option<u64> {
        let found = self.revisions.iter().rev().find(|(_, known)| known == name);
        found.map(|(position, _)| *position)
    }

    /// Shards of which anything is wanted.
    fn wanted(&self) -> BTreeSet<u32> {
        let rules = self.rules.values().map(|judged| &judged.view);
        let views = rules.chain(self.verifications.values().map(|it| &it.view));
        views.flat_map(View::shards).collect()
    }
}

impl Speaks {
    /// The whole second up to which it has shown everything.
    fn shown(&self) -> Time {
        let shown = self.time.floor(SHOWN_EVERY);
        if self.more { shown.minus(SHOWN_EVERY) } else { shown }
    }

    /// Whether nothing may be concluded from its silence, at the desk's time `now` and a rule's `clock`.
    fn is_silent(&self, now: Time, clock: Time) -> bool {
        now.since(self.heard) >= SILENT || clock.since(self.time) > SILENT
    }
}

impl View {
    fn new(rule: &Arc<Rule>, shard_of: impl Fn(&str) -> u32) -> Self {
        let mut parts = Vec::new();
        for (term, number) in rule.terms().zip(0..) {
            let metrics = [(Some(term.metric.as_str()), false), (term.per.as_deref(), true)];
            for (metric, per) in metrics {
                let Some(shard) = metric.map(&shard_of) else { continue };
                let (term, began, last, cells) = (number, None, None, BTreeMap::new());
                parts.push(Part { shard, term, per, began, last, cells });
            }
        }
        let (clock, second, judges) = (None, None, Vec::new());
        let mut view = Self { clock, second, parts, judges };
        view.fit(rule);
        view
    }

    /// Judges by the conditions of `rule` from now on.
    fn fit(&mut self, rule: &Rule) {
        let list = |terms: &Vec<_>| terms.iter().map(|term| rule.of_term(term)).collect();
        self.judges = rule.any_of.iter().map(list).collect();
    }

    fn shards(&self) -> impl Iterator<Item = u32> + '_ {
        self.parts.iter().map(|part| part.shard)
    }

    fn reads(&self, shard: u32) -> bool {
        self.shards().any(|other| other == shard)
    }

    fn part(&self, term: u32, per: bool) -> Option<&Part> {
        self.parts.iter().find(|part| (part.term, part.per) == (term, per))
    }

    /// Lets its clock come to what a shard spoke of; the hole it leapt over, where it did.
    fn advance(&mut self, to: Time) -> Option<Span> {
        let before = self.clock.replace(self.clock.map_or(to, |clock| clock.max(to)))?;
        let leapt = to.since(before);
        (leapt > crate::shard::HOLE).then_some(leapt)
    }

    /// Whether a condition divides what one shard sees by what another sees.
    fn is_split(&self) -> bool {
        let pairs = self.parts.iter().filter(|part| part.per);
        let mut others = pairs.map(|per| (self.part(per.term, false), per.shard));
        others.any(|(of, shard)| of.is_some_and(|of| of.shard != shard))
    }

    /// Whether every shard that speaks has shown a further whole second, at the desk's time `now`.
    fn turn(&mut self, shards: &BTreeMap<u32, Speaks>, now: Time) -> bool {
        let clock = self.clock.unwrap_or(now);
        let begun = self.parts.iter().filter(|part| part.began.is_some());
        let speak = begun.filter_map(|part| shards.get(&part.shard));
        let speak = speak.filter(|speaks| !speaks.is_silent(now, clock));
        let shown = speak.map(|speaks| speaks.shown()).min();
        let turns = shown.is_some_and(|shown| self.second.is_none_or(|last| last < shown));
        if turns {
            self.second = shown;
        }
        turns
    }

    /// Whether all its parts are kept by their shards, and were shown whole.
    fn is_whole(&self, shards: &BTreeMap<u32, Speaks>) -> bool {
        let more = |part: &Part| shards.get(&part.shard).is_none_or(|speaks| speaks.more);
        self.parts.iter().all(|part| part.began.is_some() && !more(part))
    }

    /// Whether any part has a cell of this label set.
    fn has(&self, text: &str) -> bool {
        self.parts.iter().any(|part| part.cells.contains_key(text))
    }
}
