//! `severity`: one word, or several with their bounds, of which the alert has the worst that it reaches.

use crate::fields::{Fields, short};
use crate::forms::is_plain_name;
use crate::problem::{Kind, Place, Report};
use crate::yaml::Value;
use stages::settings::{Compare, Grade};

/// Most severities of a rule: more than people tell apart at 4 a.m.
const GRADES_MAX: usize = 5;

const REMEDY: &str = "write a word, or a mapping like {warning: 500, critical: 1000}";

/// What was said.
pub(super) struct Severities {
    /// The one, or the mildest.
    pub severity: String,
    /// All of several, mildest first; empty where there is one.
    pub grades: Vec<Grade>,
    /// Several were meant, right or wrong.
    pub several: bool,
    /// The mildest that acts, where that was said.
    pub action: Option<String>,
}

/// Reads `severity` and `action_severity`.
pub(super) fn read(fields: &Fields<'_>) -> Severities {
    let critical = || "critical".to_owned();
    let grades = match fields.node("severity").map(|node| (node, &node.value)) {
        Some((node, Value::Map(_))) => {
            Fields::open(node, fields.report).map(|map| grades(&map)).unwrap_or_default()
        }
        Some((_, Value::Text(_))) => {
            let severity = one(fields).unwrap_or_else(critical);
            let action = action(fields, &[]);
            return Severities { severity, grades: Vec::new(), several: false, action };
        }
        Some((node, _)) => {
            fields.wrong_type("severity", node, REMEDY);
            Vec::new()
        }
        None => Vec::new(),
    };
    let severity = grades.first().map_or_else(critical, |grade| grade.severity.clone());
    let several = matches!(fields.node("severity").map(|node| &node.value), Some(Value::Map(_)));
    Severities { severity, several, action: action(fields, &grades), grades }
}

fn one(fields: &Fields<'_>) -> Option<String> {
    let said = fields.text("severity")?;
    check(&said.text, &said.place, fields.report);
    Some(said.text)
}

fn check(name: &str, place: &Place, report: &Report) {
    if !is_plain_name(name) {
        let message = format!("severity {:?} is not a plain word", short(name));
        let remedy = "write letters, digits, _ and -, like critical or warning";
        report.error(place, Kind::BadName, message, remedy);
    }
}

fn grades(map: &Fields<'_>) -> Vec<Grade> {
    let mut grades = Vec::new();
    for (name, place, node) in map.entries() {
        check(name, place, map.report);
        let bound = match node.value {
            Value::Whole(number) => number as f64,
            Value::Float(number) if number.is_finite() => number,
            Value::Float(_) => {
                let message = format!("{} is not finite", short(name));
                let remedy = "write the number at which it begins";
                map.report.error(&node.place, Kind::OutOfRange, message, remedy);
                continue;
            }
            _ => {
                map.wrong_type(name, node, "write the number at which it begins");
                continue;
            }
        };
        grades.push(Grade { severity: name.to_owned(), bound });
    }
    let message = match map.entries().count() {
        0 => "severity names none".to_owned(),
        count if count > GRADES_MAX => format!("{count} severities are more than {GRADES_MAX}"),
        _ => return grades,
    };
    map.report.error(&map.place, Kind::OutOfRange, message, REMEDY);
    grades
}

fn action(fields: &Fields<'_>, grades: &[Grade]) -> Option<String> {
    let said = fields.text("action_severity")?;
    let (kind, message, remedy) = if grades.is_empty() {
        let message = "action_severity goes with several severities only".to_owned();
        (Kind::Conflict, message, "remove the line".to_owned())
    } else if !fields.has("action") {
        let message = "action_severity without an action".to_owned();
        (Kind::Conflict, message, "add action: \"ROLLBACK:<plan>\", or remove the line".to_owned())
    } else if grades.iter().all(|grade| grade.severity != said.text) {
        let names: Vec<&str> = grades.iter().map(|grade| grade.severity.as_str()).collect();
        let message = format!("action_severity {:?} is none of them", short(&said.text));
        (Kind::BadValue, message, format!("write one of {}", names.join(", ")))
    } else {
        return Some(said.text);
    };
    fields.report.error(&said.place, kind, message, remedy);
    None
}

/// Checks that every severity lies beyond the one before it, on the side that breaches.
pub(super) fn check_order(fields: &Fields<'_>, compare: Compare, grades: &[Grade]) {
    let place = fields.place_of("severity");
    let (ordered, order) = match compare {
        Compare::Greater | Compare::GreaterEqual => {
            (grades.is_sorted_by(|one, other| one.bound < other.bound), "rise")
        }
        Compare::Less | Compare::LessEqual => {
            (grades.is_sorted_by(|one, other| one.bound > other.bound), "fall")
        }
        Compare::Equal | Compare::NotEqual if grades.is_empty() => return,
        Compare::Equal | Compare::NotEqual => {
            let message = "several severities have no order with compare == or !=";
            let remedy = "write one severity, and threshold:";
            fields.report.error(place, Kind::Conflict, message, remedy);
            return;
        }
    };
    if !ordered {
        let message = format!("the bounds of severity do not {order} from the first to the last");
        let remedy = "write the mildest first, like {warning: 500, critical: 1000}";
        fields.report.error(place, Kind::WrongSide, message, remedy);
    }
}
