//! Which rules of a view need a look at all: with many on one metric, nearly all are well and stay so.
//!
//! Rules are sorted by the bound a value must reach for them to say anything but "well". A glance at the window's value
//! then names the few it is beyond; those, and the alerts that were not well after the last look, are judged, and what is
//! left out would have said nothing and moved nothing. A thousand rules cost little more than one while they are calm,
//! and a firing one costs itself. Exact, so it changes nothing that is said; it is not saved, but found again.

use crate::judge::{Sight, limit};
use crate::settings::{Compare, Rule};
use crate::time::{Span, Time};
use std::sync::Arc;

/// With fewer rules, looking at all of them costs no more than choosing.
const FEW: usize = 8;

/// What the rules of one view take for "well".
#[derive(Debug)]
pub(super) struct Calm {
    /// Bound and place of rules that are well below it, lowest first.
    below: Vec<(f64, u32)>,
    /// Bound and place of rules that are well above it, highest first.
    above: Vec<(f64, u32)>,
    /// Rules that are judged by something else as well.
    others: Vec<u32>,
    /// Samples that are enough for all of them.
    samples: u64,
    /// The shortest time after which a sample is fresh for one of them no more.
    fresh_for: Span,
}

impl Calm {
    /// Of a view with these rules; none where they are few.
    pub(super) fn of(rules: &[Arc<Rule>]) -> Option<Box<Self>> {
        if rules.len() < FEW {
            return None;
        }
        let (below, above, others) = (Vec::new(), Vec::new(), Vec::new());
        let fresh_for = rules.iter().map(|rule| rule.fresh_for).min().unwrap_or_default();
        let samples = rules.iter().map(|rule| rule.min_samples.max(1)).max().unwrap_or(1);
        let mut calm = Self { below, above, others, samples, fresh_for };
        for (rule, at) in rules.iter().zip(0..) {
            let (limit, recover) = (limit(rule), rule.recover.unwrap_or(limit(rule)));
            match rule.compare {
                _ if rule.absent.is_some() => calm.others.push(at),
                Compare::Greater | Compare::GreaterEqual => {
                    calm.below.push((limit.min(recover), at));
                }
                Compare::Less | Compare::LessEqual => calm.above.push((limit.max(recover), at)),
                Compare::Equal | Compare::NotEqual => calm.others.push(at),
            }
        }
        calm.below.sort_by(|one, other| one.0.total_cmp(&other.0));
        calm.above.sort_by(|one, other| other.0.total_cmp(&one.0));
        Some(Box::new(calm))
    }

    /// Puts the rules to look at into `chosen`, in order: those whose alerts were not well, and those `sight` may be news
    /// to. Answers when the first of the others would no longer be fresh; none where all must be looked at.
    pub(super) fn choose(
        &self,
        sight: &Sight,
        restless: &[u32],
        chosen: &mut Vec<u32>,
    ) -> Option<Time> {
        let value = sight.value.filter(|value| value.is_finite())?;
        let stale = sight.last?.plus(self.fresh_for);
        if sight.count < self.samples || stale <= sight.now {
            return None;
        }
        let beyond = self.below.iter().take_while(|(bound, _)| *bound <= value);
        let under = self.above.iter().take_while(|(bound, _)| *bound >= value);
        chosen.clear();
        chosen.extend(beyond.chain(under).map(|(_, at)| *at));
        chosen.extend_from_slice(&self.others);
        chosen.extend_from_slice(restless);
        chosen.sort_unstable();
        chosen.dedup();
        Some(stale)
    }
}
