//! Terms: the conditions of a rule over several metrics, over a ratio of two, or against the same window earlier.
//!
//! Such a rule is *joined*: it is in breach where all terms of any of its lists are. A list of one term is the rule
//! about a ratio or an earlier window; one list is `all:`, lists of one term each are `any:`.

use crate::matcher::Matcher;
use crate::settings::{Compare, Rule, Stat};
use crate::subject::Subjects;
use crate::time::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One condition of a joined rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Term {
    /// The metric it watches.
    pub metric: String,
    /// The metric it is divided by: the value is the quotient of both statistics, and samples are counted here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<String>,
    /// Which series of both it looks at, sorted; empty: all.
    #[serde(rename = "where", default, skip_serializing_if = "Vec::is_empty")]
    pub matchers: Vec<Matcher>,
    /// What is computed over the window.
    pub stat: Stat,
    /// How the value is compared.
    pub compare: Compare,
    /// With what.
    pub threshold: f64,
    /// As in a rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// As in a rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recover: Option<f64>,
    /// Length of the window.
    pub window: Span,
    /// Fewer samples than this decide nothing; of a ratio those of `per`.
    pub min_samples: u64,
    /// A sample this recent makes an evaluation fresh.
    pub fresh_for: Span,
    /// How much earlier the window lies that the value is divided by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Span>,
}

impl Term {
    /// What it watches, in words: `errors / requests`, `api_ms against 7d earlier`.
    pub fn shown(&self) -> String {
        match (&self.per, self.baseline) {
            (Some(per), _) => format!("{} / {per}", self.metric),
            (None, Some(offset)) => format!("{} against {offset} earlier", self.metric),
            (None, None) => self.metric.clone(),
        }
    }

    /// The metrics it reads.
    pub fn metrics(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.metric.as_str()).chain(self.per.as_deref())
    }

    /// Its value, of what is seen of its metric (statistic and samples), of what that is divided by, and of the same
    /// window earlier.
    pub(crate) fn value(
        &self,
        of: (Option<f64>, u64),
        per: Option<f64>,
        earlier: Option<f64>,
    ) -> Option<f64> {
        let value = if self.per.is_some() { quotient(numerator(self.stat, of), per) } else { of.0 };
        if self.baseline.is_some() { quotient(value, earlier) } else { value }
    }

    /// Whether both see the same panes.
    pub fn sees_as(&self, other: &Self) -> bool {
        let counted = |term: &Self| term.share.map(|_| term.threshold);
        (&self.metric, &self.per, &self.matchers) == (&other.metric, &other.per, &other.matchers)
            && (self.stat, self.window, self.baseline) == (other.stat, other.window, other.baseline)
            && counted(self) == counted(other)
    }
}

impl Rule {
    /// Whether it has terms.
    pub fn is_joined(&self) -> bool {
        !self.any_of.is_empty()
    }

    /// All its terms.
    pub fn terms(&self) -> impl Iterator<Item = &Term> {
        self.any_of.iter().flatten()
    }

    /// The one term of a joined rule that has one.
    pub fn lone_term(&self) -> Option<&Term> {
        let mut terms = self.terms();
        terms.next().filter(|_| terms.next().is_none())
    }

    /// All metrics it reads.
    pub fn metrics(&self) -> BTreeSet<&str> {
        let terms = self.terms().flat_map(Term::metrics);
        std::iter::once(self.metric.as_str()).chain(terms).collect()
    }

    /// The shards its metrics lie in.
    pub fn shards(&self, subjects: &Subjects, shards: u32) -> BTreeSet<u32> {
        self.metrics().into_iter().map(|metric| subjects.shard_of(metric, shards)).collect()
    }

    /// Whether it is *apart*: joined, and of metrics in several shards. The desk judges it.
    pub fn is_apart(&self, subjects: &Subjects, shards: u32) -> bool {
        self.is_joined() && shards > 1 && self.shards(subjects, shards).len() > 1
    }

    /// The rule that judges one of its terms.
    pub fn of_term(&self, term: &Term) -> Self {
        Self {
            metric: term.metric.clone(),
            matchers: term.matchers.clone(),
            any_of: Vec::new(),
            stat: term.stat,
            compare: term.compare,
            threshold: term.threshold,
            share: term.share,
            recover: term.recover,
            window: term.window,
            min_samples: term.min_samples,
            fresh_for: term.fresh_for,
            absent: None,
            grades: Vec::new(),
            ..self.clone()
        }
    }
}

/// What was not seen at all did not happen: no errors are zero errors, where they are added up.
fn numerator(stat: Stat, (value, count): (Option<f64>, u64)) -> Option<f64> {
    match stat {
        Stat::Sum | Stat::Count | Stat::Rate if count == 0 => Some(0.0),
        Stat::Sum
        | Stat::Count
        | Stat::Rate
        | Stat::Mean
        | Stat::Min
        | Stat::Max
        | Stat::Last
        | Stat::Stddev
        | Stat::Percentile(_)
        | Stat::Above
        | Stat::Below => value,
    }
}

/// Nothing can be said of a part of nothing.
fn quotient(value: Option<f64>, per: Option<f64>) -> Option<f64> {
    let quotient = value? / per.filter(|per| *per != 0.0)?;
    quotient.is_finite().then_some(quotient)
}
