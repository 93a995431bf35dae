//! Verifications asked for by the desk, and what people look at: control entries beside the settings.

use super::metric::{filter, group_text, sorted, text_of};
use super::{Shard, Whom};
use crate::due::Due;
use crate::log::Entry;
use crate::matcher::Filter;
use crate::rollup::Detail;
use crate::settings::Rule;
use crate::term::Term;
use crate::time::Time;
use crate::verify::Watch;
use crate::window::Reading;
use crate::wire::people::LOOK_KEEPS;
use crate::wire::{Look, Relayed, SCHEMA, ShardEvent, Verdict, Verified, VerifyRequest};
use std::sync::Arc;

/// Verifications of one shard under way; one more is inconclusive at once.
pub(super) const WATCHES_MAX: usize = 1_000;

/// A verification and where it looks.
#[derive(Debug)]
pub(super) struct Watching {
    pub(super) watch: Watch,
    pub(super) metric: u32,
    /// Text of its group by the rule's labels.
    pub(super) text: Box<str>,
    /// Which series the rule looks at.
    pub(super) filter: Filter,
    pub(super) due: Due,
}

impl Shard {
    /// Opens the verification an entry asks for.
    pub(super) fn take_request(&mut self, entry: &Entry, now: Time) {
        let Ok(relayed) = serde_json::from_slice::<Relayed<VerifyRequest>>(&entry.payload) else {
            if self.place.is_first() {
                self.count_refused("verify", 1);
            }
            return;
        };
        let newest = self.sources.entry(relayed.source.stream).or_default();
        if relayed.source.sequence <= *newest {
            return;
        }
        *newest = relayed.source.sequence;
        let request = relayed.body;
        let watched = self.watches.iter().map(|(_, other)| &other.watch.request);
        let known =
            watched.chain(self.joins.watches()).any(|other| other.incident == request.incident);
        if known {
            return;
        }
        let found = self.settings.rule(&request.rule).map(Arc::clone);
        match found {
            Some(rule) if self.shows(&rule) => {
                self.show_for(&request, &rule, (entry.sequence, now));
                self.stand_next(now);
            }
            Some(rule) if self.place.is_of_shard(&rule.metric) => {
                if self.place.owns(super::slice_of(&rule.metric)) {
                    self.open_watch(request, &rule, (entry.sequence, now));
                }
            }
            // No such rule, or since an edit its metric is another shard's: nothing here to judge by.
            Some(_) | None if self.place.is_first() => self.say_unknown(&request, now),
            Some(_) | None => {}
        }
    }

    fn open_watch(&mut self, request: VerifyRequest, rule: &Rule, (position, now): (u64, Time)) {
        if self.watches.len() + self.joins.watches().count() >= WATCHES_MAX {
            return self.say_unknown(&request, now);
        }
        if rule.is_joined() {
            return self.watch_join(request, rule, (position, now));
        }
        let metric = self.metric(&rule.metric);
        let text = text_of(&request.group, &sorted(&rule.group_by));
        let (watch, filter) = (Watch::new(request, rule), filter(&rule.matchers));
        let id = self.watches.insert(Watching { watch, metric, text, filter, due: Due::default() });
        self.metrics[metric].watches.push(id);
        self.settle_intake(metric);
        self.touched_watches.insert(id);
    }

    /// There is nothing to judge by: the rule is gone or looks elsewhere, or too much is being verified.
    fn say_unknown(&mut self, request: &VerifyRequest, now: Time) {
        let verified = Verified {
            schema: SCHEMA,
            incident: request.incident.clone(),
            plan: request.plan.clone(),
            verdict: Verdict::Inconclusive,
            time: now,
            position: self.speaker.position,
            evidence: Default::default(),
        };
        let about = (request.rule.as_str(), request.incident.as_str());
        self.speaker.event(now, about, &ShardEvent::Verified(Box::new(verified)));
    }

    /// The verifications that a series' samples belong to.
    pub(super) fn watches_of(&self, series: u32) -> Vec<u32> {
        let series = &self.series[series];
        let of_group = |id: &u32| {
            let watching = &self.watches[*id];
            let group_by = sorted(&watching.watch.rule.group_by);
            *group_text(&series.key, &group_by) == *watching.text
                && watching.filter.takes_key(&series.key)
        };
        self.metrics[series.metric].watches.iter().copied().filter(of_group).collect()
    }

    /// Looks at a verification at `now`; one that has its verdict says so and ends.
    pub(super) fn look(&mut self, id: u32, now: Time) {
        let watching = &mut self.watches[id];
        let answer = watching.watch.look(now);
        match answer.verdict {
            None => self.dues.set(&mut watching.due, answer.due, Whom::Watch(id)),
            Some(verdict) => self.close_watch(id, verdict, &answer.reading, now),
        }
    }

    fn close_watch(&mut self, id: u32, verdict: Verdict, reading: &Reading, now: Time) {
        let Some(Watching { watch, metric, .. }) = self.watches.remove(id) else { return };
        self.metrics[metric].watches.retain(|other| *other != id);
        self.settle_intake(metric);
        let limit = crate::judge::limit(&watch.rule);
        let evidence = self.speaker.evidence(reading, watch.level.value(), limit, now);
        let verified = Verified {
            schema: SCHEMA,
            incident: watch.request.incident.clone(),
            plan: watch.request.plan,
            verdict,
            time: now,
            position: self.speaker.position,
            evidence,
        };
        let about = (watch.request.rule.as_str(), watch.request.incident.as_str());
        self.speaker.event(now, about, &ShardEvent::Verified(Box::new(verified)));
    }

    /// Somebody looks at a metric: its rollups carry histograms for a while.
    pub(super) fn take_look(&mut self, entry: &Entry, now: Time) {
        if let Ok(look) = serde_json::from_slice::<Look>(&entry.payload)
            && self.place.owns(super::slice_of(&look.metric))
        {
            self.looks.insert(look.metric, now.plus(LOOK_KEEPS));
            self.detail_rollups();
        }
    }

    /// Forgets looks that are over.
    pub(super) fn end_looks(&mut self, now: Time) {
        let before = self.looks.len();
        self.looks.retain(|_, until| *until > now);
        if self.looks.len() != before {
            self.detail_rollups();
        }
    }

    /// Metrics whose rollups carry histograms: with a rule that needs one, or looked at.
    pub(super) fn detail_rollups(&mut self) {
        let rules = self.settings.rules.iter().filter(|rule| rule.stat.needs_histogram());
        let rules = rules.map(|rule| rule.metric.as_str());
        let terms = self.settings.rules.iter().flat_map(|rule| rule.terms());
        let terms = terms.filter(|term| term.stat.needs_histogram()).flat_map(Term::metrics);
        let coarse = rules.chain(terms).map(|metric| (metric.to_owned(), Detail::Coarse));
        let fine = self.looks.keys().map(|name| (name.clone(), Detail::Fine));
        if !self.rollups.detail(coarse.chain(fine)) {
            return;
        }
        self.settle_intakes();
    }

    /// Finds out anew how samples of all metrics are added up.
    pub(super) fn settle_intakes(&mut self) {
        for metric in self.names.values().copied().collect::<Vec<_>>() {
            self.settle_intake(metric);
        }
    }
}
