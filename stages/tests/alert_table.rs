//! The table of the alert machine, every state with every event, as `tests/golden/alert_table.txt` has it.

use stages::time::{Span, Time};
use stages::track::axis::{Clocks, Closing, Event, Ground, Side, State, step};

#[test]
fn the_alert_machine_keeps_to_its_table() {
    let second = |n: i64| Span::from_secs(n);
    let states = [
        State::Unknown,
        State::Ok,
        State::Pending { since: Time(0) },
        State::PendingGap { held: second(3), gap_since: Time(0) },
        State::Firing { opened: 7 },
        State::Flapping { opened: 7, side: Side::Breach, quiet_since: Time(0) },
        State::Recovering { opened: 7, since: Time(0) },
        State::RecoveringGap { opened: 7, held: second(3) },
    ];
    let events = [
        Event::Breach(Ground::Value),
        Event::Between,
        Event::Clear(Ground::Value),
        Event::Clear(Ground::NoData),
        Event::Gap,
        Event::Close(Closing::Retired),
        Event::Change,
        Event::Rebase,
    ];
    let mut table = String::new();
    for state in states {
        for event in events {
            for now in [5, 10] {
                let clocks = Clocks {
                    now: Time(0).plus(second(now)),
                    position: 9,
                    hold: second(10),
                    gap_tolerance: second(10),
                    keep: second(10),
                    quiet: second(10),
                    flaps: false,
                    flap_window: second(20),
                };
                let (next, cause) = step(state, event, &clocks);
                let cause = cause.map_or("-".to_owned(), |cause| format!("{cause:?}"));
                table.push_str(&format!("{now}s | {state:?} | {event:?} | {next:?} | {cause}\n"));
            }
        }
    }
    let golden = include_str!("golden/alert_table.txt");
    assert_eq!(table, golden, "the table in full:\n{table}");
}
