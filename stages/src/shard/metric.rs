//! What a shard keeps per metric: series, views, groups.
//!
//! A *view* is what rules look through that match and group by the same labels and compute the same statistic over the
//! same window, since the same entry: they share one window per group. A *group* is one label set of a view: its
//! window, its level, and one alert for each rule of the view, in the rules' order.

use super::axes::Axes;
use super::calm::Calm;
use super::limit::Told;
use crate::batch::Kind;
use crate::due::Due;
use crate::level::Level;
use crate::matcher::{Filter, Matcher};
use crate::pane::width;
use crate::series::{Labels, split_key};
use crate::settings::{Rule, Stat};
use crate::time::{Span, Time};
use crate::track::Alert;
use crate::window::{Window, WindowSpec};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// A metric this worker owns.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) name: Box<str>,
    pub(super) slice: usize,
    pub(super) views: Vec<u32>,
    /// Verifications under way.
    pub(super) watches: Vec<u32>,
    /// By key.
    pub(super) series: BTreeMap<Arc<str>, u32>,
    /// How its samples are added up.
    pub(super) intake: Intake,
    /// Number of the next new series; numbers are not used again.
    pub(super) next_number: u32,
    /// Whether people know that its limit is reached.
    pub(super) limit_told: Told,
    /// How many samples in a row were late or in the future, and whether people were told.
    pub(super) astray: Option<Astray>,
}

/// How samples of a metric are added up before they go to its windows, see [`crate::run`].
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Intake {
    /// Runs lie within one of these: it divides a second and the panes of all views.
    pub(super) unit: Span,
    /// Sums are enough for everybody: runs go on from entry to entry until the step ends.
    pub(super) summed: bool,
    /// Verifications are under way: they see samples one by one.
    pub(super) watched: bool,
    /// Units that hold a moment some view counts from: their samples stay apart.
    pub(super) apart: Range<Time>,
}

impl Default for Intake {
    fn default() -> Self {
        let nowhere = Time::default()..Time::default();
        Self { unit: SECOND, summed: true, watched: false, apart: nowhere }
    }
}

/// What rollups and levels are made of.
const SECOND: Span = Span::from_secs(1);

impl Intake {
    /// What suits these views.
    pub(super) fn of<'a>(
        views: impl Iterator<Item = &'a ViewKey> + Clone,
        each: bool,
        watched: bool,
    ) -> Self {
        let unit = views.clone().fold(SECOND, |unit, key| divisor(unit, width(key.spec.window)));
        let summed = !each && views.clone().all(|key| !key.spec.stat.needs_each());
        let from = || views.clone().filter_map(|key| key.from);
        let apart = match (from().min(), from().max()) {
            (Some(first), Some(last)) => first.floor(unit)..last.floor(unit).plus(unit),
            _ => Self::default().apart,
        };
        Self { unit, summed, watched, apart }
    }
}

/// The greatest common divisor.
fn divisor(one: Span, other: Span) -> Span {
    if other.0 == 0 { one } else { divisor(other, Span(one.0 % other.0)) }
}

/// Samples of a metric that all miss, by their clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Astray {
    pub(super) count: u32,
    pub(super) told: bool,
}

/// One series.
#[derive(Debug)]
pub(super) struct Series {
    /// As [`crate::series::series_key`] writes it.
    pub(super) key: Arc<str>,
    pub(super) metric: u32,
    /// What windows know it by; saved, unlike the place in memory.
    pub(super) number: u32,
    pub(super) kind: Kind,
    /// Groups its samples go to, one per view of its metric that looks at it.
    pub(super) groups: SmallVec<[u32; 4]>,
    /// When its last sample came.
    pub(super) last: Time,
    /// Place of its run among those of the step, from 1; 0 for none.
    pub(super) run: u32,
}

/// What makes rules share windows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ViewKey {
    /// Sorted.
    pub(super) group_by: Vec<String>,
    /// Which series are looked at.
    pub(super) matchers: Vec<Matcher>,
    pub(super) spec: WindowSpec,
    /// Position of the settings entry that made it.
    pub(super) since: u64,
    /// Event time its panes begin at, where its rules were edited and must not see older ones.
    pub(super) from: Option<Time>,
}

impl ViewKey {
    /// The view of a rule that comes into force at `since`.
    pub(super) fn of(rule: &Rule, since: u64, from: Option<Time>) -> Self {
        // Only shares depend on the threshold; the others share whatever theirs is.
        let threshold = match rule.stat {
            Stat::Above | Stat::Below => rule.threshold,
            _ => 0.0,
        };
        let spec = WindowSpec { stat: rule.stat, window: rule.window, threshold };
        let (group_by, matchers) = (sorted(&rule.group_by), rule.matchers.clone());
        Self { group_by, matchers, spec, since, from }
    }
}

/// Labels to group by, in the order group texts have them.
pub(crate) fn sorted(group_by: &[String]) -> Vec<String> {
    let mut sorted = group_by.to_vec();
    sorted.sort();
    sorted.dedup();
    sorted
}

