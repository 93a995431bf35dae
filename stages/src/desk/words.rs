//! The sentences of the desk: lines of pages, reasons in words. Numbers are [`crate::number`]'s.

use crate::judge::limit_at;
use crate::matcher::{Matcher, Operator};
use crate::number::{plain, with_unit};
use crate::series::Labels;
use crate::settings::{Rule, Stat};
use crate::time::Time;
use crate::wire::{DataFlag, Evidence, Forbidden, Reason, RollbackState};
use std::collections::BTreeMap;

/// Longest group of labels on a line of a page; a mail's subject and a phone's screen end there.
const GROUP_CHARS_MAX: usize = 120;

/// What a page is about: `county_api_ms`, `county_api_ms{region=eu}` or `county_api_ms{code=~5..,region=eu}`.
pub fn subject(rule: &Rule, group: &Labels) -> String {
    // What the group says already is not said twice.
    let said = |it: &&Matcher| it.op != Operator::Equal || !group.contains_key(&it.label);
    let matchers = rule.matchers.iter().filter(said);
    let matchers = matchers.map(|it| format!("{}{}{}", it.label, it.op.sign(), it.value));
    let labels = group.iter().map(|(name, value)| format!("{name}={value}"));
    let pairs: Vec<String> = matchers.chain(labels).collect();
    let watched = match rule.lone_term() {
        Some(term) => term.shown(),
        None if rule.is_joined() => rule.name.clone(),
        None => rule.metric.clone(),
    };
    if pairs.is_empty() {
        return watched;
    }
    let mut text = pairs.join(",");
    if let Some((end, _)) = text.char_indices().nth(GROUP_CHARS_MAX) {
        text.truncate(end);
        text.push('…');
    }
    format!("{watched}{{{text}}}")
}

/// `county_api_ms 1580 ms (threshold 1000)`; `heartbeat no data for 5m` where absence is the condition.
pub fn breach(rule: &Rule, group: &Labels, (severity, evidence): (&str, &Evidence)) -> String {
    if let Some(absent) = rule.absent {
        return format!("{} no data for {absent}", subject(rule, group));
    }
    let seen = reading(rule, evidence, false).unwrap_or_else(|| "no data".to_owned());
    format!("{} {seen} ({})", subject(rule, group), limit(rule, severity))
}

/// What the number is held against at this severity: `threshold 1000`, `share 0.3` where the rule counts samples, or
/// `absent 5m`.
pub fn limit(rule: &Rule, severity: &str) -> String {
    if let Some(absent) = rule.absent {
        return format!("absent {absent}");
    }
    if let Some(conditions) = conditions(rule) {
        return conditions;
    }
    let bound = limit_at(rule, rule.grade_of(severity));
    match (rule.stat, rule.share) {
        (Stat::Above | Stat::Below, Some(_)) => format!("share {}", plain(bound)),
        _ => format!("threshold {}", plain(bound)),
    }
}

/// `all of 2 conditions`, for a rule of several.
fn conditions(rule: &Rule) -> Option<String> {
    let (lists, terms) = (rule.any_of.len(), rule.terms().count());
    match (lists, terms) {
        (_, 0 | 1) => None,
        (1, terms) => Some(format!("all of {terms} conditions")),
        (lists, terms) if lists == terms => Some(format!("any of {terms} conditions")),
        (lists, _) => Some(format!("any of {lists} sets of conditions")),
    }
}

/// What the conditions of a rule saw: `api_ms 1580, errors / requests 0.2`; those in breach, where there are any and the
/// alert is not over.
fn terms(evidence: &Evidence, over: bool) -> Option<String> {
    let breach = !over && evidence.terms.iter().any(|seen| seen.breach);
    let told = evidence.terms.iter().filter(|seen| seen.breach || !breach);
    let told = told.filter_map(|seen| Some(format!("{} {}", seen.term, plain(seen.value?))));
    let told: Vec<String> = told.collect();
    (!told.is_empty()).then(|| told.join(", "))
}

/// `county_api_ms back to 112 ms`.
pub fn back(rule: &Rule, group: &Labels, evidence: &Evidence) -> String {
    let seen = reading(rule, evidence, true).map(|reading| format!(" to {reading}"));
    format!("{} back{}", subject(rule, group), seen.unwrap_or_default())
}

/// `county_api_ms has no data, which is no alert by its rule (no_data: ok)`.
pub fn no_data_is_ok(rule: &Rule, group: &Labels) -> String {
    format!("{} has no data, which is no alert by its rule (no_data: ok)", subject(rule, group))
}

