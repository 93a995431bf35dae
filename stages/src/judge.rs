//! Judge: what one evaluation of a rule over a group of labels means.
//!
//! A pure function of what the window holds and how long ago the last sample came. It moves nothing: the
//! verdict goes to [`crate::track`]. Only fresh evaluations decide; an empty window decides where the rule
//! says what that means, or where absence is the condition itself.
//!
//! Freshness goes by when a sample came (log time), not by its own `ts`: event time decides the pane a value
//! lands in, nothing else.

use crate::settings::{Compare, NoData, Rule, Stat};
use crate::time::{Span, Time};
use crate::track::axis::Ground;
use crate::wire::DataFlag;

/// What an evaluation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The condition holds.
    Breach(Ground),
    /// It does not hold, but the value is not yet at `recover`.
    Between,
    /// It does not hold.
    Clear(Ground),
    /// Not fresh, or too few samples to say.
    Undecided,
}

/// What there is to judge by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sight {
    /// The instant.
    pub now: Time,
    /// Samples in the window.
    pub count: u64,
    /// The rule's statistic over them; none where it has no value.
    pub value: Option<f64>,
    /// When the last sample came, moved on over holes in log time.
    pub last: Option<Time>,
    /// Since when absence can be seen at all: the rule's entry, or the end of the last hole.
    pub armed: Time,
    /// When the last sample of any group came, where the rule groups by labels.
    pub siblings: Option<Time>,
}

/// A verdict, the data flag, and when time alone may change them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What it means.
    pub verdict: Verdict,
    /// Whether there is data to go by.
    pub data: DataFlag,
    /// The next instant at which time alone changes it; panes leaving are the window's business.
    pub due: Option<Time>,
    /// Until when a firing alert may live on without data, where there is none and the rule keeps it.
    pub keep_until: Option<Time>,
}

/// Judges `rule` by what `sight` shows.
pub fn judge(rule: &Rule, sight: &Sight) -> Judgement {
    match rule.absent {
        Some(absent) => judge_absence(rule, sight, absent),
        None => judge_value(rule, sight),
    }
}

/// The value compared with: `share` for [`Stat::Above`] and [`Stat::Below`], else the threshold.
pub fn limit(rule: &Rule) -> f64 {
    match rule.stat {
        Stat::Above | Stat::Below => rule.share.unwrap_or(0.0),
        Stat::Mean
        | Stat::Min
        | Stat::Max
        | Stat::Sum
        | Stat::Count
        | Stat::Rate
        | Stat::Last
        | Stat::Stddev
        | Stat::Percentile(_) => rule.threshold,
    }
}

/// The value compared with at a grade of the rule.
pub fn limit_at(rule: &Rule, grade: usize) -> f64 {
    rule.grades.get(grade).map_or_else(|| limit(rule), |grade| grade.bound)
}

/// What a verdict on the rule means at one of its grades. `recover` lies as far from every bound as from the first.
pub fn at_grade(rule: &Rule, grade: usize, verdict: Verdict, value: Option<f64>) -> Verdict {
    match (verdict, value) {
        (
            Verdict::Breach(Ground::Value) | Verdict::Between | Verdict::Clear(Ground::Value),
            Some(value),
        ) => {
            let bound = limit_at(rule, grade);
            let recover = rule.recover.map(|recover| bound + (recover - limit(rule)));
            compare(rule.compare, value, bound, recover)
        }
        // Without a value there is one thing to say, at every grade.
        (
            Verdict::Breach(Ground::NoData | Ground::Absence)
            | Verdict::Clear(Ground::NoData | Ground::Absence)
            | Verdict::Undecided,
            _,
        )
        | (
            Verdict::Breach(Ground::Value) | Verdict::Between | Verdict::Clear(Ground::Value),
            None,
        ) => verdict,
    }
}

/// Whether a window is evidence enough for an automatic action: samples in at least half of its panes (filled,
/// all), and `samples_min` of them.
pub fn enough_to_act(count: u64, (filled, panes): (u32, u32), samples_min: u64) -> bool {
    filled > 0 && 2 * u64::from(filled) >= u64::from(panes) && count >= samples_min
}

