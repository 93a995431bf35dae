//! YAML text becomes a tree in which every value knows its place. The only user of the YAML parser.
//!
//! Deriving `Deserialize` for what people write would stop at the first fault and say only where the
//! document broke. A tree with places lets the readers above it report all faults of all files at once.
//! Parsing itself stops at the first broken line: after that nobody can say what was meant.

use crate::problem::{Kind, Place, Report};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_yaml::budget::BudgetBreach;
use serde_yaml::{Error, Location, Options, Spanned};
use std::fmt;

/// Longest file read. A rule takes some 300 bytes; no person reads a file of more.
pub(crate) const FILE_BYTES_MAX: usize = 256 * 1024;
/// Deepest nesting; what we read needs six.
const DEPTH_MAX: usize = 16;
/// Most values in a file: one for every five bytes of the longest file.
const NODES_MAX: usize = FILE_BYTES_MAX / 5;

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub place: Place,
    pub value: Value,
}

/// What YAML can say, as far as we let it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Whole(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    /// In the order written; keys may repeat.
    Map(Vec<(Node, Node)>),
}

impl Value {
    /// What it is, for a message.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Whole(_) | Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// Reads one document; `None` when it cannot be read, which the report then says.
pub(crate) fn parse(file: &Place, bytes: &[u8], report: &Report) -> Option<Node> {
    if bytes.len() > FILE_BYTES_MAX {
        let message = format!("{} bytes are more than {FILE_BYTES_MAX}", bytes.len());
        report.error(file, Kind::TooLarge, message, "split the file");
        return None;
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(fault) => {
            let (line, column) = line_and_column(&bytes[..fault.valid_up_to()]);
            let message = format!("byte 0x{:02X} is not UTF-8", bytes[fault.valid_up_to()]);
            report.error(&file.at(line, column), Kind::NotUtf8, message, "save the file as UTF-8");
            return None;
        }
    };
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Some(Node { place: file.at(1, 1), value: Value::Null });
    }
    if stages::desk::template::is_template(text) {
        report.keep_source(file, text);
    }
    match serde_yaml::from_str_with_options::<Spanned<Raw>>(text, options()) {
        Ok(raw) => Some(place(raw, file)),
        Err(error) => {
            refuse(file, &error, report);
            None
        }
    }
}

fn options() -> Options {
    serde_yaml::options! {
        budget: serde_yaml::budget! {
            max_depth: DEPTH_MAX,
            flow_nesting_limit: DEPTH_MAX,
            max_nodes: NODES_MAX,
            max_events: 3 * NODES_MAX,
            max_documents: 1,
            max_anchors: 0,
            max_aliases: 0,
            max_merge_keys: 0,
            max_total_scalar_bytes: FILE_BYTES_MAX,
        },
        // All repeats are reported, with the place of the first, by `Fields`.
        duplicate_keys: serde_yaml::DuplicateKeyPolicy::PassThrough,
        merge_keys: serde_yaml::MergeKeyPolicy::AsOrdinary,
        // `on`, `yes` and `010` stay what they look like: text, text, ten.
        strict_booleans: true,
        legacy_octal_numbers: false,
        // `.nan` is refused by whoever reads the number, so that the faults behind it are found too.
        non_finite_float_policy: serde_yaml::NonFiniteFloatPolicy::PassThrough,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}

/// Says what the parser did not like.
fn refuse(file: &Place, error: &Error, report: &Report) {
    let error = error.without_snippet();
    let place =
        error.location().filter(|at| at.line() > 0).map_or(file.at(1, 1), |at| at_of(file, at));
    let (kind, message, remedy) = match error {
        Error::Budget {
            breach: BudgetBreach::Anchors { .. } | BudgetBreach::Aliases { .. },
            ..
        }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::UnknownAnchor { .. } => (
            Kind::Alias,
            "anchors (&name) and aliases (*name) are not read".to_owned(),
            "write the value out, or quote a text that begins with & or *".to_owned(),
        ),
        Error::Budget { breach: BudgetBreach::Documents { .. }, .. }
        | Error::MultipleDocuments { .. } => (
            Kind::NotYaml,
            "more than one document in a file".to_owned(),
            "remove the line ---, or write one file each".to_owned(),
        ),
        Error::Budget { .. } => (
            Kind::TooComplex,
            format!("nested deeper than {DEPTH_MAX} levels or more than {NODES_MAX} values"),
            "write it flatter, or split the file".to_owned(),
        ),
        other => {
            let text = first_line(&other.to_string());
            if text.contains("nesting") || text.contains("recursion") {
                let message = format!("nested deeper than {DEPTH_MAX} levels");
                (Kind::TooComplex, message, "write it flatter".to_owned())
            } else {
                let remedy = "mend the line, or the one before it; quote text with : # or *";
                (Kind::NotYaml, format!("not YAML ({text})"), remedy.to_owned())
            }
        }
    };
    report.error(&place, kind, message, remedy);
}

/// The first line of the parser's message without its place, bounded, without control characters.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let (message, _) = line.rsplit_once(" at line ").unwrap_or((line, ""));
    message.chars().filter(|c| !c.is_control()).take(160).collect()
}

fn line_and_column(before: &[u8]) -> (u32, u32) {
    let text = String::from_utf8_lossy(before);
    let line = text.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = text.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (narrow(line as u64), narrow(column as u64))
}

fn narrow(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn at_of(file: &Place, at: Location) -> Place {
    file.at(narrow(at.line().max(1)), narrow(at.column().max(1)))
}

/// A tree as the parser builds it, places still in the parser's own type.
enum Raw {
    Leaf(Value),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

/// Gives every value its place in `file`. Recursion is bounded by [`DEPTH_MAX`].
fn place(raw: Spanned<Raw>, file: &Place) -> Node {
    let value = match raw.value {
        Raw::Leaf(value) => value,
        Raw::List(items) => Value::List(items.into_iter().map(|item| place(item, file)).collect()),
        Raw::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| (place(key, file), place(value, file)))
                .collect(),
        ),
    };
    Node { place: at_of(file, raw.referenced), value }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Whole(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Leaf(i64::try_from(value).map_or(Value::Float(value as f64), Value::Whole)))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Float(value as f64)))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Float(value as f64)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Float(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Text(value.to_owned())))
    }

    fn visit_bytes<E: serde::de::Error>(self, _: &[u8]) -> Result<Raw, E> {
        Err(E::custom("binary values are not read"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<Spanned<Raw>>()? {
            if !matches!(key.value, Raw::Leaf(_)) {
                return Err(A::Error::custom("a list or mapping as a key is not read"));
            }
            entries.push((key, access.next_value()?));
        }
        Ok(Raw::Map(entries))
    }
}
