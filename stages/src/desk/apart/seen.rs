//! Taking what shards say: glimpses are kept, and what reads them is evaluated.

use super::{Apart, Cell, Group, SILENT, Speaks, View};
use crate::desk::Desk;
use crate::desk::state::Chore;
use crate::settings::Rule;
use crate::shard::{sorted, text_of};
use crate::time::{Span, Time};
use crate::track::axis::{Closing, Event};
use crate::wire::{Axis, Glimpses, PartSeen, Transition};
use std::collections::{BTreeMap, BTreeSet};

/// Label sets are shown once a minute; one that was not for this long is gone.
const GONE: Span = Span::from_secs(300);
/// Times beyond are nobody's: clocks can be reckoned with up to here (in the year 2189).
const LATEST: Time = Time(i64::MAX / 4 * 3);
/// They are looked for this often.
const GONE_EVERY: Span = Span::from_secs(60);

/// Label sets that something was shown of, by rule.
type Touched = BTreeMap<String, BTreeSet<String>>;

impl Desk {
    /// Takes what a shard sees.
    pub(in crate::desk) fn glimpses(&mut self, it: Glimpses) {
        if it.shard >= self.shards {
            let why = format!("it is of shard {}, and there are {}", it.shard, self.shards);
            return self.unreadable("glimpses", &why);
        }
        if it.time < Time(0) || it.time > LATEST {
            let why = format!("it is of {}, and no log reaches there", it.time);
            return self.unreadable("glimpses", &why);
        }
        let before = self.state.apart.shards.get(&it.shard).copied();
        if before.is_some_and(|before| it.time < before.time) {
            return self.count("repeat");
        }
        let mut touched = Touched::new();
        self.begin_parts(&it);
        for part in &it.parts {
            if let Err(why) = self.keep(&it, part, &mut touched) {
                self.unreadable("glimpses", &why);
            }
        }
        let now = self.state.now;
        let speaks = Speaks { time: it.time, heard: now, armed: it.armed, more: it.more };
        self.state.apart.shards.insert(it.shard, speaks);
        if let Some(before) = before {
            self.state.agenda.remove(&(before.heard.plus(SILENT), Chore::ShardSilent(it.shard)));
        }
        if !self.state.apart.wanted().contains(&it.shard) {
            return;
        }
        self.state.agenda.insert((now.plus(SILENT), Chore::ShardSilent(it.shard)));
        if it.more {
            return;
        }
        if before.is_none_or(|before| before.time.floor(GONE_EVERY) < it.time.floor(GONE_EVERY)) {
            self.forget_gone(it.shard, it.time);
        }
        self.end_unseen(it.shard);
        self.judge_all((it.shard, it.time), &touched);
    }

    /// Parts of the shard are known to be kept from here on, where it works by settings that say so. Where it does not,
    /// nothing is known of them, and least of all that samples do not come.
    fn begin_parts(&mut self, it: &Glimpses) {
        let revision = self.state.apart.revision(&it.revision);
        for judged in self.state.apart.rules.values_mut() {
            let kept = revision.is_some_and(|revision| judged.since <= revision);
            for part in judged.view.parts.iter_mut().filter(|part| part.shard == it.shard) {
                part.began = kept.then(|| part.began.unwrap_or(it.time));
            }
        }
    }

    /// Keeps what is seen of one part; nothing of a rule that has changed since.
    fn keep(
        &mut self,
        it: &Glimpses,
        seen: &PartSeen,
        touched: &mut Touched,
    ) -> Result<(), String> {
        let apart = &mut self.state.apart;
        let group_by = |rule: &Rule| sorted(&rule.group_by);
        if let Some(incident) = &seen.incident {
            let Some(verifying) = apart.verifications.get_mut(incident) else { return Ok(()) };
            let group_by = group_by(&verifying.rule);
            return verifying.view.keep(it, seen, &group_by).map(drop);
        }
        let revision = apart.revision(&it.revision);
        let Some(judged) = apart.rules.get_mut(&seen.rule) else { return Ok(()) };
        if revision.is_none_or(|revision| revision < judged.since) {
            return Ok(());
        }
        let Some(rule) = self.state.settings.rule(&seen.rule) else {
            return Ok(());
        };
        let texts = judged.view.keep(it, seen, &group_by(rule))?;
        for text in &texts {
            let group = || Group { armed: it.time, ..Group::default() };
            judged.groups.entry(text.clone()).or_insert_with(group);
        }
        touched.entry(seen.rule.clone()).or_default().extend(texts);
        Ok(())
    }

    /// Label sets that their shard shows no more are forgotten, where nothing about them is open.
    fn forget_gone(&mut self, shard: u32, time: Time) {
        for judged in self.state.apart.rules.values_mut() {
            let calm = |text: &str| {
                let group = judged.groups.get(text);
                group.is_none_or(|it| matches!(it.alert.state.axis(), Axis::Unknown | Axis::Ok))
            };
            for part in judged.view.parts.iter_mut().filter(|part| part.shard == shard) {
                part.cells.retain(|text, cell| cell.said.plus(GONE) > time || !calm(text));
            }
            let view = &judged.view;
            judged.groups.retain(|text, group| {
                let calm = matches!(group.alert.state.axis(), Axis::Unknown | Axis::Ok);
                text.is_empty() || !calm || view.has(text)
            });
        }
    }

