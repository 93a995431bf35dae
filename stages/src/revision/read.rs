//! Reading a revision again and again: rules whose text was in the revision before are not read anew, but shared.
//!
//! Most revisions change a few rules of many. Each rule's text is known by its SHA-256, so what is the same byte for byte
//! costs a glance and no memory of its own, and whoever compares revisions compares addresses first. What comes out is what
//! `serde_json` makes of the whole; whatever it cannot be sure of, it leaves to that, errors and all.

use crate::settings::{Rule, Settings};
use rustc_hash::FxHashMap;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;

/// The settings entries of a step, read by whoever feeds it: so that no worker's step waits for it, and it is done once for
/// all workers. A help and no part of what a step is; an entry that is not in it is read from its bytes.
#[derive(Clone, Debug, Default)]
pub struct Ahead(Vec<(u64, Came)>);

/// What a settings entry came to, before parts are joined.
type Came = Arc<Result<Settings, String>>;

impl PartialEq for Ahead {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Ahead {}

impl Ahead {
    /// Reads the entry at `sequence`, with the help of what was read before.
    pub fn read(&mut self, sequence: u64, payload: &[u8], before: &mut Read) {
        let came = before.settings(payload).map_err(|error| error.to_string());
        self.0.push((sequence, Arc::new(came)));
    }

    /// Splits off what lies up to `position`.
    #[must_use]
    pub fn up_to(&mut self, position: u64) -> Self {
        let later = self.0.split_off(self.0.partition_point(|(at, _)| *at <= position));
        Self(std::mem::replace(&mut self.0, later))
    }

    pub(super) fn get(&self, sequence: u64) -> Option<Result<Settings, String>> {
        let (_, came) = self.0.iter().find(|(at, _)| *at == sequence)?;
        Some(Result::clone(came))
    }
}

/// The field that is read piece by piece.
const RULES: &str = "rules";

/// Rules by their text, as they were read: a help and no state, so it is not saved.
#[derive(Clone, Debug, Default)]
pub struct Read {
    /// Of the revision that is being read, and of the one before.
    now: FxHashMap<[u8; 32], Arc<Rule>>,
    before: FxHashMap<[u8; 32], Arc<Rule>>,
}

impl Read {
    /// Reads settings, or a part of them; rules that were there before are the same in memory.
    ///
    /// # Errors
    /// As `serde_json` says it of the whole text.
    pub fn settings(&mut self, payload: &[u8]) -> Result<Settings, serde_json::Error> {
        let first = |settings: &Settings| settings.part.is_none_or(|part| part.number == 1);
        match self.pieces(payload, first) {
            Some(settings) => Ok(settings),
            None => serde_json::from_slice(payload),
        }
    }

    fn pieces(&mut self, payload: &[u8], first: impl Fn(&Settings) -> bool) -> Option<Settings> {
        let Fields(fields) = serde_json::from_slice(payload).ok()?;
        let is_rules = |(name, _): &(String, &RawValue)| name == RULES;
        // Twice the same field is an error, and a text of its own.
        if fields.iter().filter(|field| is_rules(field)).count() != 1 {
            return None;
        }
        let (mut rest, mut rules) = (String::from("{"), None);
        for (name, value) in &fields {
            let shown = if name == RULES { "[]" } else { value.get() };
            rules = if name == RULES { Some(value.get()) } else { rules };
            let comma = if rest.len() > 1 { "," } else { "" };
            rest.push_str(&format!("{comma}{}:{shown}", serde_json::to_string(name).ok()?));
        }
        rest.push('}');
        let mut settings: Settings = serde_json::from_str(&rest).ok()?;
        if first(&settings) {
            self.before = std::mem::take(&mut self.now);
        }
        let texts: Vec<&RawValue> = serde_json::from_str(rules?).ok()?;
        let read = texts.into_iter().map(|text| self.rule(text.get()));
        settings.rules = read.collect::<Option<_>>()?;
        Some(settings)
    }

    fn rule(&mut self, text: &str) -> Option<Arc<Rule>> {
        let digest: [u8; 32] = Sha256::digest(text).into();
        let known = self.now.get(&digest).or_else(|| self.before.get(&digest));
        let rule = match known {
            Some(rule) => Arc::clone(rule),
            None => Arc::new(serde_json::from_str(text).ok()?),
        };
        self.now.insert(digest, Arc::clone(&rule));
        Some(rule)
    }
}

/// The fields of an object as they stand, in order.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Object).map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revision::Collected;
    use serde_json::{Value, json};