fn judge_value(rule: &Rule, sight: &Sight) -> Judgement {
    let Sight { now, last, armed, .. } = *sight;
    let seen = last.map_or(armed, |last| last.max(armed));
    let (data, gone) = data_flag(rule, sight, seen);
    let verdict = match (data, sight.value) {
        (DataFlag::Fresh, Some(value)) => compare(rule.compare, value, limit(rule), rule.recover),
        (DataFlag::NoData, _) if gone => match rule.no_data {
            NoData::Keep => Verdict::Undecided,
            NoData::Alert => Verdict::Breach(Ground::NoData),
            NoData::Ok => Verdict::Clear(Ground::NoData),
        },
        (DataFlag::Fresh, None)
        | (
            DataFlag::NoData | DataFlag::Stale | DataFlag::Insufficient | DataFlag::MissingSeries,
            _,
        ) => Verdict::Undecided,
    };
    let stale = last.map(|last| last.plus(rule.fresh_for));
    let empty = (sight.count == 0).then(|| seen.plus(rule.window));
    let missing = sight.siblings.filter(|_| sight.count == 0 && data != DataFlag::MissingSeries);
    let missing = missing.map(|_| next_look(seen, rule.window, now));
    let due = [stale, empty, missing].into_iter().flatten().filter(|due| *due > now).min();
    let kept = gone && data == DataFlag::NoData && rule.no_data == NoData::Keep;
    Judgement { verdict, data, due, keep_until: kept.then(|| seen.plus(rule.keep_max)) }
}

fn judge_absence(rule: &Rule, sight: &Sight, absent: Span) -> Judgement {
    let Sight { now, last, armed, .. } = *sight;
    let seen = last.map_or(armed, |last| last.max(armed));
    let present = last.is_some_and(|last| now < last.plus(absent));
    let verdict = if now >= seen.plus(absent) {
        Verdict::Breach(Ground::Absence)
    } else if present {
        Verdict::Clear(Ground::Absence)
    } else {
        Verdict::Undecided
    };
    let (data, _) = data_flag(rule, &Sight { siblings: None, ..*sight }, seen);
    let stale = last.map(|last| last.plus(rule.fresh_for));
    let empty = (sight.count == 0).then(|| seen.plus(rule.window));
    let due = [stale, empty, Some(seen.plus(absent))];
    let due = due.into_iter().flatten().filter(|due| *due > now).min();
    Judgement { verdict, data, due, keep_until: None }
}

/// The flag, and whether an empty window has been empty for long enough to mean something: after a hole in
/// log time it is our own silence that emptied it.
fn data_flag(rule: &Rule, sight: &Sight, seen: Time) -> (DataFlag, bool) {
    let Sight { now, count, last, .. } = *sight;
    let fresh = last.is_some_and(|last| now < last.plus(rule.fresh_for));
    if count > 0 {
        let enough = count >= rule.min_samples.max(1);
        let flag = match (fresh, enough) {
            (false, _) => DataFlag::Stale,
            (true, false) => DataFlag::Insufficient,
            (true, true) => DataFlag::Fresh,
        };
        return (flag, false);
    }
    let siblings_report = sight.siblings.is_some_and(|at| at.plus(rule.window) > now);
    if now >= seen.plus(rule.window).plus(rule.window) && siblings_report {
        (DataFlag::MissingSeries, false)
    } else if now >= seen.plus(rule.window) {
        (DataFlag::NoData, true)
    } else if last.is_none() {
        (DataFlag::NoData, false)
    } else if fresh {
        (DataFlag::Insufficient, false)
    } else {
        (DataFlag::Stale, false)
    }
}

/// When to look again whether siblings report: whole windows after the last sample, two at least.
fn next_look(seen: Time, window: Span, now: Time) -> Time {
    let windows = now.since(seen).0 / window.0.max(1) + 1;
    seen.plus(Span(window.0.saturating_mul(windows.max(2))))
}

fn compare(compare: Compare, value: f64, limit: f64, recover: Option<f64>) -> Verdict {
    if compare.breaches(value, limit) {
        return Verdict::Breach(Ground::Value);
    }
    let Some(recover) = recover else { return Verdict::Clear(Ground::Value) };
    let clear = match compare {
        Compare::Greater | Compare::GreaterEqual => value <= recover,
        Compare::Less | Compare::LessEqual => value >= recover,
        // Settings refuse `recover` with these: there is no side to come back from.
        Compare::Equal | Compare::NotEqual => true,
    };
    if clear { Verdict::Clear(Ground::Value) } else { Verdict::Between }
}
