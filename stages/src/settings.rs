//! Settings as they are meant: one revision holds everything people configure.
//!
//! This is the shape that enters the logs, as JSON. What people write (YAML) and how it becomes this is
//! the business of the `settings` crate. Durations are filled in there, so no default hides in a stage.

mod rule;

pub use rule::{Action, Compare, Grade, Guards, Mode, NoData, Rule, Stat};

use crate::calendar::Calendar;
use crate::time::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One revision of everything people configure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Settings {
    /// Version of this shape: 1.
    pub schema: u32,
    /// Which part of a revision this is that does not fit one message ([`crate::revision`]); the lists below then hold
    /// some of it, everything else is the same in all parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// Hash (16 hex digits) of the content below; names the revision.
    pub revision: String,
    /// Who applied it.
    pub author: String,
    /// Why.
    pub comment: String,
    /// Rules by name; sorted, names are unique.
    pub rules: Vec<Arc<Rule>>,
    /// Rollback plans by name; sorted.
    pub plans: Vec<Arc<Plan>>,
    /// Receivers by name; sorted. Every name a rule notifies is here.
    pub receivers: Vec<Arc<Receiver>>,
    /// Who hears of it when a receiver's channels all fail, and of the product's own troubles.
    pub fallback_receiver: Option<String>,
    /// Bounds.
    pub limits: Limits,
    /// Calendars by name; sorted. Every name a rule's `hours` says is here. They are few, so all parts carry them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calendars: Vec<Arc<Calendar>>,
}

/// A part of a revision: number `1` to `of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Part {
    /// From 1.
    pub number: u32,
    /// How many there are.
    pub of: u32,
}

/// A script that returns a service to its last version, and how far it may go by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// Exact name of its folder.
    pub name: String,
    /// File name of the script inside that folder.
    pub script: String,
    /// What is rolled back, for [`Guards::changed_within`]; the plan's name unless said.
    pub target: String,
    /// How long the script may run.
    pub timeout: Span,
    /// Quiet time after an attempt.
    pub cooldown: Span,
    /// Attempts in `lock_window` after which the plan locks itself; `None`: never.
    pub lock_after: Option<u32>,
    /// See `lock_after`.
    pub lock_window: Span,
    /// How long a command waits to be claimed.
    pub not_after: Span,
    /// How long an approval is waited for.
    pub approval_expires: Span,
    /// May be run again after an unknown outcome.
    pub idempotent: bool,
    /// How recovery is verified.
    pub verify: Verify,
}

/// How recovery is verified after a script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verify {
    /// Wait this long after the script before looking.
    pub settle: Span,
    /// Clear for this long ...
    #[serde(rename = "for")]
    pub hold: Span,
    /// ... within this long.
    pub within: Span,
    /// Samples it needs to say anything.
    pub min_samples: u64,
}

/// Somebody who can be told, by channels tried in order. Addresses and keys stay at the edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Receiver {
    /// Unique name, as rules write it.
    pub name: String,
    /// Kinds of channel, in the order they are tried: `email`, `pager_duty`, `webhook`.
    pub channels: Vec<String>,
    /// How often it may be told.
    pub budget: Budget,
}

/// A token bucket in log time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Budget {
    /// Messages that may go at once.
    pub burst: u32,
    /// Time in which one message's worth comes back.
    pub refill: Span,
    /// Part of `burst` kept for `critical`.
    pub reserve: u32,
    /// Over budget, messages fold into one digest at most this often.
    pub digest_every: Span,
}

/// Bounds of state and of what may happen by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Limits {
    /// Series of one metric.
    pub series_per_metric: u32,
    /// Series of one shard.
    pub series_per_shard: u32,
    /// How far ahead of log time a sample may be.
    pub max_future: Span,
    /// Rollbacks of the whole fleet per hour.
    pub rollbacks_per_hour: u32,
    /// Intents older than this become a digest.
    pub notify_max_age: Span,
    /// Automatic actions allowed at all.
    pub actions_enabled: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            series_per_metric: 20_000,
            series_per_shard: 200_000,
            max_future: Span::from_secs(300),
            rollbacks_per_hour: 10,
            notify_max_age: Span::from_secs(900),
            actions_enabled: true,
        }
    }
}

impl Settings {
    /// The rule of this name. They are sorted by it as a rule, and found all the same where they are not.
    pub fn rule(&self, name: &str) -> Option<&Arc<Rule>> {
        let found = self.rules.binary_search_by(|rule| rule.name.as_str().cmp(name));
        match found {
            Ok(at) => self.rules.get(at),
            Err(_) => self.rules.iter().find(|rule| rule.name == name),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            schema: 1,
            part: None,
            revision: String::new(),
            author: String::new(),
            comment: String::new(),
            rules: Vec::new(),
            plans: Vec::new(),
            receivers: Vec::new(),
            fallback_receiver: None,
            limits: Limits::default(),
            calendars: Vec::new(),
        }
    }
}
