//! `_defaults.yml`: what the rules of a folder have in common.
//!
//! It holds fields of a rule, all but `name` and `metric`, for every rule in its folder and below. A rule's own field
//! wins, then the nearest folder's. `labels` and `annotations` are joined key by key; every other field is taken as a
//! whole. A field keeps the place where it was written, so what is wrong with it is said of the defaults file.

use crate::fields::{Fields, short};
use crate::files::{self, Layout};
use crate::hint::did_you_mean;
use crate::problem::{Kind, Place, Report};
use crate::rule;
use crate::yaml::{Node, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Name of the file.
pub(crate) const FILE: &str = "_defaults.yml";

/// What no two rules have in common.
const OWN: [&str; 3] = ["name", "metric", "rules"];

/// Joined key by key.
const JOINED: [&str; 2] = ["labels", "annotations"];

/// Fields of a mapping, with their places.
type Entries = Vec<(Node, Node)>;

/// The defaults of all folders looked at so far, each with those above it.
pub(crate) struct Defaults<'a> {
    layout: &'a Layout,
    report: &'a Report,
    folders: BTreeMap<PathBuf, Entries>,
}

impl<'a> Defaults<'a> {
    pub fn new(layout: &'a Layout, report: &'a Report) -> Self {
        Self { layout, report, folders: BTreeMap::new() }
    }

    /// Reads the defaults of a folder, whether or not a rule is in it.
    pub fn read_of(&mut self, folder: &Path) {
        self.of(folder);
    }

    /// Lays the defaults of `folder` under every rule of a file in it.
    pub fn under(&mut self, folder: &Path, mut file: Node) -> Node {
        let defaults = self.of(folder);
        if let Value::Map(entries) = &mut file.value
            && !defaults.is_empty()
        {
            match entries.iter_mut().find(|(key, _)| is(key, "rules")) {
                Some((_, Node { value: Value::List(rules), .. })) => {
                    for rule in rules {
                        if let Value::Map(entries) = &mut rule.value {
                            lay_under(entries, defaults);
                        }
                    }
                }
                Some(_) => {}
                None => lay_under(entries, defaults),
            }
        }
        file
    }

    /// The defaults that hold in a folder.
    fn of(&mut self, folder: &Path) -> &Entries {
        if !self.folders.contains_key(folder) {
            let inside = folder != self.layout.alerts && folder.starts_with(&self.layout.alerts);
            let above = folder.parent().filter(|_| inside);
            let mut entries = self.read(folder);
            if let Some(above) = above.map(Path::to_owned) {
                lay_under(&mut entries, self.of(&above));
            }
            if !entries.is_empty() {
                rule::try_defaults(&entries, self.report);
            }
            self.folders.insert(folder.to_owned(), entries);
        }
        &self.folders[folder]
    }

    fn read(&self, folder: &Path) -> Entries {
        let Some(node) = files::read(self.layout, &folder.join(FILE), self.report) else {
            return Vec::new();
        };
        if node.value == Value::Null {
            return Vec::new();
        }
        let Some(fields) = Fields::open(&node, self.report) else { return Vec::new() };
        rule::schema(&fields);
        let known = rule::field_names();
        let mut entries = Vec::new();
        for (name, place, value) in fields.entries().filter(|(name, ..)| *name != "schema") {
            if OWN.contains(&name) {
                let message = format!("{name} is no default: every rule has its own");
                self.report.error(place, Kind::UnknownField, message, "move it to the rules");
            } else if !known.contains(&name) {
                let remedy = did_you_mean(name, known.iter().copied(), || {
                    "write a field of a rule".to_owned()
                });
                let message = format!("field {:?} is not known", short(name));
                self.report.error(place, Kind::UnknownField, message, remedy);
            } else {
                entries.push((key(name, place), value.clone()));
            }
        }
        entries
    }
}

fn key(name: &str, place: &Place) -> Node {
    Node { place: place.clone(), value: Value::Text(name.to_owned()) }
}

fn is(key: &Node, name: &str) -> bool {
    matches!(&key.value, Value::Text(text) if text == name)
}

fn text(key: &Node) -> &str {
    match &key.value {
        Value::Text(text) => text,
        _ => "",
    }
}

/// Adds what is not there. Left out is what would only conflict with what the rule says: guards where nothing is
/// done, a share where none is compared.
fn lay_under(entries: &mut Entries, defaults: &Entries) {
    let said = |entries: &Entries, name: &str| entries.iter().any(|(key, _)| is(key, name));
    let stat = entries.iter().chain(defaults).find(|(key, _)| is(key, "stat"));
    let shares = stat.is_some_and(|(_, value)| {
        matches!(&value.value, Value::Text(stat) if stat == "above" || stat == "below")
    });
    let acts = said(entries, "action") || said(defaults, "action");
    for (name, value) in defaults {
        let fits = match text(name) {
            "guards" => acts,
            "share" => shares,
            _ => true,
        };
        match entries.iter_mut().find(|(key, _)| is(key, text(name))) {
            Some((_, own)) if JOINED.contains(&text(name)) => join(own, value),
            Some(_) => {}
            None if fits => entries.push((name.clone(), value.clone())),
            None => {}
        }
    }
}

fn join(own: &mut Node, default: &Node) {
    if let (Value::Map(own), Value::Map(default)) = (&mut own.value, &default.value) {
        for (name, value) in default {
            if !own.iter().any(|(key, _)| is(key, text(name))) {
                own.push((name.clone(), value.clone()));
            }
        }
    }
}
