//! Silences: a person says "do not tell anybody about these for a while". They end at their own moment of the
//! bus's clock, blind time or not. A silence neither resolves nor acknowledges anything.

use crate::series::Labels;
use crate::time::Time;
use crate::wire::Silence;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most silences in force at once; beyond it the next one is refused with a notice. Each alert is held against
/// each silence, so this times a few hundred bytes and comparisons is what they may cost.
pub const SILENCES_MAX: usize = 10_000;

/// The silences in force, and those that begin later.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Silences {
    by_id: BTreeMap<String, Silence>,
}

impl Silences {
    /// Takes a person's entry. A later entry with the same id replaces the former; one that ends in the past
    /// ends it.
    ///
    /// # Errors
    /// What is wrong with it and what to write instead.
    pub fn take(&mut self, silence: Silence, now: Time) -> Result<(), String> {
        if silence.id.is_empty() {
            return Err("silence without an id: write one, it names the silence to end it".into());
        }
        if silence.author.is_empty() {
            return Err("silence without an author: write who silences".into());
        }
        if silence.ends <= now {
            self.by_id.remove(&silence.id);
            return Ok(());
        }
        if silence.comment.is_empty() {
            return Err("silence without a comment: write why".into());
        }
        if silence.matchers.is_empty() {
            return Err(
                "silence without matchers would cover everything: name a rule or a label".into()
            );
        }
        if silence.starts.is_some_and(|starts| starts >= silence.ends) {
            return Err("silence that ends before it starts: write a later `ends`".into());
        }
        if self.by_id.len() >= SILENCES_MAX && !self.by_id.contains_key(&silence.id) {
            return Err(format!("{SILENCES_MAX} silences already: end some first"));
        }
        self.by_id.insert(silence.id.clone(), silence);
        Ok(())
    }

    /// Whether an alert with these labels is silenced at `now`.
    pub fn covers(&self, labels: &Labels, now: Time) -> bool {
        self.by_id.values().any(|silence| matches(silence, labels, now))
    }

    /// Whether automatic actions for it are.
    pub fn covers_actions(&self, labels: &Labels, now: Time) -> bool {
        self.by_id.values().any(|silence| silence.actions && matches(silence, labels, now))
    }

    /// Drops those that have ended.
    pub fn prune(&mut self, now: Time) {
        self.by_id.retain(|_, silence| silence.ends > now);
    }
}

fn matches(silence: &Silence, labels: &Labels, now: Time) -> bool {
    silence.starts.is_none_or(|starts| starts <= now)
        && now < silence.ends
        && silence.matchers.iter().all(|(name, value)| labels.get(name) == Some(value))
}
