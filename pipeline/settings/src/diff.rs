//! What lies between two revisions of the settings: pieces added, removed and changed, field by field in the words
//! of the files, and what happens to the alerts of each rule.
//!
//! Fields are compared as they are on the bus, not one by one in code: a field that is new there shows here by
//! itself. Only the few that files spell otherwise are translated (`words`). What happens to alerts is asked of the
//! stages, which do it.

mod words;

use serde::Serialize;
use serde_json::Value;
use stages::settings::{Rule, Settings};
use stages::shard::{Edit, edit_of};
use std::collections::BTreeMap;
use std::fmt;

/// Everything that differs between two revisions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diff {
    /// The revision before; empty if there was none.
    pub before: String,
    /// The revision after.
    pub after: String,
    /// What differs, by kind and name.
    pub pieces: Vec<Piece>,
}

/// One rule, plan or receiver, or the rest.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Piece {
    /// What it is.
    pub kind: Kind,
    /// Its name; empty for the rest.
    pub name: String,
    /// What happened to it.
    pub change: Change,
    /// Fields that differ; none where all of it came or went.
    pub fields: Vec<Field>,
    /// What happens to a rule's alerts.
    pub effect: Option<Effect>,
}

/// What a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A rule.
    Rule,
    /// A rollback plan.
    Plan,
    /// A receiver.
    Receiver,
    /// A calendar of active hours.
    Calendar,
    /// What belongs to none of them: limits, fallback.
    Rest,
}

/// What happened to a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// Some of its fields differ.
    Changed,
}

/// A field that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// Its name, with dots where it lies deeper: `guards.unless`.
    pub name: String,
    /// What it was, as files write it; none where it was not set.
    pub before: Option<String>,
    /// What it is now.
    pub after: Option<String>,
}

/// What happens to the alerts of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Nothing: windows and alerts stay.
    Keeps,
    /// Windows and alerts stay; what fires is judged by the new numbers from its next sample on.
    Judges,
    /// Windows begin anew; what fires goes on firing where its group still exists.
    Restarts,
    /// Windows begin anew, and incidents are closed as `rule_changed`: it watches another metric.
    Replaces,
    /// Incidents are closed as `rule_removed`.
    Closes,
    /// It begins with the samples from now on.
    Begins,
}

impl Effect {
    fn of(before: &Rule, after: &Rule) -> Self {
        if before.metric != after.metric || before.is_joined() != after.is_joined() {
            return Self::Replaces;
        }
        match edit_of(before, after) {
            Edit::Text => Self::Keeps,
            Edit::Clocks => Self::Judges,
            Edit::Panes => Self::Restarts,
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keeps => "windows and alerts are kept",
            Self::Judges => {
                "windows are kept, firing alerts go on and are judged anew at their next sample"
            }
            Self::Restarts => {
                "windows restart empty; firing alerts go on where their group still exists"
            }
            Self::Replaces => "windows restart empty; open incidents are closed as rule_changed",
            Self::Closes => "open incidents are closed as rule_removed",
            Self::Begins => "it starts unknown, with samples from now on",
        })
    }
}

impl Diff {
    /// What lies between `before` and `after`.
    pub fn between(before: &Settings, after: &Settings) -> Self {
        let (old, new) = (pieces(before), pieces(after));
        let mut found = Vec::new();
        for ((kind, name), value) in &old {
            let change = match new.get(&(*kind, name.clone())) {
                None => Some((Change::Removed, Vec::new())),
                Some(now) if now == value => None,
                Some(now) => Some((Change::Changed, words::fields(value, now))),
            };
            found.extend(change.map(|(change, fields)| (*kind, name.clone(), change, fields)));
        }
        let added = new.keys().filter(|key| !old.contains_key(*key));
        found.extend(added.map(|(kind, name)| (*kind, name.clone(), Change::Added, Vec::new())));
        found.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
        let pieces = found.into_iter().map(|(kind, name, change, fields)| {
            let effect = (kind == Kind::Rule).then(|| match change {
                Change::Added => Effect::Begins,
                Change::Removed => Effect::Closes,
                Change::Changed => match (rule(before, &name), rule(after, &name)) {
                    (Some(before), Some(after)) => Effect::of(before, after),
                    _ => Effect::Restarts,
                },
            });
            Piece { kind, name, change, fields, effect }
        });
        let pieces = pieces.collect();
        Self { before: before.revision.clone(), after: after.revision.clone(), pieces }
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }
}

fn rule<'a>(settings: &'a Settings, name: &str) -> Option<&'a Rule> {
    let at = settings.rules.binary_search_by(|rule| rule.name.as_str().cmp(name)).ok()?;
    Some(&settings.rules[at])
}

/// All pieces as they are on the bus. What is in no list of named things is the rest.
fn pieces(settings: &Settings) -> BTreeMap<(Kind, String), Value> {
    let mut all = match serde_json::to_value(settings) {
        Ok(Value::Object(all)) => all,
        _ => return BTreeMap::new(),
    };
    let mut pieces = BTreeMap::new();
    let lists = [
        (Kind::Rule, "rules"),
        (Kind::Plan, "plans"),
        (Kind::Receiver, "receivers"),
        (Kind::Calendar, "calendars"),
    ];
    for (kind, list) in lists {
        let Some(Value::Array(items)) = all.remove(list) else { continue };
        for item in items {
            let name = item["name"].as_str().unwrap_or_default().to_owned();
            pieces.insert((kind, name), item);
        }
    }
    for signature in ["revision", "author", "comment", "part", "schema"] {
        all.remove(signature);
    }
    pieces.insert((Kind::Rest, String::new()), Value::Object(all));
    pieces
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.change {
            Change::Added => '+',
            Change::Removed => '-',
            Change::Changed => '~',
        };
        let what = match self.kind {
            Kind::Rule => "rule ",
            Kind::Plan => "plan ",
            Kind::Receiver => "receiver ",
            Kind::Calendar => "calendar ",
            Kind::Rest => "limits and the rest",
        };
        write!(f, "{mark} {what}{}", self.name)?;
        if let Some(effect) = self.effect {
            write!(f, ": {effect}")?;
        }
        for Field { name, before, after } in &self.fields {
            let [before, after] =
                [before, after].map(|said| said.as_deref().unwrap_or("(not set)").to_owned());
            write!(f, "\n    {name}: {before} -> {after}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, piece) in self.pieces.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{piece}")?;
        }
        Ok(())
    }
}
