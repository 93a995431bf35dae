//! A message as whatever takes Alertmanager's webhook gets it.

use serde_json::Value;
use stages::time::Time;
use stages::wire::Intent;

/// The alert in the body, its times as those of the script.
pub fn alert(intent: &Intent, start: Time) -> String {
    let body = notify::webhook::body(intent, "http://ops");
    let alert = &body["alerts"][0];
    assert_eq!(body["alerts"].as_array().map(Vec::len), Some(1), "a message has one alert");
    assert_eq!(body["status"], alert["status"]);
    let page = alert["generatorURL"].as_str().unwrap_or_default();
    assert!(page.starts_with("http://ops/"), "a page tells more: {page}");
    let at = |name: &str| match alert[name].as_str() {
        Some("0001-01-01T00:00:00Z") => "never".to_owned(),
        _ => {
            let time: Time = serde_json::from_value(alert[name].clone()).expect("a time");
            format!("{:.1}s", time.since(start).as_secs_f64())
        }
    };
    let word = |value: &Value| value.as_str().expect("a text").to_owned();
    let (status, fingerprint) = (word(&alert["status"]), word(&alert["fingerprint"]));
    let mut annotations = alert["annotations"].clone();
    // Ours, told by other scripts.
    annotations.as_object_mut().expect("a map").remove("message");
    format!(
        "{:.1}s   => {status} {fingerprint} from {} to {}\n       {}\n       {}\n",
        intent.time.since(start).as_secs_f64(),
        at("startsAt"),
        at("endsAt"),
        alert["labels"],
        annotations,
    )
}
