//! The streams of the product as one table: names, subjects, how long they keep what.
//!
//! Retention of rollups differs by tier within one stream, so the bus gives each rollup a time to live by its
//! subject ([`Layout::ttl`]); the stream's own age limit is the longest tier's. Snapshots have no age limit:
//! the engine purges them, because the one a commit refers to must outlive any outage.

use crate::Stream;
use std::time::Duration;

/// A repeat by message id is recognised within this.
pub const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// The number of shards is fixed for the life of the log: another one would move every series.
pub(crate) const SHARDS_REMEDY: &str =
    "keep the number of shards the log was created with, or use another stream prefix";

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// How long rollups of a tier are kept, by the tier's token.
const ROLLUP_TIERS: [(&str, u64); 3] = [("1s", HOUR), ("10s", 2 * DAY), ("1m", 30 * DAY)];

/// What a stream is on the server.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Its role.
    pub stream: Stream,
    /// Name behind the stream prefix.
    pub suffix: &'static str,
    /// Subjects behind the subject prefix.
    pub subjects: &'static [&'static str],
    /// Oldest message kept; zero keeps for ever.
    pub age_max: Duration,
    /// Atomic batches are allowed.
    pub atomic: bool,
    /// Kept in memory only.
    pub in_memory: bool,
    /// Single messages cannot be deleted (whole subjects can still be purged by the owner).
    pub deny_delete: bool,
}

/// All streams, in the order they are created.
pub const SPECS: [Spec; 8] = [
    spec(Stream::Log, "LOG", &["metric.>", "log.>"], 2 * DAY, true),
    spec(Stream::Desk, "DESK", &["desk.>"], 90 * DAY, true),
    Spec {
        deny_delete: true,
        ..spec(
            Stream::Events,
            "EVENTS",
            &[
                "transition.>",
                "request.>",
                "alert.>",
                "notify.>",
                "rollback.>",
                "commit.>",
                "own.>",
            ],
            90 * DAY,
            true,
        )
    },
    spec(Stream::Outcomes, "OUTCOMES", &["status.>", "exec.>"], 90 * DAY, false),
    spec(Stream::Rollups, "ROLLUPS", &["rollup.>"], 30 * DAY, false),
    spec(Stream::State, "STATE", &["state.>"], 0, false),
    spec(Stream::DeadLetter, "DEADLETTER", &["deadletter.>"], 7 * DAY, false),
    Spec { in_memory: true, ..spec(Stream::Alive, "ALIVE", &["alive.>"], 300, false) },
];

const fn spec(
    stream: Stream,
    suffix: &'static str,
    subjects: &'static [&'static str],
    age_secs: u64,
    atomic: bool,
) -> Spec {
    Spec {
        stream,
        suffix,
        subjects,
        age_max: Duration::from_secs(age_secs),
        atomic,
        in_memory: false,
        deny_delete: false,
    }
}

/// Names of streams and subjects under configurable prefixes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// First tokens of every subject (`ops`).
    pub subject_prefix: String,
    /// First part of every stream's name (`OPS`).
    pub stream_prefix: String,
}

impl Default for Layout {
    fn default() -> Self {
        Self { subject_prefix: "ops".to_owned(), stream_prefix: "OPS".to_owned() }
    }
}

impl Layout {
    /// Name of a stream on the server.
    pub fn stream_name(&self, stream: Stream) -> String {
        format!("{}_{}", self.stream_prefix, spec_of(stream).suffix)
    }

    /// Subjects of a stream.
    pub fn subjects(&self, spec: &Spec) -> Vec<String> {
        spec.subjects.iter().map(|tail| format!("{}.{tail}", self.subject_prefix)).collect()
    }

    /// The stream that stores what is published to `subject`.
    pub fn stream_of(&self, subject: &str) -> Option<Stream> {
        let rest = self.rest(subject)?;
        let (first, _) = rest.split_once('.')?;
        SPECS
            .iter()
            .find(|spec| spec.subjects.iter().any(|s| s.strip_suffix(".>") == Some(first)))
            .map(|spec| spec.stream)
    }

    /// How long a message lives because of its subject, where that differs from its stream's limit.
    pub fn ttl(&self, subject: &str) -> Option<Duration> {
        let tier = self.rest(subject)?.strip_prefix("rollup.")?.split('.').next()?;
        ROLLUP_TIERS
            .iter()
            .find(|(name, _)| *name == tier)
            .map(|(_, secs)| Duration::from_secs(*secs))
    }

    fn rest<'a>(&self, subject: &'a str) -> Option<&'a str> {
        subject.strip_prefix(self.subject_prefix.as_str())?.strip_prefix('.')
    }
}

/// The table's row of a stream.
pub fn spec_of(stream: Stream) -> &'static Spec {
    &SPECS[stream as usize]
}

/// Whether something can be published to `subject`: non-empty tokens, no wildcard, no white space.
pub fn is_subject(subject: &str) -> bool {
    subject.split('.').all(|token| !token.is_empty() && token != "*" && token != ">")
        && !subject.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// Whether `subject` matches `filter`, token by token.
pub fn matches(filter: &str, subject: &str) -> bool {
    let (mut filter, mut subject) = (filter.split('.'), subject.split('.'));
    loop {
        match (filter.next(), subject.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(_)) => {}
            (Some(wanted), Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_stands_in_the_order_of_the_roles() {
        for (index, spec) in SPECS.iter().enumerate() {
            assert_eq!(spec.stream as usize, index);
        }
    }

    #[test]
    fn a_subject_belongs_to_at_most_one_stream() {
        let layout = Layout::default();
        assert_eq!(layout.stream_of("ops.metric.a.b"), Some(Stream::Log));
        assert_eq!(layout.stream_of("ops.log.0.tick"), Some(Stream::Log));
        assert_eq!(layout.stream_of("ops.exec.P.i"), Some(Stream::Outcomes));
        assert_eq!(layout.stream_of("ops.own.desk"), Some(Stream::Events));
        for stranger in ["ops.dance.x", "opsy.log.0", "ops.log", "ops"] {
            assert_eq!(layout.stream_of(stranger), None, "{stranger}");
        }
    }

    #[test]
    fn wildcards_match_whole_tokens() {
        assert!(matches("ops.*.x", "ops.a.x"));
        assert!(matches("ops.>", "ops.a.b"));
        assert!(!matches("ops.>", "ops"));
        assert!(!matches("ops.*", "ops.a.b"));
        assert!(!matches("ops.a", "ops.ab"));
        assert!(!is_subject("ops..a") && !is_subject("ops.*") && !is_subject("ops.a b"));
    }

    #[test]
    fn finer_rollups_are_kept_for_a_shorter_time() {
        let layout = Layout::default();
        assert_eq!(layout.ttl("ops.rollup.1s.0"), Some(Duration::from_secs(3_600)));
        assert_eq!(layout.ttl("ops.alert.critical.a.firing"), None);
    }
}
