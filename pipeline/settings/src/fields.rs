//! Reads a mapping field by field, with the type each field has, and notes everything that is wrong.
//!
//! A getter returns `None` both for a field that is not there and for one that is wrong: the fault is
//! in the report by then, and the reader carries on with the default to find the next one.
//! [`Fields::finish`] reports what nobody asked for, so the getters called are the list of known fields.

use crate::hint::did_you_mean;
use crate::problem::{Kind, Place, Report};
use crate::yaml::{Node, Value};
use stages::time::Span;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// A text and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub place: Place,
    pub text: String,
}

/// A mapping being read.
pub(crate) struct Fields<'a> {
    /// Where the mapping begins.
    pub place: Place,
    pub report: &'a Report,
    entries: Vec<(&'a str, &'a Place, &'a Node)>,
    known: RefCell<Vec<&'static str>>,
}

impl<'a> Fields<'a> {
    /// Opens a mapping. Repeated keys are reported here, the first of them counts.
    pub fn open(node: &'a Node, report: &'a Report) -> Option<Self> {
        Self::open_like(node, "fields, like name: value", report)
    }

    /// As [`Fields::open`], for a mapping of which there is a plain `example`.
    pub fn open_like(node: &'a Node, example: &str, report: &'a Report) -> Option<Self> {
        let Value::Map(map) = &node.value else {
            let message = format!("{} where a mapping belongs", node.value.kind());
            report.error(&node.place, Kind::WrongType, message, format!("write {example}"));
            return None;
        };
        let mut entries: Vec<(&str, &Place, &Node)> = Vec::with_capacity(map.len());
        let mut first_places: BTreeMap<&str, &Place> = BTreeMap::new();
        for (key, value) in map {
            let Value::Text(name) = &key.value else {
                let message = format!("{} as the name of a field", key.value.kind());
                report.error(&key.place, Kind::WrongType, message, "quote it, if it is meant");
                continue;
            };
            if let Some(first) = first_places.get(name.as_str()) {
                let message = format!("field {name:?} stands here again, first at {first}");
                report.error(&key.place, Kind::DuplicateKey, message, "remove one of them");
                continue;
            }
            first_places.insert(name, &key.place);
            entries.push((name, &key.place, value));
        }
        Some(Self { place: node.place.clone(), report, entries, known: RefCell::default() })
    }

    /// All entries, for a mapping whose keys are names people choose.
    pub fn entries(&self) -> impl Iterator<Item = (&'a str, &'a Place, &'a Node)> + '_ {
        self.entries.iter().copied()
    }

    /// The value of a field, whatever it is.
    pub fn node(&self, name: &'static str) -> Option<&'a Node> {
        self.known.borrow_mut().push(name);
        let (_, place, node) = self.entries.iter().find(|(key, ..)| *key == name)?;
        if node.value == Value::Null {
            let remedy = "write a value behind it, or remove the line";
            self.report.error(place, Kind::MissingField, format!("{name} has no value"), remedy);
            return None;
        }
        Some(node)
    }

    /// Whether a field was written at all.
    pub fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|(key, ..)| *key == name)
    }

