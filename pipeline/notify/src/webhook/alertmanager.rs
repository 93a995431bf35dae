//! An intent as Alertmanager's webhook message, version 4:
//! <https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>.

use crate::key;
use crate::wording::{folded, links, subject};
use serde_json::{Value, json};
use stages::series::Labels;
use stages::time::Time;
use stages::wire::{Intent, Reason};

/// What Alertmanager writes for an alert that has not ended.
const NOT_ENDED: &str = "0001-01-01T00:00:00Z";

/// The message: one alert, with the intent's reason and key besides what Alertmanager has.
pub fn body(intent: &Intent, board_url: &str) -> Value {
    let status = if intent.closes() { "resolved" } else { "firing" };
    let (labels, annotations) = (alert_labels(intent), alert_annotations(intent, board_url));
    let group: Labels = [("alertname".to_owned(), labels["alertname"].clone())].into();
    let ends = if intent.closes() {
        text(intent.ended.unwrap_or(intent.time))
    } else {
        NOT_ENDED.to_owned()
    };
    json!({
        "version": "4",
        "groupKey": format!("{{}}:{{alertname={:?}}}", labels["alertname"]),
        "truncatedAlerts": 0,
        "status": status,
        "receiver": intent.receiver,
        "groupLabels": group,
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": board_url,
        "alerts": [{
            "status": status,
            "labels": labels,
            "annotations": annotations,
            "startsAt": text(intent.opened.unwrap_or(intent.time)),
            "endsAt": ends,
            "generatorURL": links(intent, board_url).board.unwrap_or_default(),
            "fingerprint": fingerprint(&labels, &intent.rule),
        }],
        "opsReason": intent.reason,
        "opsKey": intent.key,
        "opsIncident": intent.incident,
    })
}

/// Labels name the alert: the same for all messages of it. The rule's own labels cannot take a name from the group's,
/// and where one of the group has the name of one of ours, it goes by `exported_<name>`, as it would in Prometheus: else two
/// groups would be one alert. `alertname` is the rule's name unless the rule has a label that says another.
fn alert_labels(intent: &Intent) -> Labels {
    let mut labels = intent.labels.clone();
    let name = match intent.reason {
        Reason::Digest => "OpsDigest".to_owned(),
        Reason::Notice if intent.rule.is_empty() => "OpsNotice".to_owned(),
        _ => labels.remove("alertname").unwrap_or_else(|| intent.rule.clone()),
    };
    for (label, value) in &intent.group {
        let taken = matches!(label.as_str(), "alertname" | "severity");
        let label = if taken { format!("exported_{label}") } else { label.clone() };
        labels.insert(label, value.clone());
    }
    labels.insert("alertname".to_owned(), name);
    labels.insert("severity".to_owned(), intent.severity.clone());
    if !intent.metric.is_empty() {
        // Series may have a label of that name, and alerts be told apart by it.
        labels.entry("metric".to_owned()).or_insert_with(|| intent.metric.clone());
    }
    labels
}

fn alert_annotations(intent: &Intent, board_url: &str) -> Labels {
    let mut annotations = intent.annotations.clone();
    annotations.entry("summary".to_owned()).or_insert_with(|| subject(intent));
    annotations.insert("message".to_owned(), subject(intent));
    let mut note = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            annotations.insert(name.to_owned(), value);
        }
    };
    note("runbook_url", links(intent, board_url).runbook);
    note(
        "value",
        intent.evidence.as_ref().and_then(|seen| seen.value).map(|value| value.to_string()),
    );
    note("action", intent.action_name.clone());
    note("action_state", intent.action.map(|state| state.token().to_owned()));
    note("action_detail", intent.action_detail.clone());
    let lines = folded(intent);
    note("messages", (!lines.is_empty()).then(|| lines.join("\n")));
    annotations
}

fn text(time: Time) -> String {
    time.to_string()
}

