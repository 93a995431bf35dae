//! Creates the streams that are missing and checks those that are there.
//!
//! A difference is compatible when nothing the product relies on gets weaker: kept longer, more bytes, more
//! replicas, a longer duplicate window. Everything else is a [`BusError::Mismatch`] that says what to do; an
//! existing stream is never changed, since somebody configured it.
//!
//! A cluster that has just been started answers nothing useful until its servers have elected a leader, and places no
//! three copies until three are there. That is waited for; a server by itself is believed at once.

use super::link::{Failure, Link};
use crate::layout::{DUPLICATE_WINDOW, SHARDS_REMEDY, SPECS, Spec};
use crate::{BusError, Stream};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, sleep};

pub(super) const STREAM_NOT_FOUND: u64 = 10_059;
const STREAM_NAME_IN_USE: u64 = 10_058;
const NO_SUITABLE_PEERS: u64 = 10_005;
const STORE_TOO_SMALL: u64 = 10_047;

/// Copies of a stream on a cluster: one may be lost, and the others still agree.
const COPIES: u32 = 3;
/// Longest wait for a cluster to be able to: an election takes up to ten seconds, a server that reads back what it
/// stored some more.
const CLUSTER_MAX: Duration = Duration::from_secs(30);
/// Pause before it is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// Creates or checks every stream.
pub(super) async fn ensure(link: &Link, shards: u32) -> Result<(), BusError> {
    if shards == 0 {
        return Err(BusError::Invalid("0 shards: write 1 or more".to_owned()));
    }
    let until = Instant::now() + CLUSTER_MAX;
    for spec in &SPECS {
        loop {
            match ensure_one(link, spec, shards).await {
                Err(error @ BusError::Unavailable { .. })
                    if link.clustered() && Instant::now() < until =>
                {
                    tracing::info!(%error, "the cluster is not ready yet; asking again");
                    sleep(ASK_AGAIN).await;
                }
                done => break done?,
            }
        }
    }
    Ok(())
}

async fn ensure_one(link: &Link, spec: &Spec, shards: u32) -> Result<(), BusError> {
    let name = link.options.layout.stream_name(spec.stream);
    let mut wanted = wanted(link, spec, shards);
    let found = match config(link, &name).await {
        Err(Failure::Refused { code: STREAM_NOT_FOUND, .. }) => {
            let created = link.api::<Value>(&format!("STREAM.CREATE.{name}"), &wanted).await;
            match created {
                Ok(_) => return Ok(()),
                // Somebody created it in between, perhaps differently.
                Err(Failure::Refused { code: STREAM_NAME_IN_USE, .. }) => config(link, &name).await,
                Err(failure) => {
                    return Err(
                        unplaced(failure, &wanted).of_read(&format!("create stream {name}"))
                    );
                }
            }
        }
        other => other,
    };
    let found = found.map_err(|failure| failure.of_read(&format!("look at stream {name}")))?;
    if link.options.replicas.is_none() && found["num_replicas"].as_u64() < Some(COPIES.into()) {
        if link.clustered() {
            tracing::warn!(stream = name, copies = %found["num_replicas"], "a server that is lost takes this stream \
                with it: `nats stream edit {name} --replicas {COPIES}` keeps more copies");
        }
        // Nobody asked for a number: what is there was meant.
        wanted["num_replicas"] = found["num_replicas"].clone();
    }
    compare(&name, &found, &wanted)
}

/// Says in words what is missing where a stream finds no place.
fn unplaced(failure: Failure, wanted: &Value) -> Failure {
    match failure {
        Failure::Refused { code: NO_SUITABLE_PEERS, text } => Failure::Refused {
            code: NO_SUITABLE_PEERS,
            text: format!(
                "{text}: fewer than {} servers of the cluster are up; start them, or set bus.replicas",
                wanted["num_replicas"]
            ),
        },
        Failure::Refused { code: STORE_TOO_SMALL, text } => Failure::Refused {
            code: STORE_TOO_SMALL,
            text: format!(
                "{text}: it may become {} bytes, which the server does not have to give; raise max_file_store in its \
                 configuration, or max_file of its account",
                wanted["max_bytes"]
            ),
        },
        other => other,
    }
}

async fn config(link: &Link, name: &str) -> Result<Value, Failure> {
    let mut info: Value = link.api(&format!("STREAM.INFO.{name}"), &Value::Null).await?;
    Ok(info["config"].take())
}

/// How many copies of a stream there shall be.
pub(super) fn copies(link: &Link) -> u32 {
    link.options.replicas.unwrap_or(if link.clustered() { COPIES } else { 1 })
}

