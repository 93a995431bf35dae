//! `where`: which series of its metric a rule looks at.

use crate::fields::{Fields, Said, short};
use crate::problem::{Kind, Report};
use crate::yaml::Value;
use stages::matcher::{self, MATCHERS_MAX, Matcher, MatcherError, MatcherFault};

const REMEDY: &str = "write a mapping like {service: courts}, or text like '{service=\"courts\", region!~\"eu-.*\"}'";

/// The matchers, sorted, each once.
pub(super) fn read(fields: &Fields<'_>) -> Vec<Matcher> {
    let Some(node) = fields.node("where") else { return Vec::new() };
    let report = fields.report;
    let mut matchers = match &node.value {
        Value::List(items) if items.is_empty() => {
            report.error(
                &node.place,
                Kind::Empty,
                "where is empty",
                "remove the line: all series are meant",
            );
            Vec::new()
        }
        Value::Map(_) => equalities(fields),
        Value::Text(_) | Value::List(_) => {
            let texts = fields.texts("where").unwrap_or_default();
            texts.iter().flat_map(|said| texts_of(said, report)).collect()
        }
        _ => {
            fields.wrong_type("where", node, REMEDY);
            Vec::new()
        }
    };
    matchers.sort();
    matchers.dedup();
    if matchers.len() > MATCHERS_MAX {
        let message = format!("where has {} matchers", matchers.len());
        let remedy = format!("write at most {MATCHERS_MAX}");
        report.error(&node.place, Kind::TooLarge, message, remedy);
    }
    matchers
}

fn equalities(fields: &Fields<'_>) -> Vec<Matcher> {
    let labels = fields.text_map("where", super::check_label);
    labels.iter().map(|(label, value)| Matcher::equal(label, value)).collect()
}

fn texts_of(said: &Said, report: &Report) -> Vec<Matcher> {
    matcher::parse(&said.text).unwrap_or_else(|error| {
        refuse(said, &error, report);
        Vec::new()
    })
}

fn refuse(said: &Said, error: &MatcherError, report: &Report) {
    let kind = match error.kind {
        MatcherFault::Form => Kind::BadValue,
        MatcherFault::Label => Kind::BadName,
        MatcherFault::Pattern => Kind::BadPattern,
        MatcherFault::TooLarge => Kind::TooLarge,
    };
    let rest: String = said.text.chars().skip(error.at).collect();
    let at =
        if rest.is_empty() { "at its end".to_owned() } else { format!("at {:?}", short(&rest)) };
    let message = format!("where, {at}: {error}");
    report.error(&said.place, kind, message, error.remedy.as_str());
}