/// See the top of this file.
#[derive(Debug)]
pub(super) struct View {
    pub(super) key: ViewKey,
    /// The matchers of the key, compiled.
    pub(super) filter: Filter,
    /// Sorted by name; [`View::judge_by`] puts others in their place.
    pub(super) rules: Vec<Arc<Rule>>,
    /// What all of them take for "well", where there are many.
    pub(super) calm: Option<Box<Calm>>,
    /// By label text, see [`group_text`].
    pub(super) groups: BTreeMap<Arc<str>, u32>,
    /// When the last sample of any group came, moved on over holes.
    pub(super) last: Option<Time>,
    /// The alerts of all groups.
    pub(super) axes: Axes,
    /// When to look at groups that were never looked at.
    pub(super) due: Due,
    /// No rule looks through it any more, and no metric has it: what is left of it waits to be freed.
    pub(super) gone: bool,
}

impl View {
    pub(super) fn new(key: ViewKey) -> Self {
        let filter = filter(&key.matchers);
        let (rules, groups) = (Vec::new(), BTreeMap::new());
        let (axes, due, gone) = (Axes::default(), Due::default(), false);
        Self { key, filter, rules, calm: None, groups, last: None, axes, due, gone }
    }

    /// These rules look through it from now on.
    pub(super) fn judge_by(&mut self, rules: Vec<Arc<Rule>>) {
        (self.calm, self.rules) = (Calm::of(&rules), rules);
    }
}

/// Matchers of settings that were taken, compiled.
pub(super) fn filter(matchers: &[Matcher]) -> Filter {
    Filter::of(matchers).expect("matchers were checked when their settings were taken")
}

/// See the top of this file.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) view: u32,
    /// Its labels, see [`group_text`].
    pub(super) text: Arc<str>,
    pub(super) window: Window,
    pub(super) level: Level,
    /// One per rule of the view.
    pub(super) alerts: SmallVec<[Alert; 1]>,
    /// Which of them were not well when they were last looked at; none where that is not known.
    #[expect(clippy::box_collection, reason = "most groups have few rules, and pay a word for it")]
    pub(super) restless: Option<Box<Vec<u32>>>,
    /// When the last sample came, moved on over holes.
    pub(super) last: Option<Time>,
    /// Since when absence can be seen.
    pub(super) armed: Time,
    /// Series whose samples come here.
    pub(super) series: u32,
    pub(super) due: Due,
    /// Has samples that were not evaluated yet.
    pub(super) dirty: bool,
}

impl Group {
    /// Reads a little of each part of it.
    #[inline]
    pub(super) fn touch(&self) -> u64 {
        let alert = self.alerts.first().map_or(0, |alert| u64::from(alert.shown));
        let last = self.last.map_or(0, |last| last.0 as u64);
        self.window.touch() ^ self.level.touch() ^ last ^ alert ^ self.armed.0 as u64
    }
}

/// The labels of `key` that `group_by` names, as text like the labels' part of a series key. A label the
/// series does not have is empty.
pub(super) fn group_text<'a>(key: &'a str, group_by: &[String]) -> Cow<'a, str> {
    if let Some(there) = side_by_side(key, group_by) {
        return Cow::Borrowed(there);
    }
    let mut text = String::new();
    for name in group_by {
        let (_, mut labels) = split_key(key);
        let value = labels.find(|(label, _)| label == name).map_or("", |(_, value)| value);
        text.push('\u{1f}');
        text.push_str(name);
        text.push('\u{1e}');
        text.push_str(value);
    }
    Cow::Owned(text)
}

/// The text of these labels where the key has it as it is, as it does for one label and for neighbours.
fn side_by_side<'a>(key: &'a str, group_by: &[String]) -> Option<&'a str> {
    let Some((first, others)) = group_by.split_first() else { return Some("") };
    let is = |label: &str, name: &str| {
        let after = label.strip_prefix('\u{1f}').and_then(|label| label.strip_prefix(name));
        after.is_some_and(|after| after.starts_with('\u{1e}'))
    };
    let length = |label: &str| label[1..].find('\u{1f}').map_or(label.len(), |next| next + 1);
    let mut labels = key.match_indices('\u{1f}').map(|(at, _)| &key[at..]);
    let text = labels.find(|label| is(label, first))?;
    let mut end = length(text);
    for name in others {
        let next = Some(&text[end..]).filter(|next| is(next, name))?;
        end += length(next);
    }
    Some(&text[..end])
}

/// The labels a group's text stands for.
pub(crate) fn group_labels(text: &str) -> Labels {
    let (_, labels) = split_key(text);
    labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The text of labels that came from elsewhere, in the order of `group_by`.
pub(crate) fn text_of(labels: &Labels, group_by: &[String]) -> Box<str> {
    let mut text = String::new();
    for name in group_by {
        text.push('\u{1f}');
        text.push_str(name);
        text.push('\u{1e}');
        text.push_str(labels.get(name).map_or("", String::as_str));
    }
    text.into_boxed_str()
}