fn wanted(link: &Link, spec: &Spec, shards: u32) -> Value {
    let options = &link.options;
    let limits = &options.limits;
    let bytes_max = match spec.stream {
        Stream::Log => limits.log_bytes_max,
        Stream::Rollups => limits.rollup_bytes_max,
        Stream::DeadLetter => limits.deadletter_bytes_max,
        Stream::Alive => limits.alive_bytes_max,
        Stream::Desk | Stream::Events | Stream::Outcomes | Stream::State => 0,
    };
    let age_max = match spec.stream {
        Stream::Log => options.log_age_max.unwrap_or(spec.age_max),
        _ => spec.age_max,
    };
    let mut config = json!({
        "name": options.layout.stream_name(spec.stream),
        "subjects": options.layout.subjects(spec),
        "retention": "limits",
        "storage": if spec.in_memory { "memory" } else { "file" },
        "discard": "old",
        "max_age": u64::try_from(age_max.as_nanos()).unwrap_or(u64::MAX),
        "max_bytes": if bytes_max == 0 { -1 } else { i64::try_from(bytes_max).unwrap_or(-1) },
        "max_msgs": -1,
        "max_msgs_per_subject": -1,
        "max_msg_size": -1,
        "max_consumers": -1,
        "num_replicas": copies(link),
        "duplicate_window": u64::try_from(DUPLICATE_WINDOW.as_nanos()).unwrap_or(u64::MAX),
        "allow_direct": true,
        "allow_msg_ttl": true,
        "allow_atomic": spec.atomic,
        "deny_delete": spec.deny_delete,
        "deny_purge": false,
        "sealed": false,
    });
    if spec.stream == Stream::Log {
        let prefix = &options.layout.subject_prefix;
        config["subject_transform"] = json!({
            "src": format!("{prefix}.metric.>"),
            "dest": format!("{prefix}.log.{{{{partition({shards})}}}}.metric.>"),
        });
    }
    config
}

/// How a field may differ.
enum Rule {
    /// Not at all.
    Same,
    /// A set in any order.
    SameSet,
    /// More is fine; 0 or -1 mean no limit.
    AtLeast,
    /// True where we want true; extra permissions are fine.
    AtLeastTrue,
}

const FIELDS: [(&str, Rule); 19] = [
    ("subjects", Rule::SameSet),
    ("subject_transform", Rule::Same),
    ("retention", Rule::Same),
    ("storage", Rule::Same),
    ("discard", Rule::Same),
    ("max_age", Rule::AtLeast),
    ("max_bytes", Rule::AtLeast),
    ("max_msgs", Rule::AtLeast),
    ("max_msgs_per_subject", Rule::AtLeast),
    ("max_msg_size", Rule::AtLeast),
    ("max_consumers", Rule::AtLeast),
    ("num_replicas", Rule::AtLeast),
    ("duplicate_window", Rule::AtLeast),
    ("allow_direct", Rule::AtLeastTrue),
    ("allow_msg_ttl", Rule::AtLeastTrue),
    ("allow_atomic", Rule::AtLeastTrue),
    ("deny_delete", Rule::AtLeastTrue),
    ("deny_purge", Rule::Same),
    ("sealed", Rule::Same),
];

fn compare(name: &str, found: &Value, wanted: &Value) -> Result<(), BusError> {
    for (field, rule) in &FIELDS {
        let (is, want) = (&found[*field], &wanted[*field]);
        let fine = match rule {
            Rule::Same => is == want || (is.is_null() && *want == json!(false)),
            Rule::SameSet => sorted(is) == sorted(want),
            Rule::AtLeast => is_at_least(is, want),
            Rule::AtLeastTrue => *is == json!(true) || *want != json!(true),
        };
        if !fine {
            return Err(mismatch(name, field, is, want));
        }
    }
    Ok(())
}

fn is_at_least(is: &Value, want: &Value) -> bool {
    let unbounded = |limit: &Value| limit.as_i64().is_none_or(|limit| limit <= 0);
    unbounded(is) || (!unbounded(want) && is.as_i64() >= want.as_i64())
}

fn sorted(set: &Value) -> Vec<&str> {
    let mut items: Vec<_> =
        set.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    items.sort_unstable();
    items
}

fn mismatch(name: &str, field: &str, is: &Value, want: &Value) -> BusError {
    let remedy = match field {
        "subject_transform" => SHARDS_REMEDY.to_owned(),
        "retention" | "storage" | "sealed" => {
            "this cannot be changed on a stream: use another stream prefix, or remove the stream \
             if nobody needs it"
                .to_owned()
        }
        _ => format!("change it with `nats stream edit {name}`, or use another stream prefix"),
    };
    let show =
        |value: &Value| if value.is_null() { "not set".to_owned() } else { value.to_string() };
    BusError::Mismatch {
        stream: name.to_owned(),
        field: field.to_owned(),
        found: show(is),
        wanted: show(want),
        remedy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Value {
        json!({"subjects": ["a", "b"], "retention": "limits", "max_age": 100, "max_bytes": 10,
               "deny_purge": false, "allow_atomic": true, "sealed": false})
    }

    #[test]
    fn larger_limits_are_compatible() {
        let mut found = base();
        found["subjects"] = json!(["b", "a"]);
        found["max_age"] = json!(0);
        found["max_bytes"] = json!(-1);
        assert!(compare("S", &found, &base()).is_ok());
        found["max_age"] = json!(101);
        assert!(compare("S", &found, &base()).is_ok());
    }

    #[test]
    fn weaker_ones_are_named_with_a_remedy() {
        for (field, value) in [
            ("max_age", json!(99)),
            ("max_bytes", json!(9)),
            ("allow_atomic", json!(false)),
            ("retention", json!("interest")),
        ] {
            let mut found = base();
            found[field] = value;
            match compare("S", &found, &base()) {
                Err(BusError::Mismatch { field: named, remedy, .. }) => {
                    assert_eq!(named, field);
                    assert!(!remedy.is_empty());
                }
                other => panic!("{field}: {other:?}"),
            }
        }
    }
}
