//! What rules would have done: variants of them side by side over samples of the past, from the retained log or from files.
//!
//! All variants are judged in one pass by the same shards, each has a desk of its own. What becomes of rollbacks is not in
//! the past: commands are claimed at once and succeed, and what the samples say afterwards is what they said.

pub mod compare;
pub mod page;
pub mod retained;
pub mod rolled;
pub mod seen;
pub mod sweep;
pub mod text;

use crate::{Setup, Spoken, Trial, TrialError};
use bytes::Bytes;
use seen::{Seen, Watched};
use stages::log::{DeskKind, Entry, EntryKind};
use stages::settings::{Mode, NoData, Rule, Settings, Stat};
use stages::time::{Span, Time};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rules that are tried together.
#[derive(Clone, Debug)]
pub struct Variant {
    /// What it is called: `as written`, `in force`, `threshold 500`.
    pub label: String,
    /// Its settings.
    pub settings: Settings,
}

/// How long a level is looked at to say when trouble began.
const LEVEL: Span = Span::from_secs(10);

/// Variants of rules under way through the past.
#[derive(Debug)]
pub struct Backtest {
    trial: Trial,
    variants: Vec<Variant>,
    /// Names inside the trial, to variant and rule.
    names: BTreeMap<String, (usize, String)>,
    /// Names of the level rules, to the rule inside the trial.
    levels: BTreeMap<String, String>,
    /// What people said before the first entry.
    earlier: Vec<(Time, DeskKind, Bytes)>,
    begun: bool,
    last: Time,
    spoken: Vec<Spoken>,
    /// Samples and evaluations so far.
    counted: (u64, u64),
}

impl Backtest {
    /// Ready for the first entry.
    pub fn new(setup: Setup, variants: Vec<Variant>) -> Self {
        let (mut names, mut levels) = (BTreeMap::new(), BTreeMap::new());
        let mut inside = Vec::new();
        for (index, variant) in variants.iter().enumerate() {
            let renamed = rename(&variant.settings, index, &variant.label);
            for (rule, original) in renamed.rules.iter().zip(&variant.settings.rules) {
                names.insert(rule.name.clone(), (index, original.name.clone()));
                if let Some(level) = level(rule) {
                    levels.insert(level.name.clone(), rule.name.clone());
                }
            }
            inside.push(Variant { label: variant.label.clone(), settings: renamed });
        }
        let mut trial = Trial::with_desks(setup, variants.len());
        trial.leave_alone(levels.keys().cloned());
        let last = Time::default();
        let (spoken, counted) = (Vec::new(), (0, 0));
        Self {
            trial,
            variants: inside,
            names,
            levels,
            earlier: Vec::new(),
            begun: false,
            last,
            spoken,
            counted,
        }
    }

    /// The longest time that what happens may depend on what was before it.
    pub fn warm_up(settings: &Settings) -> Span {
        let of = |rule: &Arc<Rule>| {
            let twice = |window: Span| Span(window.0.saturating_mul(2));
            let terms = rule.terms().map(|term| {
                Span(twice(term.window).0.saturating_add(term.baseline.unwrap_or_default().0))
            });
            let own = [
                twice(rule.window),
                rule.hold,
                rule.absent.unwrap_or_default(),
                rule.keep_firing_for,
            ];
            terms.chain(own).max().unwrap_or_default()
        };
        settings.rules.iter().map(of).max().unwrap_or_default()
    }

    /// An entry of a shard's log, as it was stored; settings and requests in it are the past's and pass over.
    ///
    /// # Errors
    /// A stage fails.
    pub fn entry(&mut self, shard: u32, mut entry: Entry) -> Result<(), TrialError> {
        self.begin(entry.time, entry.sequence.saturating_sub(1))?;
        if matches!(entry.kind, EntryKind::Settings | EntryKind::Verify | EntryKind::Look) {
            (entry.kind, entry.payload) = (EntryKind::Skipped, Bytes::new());
        }
        self.last = self.last.max(entry.time);
        self.trial.replay(shard, entry)?;
        self.collect();
        Ok(())
    }

    /// What a person or a tool said then: before the first entry, or between entries.
    ///
    /// # Errors
    /// A stage fails.
    pub fn said(&mut self, time: Time, kind: DeskKind, payload: Bytes) -> Result<(), TrialError> {
        if !self.begun {
            self.earlier.push((time, kind, payload));
            return Ok(());
        }
        self.trial.say(time, kind, &payload)
    }

