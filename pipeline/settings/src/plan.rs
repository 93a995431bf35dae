//! `deploy/plans/<NAME>/plan.yml`: a rollback script and how far it may go by itself.
//!
//! ```yaml
//! script: rollback_docket_rule.sh  # needed: a file of this folder, executable
//! target: docket-rule              # what is rolled back; the plan's name
//! timeout: 2m
//! cooldown: 30m
//! lock_after: 2                    # or never
//! lock_window: 24h
//! not_after: 2m
//! approval_expires: 30m
//! idempotent: false
//! verify: {settle: 5s, for: 10s, within: 5m, min_samples: 10}
//! ```

use crate::fields::{Fields, short};
use crate::problem::{Kind, Place, Report};
use crate::yaml::{Node, Value};
use stages::settings::{Plan, Verify};
use stages::time::Span;
use std::ops::RangeInclusive;
use std::path::Path;

const SECOND: Span = Span::from_secs(1);
const DAY: Span = Span::from_secs(86_400);
/// A script that runs longer is no parachute.
const TIMEOUT: RangeInclusive<Span> = SECOND..=Span::from_secs(3_600);
/// Waits that may be nothing.
const WAIT: RangeInclusive<Span> = Span::ZERO..=Span(30 * DAY.0);
/// Waits that must be something.
const SOME_WAIT: RangeInclusive<Span> = SECOND..=Span(30 * DAY.0);

/// Reads the plan of folder `name`, which is found at `folder`.
pub(crate) fn read(node: &Node, name: &str, folder: &Path, report: &Report) -> Option<Plan> {
    if node.value == Value::Null {
        let remedy = "write script: <file>, or remove the folder";
        report.error(&node.place, Kind::Empty, "the file is empty", remedy);
        return None;
    }
    let fields = Fields::open(node, report)?;
    let script = script(&fields, folder);
    let plan = Plan {
        name: name.to_owned(),
        script: script.clone().unwrap_or_default(),
        target: fields.text("target").map_or_else(|| name.to_owned(), |said| said.text),
        timeout: fields.span("timeout", TIMEOUT).unwrap_or(Span::from_secs(120)),
        cooldown: fields.span("cooldown", WAIT).unwrap_or(Span::from_secs(1_800)),
        lock_after: lock_after(&fields),
        lock_window: fields.span("lock_window", SOME_WAIT).unwrap_or(DAY),
        not_after: fields.span("not_after", SOME_WAIT).unwrap_or(Span::from_secs(120)),
        approval_expires: fields
            .span("approval_expires", SOME_WAIT)
            .unwrap_or(Span::from_secs(1_800)),
        idempotent: fields.flag("idempotent").unwrap_or(false),
        verify: verify(&fields),
    };
    fields.finish();
    script.map(|_| plan)
}

/// The script: a plain file name, there, and executable.
fn script(fields: &Fields<'_>, folder: &Path) -> Option<String> {
    let Some(said) = fields.text("script") else {
        fields.missing("script", "script: rollback.sh, a file of this folder");
        return None;
    };
    let plain = !said.text.starts_with(['.', '-'])
        && said.text.len() <= 100
        && said.text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    if !plain {
        let message = format!("script {:?} is not a plain file name", short(&said.text));
        let remedy = "write the name of a file in the plan's own folder, without path or arguments";
        fields.report.error(&said.place, Kind::BadName, message, remedy);
        return None;
    }
    check_script(&folder.join(&said.text), &said.text, &said.place, fields.report);
    Some(said.text)
}

fn check_script(path: &Path, name: &str, place: &Place, report: &Report) {
    use std::os::unix::fs::PermissionsExt as _;
    match path.symlink_metadata() {
        Ok(found) if !found.is_file() => {
            let message = format!("script {name:?} is not a regular file");
            report.error(place, Kind::BadScript, message, "put the script itself into the folder");
        }
        Ok(found) if found.permissions().mode() & 0o111 == 0 => {
            let message = format!("script {name:?} is not executable");
            let remedy = format!("run chmod +x {name} in the plan's folder");
            report.error(place, Kind::BadScript, message, remedy);
        }
        Ok(_) => {}
        Err(_) => {
            let message = format!("script {name:?} is not in the plan's folder");
            report.error(place, Kind::BadScript, message, "put it there, or mend the name");
        }
    }
}

/// A number of attempts, or `never`.
fn lock_after(fields: &Fields<'_>) -> Option<u32> {
    const DEFAULT: u32 = 2;
    match fields.node("lock_after").map(|node| &node.value) {
        None => Some(DEFAULT),
        Some(Value::Text(text)) if text == "never" => None,
        Some(_) => {
            let attempts = fields.whole("lock_after", 1..=1_000)?;
            u32::try_from(attempts).ok()
        }
    }
}

fn verify(fields: &Fields<'_>) -> Verify {
    let mut verify = Verify {
        settle: Span::from_secs(5),
        hold: Span::from_secs(10),
        within: Span::from_secs(300),
        min_samples: 10,
    };
    if !fields.has("verify") {
        let message = "the plan does not say how recovery is verified, so defaults hold";
        let remedy = "add verify: {settle: 5s, for: 10s, within: 5m, min_samples: 10}";
        fields.report.warning(&fields.place, Kind::NoVerify, message, remedy);
    }
    let Some(said) = fields.nested("verify") else { return verify };
    verify.settle = said.span("settle", WAIT).unwrap_or(verify.settle);
    verify.hold = said.span("for", SOME_WAIT).unwrap_or(verify.hold);
    verify.within = said.span("within", SOME_WAIT).unwrap_or(verify.within);
    verify.min_samples = said.whole("min_samples", 1..=1_000_000).unwrap_or(verify.min_samples);
    if verify.hold > verify.within {
        let message = format!("verify needs {} clear within {}", verify.hold, verify.within);
        let remedy = "write a for that is at most within";
        fields.report.error(&said.place, Kind::Conflict, message, remedy);
    }
    said.finish();
    verify
}