/// 16 hex digits of the labels, as Alertmanager's are, but for the severity: an alert that gets worse is the same one. Rules
/// that share an `alertname` are told apart.
fn fingerprint(labels: &Labels, rule: &str) -> String {
    let naming = labels.iter().filter(|(name, _)| *name != "severity");
    let mut parts: Vec<&str> =
        naming.flat_map(|(name, value)| [name.as_str(), value.as_str()]).collect();
    if !rule.is_empty() && labels.get("alertname").is_some_and(|name| name != rule) {
        parts.push(rule);
    }
    key::of(&parts)[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wording::tests::county;

    #[test]
    fn firing_and_resolved_are_one_alert() {
        let [fired, resolved] =
            [Reason::Fired, Reason::Resolved].map(|reason| body(&county(reason), "http://ops"));
        let (first, last) = (&fired["alerts"][0], &resolved["alerts"][0]);
        assert_eq!(first["fingerprint"], last["fingerprint"]);
        assert_eq!(first["labels"], last["labels"]);
        assert_eq!(first["startsAt"], last["startsAt"]);
        assert_eq!((&first["status"], &last["status"]), (&json!("firing"), &json!("resolved")));
        assert_eq!(first["endsAt"], NOT_ENDED);
        assert_eq!(last["endsAt"], "2026-11-20T16:08:01.000000000Z");
        assert_eq!(fired["groupKey"], "{}:{alertname=\"county_api\"}");
    }

    #[test]
    fn an_alert_that_changes_its_severity_stays_the_same_one() {
        let worse = Intent { severity: "warning".to_owned(), ..county(Reason::SeverityChanged) };
        let [changed, resolved] =
            [worse, county(Reason::Resolved)].map(|intent| body(&intent, "http://ops"));
        let (first, last) = (&changed["alerts"][0], &resolved["alerts"][0]);
        assert_ne!(first["labels"]["severity"], last["labels"]["severity"]);
        assert_eq!(first["fingerprint"], last["fingerprint"]);
    }

    #[test]
    fn the_end_of_a_digest_resolves_it() {
        let digest = Intent { incident: None, ..county(Reason::Digest) };
        let end = Intent { ended: Some(digest.time), ..digest.clone() };
        let [opened, closed] = [digest, end].map(|intent| body(&intent, "http://ops"));
        assert_eq!((&opened["status"], &closed["status"]), (&json!("firing"), &json!("resolved")));
        assert_eq!(opened["alerts"][0]["fingerprint"], closed["alerts"][0]["fingerprint"]);
        assert_eq!(closed["alerts"][0]["endsAt"], "2026-11-20T16:07:01.000000000Z");
    }

    #[test]
    fn groups_named_like_our_own_labels_are_alerts_of_their_own() {
        let of = |severity: &str| {
            let group: Labels = [
                ("severity".to_owned(), severity.to_owned()),
                ("metric".to_owned(), "theirs".to_owned()),
            ]
            .into();
            let intent = Intent { group, ..county(Reason::Fired) };
            body(&intent, "http://ops")["alerts"][0].clone()
        };
        let (low, high) = (of("low"), of("high"));
        assert_eq!(low["labels"]["severity"], "critical");
        assert_eq!(low["labels"]["exported_severity"], "low");
        assert_eq!(low["labels"]["metric"], "theirs");
        assert_ne!(low["fingerprint"], high["fingerprint"]);
    }

    #[test]
    fn rules_may_share_a_name_and_are_two_alerts() {
        let of = |rule: &str| {
            let named = Intent {
                rule: rule.to_owned(),
                labels: [("alertname".to_owned(), "Slow".to_owned())].into(),
                ..county(Reason::Fired)
            };
            body(&named, "http://ops")["alerts"][0].clone()
        };
        let (one, other) = (of("Slow"), of("Slow_2"));
        assert_eq!(
            (&one["labels"]["alertname"], &one["labels"]),
            (&json!("Slow"), &other["labels"])
        );
        assert_ne!(one["fingerprint"], other["fingerprint"]);
    }

    #[test]
    fn labels_carry_name_severity_and_group() {
        let labels = body(&county(Reason::Fired), "http://ops")["alerts"][0]["labels"].clone();
        let wanted = json!({
            "alertname": "county_api", "severity": "critical", "metric": "county_api_ms",
            "region": "north", "team": "dockets",
        });
        assert_eq!(labels, wanted);
    }
}
