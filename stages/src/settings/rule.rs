//! A rule: what to watch, and what to do about it.

use crate::matcher::Matcher;
use crate::term::Term;
use crate::time::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What to watch and what to do about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rule {
    /// Unique; the stem of its file unless it says otherwise.
    pub name: String,
    /// The metric it watches.
    pub metric: String,
    /// Which series of the metric it looks at, sorted; empty: all.
    #[serde(rename = "where", default, skip_serializing_if = "Vec::is_empty")]
    pub matchers: Vec<Matcher>,
    /// The conditions of a joined rule: it is in breach where all terms of any of these lists are. `metric` is then that of
    /// the first term, and with `window` and what is compared it stands for the rule where one is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub any_of: Vec<Vec<Term>>,
    /// Labels that make one alert each; empty: one alert over all series.
    pub group_by: Vec<String>,
    /// What is computed over the window.
    pub stat: Stat,
    /// How the value is compared.
    pub compare: Compare,
    /// With what. For [`Stat::Above`] and [`Stat::Below`] samples are held against it and `share` is compared.
    pub threshold: f64,
    /// Share of samples (0 to 1) for [`Stat::Above`] and [`Stat::Below`].
    pub share: Option<f64>,
    /// Length of the window.
    pub window: Span,
    /// How long the breach must hold before the alert fires.
    #[serde(rename = "for")]
    pub hold: Span,
    /// Value at or beyond which a firing alert recovers; the threshold unless said.
    pub recover: Option<f64>,
    /// How long it must stay recovered.
    pub keep_firing_for: Span,
    /// A breach this soon after `resolved` reopens the incident.
    pub reopen_within: Span,
    /// Fewer samples than this decide nothing.
    pub min_samples: u64,
    /// A sample this recent makes an evaluation fresh.
    pub fresh_for: Span,
    /// How long a gap may freeze the clock of `for`.
    pub gap_tolerance: Span,
    /// What no data means.
    pub no_data: NoData,
    /// How long a firing alert may live on without data.
    pub keep_max: Span,
    /// Makes absence itself the condition.
    pub absent: Option<Span>,
    /// Window in which firings are counted for flapping.
    pub flap_window: Span,
    /// `critical`, `warning`, ... : a token of the alert's subject.
    pub severity: String,
    /// Where the rule has several severities, each with its bound, mildest first; `severity` and `threshold` (`share`
    /// for shares) are then those of the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grades: Vec<Grade>,
    /// The mildest severity that acts, where there are several; the highest unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action_severity: Option<String>,
    /// Unit shown behind values, for instance `ms`.
    pub unit: Option<String>,
    /// What to do when it fires, beside telling people.
    pub action: Option<Action>,
    /// Samples the window must hold before an automatic action.
    pub action_min_samples: u64,
    /// What must hold before an automatic action.
    pub guards: Guards,
    /// Where the fix is described.
    pub runbook: Option<String>,
    /// Receivers, by name.
    pub notify: Vec<String>,
    /// Remind after this long.
    pub repeat: Span,
    /// Labels of the alert.
    pub labels: BTreeMap<String, String>,
    /// Texts of the alert.
    pub annotations: BTreeMap<String, String>,
    /// Whether people hear of it.
    #[serde(default, skip_serializing_if = "Mode::is_live")]
    pub mode: Mode,
    /// Calendar whose hours it is told in; at any hour if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<String>,
}

/// One of several severities of a rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Grade {
    /// A token of the alert's subject, like [`Rule::severity`].
    pub severity: String,
    /// What the value is compared with: a threshold, or a share for [`Stat::Above`] and [`Stat::Below`].
    pub bound: f64,
}

impl Rule {
    /// The severity at a grade; the rule's own where it has one severity.
    pub fn severity_at(&self, grade: usize) -> &str {
        self.grades.get(grade).map_or(&self.severity, |grade| &grade.severity)
    }

