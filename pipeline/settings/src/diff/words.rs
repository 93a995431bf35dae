//! Values of the bus in the words of the files.

use super::Field;
use crate::explain;
use serde::de::DeserializeOwned;
use serde_json::Value;
use stages::matcher::Matcher;
use stages::settings::Grade;
use stages::term::Term;
use std::collections::{BTreeMap, BTreeSet};

/// The fields in which two pieces differ, by name.
pub(super) fn fields(before: &Value, after: &Value) -> Vec<Field> {
    let (old, new) = (flat(before), flat(after));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differ = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
    let field = |name: &String| {
        let (before, after) = (old.get(name).cloned(), new.get(name).cloned());
        Field { name: name.clone(), before, after }
    };
    differ.map(field).collect()
}

/// Every field that is set, with dots where it lies deeper.
fn flat(piece: &Value) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    spread("", piece, &mut found);
    found
}

fn spread(path: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    if let Some(said) = translated(path, value) {
        into.extend(said.map(|said| (path.to_owned(), said)));
        return;
    }
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                spread(&path, value, into);
            }
        }
        other => {
            into.insert(path.to_owned(), plain(other));
        }
    }
}

/// What files spell in another way than the bus; `Some(None)` where they leave it out.
fn translated(path: &str, value: &Value) -> Option<Option<String>> {
    let object = value.as_object();
    match path {
        "stat" => {
            let rank = object?.get("percentile")?.as_f64()?;
            Some(Some(format!("p{rank}")))
        }
        "action" => Some(Some(format!("ROLLBACK:{}", object?.get("rollback")?.as_str()?))),
        "where" => Some(read::<Vec<Matcher>>(value).map(|matchers| explain::matchers(&matchers))),
        "grades" => Some(read::<Vec<Grade>>(value).map(|grades| explain::grades(&grades))),
        "any_of" => Some(read::<Vec<Vec<Term>>>(value).map(|lists| explain::conditions(&lists))),
        "guards.approve" => Some(value.as_bool()?.then(|| "required".to_owned())),
        "lock_after" if value.is_null() => Some(Some("never".to_owned())),
        _ => None,
    }
}

fn read<T: DeserializeOwned>(value: &Value) -> Option<T> {
    serde_json::from_value(value.clone()).ok()
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(whole) if whole.fract() == 0.0 && whole.abs() < 1e15 => format!("{whole:.0}"),
            _ => number.to_string(),
        },
        Value::Array(items) => {
            format!("[{}]", items.iter().map(plain).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}
