//! Subjects on the bus: the one place that spells them, and the shard a metric belongs to.
//!
//! The prefix (`ops`) is configurable, all else is fixed; the table of subjects stands in ARCHITECTURE.md.

use crate::log::{DeskKind, Entry, EntryKind, LogId};
use crate::time::Time;
use bytes::{Buf, Bytes};

/// Builds and reads the subjects below one prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subjects {
    prefix: String,
}

impl Default for Subjects {
    fn default() -> Self {
        Self { prefix: "ops".to_owned() }
    }
}

impl Subjects {
    /// Subjects below `prefix`: one or more tokens, for instance `ops` or `acme.ops`.
    pub fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into() }
    }

    /// The prefix itself.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// `ops.<rest>`.
    pub fn of(&self, rest: &str) -> String {
        format!("{}.{rest}", self.prefix)
    }

    /// Where services publish samples of `metric`: `ops.metric.<metric>`.
    pub fn metric(&self, metric: &str) -> String {
        format!("{}.metric.{metric}", self.prefix)
    }

    /// The shard of `metric` among `shards`, as the bus itself computes it.
    pub fn shard_of(&self, metric: &str, shards: u32) -> u32 {
        let parts = [self.prefix.as_bytes(), b".metric.", metric.as_bytes()];
        fnv1a_32(parts.into_iter().flatten().copied()) % shards
    }

    /// An entry of a log: `ops.log.<shard>.<kind>` or `ops.desk.<kind>`.
    pub fn entry(&self, log: LogId, kind: &str) -> String {
        match log {
            LogId::Shard(shard) => format!("{}.log.{shard}.{kind}", self.prefix),
            LogId::Desk => format!("{}.desk.{kind}", self.prefix),
        }
    }

    /// All entries of a log, as a filter.
    pub fn entries(&self, log: LogId) -> String {
        self.entry(log, ">")
    }

    /// Position record of a log: `ops.commit.<log>`.
    pub fn commit(&self, log: LogId) -> String {
        format!("{}.commit.{log}", self.prefix)
    }

    /// Ownership record of a log, the fence: `ops.own.<log>`.
    pub fn own(&self, log: LogId) -> String {
        format!("{}.own.{log}", self.prefix)
    }

    /// What a shard says to the desk: `ops.transition.<shard>`.
    pub fn transition(&self, shard: u32) -> String {
        format!("{}.transition.{shard}", self.prefix)
    }

    /// What the owner of a log says about it, relayed to the desk: a shard's beside its transitions.
    pub fn owner(&self, log: LogId) -> String {
        format!("{}.transition.{log}", self.prefix)
    }

    /// What alerts do that the desk judges itself; not relayed, for the desk knows: `ops.transition.desk.judged`.
    pub fn judged(&self) -> String {
        format!("{}.transition.desk.judged", self.prefix)
    }

    /// What the desk says to a shard: `ops.request.<shard>`, relayed to its log.
    pub fn request(&self, shard: u32) -> String {
        format!("{}.request.{shard}", self.prefix)
    }

    /// `ops.alert.<severity>.<rule>.<state>`.
    pub fn alert(&self, severity: &str, rule: &str, state: &str) -> String {
        format!("{}.alert.{}.{}.{}", self.prefix, escape(severity), escape(rule), escape(state))
    }

    /// `ops.notify.<receiver>`.
    pub fn notify(&self, receiver: &str) -> String {
        format!("{}.notify.{}", self.prefix, escape(receiver))
    }

    /// `ops.rollback.<plan>.<state>`.
    pub fn rollback(&self, plan: &str, state: &str) -> String {
        format!("{}.rollback.{}.{}", self.prefix, escape(plan), escape(state))
    }

    /// The claim ledger of one command: `ops.exec.<plan>.<incident>`.
    pub fn ledger(&self, plan: &str, incident: &str) -> String {
        format!("{}.exec.{}.{}", self.prefix, escape(plan), escape(incident))
    }

    /// Plan and incident of a subject of the claim ledger; `None` for any other subject.
    pub fn claimed(&self, subject: &str) -> Option<(String, String)> {
        let rest = subject.strip_prefix(self.prefix.as_str())?.strip_prefix(".exec.")?;
        let (plan, incident) = rest.split_once('.')?;
        let (plan, incident) = (unescape(plan)?, unescape(incident)?);
        // Spelled another way it is another subject, whose record excludes nobody.
        (self.ledger(&plan, &incident) == subject).then_some((plan, incident))
    }

    /// What became of a command: `ops.status.rollback.<plan>`.
    pub fn status_rollback(&self, plan: &str) -> String {
        format!("{}.status.rollback.{}", self.prefix, escape(plan))
    }

    /// What became of a notification: `ops.status.notify.<receiver>`.
    pub fn status_notify(&self, receiver: &str) -> String {
        format!("{}.status.notify.{}", self.prefix, escape(receiver))
    }

    /// Packed rollups: `ops.rollup.<tier>.<shard>`.
    pub fn rollup(&self, tier: &str, shard: u32) -> String {
        format!("{}.rollup.{tier}.{shard}", self.prefix)
    }

    /// A chunk of a snapshot: `ops.state.<log>.<snapshot>.<chunk>`.
    pub fn state(&self, log: LogId, snapshot: &str, chunk: usize) -> String {
        format!("{}.state.{log}.{snapshot}.{chunk}", self.prefix)
    }

    /// Everything kept of a log's state, as a filter.
    pub fn state_of(&self, log: LogId) -> String {
        format!("{}.state.{log}.>", self.prefix)
    }

    /// Refused input with its bytes: `ops.deadletter.<reason>`.
    pub fn deadletter(&self, reason: &str) -> String {
        format!("{}.deadletter.{}", self.prefix, escape(reason))
    }

    /// Heartbeats of a process: `ops.alive.<process>`.
    pub fn alive(&self, process: &str) -> String {
        format!("{}.alive.{}", self.prefix, escape(process))
    }

    /// The log an entry under this subject belongs to; none where it is no entry of a log.
    pub fn log_of(&self, subject: &[u8]) -> Option<LogId> {
        let rest = strip(subject, &self.prefix)?;
        if rest.starts_with(b"desk.") {
            return Some(LogId::Desk);
        }
        let mut shard = 0_u32;
        for byte in rest.strip_prefix(b"log.")? {
            match byte {
                b'0'..=b'9' => {
                    shard = shard.checked_mul(10)?.checked_add(u32::from(byte - b'0'))?
                }
                b'.' => return Some(LogId::Shard(shard)),
                _ => return None,
            }
        }
        None
    }

    /// A stored message as an entry, as every reader of a log takes it: what `skipped` names is left out.
    pub fn log_entry(
        &self,
        subject: Bytes,
        (sequence, time): (u64, Time),
        payload: Bytes,
        skipped: &[(u64, u64)],
    ) -> Entry {
        if skipped.iter().any(|(first, last)| (*first..=*last).contains(&sequence)) {
            return Entry { sequence, time, kind: EntryKind::Skipped, payload: Bytes::new() };
        }
        Entry { sequence, time, kind: self.entry_kind(subject), payload }
    }

    /// What an entry is, by the subject it is stored under. Runs once per message of the hot path, so it
    /// neither allocates nor copies: of `subject` the metric's name stays.
    pub fn entry_kind(&self, mut subject: Bytes) -> EntryKind {
        let Some(rest) = strip(&subject, &self.prefix) else { return EntryKind::Unknown };
        if let Some(rest) = rest.strip_prefix(b"log.") {
            let Some(dot) = rest.iter().position(|byte| *byte == b'.') else {
                return EntryKind::Unknown;
            };
            return match &rest[dot + 1..] {
                b"batch" => EntryKind::Batch,
                b"tick" => EntryKind::Tick,
                b"settings" => EntryKind::Settings,
                b"verify" => EntryKind::Verify,
                b"look" => EntryKind::Look,
                name => match name.strip_prefix(b"metric.") {
                    Some(name) if std::str::from_utf8(name).is_ok() => {
                        let before = subject.len() - name.len();
                        subject.advance(before);
                        EntryKind::Metric(subject)
                    }
                    _ => EntryKind::Unknown,
                },
            };
        }
        let Some(rest) = rest.strip_prefix(b"desk.") else { return EntryKind::Unknown };
        match rest.split(|byte| *byte == b'.').next() {
            Some(b"tick") => EntryKind::Tick,
            Some(b"settings") => EntryKind::Settings,
            Some(b"transition") => EntryKind::Desk(DeskKind::Transition),
            Some(b"outcome") => EntryKind::Desk(DeskKind::Outcome),
            Some(b"ack") => EntryKind::Desk(DeskKind::Ack),
            Some(b"silence") => EntryKind::Desk(DeskKind::Silence),
            Some(b"approve") => EntryKind::Desk(DeskKind::Approve),
            Some(b"change") => EntryKind::Desk(DeskKind::Change),
            Some(b"freeze") => EntryKind::Desk(DeskKind::Freeze),
            Some(b"close") => EntryKind::Desk(DeskKind::Close),
            Some(b"unlock") => EntryKind::Desk(DeskKind::Unlock),
            _ => EntryKind::Unknown,
        }
    }
}

