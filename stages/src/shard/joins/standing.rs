//! How the alerts of a joined rule stand between two evaluations, for whoever asks why.

use super::evaluate::terms_seen;
use crate::judge;
use crate::shard::{Shard, Standing};
use crate::time::Time;
use std::sync::Arc;

impl Shard {
    /// As [`Shard::standing`], of a joined rule: what is seen is that of the term that decides, and of each.
    pub(in crate::shard) fn standing_of_join(&mut self, rule: &str, now: Time) -> Vec<Standing> {
        let named = |join: &super::Join| join.alerts() && join.rule.name == rule;
        let Some((_, join)) = self.joins.joins.iter().find(|(_, join)| named(join)) else {
            return Vec::new();
        };
        let (lists, groups) = (Arc::clone(&join.lists), join.groups.clone());
        let mut all = Vec::with_capacity(groups.len());
        for (text, id) in groups {
            let Some(looks) = self.joins.look(id, now) else { continue };
            let way = &lists[looks.joint.decisive.0][looks.joint.decisive.1];
            let reading = self.joins.read(way, &text, looks.decisive(), now);
            let mut evidence = self.speaker.evidence(&reading, None, judge::limit(&way.rule), now);
            evidence.terms = terms_seen(&lists, &looks);
            let part = &self.joins.parts[way.per.unwrap_or(way.of)];
            let last = part.cells.get(&text).and_then(|cell| self.joins.cells[*cell].last);
            all.push(Standing::of(&self.joins.groups[id].alert, &text, last, evidence));
        }
        all
    }
}