/// The number to set beside the limit: the current level where the rule watches the mean, else its statistic, for the
/// level may lie on the other side of the limit. Of several conditions all are named once the alert is `over`.
pub fn reading(rule: &Rule, evidence: &Evidence, over: bool) -> Option<String> {
    let value = evidence.value;
    if rule.is_joined() {
        // Neither the metric's name nor the statistic says what a quotient is measured in.
        let unit = rule.unit.as_deref().unwrap_or_default();
        return match rule.lone_term() {
            Some(_) => value.map(|value| with_unit(value, unit)),
            None => terms(evidence, over),
        };
    }
    let unit = rule.unit_shown();
    match rule.stat {
        Stat::Mean => evidence.level.or(value).map(|level| with_unit(level, unit)),
        Stat::Last => value.or(evidence.level).map(|value| with_unit(value, unit)),
        Stat::Min => value.map(|value| format!("min {}", with_unit(value, unit))),
        Stat::Max => value.map(|value| format!("max {}", with_unit(value, unit))),
        Stat::Sum => value.map(|value| format!("sum {}", with_unit(value, unit))),
        Stat::Stddev => value.map(|value| format!("stddev {}", with_unit(value, unit))),
        Stat::Percentile(q) => value.map(|value| format!("p{q} {}", with_unit(value, unit))),
        Stat::Count => value.map(|value| format!("{} samples", plain(value))),
        Stat::Rate => value.map(|value| format!("{}/s", plain(value))),
        Stat::Above | Stat::Below => {
            let side = if rule.stat == Stat::Above { "above" } else { "below" };
            let limit = with_unit(rule.threshold, unit);
            value.map(|share| format!("{} % {side} {limit}", plain(share * 100.0)))
        }
    }
}

/// Why no automatic rollback happens, or why one ended unrun, as part of a sentence.
pub fn forbidden(why: Forbidden) -> &'static str {
    match why {
        Forbidden::NotFresh => "the data is not fresh",
        Forbidden::Flapping => "the alert flaps",
        Forbidden::Silenced => "a silence covers actions",
        Forbidden::Evidence => "too few samples so far",
        Forbidden::Severity => "its severity is not yet one that acts",
        Forbidden::Cooldown => "the plan is cooling down after its last run",
        Forbidden::Locked => {
            "the plan has locked itself after too many runs (`ops plans unlock` lifts it)"
        }
        Forbidden::InFlight => "another run of the plan is in flight",
        Forbidden::FleetBudget => "the fleet's rollbacks of this hour are spent",
        Forbidden::Frozen => "automatic actions are stopped",
        Forbidden::NoChange => "no recent change of the target was seen",
        Forbidden::Unless => "the rule named by `unless` is firing: ride it out",
        Forbidden::DryRun => "the rule says dry_run",
        Forbidden::Attempted => "this incident had its one attempt",
        Forbidden::Stale => "it happened while HMS-OPS was down or behind",
        Forbidden::NoPlan => "the settings have no such plan",
        Forbidden::Late => "it was claimed too late",
        Forbidden::Unclaimed => "no agent claimed it in time",
        Forbidden::Unapproved => "nobody approved it in time",
        Forbidden::RecoveredFirst => "the alert recovered first",
        Forbidden::Closed => "the incident was closed",
    }
}

/// A state of a rollback in words: `rollback DOCKET_RULE failed: exit code 3`.
pub fn rollback(plan: &str, state: RollbackState, detail: Option<&str>) -> String {
    let word = match state {
        RollbackState::Proposed => "proposed",
        RollbackState::AwaitingApproval => "waits for a person's approval",
        RollbackState::Denied => "was denied",
        RollbackState::Expired => "expired",
        RollbackState::Cancelled => "was cancelled",
        RollbackState::Suppressed => "is not run",
        RollbackState::Commanded => "is under way",
        RollbackState::Claimed => "was claimed",
        RollbackState::Running => "runs",
        RollbackState::Succeeded => "succeeded",
        RollbackState::Failed => "failed",
        RollbackState::TimedOut => "timed out",
        RollbackState::Unknown => "has an unknown outcome: look at the target",
        RollbackState::Verifying => "is being verified",
        RollbackState::Recovered => "helped",
        RollbackState::NotRecovered => "did not help: a person is needed",
        RollbackState::Inconclusive => "cannot be verified",
    };
    let detail = detail.map_or_else(String::new, |detail| format!(": {detail}"));
    format!("rollback {plan} {word}{detail}")
}

/// `12 messages over budget: 10 fired, 2 resolved`.
pub fn digest(count: u64, reasons: &BTreeMap<Reason, u64>) -> String {
    let parts: Vec<String> =
        reasons.iter().map(|(reason, count)| format!("{count} {}", word(*reason))).collect();
    let plural = if count == 1 { "message" } else { "messages" };
    format!("{count} {plural} held back: {}", parts.join(", "))
}

/// What is said at the end of digests.
pub const DIGEST_OVER: &str = "all that was held back is over";

/// What is told again: the numbers of a line are old ones where there is no data.
pub fn still(line: &str, opened: Time, data: DataFlag) -> String {
    let now = match data {
        DataFlag::NoData | DataFlag::MissingSeries => ", without data now",
        DataFlag::Fresh | DataFlag::Stale | DataFlag::Insufficient => "",
    };
    format!("{line} - still open since {}{now}", moment(opened))
}

