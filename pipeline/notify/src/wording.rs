//! What an intent says to people: one line, a table of facts, links. Every channel words it the same way.

use jiff::Timestamp;
use stages::number::{plain, with_unit};
use stages::time::Time;
use stages::wire::{Intent, Reason};

/// Longest subject line, in characters: mail programs cut it far earlier.
const SUBJECT_CHARS_MAX: usize = 200;

/// Where to read on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// The live board of the metric.
    pub board: Option<String>,
    /// How to fix it.
    pub runbook: Option<String>,
}

/// The links of an intent. A runbook that is not an address by itself is a page of the board.
pub fn links(intent: &Intent, board_url: &str) -> Links {
    let root = board_url.trim_end_matches('/');
    let board = (!root.is_empty() && !intent.metric.is_empty())
        .then(|| format!("{root}/board/{}", path_segment(&intent.metric)));
    let runbook = intent.runbook.as_deref().map(one_line).and_then(|runbook| {
        if runbook.starts_with("https://") || runbook.starts_with("http://") {
            return Some(runbook);
        }
        let page = runbook.rsplit('/').find(|part| !part.is_empty())?;
        (!root.is_empty()).then(|| format!("{root}/runbook/{}", path_segment(page)))
    });
    Links { board, runbook }
}

/// One line that says what happened: `[CRITICAL] county_api_ms 1580 ms (threshold 1000)`.
pub fn subject(intent: &Intent) -> String {
    let severity = intent.severity.to_uppercase();
    let (tag, lead) = match intent.reason {
        Reason::Fired => (severity.as_str(), ""),
        Reason::Reminded => (severity.as_str(), "still: "),
        Reason::SeverityChanged => (severity.as_str(), "severity changed: "),
        Reason::NotRecovered => (severity.as_str(), "not recovered: "),
        Reason::ActionResult => ("ACTION", ""),
        Reason::Resolved => ("RESOLVED", ""),
        Reason::Flapping => ("FLAPPING", ""),
        Reason::Acknowledged => ("ACKNOWLEDGED", ""),
        Reason::Digest => ("DIGEST", ""),
        Reason::Notice => ("NOTICE", ""),
    };
    let tag = if tag.is_empty() { "ALERT" } else { tag };
    let line = one_line(&format!("[{tag}] {lead}{}", intent.summary));
    line.chars().take(SUBJECT_CHARS_MAX).collect()
}

/// What is known, as name and value, most important first.
pub fn facts(intent: &Intent) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    let mut fact = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            facts.push((name.to_owned(), one_line(&value)));
        }
    };
    fact("severity", Some(intent.severity.clone()));
    fact("rule", Some(intent.rule.clone()));
    fact("metric", Some(intent.metric.clone()));
    let group: Vec<_> =
        intent.group.iter().map(|(name, value)| format!("{name}={value}")).collect();
    fact("group", Some(group.join(", ")));
    if let Some(evidence) = &intent.evidence {
        let shown = |value: Option<f64>| value.map(|value| with_unit(value, &intent.unit));
        fact("value", shown(evidence.value));
        fact("level", shown(evidence.level));
        fact("threshold", shown(Some(evidence.threshold)));
        fact("samples", Some(evidence.count.to_string()));
        fact("mean", shown(evidence.mean));
        fact("min", shown(evidence.min));
        fact("max", shown(evidence.max));
        let percentiles = evidence.percentiles.map(|values| values.map(plain).join(" / "));
        fact("p50 / p95 / p99", percentiles);
        fact(
            "window",
            Some(format!("{} to {}", utc(evidence.window_start), utc(evidence.window_end))),
        );
    }
    fact("since", intent.opened.map(utc));
    fact("ended", intent.ended.map(utc));
    let action = intent.action_name.as_ref().map(|name| match intent.action {
        Some(state) => format!("{name}: {}", state.token().replace('_', " ")),
        None => name.clone(),
    });
    fact("action", action);
    fact("action detail", intent.action_detail.clone());
    fact("incident", intent.incident.clone());
    for (name, value) in intent.labels.iter().chain(&intent.annotations) {
        fact(name, Some(value.clone()));
    }
    facts
}