    /// Samples of a file, stored at `time`.
    ///
    /// # Errors
    /// A stage fails.
    pub fn samples(&mut self, time: Time, batch: Bytes) -> Result<(), TrialError> {
        self.begin(time, 0)?;
        self.last = self.last.max(time);
        self.trial.samples(time, 0, batch)?;
        self.collect();
        Ok(())
    }

    /// Lets time pass, where the samples come from a file and no log says that it did.
    ///
    /// # Errors
    /// A stage fails.
    pub fn pass(&mut self, time: Time) -> Result<(), TrialError> {
        self.last = self.last.max(time);
        self.trial.pass(time)?;
        self.collect();
        Ok(())
    }

    /// What every variant would have done from `from` on, in their order.
    pub fn finish(mut self, from: Time) -> Vec<Seen> {
        self.collect();
        let Self { variants, names, levels, spoken, last, .. } = self;
        let watched = Watched { names: &names, levels: &levels, from, until: last };
        let of =
            |(index, variant): (usize, Variant)| seen::of(index, variant.label, &spoken, &watched);
        variants.into_iter().enumerate().map(of).collect()
    }

    /// Samples counted so far, and evaluations.
    pub fn counted(&self) -> (u64, u64) {
        self.counted
    }

    /// Samples that were refused, by reason.
    pub fn refused(&self) -> impl Iterator<Item = &str> {
        self.trial.refused().keys().map(String::as_str)
    }

    /// Everything said so far, rules by their names inside.
    pub fn spoken(&self) -> &[Spoken] {
        &self.spoken
    }

    fn begin(&mut self, time: Time, sequence: u64) -> Result<(), TrialError> {
        if std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        let mut settings: Vec<Settings> =
            self.variants.iter().map(|one| one.settings.clone()).collect();
        // Levels are the first variant's on paper; no desk hears of them.
        let levels: Vec<Arc<Rule>> = settings
            .iter()
            .flat_map(|one| &one.rules)
            .filter_map(|rule| level(rule))
            .map(Arc::new)
            .collect();
        if let Some(first) = settings.first_mut() {
            first.rules.extend(levels);
            first.rules.sort_by(|one, other| one.name.cmp(&other.name));
        }
        let earlier = std::mem::take(&mut self.earlier);
        let desks = earlier.first().map_or(time, |(first, ..)| time.min(*first));
        self.trial.begin((time, sequence), desks, &settings)?;
        for (then, kind, payload) in &earlier {
            self.trial.say_before(time.min(*then), EntryKind::Desk(*kind), payload)?;
        }
        self.trial.say_before(time, EntryKind::Tick, &Bytes::new())
    }

    fn collect(&mut self) {
        let counters = self.trial.take_counters();
        self.counted.0 += counters.samples;
        self.counted.1 += counters.evaluations;
        if self.spoken.is_empty() {
            self.spoken = self.trial.take_spoken();
        } else if !self.trial.spoken().is_empty() {
            self.spoken.extend(self.trial.take_spoken());
        }
    }
}

/// The settings with names that no other variant has; the first keeps its own, so its incidents are those of the bus. What
/// is tried in the shadow is asked what it would do in the light.
fn rename(settings: &Settings, index: usize, label: &str) -> Settings {
    let name = |name: &str| if index == 0 { name.to_owned() } else { format!("{name} [{label}]") };
    let renamed = settings.rules.iter().map(|rule| {
        let mut rule = Rule::clone(rule);
        rule.mode = Mode::Live;
        rule.name = name(&rule.name);
        rule.guards.unless = rule.guards.unless.as_deref().map(name);
        Arc::new(rule)
    });
    let mut rules: Vec<Arc<Rule>> = renamed.collect();
    rules.sort_by(|one, other| one.name.cmp(&other.name));
    Settings { rules, ..settings.clone() }
}

/// A rule that looks at the level alone: since when it is beyond the threshold, trouble is there to be seen. None where the
/// statistic grows with the window.
fn level(rule: &Rule) -> Option<Rule> {
    match rule.stat {
        Stat::Mean
        | Stat::Min
        | Stat::Max
        | Stat::Last
        | Stat::Percentile(_)
        | Stat::Above
        | Stat::Below => {}
        Stat::Sum | Stat::Count | Stat::Rate | Stat::Stddev => return None,
    }
    if rule.absent.is_some() || rule.is_joined() {
        return None;
    }
    let window = LEVEL.min(rule.window);
    Some(Rule {
        name: format!("{} [level]", rule.name),
        window,
        hold: Span::ZERO,
        recover: None,
        keep_firing_for: Span::ZERO,
        reopen_within: Span::ZERO,
        min_samples: 1,
        no_data: NoData::Keep,
        grades: Vec::new(),
        action: None,
        notify: Vec::new(),
        ..rule.clone()
    })
}
