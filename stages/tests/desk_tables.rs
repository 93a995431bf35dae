//! The desk's state machines as tables: every state, every event, what follows. `OPS_BLESS=1` rewrites them.

mod desk_script;
mod table;

use desk_script::Script;
use serde_json::Value;
use stages::desk::incident::{IncidentEvent, IncidentProgress, Over};
use stages::desk::rollback::{Ending, Happening, RollbackProgress, Withdrawal};
use stages::output::Output;
use stages::time::{Span, Time};
use stages::wire::{Forbidden, RollbackState, Verdict, WithdrawKind};
use std::path::Path;
use table::Table;

fn golden(name: &str, table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tables").join(name);
    if std::env::var_os("OPS_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, table).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == table, "{name} has changed; OPS_BLESS=1 rewrites it:\n{table}");
}

#[test]
fn the_table_of_rollbacks() {
    use RollbackState as S;
    let wish = |kind, why| {
        RollbackProgress::Withdrawing(Withdrawal {
            not_after: Time(100),
            kind,
            why,
            again: Time(200),
        })
    };
    let states = [
        RollbackProgress::Unjudged,
        RollbackProgress::Suppressed(Forbidden::Evidence),
        RollbackProgress::AwaitingApproval(Time(100)),
        RollbackProgress::Commanded(Time(100)),
        wish(WithdrawKind::Cancel, Forbidden::RecoveredFirst),
        wish(WithdrawKind::Expire, Forbidden::Unclaimed),
        RollbackProgress::Claimed(Time(300)),
        RollbackProgress::Running(Time(300)),
        RollbackProgress::Failing(S::Failed, Time(400)),
        RollbackProgress::Unknown,
        RollbackProgress::Verifying(Time(500)),
        RollbackProgress::Over(S::Denied, None),
        RollbackProgress::Over(S::Expired, Some(Forbidden::Late)),
        RollbackProgress::Over(S::Expired, Some(Forbidden::Unclaimed)),
        RollbackProgress::Over(S::Cancelled, Some(Forbidden::RecoveredFirst)),
        RollbackProgress::Over(S::Failed, None),
        RollbackProgress::Over(S::Recovered, None),
        RollbackProgress::Over(S::NotRecovered, None),
    ];
    let ended = |outcome, in_words| {
        let (verdict_by, words_by) = (Time(500), Time(400));
        Happening::Ended(Ending { outcome, in_words, verdict_by, words_by })
    };
    let happenings = [
        Happening::Forbidden(Forbidden::Evidence),
        Happening::Forbidden(Forbidden::Cooldown),
        Happening::Await(Time(100)),
        Happening::Go(Time(100)),
        Happening::Denied,
        Happening::Calm(Time(200)),
        Happening::Closed(Time(200)),
        Happening::Frozen(Time(200)),
        Happening::Overdue(Time(200)),
        Happening::Claimed(Time(100), Time(300)),
        Happening::Claimed(Time(101), Time(300)),
        Happening::Started(Time(300)),
        ended(S::Succeeded, false),
        ended(S::Failed, false),
        ended(S::Failed, true),
        ended(S::Unknown, true),
        ended(S::Expired, true),
        Happening::Withdrawn(WithdrawKind::Cancel),
        Happening::Withdrawn(WithdrawKind::Expire),
        Happening::Verified(Verdict::Recovered),
        Happening::Verified(Verdict::NotRecovered),
        Happening::Verified(Verdict::Inconclusive),
    ];
    let mut table = String::new();
    for state in &states {
        table.push_str(&format!("{state:?}\n"));
        for happening in &happenings {
            let (next, effects) = state.clone().step(happening);
            let to = if next == *state { "-".to_owned() } else { format!("{next:?}") };
            table.push_str(&format!("    {happening:?} -> {to} {effects:?}\n"));
        }
    }
    golden("rollback.txt", &table);
}

#[test]
fn the_table_of_incidents() {
    use IncidentEvent as E;
    let over = |how| IncidentProgress::Over(Time(1), how);
    let states = [
        IncidentProgress::Firing,
        IncidentProgress::Recovering,
        IncidentProgress::Waiting,
        over(Over::Resolved),
        over(Over::Closed),
    ];
    let events = [E::Fired, E::Recovering, E::Calm(true), E::Calm(false), E::Settled, E::Closed];
    let mut table = String::new();
    for state in &states {
        table.push_str(&format!("{state:?}\n"));
        for event in events {
            let (next, moved) = state.clone().step(event, Time(2));
            let to = if next == *state { "-".to_owned() } else { format!("{next:?}") };
            table.push_str(&format!("    {event:?} -> {to} {moved:?}\n"));
        }
    }
    golden("incident.txt", &table);
}

/// What happens to an incident, after its flag has come to it: lines of which the last is the one shown.
const NEWS: [(&str, &[&str]); 14] = [
    ("fires", &[]),
    ("fires, flapping", &["+1s flaps county_api severity=warning"]),
    ("gets worse", &["+1s worse county_api severity=critical level=1580"]),
    ("has no data for keep_max", &["+1s no_data county_api severity=warning"]),
    ("is reminded of", &["+1h tick"]),
    ("recovers", &["+1s recovering county_api severity=warning"]),
    (
        "is in breach again",
        &[
            "+1s recovering county_api severity=warning",
            "+1s breach_again county_api severity=warning",
        ],
    ),
    ("is resolved", &["+1s ok county_api severity=warning level=112"]),
    (
        "breaches within reopen_within",
        &["+1s ok county_api severity=warning", "+5m fire county_api severity=warning"],
    ),
    (
        "breaches after reopen_within",
        &["+1s ok county_api severity=warning", "+20m fire county_api severity=warning"],
    ),
    ("its series vanishes", &["+1s vanished county_api severity=warning"]),
    ("its group is edited away", &["+1s group_gone county_api severity=warning"]),
    ("its rule is removed", &["+1s gone county_api severity=warning"]),
    ("a person closes it", &["+1s close anna"]),
];

/// What people have said about it: settings, what is said before it fires, and what after.
const FLAGS: [(&str, &str, &[&str], &[&str]); 7] = [
    ("no flag", "", &[], &[]),
    ("silenced before", "", &["+1s silence for=10h"], &[]),
    ("silenced since", "", &[], &["+1s silence for=10h"]),
    ("acknowledged", "", &[], &["+1s ack anna"]),
    ("shadow", "shadow", &[], &[]),
    ("outside hours", "hours=01:00-02:00", &[], &[]),
    ("over budget", "burst=1 reserve=0", &["+1s fire county_api group=eu severity=warning"], &[]),
];

/// What becomes of news under a flag: events, who is told, and if nobody, why not.
fn heard(outputs: &[Output]) -> String {
    let (mut events, mut told) = (Vec::new(), Vec::new());
    for output in outputs {
        let body: Value = serde_json::from_slice(&output.payload).unwrap();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        if output.subject.starts_with("ops.alert.") {
            let untold = body["untold"].as_str();
            let untold = untold.map_or(String::new(), |why| format!(", {why}"));
            let detail = match text("detail") {
                detail if detail.is_empty() => detail,
                detail => format!(" ({detail})"),
            };
            events.push(format!("{}{detail}{untold}", text("state")));
        }
        if output.subject.starts_with("ops.notify.") {
            told.push(text("reason"));
        }
    }
    let said = events.join("; ");
    match (said.is_empty(), told.is_empty()) {
        (true, true) => "-".to_owned(),
        (true, false) => format!("=> {}", told.join(", ")),
        (false, true) => said,
        (false, false) => format!("{said} => {}", told.join(", ")),
    }
}

fn told_of(news: &[&str], flag: (&str, &[&str], &[&str])) -> String {
    let (options, before, after) = flag;
    let settings = format!(
        "+0s settings receivers=1 channel=email off grades severity=warning reopen=10m repeat=1h {options}"
    );
    let mut script = Script::new();
    let (mut lines, shadow) = (vec![settings.as_str()], options == "shadow");
    lines.extend(before);
    lines.push("+1s fire county_api severity=warning level=700");
    // What happens to the firing itself is shown before what people say after it.
    if !news.is_empty() {
        lines.extend(after);
        lines.extend(news);
    }
    let mut last = Vec::new();
    for line in lines {
        let (gap, verb) = line.strip_prefix('+').unwrap().split_once(' ').unwrap();
        let verb = match shadow && verb.contains(" county_api") {
            true => format!("{verb} shadow"),
            false => verb.to_owned(),
        };
        let (mut gap, tick) = (Span::parse(gap).unwrap(), Span::from_secs(10));
        if gap > tick {
            script.play(Span(gap.0 - tick.0), "pass");
            gap = tick;
        }
        last = script.play(gap, &verb);
    }
    heard(&last)
}

#[test]
fn the_table_of_who_is_told() {
    let mut text =
        "What the desk says of an incident, and after => what a receiver is told.\n".to_owned();
    for (name, news) in NEWS {
        let mut table = Table::new(&format!("{name}:"));
        for (flag, options, before, after) in FLAGS {
            let cell = told_of(news, (options, before, after));
            table.row(flag, std::iter::once(cell));
        }
        text.push_str(&table.text());
    }
    golden("told.txt", &text);
}
