//! What is said, as lines of a script.

use serde::Serialize;
use serde_json::json;
use stages::series::Labels;
use stages::time::Time;
use stages::wire::{DataFlag, ShardEvent};
use trial::{Said, Spoken};

/// A line; none where nothing of it is anybody's business.
pub fn said(spoken: &Spoken, start: Time) -> String {
    let at = |time: Time| format!("{:.1}s", time.since(start).as_secs_f64());
    match &spoken.said {
        Said::Shard(ShardEvent::Transition(moved)) => {
            let mut words = vec![
                at(moved.time),
                format!("{}{}", moved.rule, group(&moved.group)),
                word(&moved.from),
                "->".to_owned(),
                word(&moved.to),
                word(&moved.cause),
            ];
            if moved.data != DataFlag::Fresh {
                words.push(word(&moved.data));
            }
            words.extend(moved.flapping.then(|| "flapping".to_owned()));
            if moved.severity != "critical" {
                words.push(format!("[{}]", moved.severity));
            }
            words.join(" ") + "\n"
        }
        Said::Shard(ShardEvent::DataGap(gap)) => {
            format!("{} data_gap of {}\n", at(gap.to), gap.length)
        }
        Said::Shard(ShardEvent::Notice(notice)) => {
            format!("{} notice {} {}\n", at(notice.time), notice.kind, notice.subject)
        }
        Said::Shard(ShardEvent::Verified(_) | ShardEvent::Glimpses(_)) => String::new(),
        Said::Alert(event) => {
            let detail = event.detail.as_deref().map_or(String::new(), |it| format!(" ({it})"));
            let untold = event.untold.as_deref().map_or(String::new(), |why| format!(", {why}"));
            format!("{}   {}{detail}{untold}\n", at(event.time), word(&event.state))
        }
        Said::Message(intent) => format!(
            "{}   => {} [{}] {}\n",
            at(intent.time),
            intent.receiver,
            word(&intent.reason),
            intent.summary
        ),
        Said::Rollback(_) | Said::Command(_) | Said::Withdraw(_) | Said::Request(_) => {
            String::new()
        }
    }
}

fn group(labels: &Labels) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let pairs = labels.iter().map(|(name, value)| format!("{name}={value}"));
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
}

/// An enum of the wire as its word.
pub fn word(value: &impl Serialize) -> String {
    json!(value).as_str().unwrap_or_default().to_owned()
}
