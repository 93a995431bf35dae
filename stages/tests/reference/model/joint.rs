//! Rules over several metrics, the long way: every term is worked out anew from raw samples at every tenth of a second.

use super::alert::{Said, Seen, Side};
use super::edits::says_as_before;
use super::graded::Graded;
use super::{Group, Kept, Row, TENTH, edge, group_of, pane, width};
use serde_json::Value;
use stages::settings::{Compare, NoData, Rule, Stat};
use stages::term::Term;
use stages::time::{Span, Time};
use stages::wire::{Cause, DataFlag, Evidence, TermSeen};
use std::collections::{BTreeMap, BTreeSet};

/// One rule, by hand.
pub struct Joint {
    pub rule: Rule,
    /// Where it began anew by an edit: samples of an earlier time of their own do not count.
    from: Option<Time>,
    lists: Vec<Vec<Watching>>,
    groups: BTreeMap<String, Life>,
}

/// One label set.
struct Life {
    /// Since when absence can be seen.
    armed: Time,
    alert: Graded,
}

/// By label text.
type Cells = BTreeMap<String, Group>;

struct Watching {
    term: Term,
    rule: Rule,
    of: Cells,
    per: Cells,
}

/// What one term says.
struct Word {
    said: Option<Said>,
    data: DataFlag,
    overdue: bool,
    evidence: Evidence,
    silent: Span,
    count: u64,
}

impl Joint {
    /// A rule that comes into force, and sees samples of before `from` no more.
    pub fn new(rule: &Rule, now: Time, from: Option<Time>) -> Self {
        let lists = watching(rule);
        let mut joint = Self { rule: rule.clone(), from, lists, groups: BTreeMap::new() };
        if rule.group_by.is_empty() {
            joint.there_is("{}", now);
        }
        joint
    }

    fn there_is(&mut self, text: &str, now: Time) {
        let rule = &self.rule;
        let life = || Life { armed: now, alert: Graded::of(rule) };
        self.groups.entry(text.to_owned()).or_insert_with(life);
    }

    /// All its label sets.
    pub fn all(&self) -> impl Iterator<Item = (String, String)> {
        self.groups.keys().map(|text| (self.rule.name.clone(), text.clone()))
    }

    /// A series is known from now on.
    pub fn enter(&mut self, metric: &str, labels: &BTreeMap<String, String>, now: Time) {
        let mut texts = BTreeSet::new();
        for watching in self.lists.iter_mut().flatten() {
            let Some(text) = group_of(&watching.rule, labels) else { continue };
            let (rule, sides) = watching.sides(metric);
            for cells in sides {
                let cell = || Group::since(rule, now, self.from);
                cells.entry(text.clone()).or_insert_with(cell);
                texts.insert(text.clone());
            }
        }
        texts.iter().for_each(|text| self.there_is(text, now));
    }

    /// A sample of a known series.
    pub fn sample(&mut self, body: &Value, labels: &BTreeMap<String, String>, arrived: Time) {
        let metric = body["name"].as_str().unwrap();
        let time = body["ts"].as_i64().map_or(arrived, Time::from_millis);
        let kept = Kept {
            arrived,
            time,
            value: body["val"].as_f64().unwrap(),
            series: serde_json::to_string(labels).unwrap(),
            counter: false,
        };
        for watching in self.lists.iter_mut().flatten() {
            let Some(text) = group_of(&watching.rule, labels) else { continue };
            let (rule, sides) = watching.sides(metric);
            for cells in sides {
                let cell = cells.get_mut(&text).unwrap();
                if pane(rule, time) > edge(rule, arrived) && time >= cell.from {
                    cell.last = Some(arrived);
                    cell.samples.push(kept.clone());
                } else {
                    cell.older.push(kept.clone());
                }
            }
        }
    }

    /// Looks at a label set; `if_older`, only if it was there before.
    pub fn judge(&mut self, text: &str, (now, if_older): (Time, bool), rows: &mut Vec<Row>) {
        let there = self.groups.get(text).is_some_and(|life| !if_older || life.armed < now);
        if there {
            let (rule, seen) = (self.rule.clone(), self.see(text, now));
            self.groups.get_mut(text).unwrap().alert.evaluate(&rule, &seen, rows);
        }
    }

