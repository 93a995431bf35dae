//! Verification of a joined rule: its terms judged on samples after the script only, for one group, until there is a
//! verdict.

use super::evaluate::{Looks, terms_seen};
use super::{Join, Joins, Purpose};
use crate::judge;
use crate::settings::Rule;
use crate::shard::metric::{sorted, text_of};
use crate::shard::{Shard, Whom};
use crate::time::{Span, Time};
use crate::verify::{State, progress};
use crate::wire::{SCHEMA, ShardEvent, Verdict, Verified, VerifyRequest};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A verification under way, beside the parts it reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Watched {
    pub(super) request: VerifyRequest,
    pub(super) state: State,
}

impl Watched {
    /// Moves its clocks on over a hole in log time.
    pub(super) fn freeze(&mut self, hole: Span) {
        self.request.until = self.request.until.plus(hole);
        self.state = self.state.frozen_over(hole);
    }
}

impl Joins {
    /// Verifications under way.
    pub(in crate::shard) fn watches(&self) -> impl Iterator<Item = &VerifyRequest> {
        self.joins.iter().filter_map(|(_, join)| join.request())
    }
}

impl Shard {
    /// Opens the verification of a joined rule that an entry at this position asks for.
    pub(in crate::shard) fn watch_join(
        &mut self,
        request: VerifyRequest,
        rule: &Rule,
        (position, now): (u64, Time),
    ) {
        let text: Arc<str> = text_of(&request.group, &sorted(&rule.group_by)).into();
        let rule = request.judges(rule);
        let since = (position, Some(request.from));
        let home = crate::shard::slice_of(&rule.metric);
        let purpose = Purpose::Verdict(Box::new(Watched { request, state: State::default() }));
        let (rule, lists, groups) = (Arc::new(rule), Arc::default(), BTreeMap::new());
        let join = self.joins.joins.insert(Join { rule, home, since, lists, groups, purpose });
        self.lay_parts(now);
        self.join_group(join, &text, now);
    }

    /// Looks at a verification at `now`; one that has its verdict says so and ends.
    pub(super) fn look_at_watched(&mut self, id: u32, looks: &Looks, now: Time) {
        let join = self.joins.groups[id].join;
        let Purpose::Verdict(watched) = &mut self.joins.joins[join].purpose else { return };
        let judged = &looks.joint.judged;
        let (verdict, due) = progress(&watched.request, &mut watched.state, judged, now);
        match verdict {
            None => self.dues.set(&mut self.joins.groups[id].due, due, Whom::Join(id)),
            Some(verdict) => self.say_verified(id, verdict, looks, now),
        }
    }

    fn say_verified(&mut self, id: u32, verdict: Verdict, looks: &Looks, now: Time) {
        let group = &self.joins.groups[id];
        let (at, text) = (group.join, Arc::clone(&group.text));
        let join = &self.joins.joins[at];
        let Some(request) = join.request().cloned() else { return };
        let lists = Arc::clone(&join.lists);
        let way = &lists[looks.joint.decisive.0][looks.joint.decisive.1];
        let reading = self.joins.read(way, &text, looks.decisive(), now);
        let mut evidence = self.speaker.evidence(&reading, None, judge::limit(&way.rule), now);
        evidence.terms = terms_seen(&lists, looks);
        let verified = Verified {
            schema: SCHEMA,
            incident: request.incident.clone(),
            plan: request.plan,
            verdict,
            time: now,
            position: self.speaker.position,
            evidence,
        };
        let about = (request.rule.as_str(), request.incident.as_str());
        self.speaker.event(now, about, &ShardEvent::Verified(Box::new(verified)));
        self.remove_join(at);
        self.lay_parts(now);
    }
}
