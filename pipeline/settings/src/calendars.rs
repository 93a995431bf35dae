//! `config/calendars.yml`: in which hours people are told of rules that say so.
//!
//! ```yaml
//! calendars:
//!   office:
//!     zone: America/New_York         # a name of the IANA database
//!     active:                        # all days and the whole day unless said
//!       - {days: mon-fri, from: "08:00", to: "18:00"}
//!       - {days: [sat, sun], from: "22:00", to: "02:00"}     # ends on the next day
//!     holidays: [2026-12-25, 2027-01-01]                     # no span begins on these
//! ```
//!
//! A rule names one with `hours: office`.

use crate::fields::{Fields, Said, short};
use crate::forms::is_plain_name;
use crate::hint::did_you_mean;
use crate::problem::{Kind, Report};
use crate::yaml::{Node, Value};
use stages::calendar::{Active, Calendar, Clock, Day, is_day, is_zone, zones};
use std::collections::BTreeMap;
use std::sync::Arc;

/// All calendars travel in every part of a revision: these bounds keep them below half of one.
const CALENDARS_MAX: usize = 50;
const SPANS_MAX: usize = 20;
const HOLIDAYS_MAX: usize = 150;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Calendars by name; `None` for one that is wrong, so that rules naming it are not blamed too.
pub(crate) type Calendars = BTreeMap<String, Option<Arc<Calendar>>>;

/// Reads the file.
pub(crate) fn read(node: &Node, report: &Report) -> Calendars {
    let mut calendars = Calendars::new();
    if node.value == Value::Null {
        return calendars;
    }
    let Some(fields) = Fields::open(node, report) else { return calendars };
    let all = fields.nested("calendars");
    fields.finish();
    for (name, place, node) in all.iter().flat_map(Fields::entries) {
        if !is_plain_name(name) {
            let message = format!("{:?} is not a calendar's name", short(name));
            report.error(
                place,
                Kind::BadName,
                message,
                "write letters, digits, _ and -, at most 64",
            );
        }
        if calendars.len() == CALENDARS_MAX {
            let message = format!("more than {CALENDARS_MAX} calendars");
            report.error(place, Kind::TooLarge, message, "let rules share them");
            break;
        }
        let before = report.errors();
        let calendar = Fields::open(node, report).map(|fields| one(name, fields));
        let good = calendar.filter(|_| report.errors() == before);
        calendars.insert(name.to_owned(), good.map(Arc::new));
    }
    calendars
}

/// The calendar a rule names, where it is there.
pub(crate) fn find(said: &Said, calendars: &Calendars, report: &Report) {
    if calendars.contains_key(&said.text) {
        return;
    }
    let remedy = did_you_mean(&said.text, calendars.keys().map(String::as_str), || {
        "add it to config/calendars.yml".to_owned()
    });
    let message = format!("calendar {:?} does not exist", short(&said.text));
    report.error(&said.place, Kind::UnknownCalendar, message, remedy);
}

fn one(name: &str, fields: Fields<'_>) -> Calendar {
    let calendar = Calendar {
        name: name.to_owned(),
        zone: zone(&fields),
        active: active(&fields),
        holidays: holidays(&fields),
    };
    fields.finish();
    calendar
}

fn zone(fields: &Fields<'_>) -> String {
    let Some(said) = fields.text("zone") else {
        fields.missing("zone", "zone: America/New_York");
        return String::new();
    };
    if !is_zone(&said.text) {
        let zones = zones();
        let remedy = did_you_mean(&said.text, zones.iter().map(String::as_str), || {
            "write a name of the IANA database, like America/New_York or UTC".to_owned()
        });
        let message = format!("time zone {:?} does not exist", short(&said.text));
        fields.report.error(&said.place, Kind::UnknownZone, message, remedy);
    }
    said.text
}

fn active(fields: &Fields<'_>) -> Vec<Active> {
    let remedy = "write a list: - {days: mon-fri, from: \"08:00\", to: \"18:00\"}";
    let Some(node) = fields.node("active") else {
        fields.missing("active", "active: [{days: mon-fri, from: \"08:00\", to: \"18:00\"}]");
        return Vec::new();
    };
    let Value::List(items) = &node.value else {
        fields.wrong_type("active", node, remedy);
        return Vec::new();
    };
    if items.is_empty() || items.len() > SPANS_MAX {
        let message = format!("active holds {} spans", items.len());
        let remedy = format!("write 1 to {SPANS_MAX}; without one nobody would ever be told");
        fields.report.error(&node.place, Kind::OutOfRange, message, remedy);
    }
    items.iter().filter_map(|item| Some(span(Fields::open(item, fields.report)?))).collect()
}

fn span(fields: Fields<'_>) -> Active {
    let days = match fields.texts("days") {
        Some(said) if said.is_empty() => {
            let remedy = "write days like mon-fri, or remove the line: then every day is meant";
            let message = "days names none, so nobody would be told on any";
            fields.report.error(fields.place_of("days"), Kind::BadValue, message, remedy);
            Vec::new()
        }
        Some(said) => days(&said, fields.report),
        None => Day::ALL.to_vec(),
    };
    let from = clock(&fields, "from").unwrap_or(Clock(0));
    let to = clock(&fields, "to").unwrap_or(Clock(24 * 60));
    if from == to {
        let message = format!("a span from {from} to {to} has no length");
        let remedy = "write another end; 00:00 to 24:00 is the whole day";
        fields.report.error(fields.place_of("to"), Kind::Conflict, message, remedy);
    }
    fields.finish();
    Active { days, from, to }
}

fn clock(fields: &Fields<'_>, name: &'static str) -> Option<Clock> {
    let said = fields.text(name)?;
    let clock = Clock::parse(&said.text);
    if clock.is_none() {
        let message = format!("{name} {:?} is not a time of day", short(&said.text));
        let remedy = "write it in quotes, like \"08:30\" or \"24:00\"";
        fields.report.error(&said.place, Kind::BadValue, message, remedy);
    }
    clock
}

/// Days and ranges of days, each once and in order.
fn days(said: &[Said], report: &Report) -> Vec<Day> {
    let mut found = Vec::new();
    for said in said {
        let (first, last) = said.text.split_once('-').unwrap_or((&said.text, &said.text));
        let day = |name: &str| DAYS.iter().position(|day| *day == name);
        match (day(first), day(last)) {
            (Some(first), Some(last)) => {
                let length = (last + 7 - first) % 7;
                found.extend((first..=first + length).map(|day| Day::ALL[day % 7]));
            }
            _ => {
                let message = format!("day {:?} is not known", short(&said.text));
                let remedy = did_you_mean(&said.text, DAYS, || {
                    format!("write {} or a range like mon-fri", DAYS.join(", "))
                });
                report.error(&said.place, Kind::BadValue, message, remedy);
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn holidays(fields: &Fields<'_>) -> Vec<String> {
    let said = fields.texts("holidays").unwrap_or_default();
    if said.len() > HOLIDAYS_MAX {
        let message = format!("{} holidays are more than {HOLIDAYS_MAX}", said.len());
        let remedy = "remove those that are over";
        fields.report.error(fields.place_of("holidays"), Kind::TooLarge, message, remedy);
    }
    let mut days = Vec::with_capacity(said.len());
    for said in said {
        if !is_day(&said.text) {
            let message = format!("holiday {:?} is not a day", short(&said.text));
            let remedy = "write year, month and day, like 2026-12-25";
            fields.report.error(&said.place, Kind::BadValue, message, remedy);
        }
        days.push(said.text);
    }
    days.sort();
    days.dedup();
    days
}