    /// Ends alerts that went on over an edit, of label sets that no series falls into by the edited rule: no shard shows them.
    fn end_unseen(&mut self, shard: u32) {
        let Apart { rules, shards, .. } = &mut self.state.apart;
        let mut ended: Vec<(String, Vec<String>)> = Vec::new();
        for (name, judged) in rules.iter_mut().filter(|(_, judged)| judged.settling) {
            if judged.view.reads(shard) && judged.view.is_whole(shards) {
                judged.settling = false;
                let texts = judged.groups.keys().filter(|text| !text.is_empty());
                let unseen = texts.filter(|text| !judged.view.has(text)).cloned();
                ended.push((name.clone(), unseen.collect()));
            }
        }
        for (name, texts) in ended {
            let Some(rule) = self.state.rule(&name) else { continue };
            self.happen_apart_to(&rule, texts.clone(), Event::Close(Closing::RuleChanged));
            if let Some(judged) = self.state.apart.rules.get_mut(&name) {
                judged.groups.retain(|text, _| !texts.contains(text));
            }
        }
    }

    /// Evaluates what reads a shard that spoke of `time`: all of it at a whole second, else what was touched.
    fn judge_all(&mut self, (shard, time): (u32, Time), touched: &Touched) {
        let now = self.state.now;
        let mut due: Vec<(String, Vec<String>)> = Vec::new();
        let Apart { rules, verifications, shards, .. } = &mut self.state.apart;
        for (name, judged) in rules.iter_mut().filter(|(_, judged)| judged.view.reads(shard)) {
            if let Some(hole) = judged.view.advance(time) {
                judged.groups.values_mut().for_each(|group| group.alert.freeze(hole));
            }
            let texts: Vec<String> = if judged.view.turn(shards, now) {
                judged.groups.keys().cloned().collect()
            } else if judged.view.is_split() {
                Vec::new()
            } else {
                touched.get(name).into_iter().flatten().cloned().collect()
            };
            due.push((name.clone(), texts));
        }
        let mut verdicts = Vec::new();
        for (incident, it) in verifications.iter_mut().filter(|(_, it)| it.view.reads(shard)) {
            it.advance(time);
            if it.view.turn(shards, now) {
                verdicts.push(incident.clone());
            }
        }
        for (name, texts) in due {
            texts.iter().for_each(|text| self.judge_apart(&name, text));
        }
        verdicts.iter().for_each(|incident| self.judge_verification(incident));
    }

    /// A shard may have been silent for too long: what reads it goes stale.
    pub(in crate::desk) fn shard_silent(&mut self, shard: u32) {
        let now = self.state.now;
        let Some(speaks) = self.state.apart.shards.get(&shard) else { return };
        if now.since(speaks.heard) < SILENT {
            return;
        }
        let rules = self.state.apart.rules.iter().filter(|(_, judged)| judged.view.reads(shard));
        let all = rules.flat_map(|(name, judged)| {
            judged.groups.keys().map(|text| (name.clone(), text.clone()))
        });
        for (name, text) in all.collect::<Vec<_>>() {
            self.judge_apart(&name, &text);
        }
    }

    /// The desk's own blind time is no silence of shards.
    pub(in crate::desk) fn freeze_apart(&mut self, hole: Span) {
        for (shard, speaks) in &self.state.apart.shards {
            let chore = Chore::ShardSilent(*shard);
            if self.state.agenda.remove(&(speaks.heard.plus(SILENT), chore.clone())) {
                self.state.agenda.insert((speaks.heard.plus(hole).plus(SILENT), chore));
            }
        }
        self.state.apart.freeze(hole);
    }

    /// Whether a shard's word about an alert comes too late: the desk judges its rule now, and it is not calm. Where a
    /// rule becomes apart, its shard ends the alert after the desk may have begun.
    pub(in crate::desk) fn is_overtaken(&self, transition: &Transition) -> bool {
        let Some(judged) = self.state.apart.rules.get(&transition.rule) else { return false };
        let group_by: Vec<String> = transition.group.keys().cloned().collect();
        let group = judged.groups.get(&*text_of(&transition.group, &group_by));
        group.is_some_and(|it| !matches!(it.alert.state.axis(), Axis::Unknown | Axis::Ok))
    }
}

impl View {
    /// Keeps what is seen of one part; the label sets it was seen of.
    fn keep(
        &mut self,
        it: &Glimpses,
        seen: &PartSeen,
        group_by: &[String],
    ) -> Result<BTreeSet<String>, String> {
        let (term, per) = (seen.term, seen.per);
        let found = self.parts.iter_mut().find(|part| (part.term, part.per) == (term, per));
        let what = if per { "what it is divided by" } else { "its metric" };
        let Some(part) = found else {
            return Err(format!("rule {} has no condition {term} with {what}", seen.rule));
        };
        if part.shard != it.shard {
            return Err(format!(
                "of rule {}, condition {term}, {what} is of shard {}, not of {}",
                seen.rule, part.shard, it.shard
            ));
        }
        part.began.get_or_insert(it.time);
        part.last = seen.last;
        let mut texts = BTreeSet::new();
        for glimpse in &seen.groups {
            let text = text_of(&glimpse.group, group_by).into_string();
            let (glimpse, said, position) = (glimpse.clone(), it.time, it.position);
            part.cells.insert(text.clone(), Cell { glimpse, said, position });
            texts.insert(text);
        }
        Ok(texts)
    }
}
