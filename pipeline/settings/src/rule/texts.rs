//! Texts of the alert, some with places to fill in.

use crate::fields::Fields;
use crate::hint::did_you_mean;
use crate::problem::Kind;
use crate::yaml::Value;
use stages::desk::template::{self, BYTES_MAX};
use std::collections::{BTreeMap, BTreeSet};

/// The annotations; what is wrong inside of a template is said at its own line and column.
pub(super) fn annotations(
    fields: &Fields<'_>,
    labels: &BTreeMap<String, String>,
    group_by: &[String],
) -> BTreeMap<String, String> {
    let texts = fields.text_map("annotations", |_, _, _| {});
    let known: BTreeSet<&str> = labels.keys().chain(group_by).map(String::as_str).collect();
    let nodes = fields.node("annotations").map(|node| &node.value);
    let Some(Value::Map(nodes)) = nodes else { return texts };
    for (_, node) in nodes {
        let Value::Text(text) = &node.value else { continue };
        if !template::is_template(text) {
            continue;
        }
        if text.len() > BYTES_MAX {
            let message = format!("a text of {} bytes with places to fill in", text.len());
            let remedy = format!("write at most {BYTES_MAX}");
            fields.report.error(&node.place, Kind::TooLarge, message, remedy);
            continue;
        }
        let Err(fault) = template::check(text, &known) else { continue };
        let place = fields.report.place_inside(&node.place, text, fault.offset);
        let remedy = match &fault.unknown {
            Some((name, known)) => did_you_mean(name, known.iter().map(String::as_str), || {
                format!("write one of {}", known.join(", "))
            }),
            None => fault.remedy.to_owned(),
        };
        let message = format!("this text cannot be filled in ({})", fault.message);
        fields.report.error(&place, Kind::BadTemplate, message, remedy);
    }
    texts
}