    /// Fields that are known although nobody asks for them now.
    pub fn know(&self, names: &[&'static str]) {
        self.known.borrow_mut().extend(names);
    }

    /// Whether a field was written here, and not taken from the defaults of a folder.
    pub fn has_own(&self, name: &str) -> bool {
        self.has(name) && self.place_of(name).file == self.place.file
    }

    /// Where the value of a field stands; the mapping, if the field is not there.
    pub fn place_of(&self, name: &str) -> &Place {
        let found = self.entries.iter().find(|(key, ..)| *key == name);
        found.map_or(&self.place, |(_, _, node)| &node.place)
    }

    /// Notes that `name` must be there, unless it is (and then wrong, as already noted).
    pub fn missing(&self, name: &str, example: &str) {
        if !self.has(name) {
            let message = format!("{name} is missing");
            self.report.error(&self.place, Kind::MissingField, message, format!("add {example}"));
        }
    }

    /// Notes that the value of a field is of the wrong type.
    pub fn wrong_type(&self, name: &str, node: &Node, remedy: &str) {
        let message = match &node.value {
            Value::Text(text) => format!("{name} {:?} is text", short(text)),
            other => format!("{name} is {}", other.kind()),
        };
        self.report.error(&node.place, Kind::WrongType, message, remedy);
    }

    /// A text that is not empty.
    pub fn text(&self, name: &'static str) -> Option<Said> {
        let node = self.node(name)?;
        match &node.value {
            Value::Text(text) if text.trim().is_empty() => {
                let remedy = "write something between the quotes, or remove the line";
                self.report.error(&node.place, Kind::BadValue, format!("{name} is empty"), remedy);
                None
            }
            Value::Text(text) => Some(Said { place: node.place.clone(), text: text.clone() }),
            _ => {
                self.wrong_type(name, node, "write text; quote it if it looks like something else");
                None
            }
        }
    }

    /// The values of a list; none where there is no such field.
    pub fn nodes(&self, name: &'static str) -> &'a [Node] {
        let Some(node) = self.node(name) else { return &[] };
        let Value::List(items) = &node.value else {
            self.wrong_type(name, node, "write a list, a - before each");
            return &[];
        };
        items
    }

    /// A text of words, where a lone number is a word, too.
    pub fn words(&self, name: &'static str) -> Option<Said> {
        let node = self.node(name)?;
        let text = match &node.value {
            Value::Whole(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            _ => return self.text(name),
        };
        Some(Said { place: node.place.clone(), text })
    }

    /// One text or a list of texts.
    pub fn texts(&self, name: &'static str) -> Option<Vec<Said>> {
        let node = self.node(name)?;
        let remedy = "write one text, or a list like [\"a\", \"b\"]";
        let items = match &node.value {
            Value::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            match &item.value {
                Value::Text(text) if !text.trim().is_empty() => {
                    texts.push(Said { place: item.place.clone(), text: text.clone() });
                }
                Value::Text(_) | Value::Null => {
                    let message = format!("{name} holds an empty text");
                    self.report.error(&item.place, Kind::BadValue, message, remedy);
                }
                _ => self.wrong_type(name, item, remedy),
            }
        }
        Some(texts)
    }

    /// A mapping of texts by name; `check` judges the names.
    pub fn text_map(
        &self,
        name: &'static str,
        check: fn(&str, &Place, &Report),
    ) -> BTreeMap<String, String> {
        let Some(fields) = self.nested(name) else { return BTreeMap::new() };
        let mut texts = BTreeMap::new();
        for (key, place, node) in fields.entries() {
            check(key, place, self.report);
            match &node.value {
                Value::Text(text) => {
                    texts.insert(key.to_owned(), text.clone());
                }
                Value::List(_) | Value::Map(_) => self.wrong_type(key, node, "write one text"),
                _ => self.wrong_type(key, node, "quote the value"),
            }
        }
        texts
    }

    /// A finite number.
    pub fn number(&self, name: &'static str) -> Option<f64> {
        let node = self.node(name)?;
        match &node.value {
            Value::Whole(number) => Some(*number as f64),
            Value::Float(number) if number.is_finite() => Some(*number),
            Value::Float(_) => {
                let message = format!("{name} is not finite");
                self.report.error(&node.place, Kind::OutOfRange, message, "write a number");
                None
            }
            Value::Text(text) => {
                self.wrong_type(name, node, &format!("write {}", number_in(text)));
                None
            }
            _ => {
                self.wrong_type(name, node, "write a number");
                None
            }
        }
    }

    /// A whole number within `range`.
    pub fn whole(&self, name: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let node = self.node(name)?;
        let number = match &node.value {
            Value::Whole(number) => u64::try_from(*number).ok(),
            Value::Float(_) => None,
            Value::Text(text) => {
                self.wrong_type(name, node, &format!("write {}", number_in(text)));
                return None;
            }
            _ => {
                self.wrong_type(name, node, "write a whole number");
                return None;
            }
        };
        if let Some(number) = number.filter(|number| range.contains(number)) {
            return Some(number);
        }
        let remedy = format!("write a whole number from {} to {}", range.start(), range.end());
        self.report.error(&node.place, Kind::OutOfRange, format!("{name} is out of range"), remedy);
        None
    }

    /// `true` or `false`.
    pub fn flag(&self, name: &'static str) -> Option<bool> {
        let node = self.node(name)?;
        match &node.value {
            Value::Bool(flag) => Some(*flag),
            _ => {
                self.wrong_type(name, node, "write true or false");
                None
            }
        }
    }

    /// A duration within `range`.
    pub fn span(&self, name: &'static str, range: RangeInclusive<Span>) -> Option<Span> {
        let node = self.node(name)?;
        let span = match &node.value {
            Value::Text(text) => match Span::parse(text) {
                Ok(span) => span,
                Err(fault) => {
                    let (_, remedy) = fault.rsplit_once(": ").unwrap_or(("", "write it like 3m"));
                    let message = format!("{name} {:?} is not a duration", short(text));
                    self.report.error(&node.place, Kind::BadDuration, message, remedy);
                    return None;
                }
            },
            Value::Whole(count) => {
                let message = format!("{name} {count} has no unit");
                let remedy = format!("write {count}s, if seconds are meant");
                self.report.error(&node.place, Kind::BadDuration, message, remedy);
                return None;
            }
            _ => {
                self.wrong_type(name, node, "write a duration like 3m or 1h30m");
                return None;
            }
        };
        if range.contains(&span) {
            return Some(span);
        }
        let remedy = format!("write {} to {}", range.start(), range.end());
        let message = format!("{name} {span} is out of range");
        self.report.error(&node.place, Kind::OutOfRange, message, remedy);
        None
    }

    /// One of a few words.
    pub fn word<T: Copy>(&self, name: &'static str, words: &[(&'static str, T)]) -> Option<T> {
        let known = || words.iter().map(|(word, _)| *word);
        let one_of = || match words {
            [(word, _)] => format!("write {word}"),
            _ => format!("write one of {}", known().collect::<Vec<_>>().join(", ")),
        };
        let node = self.node(name)?;
        if !matches!(node.value, Value::Text(_)) {
            self.wrong_type(name, node, &one_of());
            return None;
        }
        let said = self.text(name)?;
        if let Some((_, meant)) = words.iter().find(|(word, _)| *word == said.text) {
            return Some(*meant);
        }
        let remedy = did_you_mean(&said.text, known(), one_of);
        let message = format!("{name} {:?} is not known", short(&said.text));
        self.report.error(&said.place, Kind::BadValue, message, remedy);
        None
    }

    /// A mapping below this one.
    pub fn nested(&self, name: &'static str) -> Option<Fields<'a>> {
        Fields::open(self.node(name)?, self.report)
    }

    /// As [`Fields::nested`], of which there is a plain `example`.
    pub fn nested_like(&self, name: &'static str, example: &str) -> Option<Fields<'a>> {
        Fields::open_like(self.node(name)?, example, self.report)
    }

    /// Names asked for so far.
    pub fn known(&self) -> Vec<&'static str> {
        self.known.borrow().clone()
    }

    /// Reports fields nobody asked for.
    pub fn finish(self) {
        let known = self.known.borrow();
        for (name, place, _) in &self.entries {
            if known.contains(name) {
                continue;
            }
            let remedy = did_you_mean(name, known.iter().copied(), || {
                let mut once: Vec<&str> = Vec::new();
                for word in known.iter() {
                    if !once.contains(word) {
                        once.push(word);
                    }
                }
                format!("known here: {}", once.join(", "))
            });
            let message = format!("field {:?} is not known", short(name));
            self.report.error(place, Kind::UnknownField, message, remedy);
        }
    }
}

/// The number at the start of a text, for a remedy.
fn number_in(text: &str) -> String {
    if text.trim_start().starts_with(|c: char| c.is_ascii_digit()) && text.contains([',', '_']) {
        return "a number like 1000 or 0.5, without separators, quotes or unit".to_owned();
    }
    let number: String = text
        .trim()
        .chars()
        .take(30)
        .take_while(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e' | 'E'))
        .collect();
    match number.parse::<f64>() {
        Ok(value) if value.is_finite() => format!("{number}, without quotes or unit"),
        _ => "a number, without quotes or unit".to_owned(),
    }
}

/// At most 60 characters of a text, so that a message stays a line.
pub(crate) fn short(text: &str) -> String {
    let mut shown: String = text.chars().take(60).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