    /// The grade of a severity; 0 where the rule has one severity, or none of this name.
    pub fn grade_of(&self, severity: &str) -> usize {
        self.grades.iter().position(|grade| grade.severity == severity).unwrap_or(0)
    }

    /// Whether an incident of this severity may be acted on.
    pub fn acts_at(&self, severity: &str) -> bool {
        let highest = self.grades.len().saturating_sub(1);
        let least = self.action_severity.as_deref().map_or(highest, |least| self.grade_of(least));
        self.grade_of(severity) >= least
    }

    /// The unit to show: as said, else read off the metric's last word (`_ms`, `_seconds`, `_bytes`).
    pub fn unit_shown(&self) -> &str {
        if let Some(unit) = &self.unit {
            return unit;
        }
        match self.metric.rsplit(['_', '.']).next() {
            Some("ms") => "ms",
            Some("us") => "us",
            Some("s" | "seconds") => "s",
            Some("bytes") => "B",
            Some("percent") => "%",
            _ => "",
        }
    }
}

/// What is computed over a window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stat {
    /// Arithmetic mean.
    Mean,
    /// Smallest value.
    Min,
    /// Largest value.
    Max,
    /// Sum of values.
    Sum,
    /// Number of samples.
    Count,
    /// Per second over the covered span; counters handle resets.
    Rate,
    /// Value with the largest event time.
    Last,
    /// Population standard deviation.
    Stddev,
    /// Nearest-rank percentile, 0 < q <= 100.
    Percentile(f64),
    /// Share of samples above `threshold`.
    Above,
    /// Share of samples below `threshold`.
    Below,
}

impl Stat {
    /// Whether a histogram must be kept for it.
    pub const fn needs_histogram(self) -> bool {
        matches!(self, Self::Percentile(_) | Self::Above | Self::Below)
    }

    /// Whether samples must be seen one by one for it; for the others their sums are enough.
    pub const fn needs_each(self) -> bool {
        self.needs_histogram() || matches!(self, Self::Rate | Self::Stddev)
    }
}

/// How a value is compared with the threshold; true is a breach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Compare {
    /// Strictly greater: the default.
    #[default]
    #[serde(rename = ">")]
    Greater,
    /// Greater or equal.
    #[serde(rename = ">=")]
    GreaterEqual,
    /// Strictly less.
    #[serde(rename = "<")]
    Less,
    /// Less or equal.
    #[serde(rename = "<=")]
    LessEqual,
    /// Equal.
    #[serde(rename = "==")]
    Equal,
    /// Not equal.
    #[serde(rename = "!=")]
    NotEqual,
}

impl Compare {
    /// Whether `value` breaches `threshold`.
    pub fn breaches(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Greater => value > threshold,
            Self::GreaterEqual => value >= threshold,
            Self::Less => value < threshold,
            Self::LessEqual => value <= threshold,
            Self::Equal => value == threshold,
            Self::NotEqual => value != threshold,
        }
    }
}

/// What an empty window means to a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoData {
    /// The alert stays what it is, up to `keep_max`; then the same alert says no_data.
    #[default]
    Keep,
    /// No data is a breach.
    Alert,
    /// No data is fine.
    Ok,
}

/// Whether people hear of a rule, and whether it acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// They do, and it does.
    #[default]
    Live,
    /// It is evaluated like any other and its transitions are recorded; nobody is told, nothing runs.
    Shadow,
}

impl Mode {
    /// Whether it is the usual one.
    pub fn is_live(&self) -> bool {
        *self == Self::Live
    }
}

/// What a rule does besides telling people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Roll back by the plan of this name.
    Rollback(String),
}

/// What must hold before an automatic action; all optional.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Guards {
    /// A change of the target was seen this recently.
    pub changed_within: Option<Span>,
    /// Not while this other rule is firing.
    pub unless: Option<String>,
    /// A person must approve.
    pub approve: bool,
    /// Say what would be done, do nothing.
    pub dry_run: bool,
}
