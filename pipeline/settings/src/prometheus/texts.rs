//! Labels and annotations of a rule of Prometheus, and of its group.

use super::expression::Condition;
use crate::fields::Fields;
use std::collections::{BTreeMap, BTreeSet};

/// What a group says for all of its rules.
pub(super) struct Group {
    /// A rule's own win.
    pub labels: BTreeMap<String, String>,
    /// Fields that no rule of ours has.
    pub left_out: Vec<&'static str>,
}

/// Labels but the severity, and that.
pub(super) fn labels(
    (group, fields): (&Group, &Fields<'_>),
    condition: &mut Condition,
    left_out: &mut BTreeSet<String>,
) -> (Vec<(String, String)>, Option<String>) {
    let (mut labels, mut severity) = (Vec::new(), None);
    for field in &group.left_out {
        condition.notes.push(format!("{field} of its group is left out"));
    }
    let mut all = group.labels.clone();
    all.extend(fields.text_map("labels", |_, _, _| {}));
    for (name, value) in all {
        if value.contains("{{") {
            condition.notes.push(format!("label {name} is a template and left out"));
            left_out.insert(name);
        } else if name == "severity" && crate::is_plain_name(&value) {
            severity = Some(value);
        } else {
            labels.push((name, value));
        }
    }
    (labels, severity)
}

/// The rule's labels beside those that tell its alerts apart, and what is absent has besides.
pub(super) fn beside(
    groups: &[String],
    mut labels: Vec<(String, String)>,
    condition: &mut Condition,
    left_out: &mut BTreeSet<String>,
) -> Vec<(String, String)> {
    for label in labels.iter().map(|(label, _)| label).filter(|label| groups.contains(label)) {
        let note = format!("label {label} is the series' own; there the rule's wins over it");
        condition.notes.push(note);
        left_out.insert(label.clone());
    }
    labels.retain(|(label, _)| !groups.contains(label));
    for (label, value) in std::mem::take(&mut condition.labels) {
        if label != "severity" && !labels.iter().any(|(known, _)| *known == label) {
            labels.push((label, value));
        }
    }
    labels
}

/// Annotations, their templates in our words; one that says more than a value or a known label is left out.
pub(super) fn annotations(
    fields: &Fields<'_>,
    known: &BTreeSet<&str>,
    (notes, left_out): (&mut Vec<String>, &mut BTreeSet<String>),
) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    for (name, text) in fields.text_map("annotations", |_, _, _| {}) {
        match translated(&text, known) {
            Some(text) => texts.push((name, text)),
            None => {
                notes.push(format!(
                    "annotation {name} says more than can be filled in, and is left out"
                ));
                left_out.insert(name);
            }
        }
    }
    texts
}

fn translated(text: &str, known: &BTreeSet<&str>) -> Option<String> {
    let (mut rest, mut said) = (text, String::new());
    while let Some((before, after)) = rest.split_once("{{") {
        let (inside, behind) = after.split_once("}}")?;
        let inside = inside.trim().trim_matches('-').trim();
        let head = inside.split('|').next().unwrap_or_default().trim();
        let label = head.strip_prefix("$labels.").or_else(|| head.strip_prefix(".Labels."));
        let place = match (head, label) {
            ("$value" | ".Value", _) => "{{ value | plain }}".to_owned(),
            (_, Some(label)) if known.contains(label) => format!("{{{{ labels.{label} }}}}"),
            _ => return None,
        };
        said.push_str(before);
        said.push_str(&place);
        rest = behind;
    }
    said.push_str(rest);
    Some(said)
}