/// The lines of a digest; the first says how many are not shown.
pub fn folded(intent: &Intent) -> Vec<String> {
    let hidden = intent.folded_count.saturating_sub(intent.folded.len() as u64);
    let more = (hidden > 0).then(|| format!("{hidden} older ones are not shown"));
    let lines =
        intent.folded.iter().map(|one| format!("{}  {}", utc(one.time), one_line(&one.summary)));
    more.into_iter().chain(lines).collect()
}

/// `2026-11-20 16:07:01 UTC`.
pub fn utc(time: Time) -> String {
    match Timestamp::from_nanosecond(i128::from(time.0)) {
        Ok(stamp) => stamp.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => time.to_string(),
    }
}

/// Any text as one line: control characters, line breaks among them, become blanks. Nothing that comes from a
/// rule or a sample can end a header or a line of ours.
pub fn one_line(text: &str) -> String {
    let broken = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let text: String = text.chars().map(|c| if broken(c) { ' ' } else { c }).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Text as part of an address.
fn path_segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b':') {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    segment
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use stages::wire::{Evidence, RollbackState, SCHEMA};

    /// The brief's page.
    pub(crate) fn county(reason: Reason) -> Intent {
        Intent {
            schema: SCHEMA,
            key: format!("{:?}-0123456789abcdef", reason).to_lowercase(),
            dedup_key: "d0d0".repeat(8),
            receiver: "oncall@opm.gov".to_owned(),
            channels: vec!["email".to_owned()],
            reason,
            incident: Some("1234567890abcdef".to_owned()),
            rule: "county_api".to_owned(),
            metric: "county_api_ms".to_owned(),
            group: [("region".to_owned(), "north".to_owned())].into(),
            severity: "critical".to_owned(),
            summary: "county_api_ms 1580 ms (threshold 1000)".to_owned(),
            time: Time::from_millis(1_795_190_821_000),
            opened: Some(Time::from_millis(1_795_190_821_000)),
            ended: (reason == Reason::Resolved).then(|| Time::from_millis(1_795_190_881_000)),
            deadline: Time(i64::MAX),
            position: 7,
            unit: "ms".to_owned(),
            evidence: Some(Evidence {
                value: Some(1004.5),
                level: Some(1580.0),
                threshold: 1000.0,
                count: 570,
                ..Evidence::default()
            }),
            action: Some(RollbackState::Commanded),
            action_name: Some("ROLLBACK:DOCKET_RULE".to_owned()),
            action_detail: None,
            runbook: Some("wiki/slow-county-api".to_owned()),
            labels: [("team".to_owned(), "dockets".to_owned())].into(),
            annotations: [("summary".to_owned(), "the county is slow".to_owned())].into(),
            folded: Vec::new(),
            folded_count: 0,
        }
    }

    #[test]
    fn the_subject_says_how_bad_and_what() {
        let line = subject(&county(Reason::Fired));
        assert_eq!(line, "[CRITICAL] county_api_ms 1580 ms (threshold 1000)");
        assert!(subject(&county(Reason::Resolved)).starts_with("[RESOLVED] "));
    }

    #[test]
    fn no_text_of_an_intent_can_break_a_line() {
        let mut intent = county(Reason::Fired);
        intent.summary = "a\r\nBcc: all@example.org\u{2028}\u{0}b".to_owned();
        assert_eq!(subject(&intent), "[CRITICAL] a Bcc: all@example.org b");
        intent.rule = "x\ny".to_owned();
        assert!(facts(&intent).iter().all(|(_, value)| !value.contains('\n')));
    }

    #[test]
    fn a_runbook_is_an_address_or_a_page_of_the_board() {
        let mut intent = county(Reason::Fired);
        let at = |intent: &Intent| links(intent, "http://localhost:9900/");
        assert_eq!(at(&intent).runbook.unwrap(), "http://localhost:9900/runbook/slow-county-api");
        assert_eq!(at(&intent).board.unwrap(), "http://localhost:9900/board/county_api_ms");
        intent.runbook = Some("https://wiki.example.org/x".to_owned());
        assert_eq!(at(&intent).runbook.unwrap(), "https://wiki.example.org/x");
        intent.runbook = Some("javascript:alert(1)".to_owned());
        assert_eq!(
            at(&intent).runbook.unwrap(),
            "http://localhost:9900/runbook/javascript:alert%281%29"
        );
    }
}
