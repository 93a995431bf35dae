//! Backtests as people read them in a terminal.

use super::compare::{Comparison, Moved};
use super::seen::{Incident, Seen};
use super::sweep::Sweep;
use stages::time::{Span, Time};
use stages::wire::{AlertState, RollbackState};
use std::fmt::Write as _;

/// What one variant would have done: a line of sums, a line each incident.
pub fn seen(seen: &Seen) -> String {
    let (from, to) = seen.span;
    let count = seen.incidents.len();
    let plural = if count == 1 { "incident" } else { "incidents" };
    let mut text =
        format!("{}: {count} {plural} from {} to {}", seen.label, moment(from), moment(to));
    let (again, flapping) = seen.flaps();
    let _ = writeln!(
        text,
        "\n  {} pages, {} rollbacks, open for {}, detected after {} (median), {again} times back in breach, {flapping} flapping",
        seen.pages(),
        seen.rollbacks(),
        short(seen.open()),
        seen.detected_after().map_or_else(|| "-".to_owned(), short),
    );
    for incident in &seen.incidents {
        let _ = writeln!(text, "  {}", line(incident, to));
    }
    text
}

/// One incident on a line.
fn line(one: &Incident, until: Time) -> String {
    let name = if one.group.is_empty() {
        one.rule.clone()
    } else {
        format!("{}{{{}}}", one.rule, one.group)
    };
    let mut text =
        format!("{}  {name}  {}", moment(one.opened), one.reading.as_deref().unwrap_or("no data"));
    if let Some(after) = one.detected_after {
        let _ = write!(text, ", detected after {}", short(after));
    }
    let length = short(one.length(until));
    match one.ended {
        Some((_, AlertState::Closed)) => {
            let _ = write!(text, ", closed after {length}");
        }
        Some(_) => {
            let _ = write!(text, ", over after {length}");
        }
        None => {
            let _ = write!(text, ", still open after {length}");
        }
    }
    let pages = if one.pages == 1 { "page" } else { "pages" };
    let _ = write!(text, ", {} {pages}", one.pages);
    if let Some(untold) = &one.untold {
        let _ = write!(text, " ({untold})");
    }
    for rollback in &one.rollbacks {
        match (rollback.state, &rollback.why) {
            (RollbackState::Commanded, _) => {
                let after = short(rollback.time.since(one.opened));
                let _ = write!(text, ", ROLLBACK:{} after {after}", rollback.plan);
            }
            (RollbackState::Suppressed, Some(why)) => {
                let _ = write!(text, ", no rollback: {}", why.replace('_', " "));
            }
            _ => {}
        }
    }
    text
}

/// What one variant has and the other has not.
pub fn comparison(found: &Comparison, until: Time) -> String {
    let Comparison { labels: (tried, other), gained, lost, earlier, later, same } = found;
    let mut text = format!(
        "{tried} against {other}: {} gained, {} lost, {} earlier, {} later, {same} the same\n",
        gained.len(),
        lost.len(),
        earlier.len(),
        later.len(),
    );
    let moved = |moved: &Moved, word: &str| {
        format!("{} {word}: {}", short(moved.by), line(&moved.incident, until))
    };
    let lists = [
        gained.iter().map(|one| format!("gained: {}", line(one, until))).collect::<Vec<_>>(),
        lost.iter().map(|one| format!("lost: {}", line(one, until))).collect(),
        earlier.iter().map(|one| moved(one, "earlier")).collect(),
        later.iter().map(|one| moved(one, "later")).collect(),
    ];
    for line in lists.concat() {
        let _ = writeln!(text, "  {line}");
    }
    text
}

/// A row for each value of a sweep.
pub fn table(sweep: &Sweep, all: &[Seen]) -> String {
    let field = &sweep.field;
    let mut text = format!(
        "{field:>16}  {:>9}  {:>6}  {:>9}  {:>10}  {:>12}  {:>6}\n",
        "incidents", "pages", "rollbacks", "open", "detected in", "again"
    );
    for one in all {
        let value = one.label.rsplit(' ').next().unwrap_or_default();
        let detected = one.detected_after().map_or_else(|| "-".to_owned(), short);
        let _ = writeln!(
            text,
            "{value:>16}  {:>9}  {:>6}  {:>9}  {:>10}  {detected:>12}  {:>6}",
            one.incidents.len(),
            one.pages(),
            one.rollbacks(),
            short(one.open()),
            one.flaps().0,
        );
    }
    text
}

/// A length as people read it: to the second from a minute on, else to the millisecond.
pub(super) fn short(span: Span) -> String {
    const SECOND: i64 = 1_000_000_000;
    let unit = if span.0 >= 60 * SECOND { SECOND } else { SECOND / 1_000 };
    Span(span.0 / unit * unit).to_string()
}

/// A moment to the second, in UTC.
pub(super) fn moment(time: Time) -> String {
    let text = time.to_string();
    text.get(..19).map_or(text.clone(), |head| format!("{}Z", head))
}
