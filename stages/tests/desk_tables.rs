//! The desk's state machines as tables: every state, every event, what follows. `OPS_BLESS=1` rewrites them.

use stages::desk::incident::{IncidentEvent, IncidentProgress, Over};
use stages::desk::rollback::{Ending, Happening, RollbackProgress, Withdrawal};
use stages::time::Time;
use stages::wire::{Forbidden, RollbackState, Verdict, WithdrawKind};
use std::path::Path;

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