/// What was told late, said so.
pub fn while_down(summary: &str, seen: Time) -> String {
    format!("{summary} - happened while down, at {}", moment(seen))
}

/// A moment as people read it: whole seconds, UTC.
pub fn moment(at: Time) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(at.0))
        .map_or_else(|_| at.to_string(), |stamp| format!("{stamp:.0}"))
}

/// The topic of a reason.
pub fn word(reason: Reason) -> &'static str {
    match reason {
        Reason::Fired => "fired",
        Reason::Reminded => "reminded",
        Reason::SeverityChanged => "severity changed",
        Reason::ActionResult => "action result",
        Reason::NotRecovered => "not recovered",
        Reason::Resolved => "resolved",
        Reason::Flapping => "flapping",
        Reason::Acknowledged => "acknowledged",
        Reason::Digest => "digest",
        Reason::Notice => "notice",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::Term;

    #[test]
    fn the_number_beside_the_limit_is_the_one_the_rule_watches() {
        let evidence = |value| Evidence { level: Some(150.0), value, ..Evidence::default() };
        for (stat, share, value, line) in [
            (Stat::Mean, None, 1004.5, "web_ms 150 ms (threshold 1000)"),
            (Stat::Last, None, 1004.5, "web_ms 1004 ms (threshold 1000)"),
            (Stat::Max, None, 4000.0, "web_ms max 4000 ms (threshold 1000)"),
            (Stat::Min, None, 1200.0, "web_ms min 1200 ms (threshold 1000)"),
            (Stat::Percentile(99.0), None, 4000.0, "web_ms p99 4000 ms (threshold 1000)"),
            (Stat::Count, None, 1200.0, "web_ms 1200 samples (threshold 1000)"),
            (Stat::Rate, None, 1200.0, "web_ms 1200/s (threshold 1000)"),
            (Stat::Above, Some(0.3), 0.4, "web_ms 40 % above 1000 ms (share 0.3)"),
        ] {
            let (metric, threshold, unit) = ("web_ms".to_owned(), 1000.0, None);
            let rule = Rule {
                metric,
                threshold,
                unit,
                stat,
                share,
                ..crate::desk::notices::no_rule("web")
            };
            assert_eq!(breach(&rule, &Labels::new(), ("warning", &evidence(Some(value)))), line);
        }
    }

    #[test]
    fn a_page_of_several_conditions_says_what_each_saw() {
        let term = |metric: &str, per: Option<&str>| -> Term {
            serde_json::from_value(serde_json::json!({
                "metric": metric, "per": per, "stat": "sum", "compare": ">", "threshold": 1.0,
                "window": "5m", "min_samples": 1, "fresh_for": "1m"
            }))
            .unwrap()
        };
        let seen = |term: &str, value, breach| crate::wire::TermSeen {
            term: term.to_owned(),
            value,
            threshold: 1.0,
            count: 9,
            breach,
        };
        let no_rule = crate::desk::notices::no_rule("shop");
        let ratio = term("errors", Some("requests"));
        let one = Rule { any_of: vec![vec![ratio.clone()]], threshold: 0.05, ..no_rule.clone() };
        let evidence = Evidence { value: Some(0.083), ..Evidence::default() };
        let line = breach(&one, &Labels::new(), ("critical", &evidence));
        assert_eq!(line, "errors / requests 0.083 (threshold 0.05)");
        let any_of = vec![vec![ratio, term("api_ms", None)]];
        let two = Rule { any_of, name: "shop".to_owned(), ..no_rule };
        let terms =
            vec![seen("errors / requests", Some(2.0), true), seen("api_ms", Some(1580.0), true)];
        let evidence = Evidence { terms, ..Evidence::default() };
        let line = breach(&two, &Labels::new(), ("critical", &evidence));
        assert_eq!(line, "shop errors / requests 2, api_ms 1580 (all of 2 conditions)");
        let terms =
            vec![seen("errors / requests", Some(2.0), true), seen("api_ms", Some(110.0), false)];
        let evidence = Evidence { terms, ..Evidence::default() };
        let line = back(&two, &Labels::new(), &evidence);
        assert_eq!(line, "shop back to errors / requests 2, api_ms 110");
    }

    #[test]
    fn a_page_says_which_series_are_meant() {
        let matchers = crate::matcher::parse(r#"region="eu", code=~"5..""#).unwrap();
        let metric = "web_ms".to_owned();
        let rule = Rule { metric, matchers, ..crate::desk::notices::no_rule("web") };
        assert_eq!(subject(&rule, &Labels::new()), "web_ms{region=eu,code=~5..}");
        let group = Labels::from([("region".into(), "eu".into())]);
        assert_eq!(subject(&rule, &group), "web_ms{code=~5..,region=eu}");
    }
}
