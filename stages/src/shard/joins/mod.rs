//! Joined rules: conditions over several metrics, a ratio of two, the same window earlier, burn rates.
//!
//! Metrics fall into slices and slices to workers, so what a joined rule reads lies on several. But every worker reads
//! every step of the log; so instead of moving summaries between threads, the worker that has the slice of the
//! rule's first metric, its *home*, takes the samples of all its metrics itself. They are *guests* there: series and
//! windows for joined rules alone, beside whatever the owner of the metric keeps. A joined rule is therefore judged
//! like any other, at the end of each step in which it got samples and at due instants, exactly, without a round of
//! delay; nothing of it depends on the number of workers, and it is saved with its home's slice.
//!
//! - A *part* is one window over one metric, by `where`, labels and statistic, shared by the home's joined rules that
//!   came into force together; a *cell* is one label set of it.
//! - A *join* is one rule: its terms and which parts they read. A *group* of it is one label set with one alert. It
//!   is there once any of its parts has a cell of these labels, and reads the cells of all of them.
//! - A verification of a joined rule is a join too, with a verdict instead of alerts (`watch.rs`).
//!
//! It costs what it is used for: a worker without guests looks at one empty map for each new table of series, and
//! a guest's sample costs one window's worth for each part it falls into. Guests count against the limits of series of
//! their own home, with the numbers of the settings; the owner of a metric tells people, not they.
//!
//! Tried on paper and left: an operator behind the shards that joins summaries costs every step a round among the
//! workers, and its due instants (a pane leaving, `for`) would have to flow back. Samples of a metric of another
//! *shard* are in another log and never come here: such a rule is *apart*. Its parts are kept in the shards of their
//! metrics, and the desk judges it by the glimpses they say (`glimpses.rs`).

mod evaluate;
mod glimpses;
mod part;
mod rules;
mod samples;
mod save;
mod standing;
mod watch;

pub(crate) use glimpses::EVERY as SHOWN_EVERY;
pub(super) use rules::edit;
pub(super) use samples::Ways;

use super::SLICES;
use super::slab::Slab;
use crate::due::Due;
use crate::settings::Rule;
use crate::term::Term;
use crate::time::{Span, Time};
use crate::track::Alert;
use crate::wire::VerifyRequest;
use glimpses::Shown;
use part::{Cell, Guest, Part, Visitor};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use watch::Watched;

/// Everything about joined rules that this worker has.
#[derive(Debug, Default)]
pub(super) struct Joins {
    joins: Slab<Join>,
    groups: Slab<JoinGroup>,
    parts: Slab<Part>,
    cells: Slab<Cell>,
    /// By home slice and metric.
    guests: BTreeMap<(usize, Box<str>), Guest>,
    /// Slices a metric is a guest in.
    hosts: BTreeMap<Box<str>, SmallVec<[usize; 2]>>,
    visitors: Slab<Visitor>,
    by_key: FxHashMap<Arc<str>, SmallVec<[u32; 1]>>,
    /// Visitors by home slice.
    known: [u32; SLICES],
    /// Cells with samples that were not judged by.
    dirty: Vec<u32>,
    /// Groups to look at when the step ends.
    touched: BTreeSet<u32>,
    /// Cells to glimpse at when the step ends, unless that was done in this second.
    edges: BTreeSet<u32>,
    /// All glimpses are due when the step ends.
    show_all: bool,
    /// When the shard says next where it stands, as long as it has rules that are apart.
    stand: Due,
}

/// One joined rule, or one verification of it; of one that is apart what is at home in one slice.
#[derive(Debug)]
struct Join {
    rule: Arc<Rule>,
    /// Slice of its first metric.
    home: usize,
    /// Position of the settings entry its parts count from, and the event time where it is one.
    since: (u64, Option<Time>),
    /// As in the rule.
    lists: Arc<[Vec<Way>]>,
    /// By label text.
    groups: BTreeMap<Arc<str>, u32>,
    purpose: Purpose,
}

/// What a join is there for.
#[derive(Debug)]
enum Purpose {
    /// The alerts of a rule.
    Alerts,
    /// A verification of it.
    Verdict(Box<Watched>),
    /// Glimpses for the desk, which judges.
    Glimpses(Box<Shown>),
}

/// A term and the parts it reads.
#[derive(Clone, Debug)]
struct Way {
    term: Arc<Term>,
    /// Judges the term.
    rule: Arc<Rule>,
    of: u32,
    per: Option<u32>,
}

/// One label set of a join.
#[derive(Debug)]
struct JoinGroup {
    join: u32,
    text: Arc<str>,
    alert: Alert,
    /// Since when absence can be seen.
    armed: Time,
    due: Due,
}

impl Join {
    /// Whether it makes alerts.
    fn alerts(&self) -> bool {
        matches!(self.purpose, Purpose::Alerts)
    }

    fn watched(&self) -> Option<&Watched> {
        match &self.purpose {
            Purpose::Verdict(watched) => Some(watched),
            Purpose::Alerts | Purpose::Glimpses(_) => None,
        }
    }

    fn shown(&self) -> Option<&Shown> {
        match &self.purpose {
            Purpose::Glimpses(shown) => Some(shown),
            Purpose::Alerts | Purpose::Verdict(_) => None,
        }
    }

    /// The verification it is there for.
    fn request(&self) -> Option<&VerifyRequest> {
        match &self.purpose {
            Purpose::Alerts => None,
            Purpose::Verdict(watched) => Some(&watched.request),
            Purpose::Glimpses(shown) => shown.request.as_ref(),
        }
    }
}

impl Joins {
    /// The slices in which a metric is a guest.
    pub(super) fn hosts(&self, metric: &str) -> bool {
        !self.hosts.is_empty() && self.hosts.contains_key(metric)
    }

    /// Clocks stood still over a hole that ended at `to`; answers who must be looked at then.
    pub(super) fn wake(&mut self, hole: Span, to: Time) -> Vec<u32> {
        for (_, part) in self.parts.iter_mut() {
            part.last = part.last.map(|last| last.plus(hole));
        }
        for (_, cell) in self.cells.iter_mut() {
            cell.last = cell.last.map(|last| last.plus(hole));
        }
        for (_, join) in self.joins.iter_mut() {
            match &mut join.purpose {
                Purpose::Alerts => {}
                Purpose::Verdict(watched) => watched.freeze(hole),
                Purpose::Glimpses(shown) => shown.freeze(hole),
            }
        }
        (self.show_all, self.stand) = (true, Due::default());
        let mut all = Vec::new();
        for (id, group) in self.groups.iter_mut() {
            group.armed = to;
            group.alert.freeze(hole);
            group.due = Due::default();
            all.push(id);
        }
        all
    }

    /// Parts learn when any of their cells last got a sample, before anybody is judged by it.
    pub(super) fn note_siblings(&mut self) {
        for id in &self.dirty {
            let cell = &self.cells[*id];
            let part = &mut self.parts[cell.part];
            part.last = part.last.max(cell.last);
        }
    }

    /// The groups to look at at the end of a step, at `now`.
    pub(super) fn take_touched(&mut self, now: Time) -> BTreeSet<u32> {
        for id in std::mem::take(&mut self.dirty) {
            let Some(cell) = self.cells.get_mut(id) else { continue };
            cell.dirty = false;
            if self.parts[cell.part].glimpsed && cell.shown != Some(now) {
                cell.unshown = true;
                self.edges.insert(id);
            }
            for join in &self.parts[cell.part].joins {
                self.touched.extend(self.joins[*join].groups.get(&cell.text));
            }
        }
        std::mem::take(&mut self.touched)
    }
}