    fn words(&self, text: &str, now: Time) -> Vec<Vec<Word>> {
        let (armed, grouped) = (self.groups[text].armed, !self.rule.group_by.is_empty());
        let word = |it: &Watching| it.word(text, (armed, now), grouped);
        self.lists.iter().map(|list| list.iter().map(word).collect()).collect()
    }

    /// What is to be seen of a label set.
    pub fn see(&self, text: &str, now: Time) -> Seen {
        join(&self.lists, &self.words(text, now), now)
    }

    /// Takes note of what lies in the windows.
    pub fn note_turns(&mut self, now: Time) {
        for Watching { rule, of, per, .. } in self.lists.iter_mut().flatten() {
            of.values_mut().chain(per.values_mut()).for_each(|cell| {
                cell.turn(rule, now);
            });
        }
    }

    /// Whether a clock runs out at `now`, or what lies in a window is something else.
    pub fn is_due(&self, text: &str, now: Time) -> bool {
        let life = &self.groups[text];
        let before = Time(now.0 - TENTH);
        if life.armed > before {
            return false;
        }
        let grouped = !self.rule.group_by.is_empty();
        let term = |it: &Watching| {
            let cells = [it.of.get(text), it.per.get(text)];
            let turned = cells.into_iter().flatten().any(|cell| cell.clone().turn(&it.rule, now));
            let main = if it.term.per.is_some() { cells[1] } else { cells[0] };
            let last = main.and_then(|cell| cell.last);
            let stale = last.is_some_and(|last| last.plus(it.rule.fresh_for) == now);
            let (word, window) = (it.word(text, (life.armed, before), grouped), it.rule.window.0);
            let silent = word.silent.0 + TENTH;
            let looks = word.count == 0
                && (silent == window || grouped && silent % window == 0)
                && word.data != DataFlag::MissingSeries;
            // An earlier window is another one at each tenth.
            turned || stale || looks || (it.term.baseline.is_some() && cells[0].is_some())
        };
        let kept = life.alert.first.is_kept()
            && !self.see(text, before).overdue
            && self.see(text, now).overdue;
        kept || life.alert.is_due(&self.rule, now) || self.lists.iter().flatten().any(term)
    }

    /// The rule is gone, or looks at another first metric.
    pub fn end(&mut self, cause: Cause, now: Time, mut tell: impl FnMut(&str, Vec<Row>)) {
        let known = self.rule.clone();
        for text in self.groups.keys().cloned().collect::<Vec<_>>() {
            let (seen, mut rows) = (self.see(&text, now), Vec::new());
            let alert = &mut self.groups.get_mut(&text).unwrap().alert;
            alert.close(cause, &known, &seen, &mut rows);
            tell(&text, rows);
        }
    }

    /// An edit of a rule that stays with its first metric; `texts` are the label sets that are there by it. Answers which
    /// have another severity by it.
    pub fn change(
        &mut self,
        after: &Rule,
        texts: &BTreeSet<String>,
        now: Time,
        mut tell: impl FnMut(&str, Vec<Row>),
    ) -> Vec<(String, String)> {
        let before = self.rule.clone();
        if says_as_before(&before, after) {
            self.rule = after.clone();
            return Vec::new();
        }
        // People hear of it under what they knew it by; whether they hear of it goes by the edited rule.
        let known = Rule { mode: after.mode, ..before.clone() };
        let labels = |rule: &Rule| rule.group_by.iter().cloned().collect::<BTreeSet<_>>();
        let (alike, begins) = (labels(&before) == labels(after), sees(&before) != sees(after));
        for text in self.groups.keys().cloned().collect::<Vec<_>>() {
            let (seen, mut rows) = (self.see(&text, now), Vec::new());
            let life = self.groups.get_mut(&text).unwrap();
            if !begins {
                life.alert.change(&known, &seen, &mut rows);
            } else if alike && texts.contains(&text) {
                life.alert.rebase(&known, &seen, &mut rows);
                life.armed = now;
            } else {
                life.alert.close(Cause::RuleChanged, &known, &seen, &mut rows);
                self.groups.remove(&text);
            }
            tell(&text, rows);
        }
        self.rule = after.clone();
        let mut lists = watching(after);
        if begins {
            self.from = Some(now);
        } else {
            let cells = std::mem::take(&mut self.lists).into_iter().flatten();
            for (to, from) in lists.iter_mut().flatten().zip(cells) {
                (to.of, to.per) = (from.of, from.per);
            }
        }
        self.lists = lists;
        if after.group_by.is_empty() {
            self.there_is("{}", now);
        }
        let follows = |life: &mut Life| life.alert.follow(&before, after);
        let renamed =
            self.groups.iter_mut().filter_map(|(text, life)| follows(life).then_some(text));
        renamed.map(|text| (after.name.clone(), text.clone())).collect()
    }

