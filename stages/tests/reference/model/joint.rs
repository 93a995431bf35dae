//! Rules over several metrics, the long way: every term is worked out anew from raw samples at every tenth of a second.

use super::alert::{Said, Seen, Side};
use super::graded::Graded;
use super::{Group, Kept, Row, TENTH, edge, looks_at, pane, width};
use serde_json::Value;
use stages::log::{EntryKind, Step};
use stages::settings::{NoData, Rule, Stat};
use stages::term::Term;
use stages::time::{Span, Time};
use stages::wire::{DataFlag, Evidence, TermSeen};
use std::collections::{BTreeMap, BTreeSet};

/// One rule, by hand.
pub struct Joint {
    rule: Rule,
    /// When the rule came.
    began: Time,
    now: Time,
    lists: Vec<Vec<Watching>>,
    groups: BTreeMap<String, (Time, Graded)>,
    ids: BTreeMap<(String, String), Time>,
    /// What was said, by group.
    pub rows: BTreeMap<String, Vec<Row>>,
}

struct Watching {
    term: Term,
    rule: Rule,
    of: BTreeMap<String, Group>,
    per: BTreeMap<String, Group>,
}

/// What one term says.
struct Word {
    said: Option<Said>,
    data: DataFlag,
    overdue: bool,
    evidence: Evidence,
}

impl Joint {
    pub fn new(rule: &Rule, now: Time) -> Self {
        let watching = |term: &Term| Watching {
            term: term.clone(),
            rule: rule.of_term(term),
            of: BTreeMap::new(),
            per: BTreeMap::new(),
        };
        let list = |list: &Vec<Term>| list.iter().map(watching).collect();
        let mut joint = Self {
            rule: rule.clone(),
            began: now,
            now,
            lists: rule.any_of.iter().map(list).collect(),
            groups: BTreeMap::new(),
            ids: BTreeMap::new(),
            rows: BTreeMap::new(),
        };
        if rule.group_by.is_empty() {
            joint.groups.insert("{}".to_owned(), (now, Graded::of(rule)));
        }
        joint
    }

    pub fn step(&mut self, step: &Step) {
        let mut at = self.now.0 + TENTH;
        while at <= step.began.0 {
            self.evaluate(Time(at));
            at += TENTH;
        }
        for entry in &step.entries {
            if let EntryKind::Metric(_) = entry.kind {
                let body: Value = serde_json::from_slice(&entry.payload).unwrap();
                self.sample(&body, entry.time);
            }
        }
        self.evaluate(step.ended);
        self.now = step.ended;
    }

    fn sample(&mut self, body: &Value, arrived: Time) {
        let metric = body["name"].as_str().unwrap();
        let time = body["ts"].as_i64().map_or(arrived, Time::from_millis);
        let labels: BTreeMap<String, String> =
            serde_json::from_value(body["labels"].clone()).unwrap();
        let label = |name: &String| (name.clone(), labels.get(name).cloned().unwrap_or_default());
        let group: BTreeMap<_, _> = self.rule.group_by.iter().map(label).collect();
        let text = serde_json::to_string(&group).unwrap();
        let known = body["id"].as_str().is_some_and(|id| {
            let id = (metric.to_owned(), id.to_owned());
            let known =
                self.ids.get(&id).is_some_and(|at| arrived.since(*at) < Span::from_secs(120));
            if !known {
                self.ids.insert(id, arrived);
            }
            known
        });
        for watching in self.lists.iter_mut().flatten() {
            if !watching.term.matchers.iter().all(|it| looks_at(it, &labels)) {
                continue;
            }
            let Watching { term, rule, of, per } = watching;
            let sides = [(Some(&term.metric), of), (term.per.as_ref(), per)];
            for (_, cells) in
                sides.into_iter().filter(|(name, _)| name.is_some_and(|it| it == metric))
            {
                self.groups
                    .entry(text.clone())
                    .or_insert_with(|| (arrived, Graded::of(&self.rule)));
                let cell = cells.entry(text.clone()).or_insert_with(|| Group::new(rule, arrived));
                let kept = Kept {
                    arrived,
                    time,
                    value: body["val"].as_f64().unwrap(),
                    series: serde_json::to_string(&labels).unwrap(),
                    counter: false,
                };
                if known {
                    continue;
                }
                if pane(rule, time) > edge(rule, arrived) {
                    cell.last = Some(arrived);
                    cell.samples.push(kept);
                } else {
                    cell.older.push(kept);
                }
            }
        }
    }

    fn evaluate(&mut self, now: Time) {
        let grouped = !self.rule.group_by.is_empty();
        for (text, (armed, alert)) in &mut self.groups {
            let words: Vec<Vec<Word>> = self
                .lists
                .iter()
                .map(|list| list.iter().map(|it| it.word(text, (*armed, now), grouped)).collect())
                .collect();
            let seen = join(&self.lists, &words, now);
            let mut rows = Vec::new();
            alert.evaluate(&self.rule, &seen, &mut rows);
            if !rows.is_empty() {
                self.rows.entry(text.clone()).or_default().extend(rows);
            }
        }
        let _ = self.began;
    }
}

impl Watching {
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
        evidence.level = None;
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
        Word { said, data, overdue: seen.overdue, evidence }
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
