//! What a rule does besides telling people, and what must hold before it does.

use super::SOME_WAIT;
use crate::fields::{Fields, Said, short};
use crate::forms::is_plain_name;
use crate::problem::Kind;
use crate::yaml::Value;
use stages::settings::Guards;

/// The plan an action names. `ROLLBACK:` is the one action there is.
pub(super) fn plan(fields: &Fields<'_>) -> Option<Said> {
    let node = fields.node("action")?;
    if !matches!(node.value, Value::Text(_)) {
        fields.wrong_type("action", node, "write \"ROLLBACK:<plan>\"");
        return None;
    }
    let said = fields.text("action")?;
    let Some(plan) = said.text.strip_prefix("ROLLBACK:") else {
        let message = format!("action {:?} is not known", short(&said.text));
        fields.report.error(&said.place, Kind::BadValue, message, "write \"ROLLBACK:<plan>\"");
        return None;
    };
    if !is_plain_name(plan) {
        let message = format!("plan {:?} is not the name of a folder in deploy/plans", short(plan));
        let remedy = "write letters, digits, _ and - only, like ROLLBACK:DOCKET_RULE";
        fields.report.error(&said.place, Kind::BadName, message, remedy);
        return None;
    }
    Some(Said { place: said.place, text: plan.to_owned() })
}

/// The guards, and the place of `unless`.
pub(super) fn guards(fields: &Fields<'_>) -> (Guards, Option<Said>) {
    let Some(said) = fields.nested_like("guards", "{approve: required}") else {
        return (Guards::default(), None);
    };
    let unless = said.text("unless");
    let guards = Guards {
        changed_within: said.span("changed_within", SOME_WAIT),
        unless: unless.as_ref().map(|said| said.text.clone()),
        approve: said.word("approve", &[("required", ())]).is_some(),
        dry_run: said.flag("dry_run").unwrap_or(false),
    };
    said.finish();
    if !fields.has("action") {
        let message = "guards without an action guard nothing";
        let remedy = "add action: \"ROLLBACK:<plan>\", or remove the guards";
        fields.report.error(fields.place_of("guards"), Kind::Conflict, message, remedy);
    }
    (guards, unless)
}