    /// An open alert has another severity by an edit.
    pub fn say_again(&mut self, text: &str, now: Time, rows: &mut Vec<Row>) {
        let (rule, seen) = (self.rule.clone(), self.see(text, now));
        self.groups.get_mut(text).unwrap().alert.change(&rule, &seen, rows);
    }
}

fn watching(rule: &Rule) -> Vec<Vec<Watching>> {
    let one = |term: &Term| Watching {
        term: term.clone(),
        rule: rule.of_term(term),
        of: BTreeMap::new(),
        per: BTreeMap::new(),
    };
    rule.any_of.iter().map(|list| list.iter().map(one).collect()).collect()
}

/// What decides which samples the terms see, and what is kept of them.
fn sees(rule: &Rule) -> (BTreeSet<String>, Vec<Vec<Term>>) {
    let bare = |term: &Term| Term {
        compare: Compare::Greater,
        threshold: 0.0,
        recover: None,
        min_samples: 0,
        fresh_for: Span::ZERO,
        ..term.clone()
    };
    let lists = rule.any_of.iter().map(|list| list.iter().map(bare).collect()).collect();
    (rule.group_by.iter().cloned().collect(), lists)
}

impl Watching {
    /// The rule it looks by, and what it keeps of a metric: as the term's own, as what it is divided by, or both.
    fn sides(&mut self, metric: &str) -> (&Rule, impl Iterator<Item = &mut Cells>) {
        let Self { term, rule, of, per } = self;
        let divides = term.per.as_ref().is_some_and(|per| per == metric);
        let sides = [(term.metric == metric).then_some(of), divides.then_some(per)];
        (rule, sides.into_iter().flatten())
    }

    fn word(&self, text: &str, (armed, now): (Time, Time), grouped: bool) -> Word {
        let rule = &self.rule;
        let (of, per) = (self.of.get(text), self.per.get(text));
        let (main, cells) = if self.term.per.is_some() { (per, &self.per) } else { (of, &self.of) };
        let mut evidence = main.map_or_else(|| nothing(now), |cell| cell.evidence_at(rule, now));
        if self.term.per.is_some() {
            let above = of.map_or_else(|| nothing(now), |cell| cell.evidence_at(rule, now));
            let zero = matches!(rule.stat, Stat::Sum | Stat::Count) && above.count == 0;
            let above = if zero { Some(0.0) } else { above.value };
            evidence.value = divide(above, evidence.value);
            (evidence.mean, evidence.min, evidence.max) = (None, None, None);
            evidence.percentiles = None;
        }
        if let Some(offset) = self.term.baseline {
            evidence.value =
                divide(evidence.value, of.and_then(|cell| self.earlier(cell, offset, now)));
        }
        evidence.threshold = rule.threshold;
        let count = if evidence.value.is_some() { evidence.count } else { 0 };
        let last = main.and_then(|cell| cell.last);
        let silent = now.0 - last.map_or(armed, |last| last.max(armed)).0;
        let fresh = last.is_some_and(|last| now.0 - last.0 < rule.fresh_for.0);
        let reporting = cells.values().filter_map(|cell| cell.last).max().unwrap_or_default();
        let gone = count == 0 && silent >= rule.window.0;
        let missing =
            gone && grouped && silent >= 2 * rule.window.0 && now.0 - reporting.0 < rule.window.0;
        let data = match (count, fresh) {
            (0, _) if missing => DataFlag::MissingSeries,
            (0, _) if gone || last.is_none() => DataFlag::NoData,
            (0, false) => DataFlag::Stale,
            (0, true) => DataFlag::Insufficient,
            (_, false) => DataFlag::Stale,
            (count, true) if count < rule.min_samples => DataFlag::Insufficient,
            (_, true) => DataFlag::Fresh,
        };
        let kept = gone && !missing && rule.no_data == NoData::Keep;
        let seen = Seen {
            now,
            data,
            gone: gone && !missing,
            absent_for: Span(silent),
            reported: last.is_some(),
            overdue: kept && silent >= rule.keep_max.0,
            evidence: evidence.clone(),
            said: None,
        };
        let said = super::alert::verdict(rule, &seen);
        Word { said, data, overdue: seen.overdue, evidence, silent: Span(silent), count }
    }