    fn rule(name: &str, threshold: f64) -> Value {
        json!({
            "name": name, "metric": "county_api_ms", "group_by": [], "stat": "mean", "compare": ">",
            "threshold": threshold, "share": null, "window": "3m", "for": "1m", "recover": null,
            "keep_firing_for": "0s", "reopen_within": "0s", "min_samples": 1, "fresh_for": "1m",
            "gap_tolerance": "1m", "no_data": "keep", "keep_max": "15m", "absent": null,
            "flap_window": "1h", "severity": "critical", "unit": null, "action": null,
            "action_min_samples": 10, "guards": guards(), "runbook": null, "notify": [], "repeat": "4h",
            "labels": {}, "annotations": {},
        })
    }

    fn guards() -> Value {
        serde_json::to_value(crate::settings::Guards::default()).unwrap()
    }

    fn text(revision: &str, rules: &[Value]) -> String {
        let settings = Settings { revision: revision.to_owned(), ..Settings::default() };
        let mut whole = serde_json::to_value(settings).unwrap();
        whole["rules"] = json!(rules);
        whole.to_string()
    }

    #[test]
    fn a_revision_is_what_it_is_without_help_and_shares_what_stayed() {
        let mut read = Read::default();
        let mut before: Vec<Arc<Rule>> = Vec::new();
        for (revision, threshold) in [("a", 1.0), ("b", 2.0), ("c", 2.0)] {
            let text = text(revision, &[rule("one", 5.0), rule("two", threshold)]);
            let found = read.settings(text.as_bytes()).unwrap();
            assert_eq!(found, serde_json::from_str(&text).unwrap());
            let shared =
                |at: usize| before.get(at).is_some_and(|old| Arc::ptr_eq(old, &found.rules[at]));
            assert_eq!((shared(0), shared(1)), (revision != "a", revision == "c"));
            before = found.rules;
        }
        // Forgotten with the revision after the last that had it.
        read.settings(text("d", &[]).as_bytes()).unwrap();
        read.settings(text("e", &[]).as_bytes()).unwrap();
        assert!(read.now.is_empty() && read.before.is_empty());
    }

    #[test]
    fn an_entry_read_ahead_comes_to_what_its_bytes_say() {
        let good = text("a", &[rule("one", 5.0)]);
        let payloads = [&*good, "{", &*good, &good[1..]];
        let (mut ahead, mut read) = (Ahead::default(), Read::default());
        for (sequence, payload) in (7..).zip(payloads) {
            ahead.read(sequence, payload.as_bytes(), &mut read);
        }
        // Of two steps; the last entry was not read ahead.
        let steps = [ahead.up_to(8), ahead.up_to(9), Ahead::default()];
        assert!(steps[0].get(7).is_some() && steps[0].get(9).is_none());
        assert!(steps[1].get(9).is_some() && ahead.0.len() == 1);
        for (sequence, payload) in (7..).zip(payloads) {
            let of = steps.iter().find(|step| step.get(sequence).is_some()).unwrap_or(&steps[2]);
            let came = (sequence, payload.as_bytes());
            let (mut with, mut without) = (Collected::default(), Collected::default());
            assert_eq!(with.take_entry(came, of), without.take(payload.as_bytes()));
            assert_eq!(with, without);
        }
    }

    #[test]
    fn what_is_wrong_is_said_as_of_the_whole() {
        let good = text("a", &[rule("one", 5.0)]);
        let twice = good.replacen("\"rules\"", "\"rules\":[],\"rules\"", 1);
        let unknown = good.replacen("\"rules\"", "\"ruled\":1,\"rules\"", 1);
        let missing = good.replacen("\"metric\":\"county_api_ms\",", "", 1);
        for bad in [&*twice, &*missing, &good[..good.len() - 1], "[]", "1", "", "{\"rules\": 1}"] {
            let (found, plain) = (
                Read::default().settings(bad.as_bytes()).map_err(|error| error.to_string()),
                serde_json::from_str::<Settings>(bad).map_err(|error| error.to_string()),
            );
            assert_eq!(found, plain, "{bad}");
            assert!(found.is_err(), "{bad}");
        }
        let (found, plain) =
            (Read::default().settings(unknown.as_bytes()), serde_json::from_str(&unknown));
        assert_eq!(found.ok(), plain.ok());
    }
}
