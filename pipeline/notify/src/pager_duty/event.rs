//! An intent as an event of PagerDuty, without the routing key.

use crate::wording::{Links, facts, folded, one_line, subject};
use serde_json::{Map, Value, json};
use stages::wire::{Intent, Reason};

/// Longest summary PagerDuty takes, in characters.
const SUMMARY_CHARS_MAX: usize = 1024;
/// Longest key it takes, in characters.
const DEDUP_KEY_CHARS_MAX: usize = 255;

/// The event: `trigger` opens or adds to the incident of `dedup_key`, `acknowledge` and `resolve` move it.
pub fn event(intent: &Intent, links: &Links, board_url: &str) -> Value {
    let action = match (intent.closes(), intent.reason) {
        (true, _) | (false, Reason::Resolved) => "resolve",
        (false, Reason::Acknowledged) => "acknowledge",
        (
            false,
            Reason::Fired
            | Reason::Reminded
            | Reason::SeverityChanged
            | Reason::ActionResult
            | Reason::NotRecovered
            | Reason::Flapping
            | Reason::Digest
            | Reason::Notice,
        ) => "trigger",
    };
    let dedup_key: String = intent.dedup_key.chars().take(DEDUP_KEY_CHARS_MAX).collect();
    let mut details: Map<String, Value> =
        facts(intent).into_iter().map(|(name, value)| (name, value.into())).collect();
    let folded = folded(intent);
    if !folded.is_empty() {
        details.insert("messages".to_owned(), folded.into());
    }
    if let Some(runbook) = &intent.runbook {
        details.insert("runbook".to_owned(), one_line(runbook).into());
    }
    let shown = [("Runbook", &links.runbook), ("Board", &links.board)];
    let links: Vec<Value> = shown
        .iter()
        .filter_map(|(text, link)| Some(json!({ "href": link.as_deref()?, "text": text })))
        .collect();
    let summary: String = subject(intent).chars().take(SUMMARY_CHARS_MAX).collect();
    let source = if intent.metric.is_empty() { "hms-ops" } else { intent.metric.as_str() };
    json!({
        "event_action": action,
        "dedup_key": dedup_key,
        "client": "HMS-OPS",
        "client_url": board_url,
        "links": links,
        "payload": {
            "summary": summary,
            "source": source,
            "severity": severity(&intent.severity),
            "timestamp": intent.time,
            "component": intent.metric,
            "group": intent.group.values().cloned().collect::<Vec<_>>().join(", "),
            "class": intent.rule,
            "custom_details": details,
        },
    })
}

/// PagerDuty knows four.
fn severity(ours: &str) -> &'static str {
    match ours.to_ascii_lowercase().as_str() {
        "critical" | "page" | "emergency" | "fatal" => "critical",
        "error" | "high" | "major" => "error",
        "info" | "low" | "notice" | "debug" => "info",
        _ => "warning",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wording::links as links_of;
    use crate::wording::tests::county;

    fn of(reason: Reason) -> Value {
        let intent = county(reason);
        event(&intent, &links_of(&intent, "http://localhost:9900"), "http://localhost:9900")
    }

    #[test]
    fn one_incident_is_triggered_acknowledged_and_resolved() {
        let reasons = [Reason::Fired, Reason::Acknowledged, Reason::Resolved];
        let events = reasons.map(of);
        let actions = events.each_ref().map(|event| event["event_action"].as_str().unwrap());
        assert_eq!(actions, ["trigger", "acknowledge", "resolve"]);
        assert!(events.iter().all(|event| event["dedup_key"] == events[0]["dedup_key"]));
    }

    #[test]
    fn digests_and_notices_stay_open_until_their_end_comes() {
        for reason in [Reason::Digest, Reason::Notice, Reason::ActionResult] {
            let opened = of(reason);
            let mut end = county(reason);
            end.ended = Some(end.time);
            let closed = event(&end, &links_of(&end, ""), "");
            assert_eq!(opened["event_action"], "trigger");
            assert_eq!(closed["event_action"], "resolve");
            assert_eq!(opened["dedup_key"], closed["dedup_key"]);
        }
    }

    #[test]
    fn the_event_says_what_where_and_what_to_do() {
        let event = of(Reason::Fired);
        assert_eq!(event["payload"]["severity"], "critical");
        assert_eq!(
            event["payload"]["summary"],
            "[CRITICAL] county_api_ms 1580 ms (threshold 1000)"
        );
        assert_eq!(event["payload"]["custom_details"]["samples"], "570");
        assert_eq!(event["links"][0]["href"], "http://localhost:9900/runbook/slow-county-api");
        assert_eq!(event["links"][1]["href"], "http://localhost:9900/board/county_api_ms");
    }

    #[test]
    fn severities_of_ours_are_severities_of_theirs() {
        let cases = [
            ("critical", "critical"),
            ("High", "error"),
            ("warning", "warning"),
            ("odd", "warning"),
        ];
        for (ours, theirs) in cases {
            assert_eq!(severity(ours), theirs);
        }
    }
}