    /// The statistic over whole panes that had ended `offset` ago.
    fn earlier(&self, cell: &Group, offset: Span, now: Time) -> Option<f64> {
        // These logs have offsets so short that the window's own panes are fine enough.
        let width = width(&self.rule);
        let ends = (now.0 - offset.0).div_euclid(width) * width;
        let begins = ends - (self.rule.window.0 + width - 1) / width * width;
        // From its first sample on, whatever that one says of its time.
        if begins < cell.armed.0 {
            return None;
        }
        let all = cell.samples.iter().chain(&cell.older);
        let inside =
            all.filter(|kept| (begins..ends).contains(&kept.time.0) && kept.time >= cell.armed);
        // Too late is what nobody can ask for any more when it comes.
        let kept: Vec<f64> = inside
            .filter(|kept| {
                let asked = (kept.arrived.0 - offset.0).div_euclid(width) * width;
                kept.time.0 >= asked - (self.rule.window.0 + width - 1) / width * width
            })
            .map(|kept| kept.value)
            .collect();
        if (kept.len() as u64) < self.rule.min_samples {
            return None;
        }
        let part = self.rule.window.0 as f64 / (ends - begins) as f64;
        let sum: f64 = super::numbers::sum(&kept);
        match self.rule.stat {
            Stat::Mean => Some(sum / kept.len() as f64),
            Stat::Sum => Some(sum * part),
            Stat::Count => Some(kept.len() as f64 * part),
            Stat::Min => kept.into_iter().reduce(f64::min),
            Stat::Max => kept.into_iter().reduce(f64::max),
            _ => None,
        }
    }
}

fn divide(value: Option<f64>, by: Option<f64>) -> Option<f64> {
    Some(value? / by.filter(|by| *by != 0.0)?)
}

fn nothing(now: Time) -> Evidence {
    Evidence { window_start: now, window_end: now, ..Evidence::default() }
}

/// All terms as one rule sees them.
fn join(lists: &[Vec<Watching>], words: &[Vec<Word>], now: Time) -> Seen {
    let side = |word: &Word| word.said.map(|said| said.0);
    let of_list = |list: &Vec<Word>| {
        let sides: BTreeSet<_> = list.iter().map(side).collect();
        [Some(Side::Clear), None, Some(Side::Between), Some(Side::Breach)]
            .into_iter()
            .find(|side| sides.contains(side))
            .unwrap()
    };
    let sides: Vec<_> = words.iter().map(of_list).collect();
    let whole = [Some(Side::Breach), None, Some(Side::Between), Some(Side::Clear)]
        .into_iter()
        .find(|side| sides.contains(side))
        .unwrap();
    let list = sides.iter().position(|side| *side == whole).unwrap();
    let word = words[list].iter().find(|word| side(word) == whole).unwrap();
    let all_missing = words.iter().flatten().all(|word| word.data == DataFlag::MissingSeries);
    let data = match word.data {
        DataFlag::MissingSeries if !all_missing => DataFlag::NoData,
        data => data,
    };
    let mut evidence = word.evidence.clone();
    let terms = lists.iter().flatten().zip(words.iter().flatten());
    evidence.terms = terms
        .map(|(watching, word)| TermSeen {
            term: watching.term.shown(),
            value: word.evidence.value,
            threshold: word.evidence.threshold,
            count: word.evidence.count,
            breach: side(word) == Some(Side::Breach),
        })
        .collect();
    Seen {
        now,
        data,
        gone: false,
        absent_for: Span::ZERO,
        reported: true,
        overdue: word.overdue,
        evidence,
        said: Some(word.said),
    }
}