fn strip<'a>(subject: &'a [u8], prefix: &str) -> Option<&'a [u8]> {
    subject.strip_prefix(prefix.as_bytes())?.strip_prefix(b".")
}

/// FNV-1a, 32 bits: the hash of the bus's `{{partition(n)}}` (checked against nats-server 2.15.1).
pub fn fnv1a_32(bytes: impl IntoIterator<Item = u8>) -> u32 {
    bytes
        .into_iter()
        .fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Makes any text one subject token: bytes outside `[A-Za-z0-9_-]` become `%XX`.
pub fn escape(text: &str) -> String {
    let mut token = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' {
            token.push(char::from(byte));
        } else {
            token.push_str(&format!("%{byte:02X}"));
        }
    }
    token
}

/// The text behind an escaped token; `None` if it was not made by [`escape`].
pub fn unescape(token: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(token.len()), token.as_bytes());
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let hex = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(hex, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_becomes_one_token_and_comes_back() {
        assert_eq!(escape("oncall@opm.gov"), "oncall%40opm%2Egov");
        for text in ["oncall@opm.gov", "a b.*>", "ünï", "", "%41"] {
            let token = escape(text);
            assert!(!token.contains(['.', '*', '>', ' ']));
            assert_eq!(unescape(&token).as_deref(), Some(text));
        }
        assert_eq!(unescape("%4"), None);
    }

    #[test]
    fn subjects_are_read_as_they_are_stored() {
        let kind =
            |text: &str| Subjects::default().entry_kind(Bytes::copy_from_slice(text.as_bytes()));
        assert_eq!(
            kind("ops.log.3.metric.a.b_ms"),
            EntryKind::Metric(Bytes::from_static(b"a.b_ms"))
        );
        assert_eq!(kind("ops.log.0.batch"), EntryKind::Batch);
        assert_eq!(kind("ops.log.0.tick"), EntryKind::Tick);
        assert_eq!(kind("ops.desk.settings"), EntryKind::Settings);
        assert_eq!(kind("ops.desk.ack.anna"), EntryKind::Desk(DeskKind::Ack));
        assert_eq!(kind("ops.desk.unlock.anna"), EntryKind::Desk(DeskKind::Unlock));
        assert_eq!(kind("ops.desk.transition.0"), EntryKind::Desk(DeskKind::Transition));
        for text in ["ops.log.0", "ops.log", "acme.log.0.tick", "ops.desk.dance", "opsy.log.0.tick"]
        {
            assert_eq!(kind(text), EntryKind::Unknown, "{text}");
        }
    }

    #[test]
    fn a_subject_of_the_ledger_says_what_was_claimed() {
        let subjects = Subjects::default();
        let pair = ("DOCKET_RULE".to_owned(), "a.b".to_owned());
        assert_eq!(subjects.claimed("ops.exec.DOCKET_RULE.a%2Eb"), Some(pair));
        for text in ["ops.exec.P", "ops.exec.P.a.b", "ops.exec.%50.a", "ops.status.rollback.P"] {
            assert_eq!(subjects.claimed(text), None, "{text}");
        }
    }

    #[test]
    fn shards_are_those_of_the_bus() {
        // FNV-1a test vectors, then the modulus.
        assert_eq!(fnv1a_32(*b""), 0x811c_9dc5);
        assert_eq!(fnv1a_32(*b"foobar"), 0xbf9c_f968);
        let subjects = Subjects::default();
        let expected = fnv1a_32(*b"ops.metric.county_api_ms") % 8;
        assert_eq!(subjects.shard_of("county_api_ms", 8), expected);
        assert_eq!(subjects.shard_of("county_api_ms", 1), 0);
    }
}
