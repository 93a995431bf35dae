//! The alert machine as tables to be read: every state, everything that can happen, what follows. `OPS_WRITE_GOLDEN=1`
//! rewrites them; read the difference before you commit it.
//!
//! `axis.txt` is the machine by itself: every state x event, under clocks that run, have run out, are none, and at one
//! firing too many. `alert.txt` is an alert with its judge before it: every state x what the window shows, under every
//! word on missing data; then several severities, and edits. Both walk products of closed lists, so no cell is left out.

mod shard_script;
mod table;

use serde_json::json;
use shard_script::rule;
use stages::judge::{self, Sight};
use stages::settings::{Mode, Rule};
use stages::time::{Span, Time};
use stages::track::axis::{Clocks, Closing, Event, Ground, Side, State, step};
use stages::track::{Alert, Data, Evaluation, Moved, Rung};
use table::{Table, golden, word};

/// Clocks began here; what happens, happens ten seconds later.
const BEGAN: Time = Time::from_millis(1_699_920_000_000);
const NOW: Time = BEGAN.plus(Span::from_secs(10));
/// Every window of these tables.
const WINDOW: Span = Span::from_secs(30);

const EVENTS: [Event; 13] = [
    Event::Breach(Ground::Value),
    Event::Breach(Ground::NoData),
    Event::Breach(Ground::Absence),
    Event::Between,
    Event::Clear(Ground::Value),
    Event::Clear(Ground::NoData),
    Event::Clear(Ground::Absence),
    Event::Gap,
    Event::Close(Closing::Retired),
    Event::Close(Closing::RuleRemoved),
    Event::Close(Closing::RuleChanged),
    Event::Change,
    Event::Rebase,
];

/// Every state, its clock begun at [`BEGAN`].
fn states() -> [State; 9] {
    let held = Span::from_secs(4);
    [
        State::Unknown,
        State::Ok,
        State::Pending { since: BEGAN },
        State::PendingGap { held, gap_since: BEGAN },
        State::Firing { opened: 7 },
        State::Flapping { opened: 7, side: Side::Breach, quiet_since: BEGAN },
        State::Flapping { opened: 7, side: Side::Clear, quiet_since: BEGAN },
        State::Recovering { opened: 7, since: BEGAN },
        State::RecoveringGap { opened: 7, held },
    ]
}

#[test]
fn the_alert_machine_keeps_to_its_table() {
    let clocks = |length, flaps| Clocks {
        now: NOW,
        position: 9,
        hold: length,
        gap_tolerance: length,
        keep: length,
        quiet: length,
        flaps,
        flap_window: Span::from_secs(20),
    };
    let columns = [
        ("clocks of 15s", clocks(Span::from_secs(15), false)),
        ("clocks of 10s", clocks(Span::from_secs(10), false)),
        ("no clocks", clocks(Span::ZERO, false)),
        ("one firing too many", clocks(Span::ZERO, true)),
    ];
    let mut text = "Clocks began 10s ago, a frozen one had counted 4s. Incident #7 is open, #9 would be new.\n\
                    \"=\": stays, clocks and all.\n"
        .to_owned();
    for state in states() {
        let mut table = Table::new(&format!("{}:", place(state)));
        table.row("", columns.iter().map(|(name, _)| (*name).to_owned()));
        for event in EVENTS {
            let cells = columns.iter().map(|(_, clocks)| {
                let (next, cause) = step(state, event, clocks);
                let to = if next == state { "=".to_owned() } else { place(next) };
                cause.map_or(to.clone(), |cause| format!("{to} ({})", word(&cause)))
            });
            table.row(&named(event), cells);
        }
        text.push_str(&table.text());
    }
    golden("alert/axis.txt", &text);
}

/// What the window shows at an evaluation.
const SIGHTS: [&str; 10] = [
    "breach",
    "between",
    "clear",
    "too few samples",
    "stale",
    "stale and too few",
    "just emptied",
    "empty for a window",
    "empty for keep_max",
    "missing",
];

/// What `SIGHTS[at]` is to the judge. Rules breach above 1000 and recover at 500.
fn sight(at: &str) -> Sight {
    let ago = |seconds| Some(NOW.minus(Span::from_secs(seconds)));
    let (last, count, value) = match at {
        "breach" => (ago(1), 5, Some(1500.0)),
        "between" => (ago(1), 5, Some(700.0)),
        "clear" => (ago(1), 5, Some(100.0)),
        "too few samples" => (ago(1), 1, None),
        "stale" => (ago(20), 5, Some(1500.0)),
        "stale and too few" => (ago(20), 1, None),
        "just emptied" => (ago(29), 0, None),
        "empty for a window" => (ago(31), 0, None),
        "empty for keep_max" | "missing" => (ago(150), 0, None),
        other => panic!("no sight {other:?}"),
    };
    // A sibling reported just now, or none did for as long.
    let siblings = if at == "missing" { ago(1) } else { last };
    Sight { now: NOW, count, value, last, armed: Time(0), siblings }
}

fn flavours(mode: &str) -> Vec<(&'static str, Rule)> {
    let of = |changes: serde_json::Value| {
        let mut fields = json!({
            "window": WINDOW, "recover": 500, "for": "8s", "keep_firing_for": "8s", "gap_tolerance": "8s",
            "min_samples": 2, "group_by": ["pod"], "keep_max": "150s", "flap_window": "1h", "mode": mode,
        });
        fields.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        rule("slow", &fields)
    };
    vec![
        ("no_data: keep", of(json!({}))),
        ("no_data: alert", of(json!({ "no_data": "alert" }))),
        ("no_data: ok", of(json!({ "no_data": "ok" }))),
        ("absent: 30s", of(json!({ "absent": WINDOW }))),
    ]
}

/// An alert in a state, its data as it was while that came about.
fn alert(state: State) -> Alert {
    let data = match state {
        State::Unknown => Data::NoData,
        State::PendingGap { .. } | State::RecoveringGap { .. } => Data::Stale,
        _ => Data::Fresh,
    };
    Alert { state, data, ..Alert::default() }
}

/// Everything an evaluation makes of an alert, as a cell.
fn seen(mut alert: Alert, rule: &Rule, sight: &Sight) -> String {
    let before = alert.state;
    let judged = judge::judge(rule, sight);
    let (value, mut moves) = (sight.value, Vec::new());
    let evaluation =
        Evaluation { rule, judged: &judged, value, now: NOW, position: 9, enough: false };
    alert.evaluate(&evaluation, &mut moves);
    cell(before, &alert, rule, &moves)
}

/// Where it is, and what is told: from place to place, or of what stays where it is.
fn cell(before: State, alert: &Alert, rule: &Rule, moves: &[Moved]) -> String {
    let to = if alert.state == before { "=".to_owned() } else { place(alert.state) };
    let told = moves.iter().map(|moved| {
        let severity = match rule.grades.is_empty() {
            true => String::new(),
            false => format!(" [{}]", rule.severity_at(moved.grade)),
        };
        let data = match word(&moved.data).as_str() {
            "fresh" => String::new(),
            other => format!(" {other}"),
        };
        let flapping = if moved.flapping { " flapping" } else { "" };
        format!("{}{data}{flapping}{severity}", word(&moved.cause))
    });
    let told: Vec<String> = told.collect();
    if told.is_empty() { to } else { format!("{to} ({})", told.join("; ")) }
}

fn states_by_sights(mode: &str) -> String {
    let flavours = flavours(mode);
    let mut text = String::new();
    for state in states() {
        let mut table = Table::new(&format!("{}:", place(state)));
        table.row("", flavours.iter().map(|(name, _)| (*name).to_owned()));
        for at in SIGHTS {
            table.row(at, flavours.iter().map(|(_, rule)| seen(alert(state), rule, &sight(at))));
        }
        text.push_str(&table.text());
    }
    text
}

/// A warning above 1000 and critical above 2000, recovering 500 below each.
fn graded(no_data: &str) -> Rule {
    let fields = json!({
        "window": WINDOW, "recover": 500, "no_data": no_data, "severity": "warning", "min_samples": 2,
        "grades": [{ "severity": "warning", "bound": 1000 }, { "severity": "critical", "bound": 2000 }],
    });
    rule("slow", &fields)
}

/// Places of an alert with two severities: its own, and that of the severe one.
fn places_of_two() -> Vec<(&'static str, Alert)> {
    let two = |state, above| {
        let rung = Rung { state: above, firings: Vec::new() };
        Alert { above: vec![rung].into(), ..alert(state) }
    };
    let firing = State::Firing { opened: 7 };
    let recovering = State::Recovering { opened: 7, since: BEGAN };
    let flapping = State::Flapping { opened: 7, side: Side::Breach, quiet_since: BEGAN };
    vec![
        ("unknown", two(State::Unknown, State::Unknown)),
        ("ok", two(State::Ok, State::Ok)),
        ("a warning", two(firing, State::Ok)),
        ("a warning, critical pending", two(firing, State::Pending { since: BEGAN })),
        ("critical", two(firing, firing)),
        ("critical recovering", two(firing, recovering)),
        ("critical flapping", two(firing, flapping)),
        ("both recovering", two(recovering, recovering)),
    ]
}

fn severities_by_sights() -> String {
    let rules = [("at once", graded("keep")), ("no_data: alert", graded("alert")), {
        let (hold, keep) = (Span::from_secs(10), Span::from_secs(15));
        ("for: 10s, keep_firing_for: 15s", Rule { hold, keep_firing_for: keep, ..graded("keep") })
    }];
    let with = |value| Sight { value: Some(value), ..sight("breach") };
    let sights = [
        ("above both (2500)", with(2500.0)),
        ("severe between (1600)", with(1600.0)),
        ("severe clear (1500)", with(1500.0)),
        ("both between (700)", Sight { value: Some(700.0), ..sight("between") }),
        ("clear (500)", with(500.0)),
        ("too few samples", sight("too few samples")),
        ("stale", sight("stale")),
        ("empty for keep_max", sight("empty for keep_max")),
        ("missing", sight("missing")),
    ];
    let mut text = String::new();
    for (name, before) in places_of_two() {
        let mut table = Table::new(&format!("{name}:"));
        table.row("", rules.iter().map(|(name, _)| (*name).to_owned()));
        for (at, sight) in &sights {
            table.row(at, rules.iter().map(|(_, rule)| seen(before.clone(), rule, sight)));
        }
        text.push_str(&table.text());
    }
    text
}

/// What edits do: of the rule, to its alerts.
fn edits() -> String {
    let events = [
        ("threshold, for, recover", Event::Change),
        ("window, stat, where", Event::Rebase),
        ("group no longer there", Event::Close(Closing::RuleChanged)),
        ("rule removed", Event::Close(Closing::RuleRemoved)),
    ];
    let (one, two) = (flavours("live").remove(0).1, graded("keep"));
    let single = states().map(|state| (place(state), alert(state), &one));
    let double = places_of_two();
    let double = double.iter().map(|(name, alert)| ((*name).to_owned(), alert.clone(), &two));
    let mut table = Table::new("edits:");
    table.row("", events.iter().map(|(name, _)| (*name).to_owned()));
    for (name, alert, rule) in single.into_iter().chain(double) {
        let cells = events.iter().map(|(_, event)| {
            let (mut after, mut moves) = (alert.clone(), Vec::new());
            after.happen(*event, rule, (NOW, 9), &mut moves);
            cell(alert.state, &after, rule, &moves)
        });
        table.row(&name, cells);
    }
    table.text()
}

#[test]
fn an_alert_and_its_judge_keep_to_their_table() {
    let text = format!(
        "In breach above 1000, recovers at 500; for, keep_firing_for and gap_tolerance of 8s began 10s ago; window 30s,\n\
         fresh_for 10s, min_samples 2, keep_max 150s. In brackets: what is told. \"=\": stays where it is.\n{}\n\
         # Two severities: a warning above 1000, critical above 2000, each recovering 500 below.\n{}\n\
         # Edits\n{}",
        states_by_sights("live"),
        severities_by_sights(),
        edits()
    );
    golden("alert/alert.txt", &text);
}

#[test]
fn a_shadow_moves_as_if_it_were_live() {
    let [live, shadow] = ["live", "shadow"].map(flavours);
    assert!(live.iter().zip(&shadow).all(|(one, other)| one.1.mode != other.1.mode));
    assert!(shadow.iter().all(|(_, rule)| rule.mode == Mode::Shadow));
    assert_eq!(states_by_sights("live"), states_by_sights("shadow"));
}

#[test]
fn a_change_of_severities_keeps_the_one_the_alert_has() {
    let of = |grades: &[(&str, u32)]| {
        let grades: Vec<_> = grades
            .iter()
            .map(|(name, bound)| json!({ "severity": name, "bound": bound }))
            .collect();
        Rule { grades: serde_json::from_value(json!(grades)).unwrap(), ..graded("keep") }
    };
    let edits = [
        ("bounds moved", of(&[("warning", 800), ("critical", 3000)])),
        ("info added below", of(&[("info", 500), ("warning", 1000), ("critical", 2000)])),
        ("warning removed", of(&[("info", 500), ("critical", 2000)])),
        ("critical removed", of(&[("info", 500), ("warning", 1000)])),
        ("all of other names", of(&[("low", 500), ("high", 1000)])),
    ];
    let before = graded("keep");
    let mut table = Table::new("of warning and critical; what it is right after the edit:");
    table.row("", edits.iter().map(|(name, _)| (*name).to_owned()));
    for (name, alert) in places_of_two() {
        let cells = edits.iter().map(|(_, after)| {
            let mut alert = alert.clone();
            alert.regrade(&before, after);
            match alert.state.opened() {
                Some(_) => after.severity_at(alert.grade()).to_owned(),
                None => place(alert.state),
            }
        });
        table.row(name, cells);
    }
    golden("alert/severities_edited.txt", &table.text());
}

fn place(state: State) -> String {
    let at = |time: Time| format!("{}s", time.since(BEGAN).as_secs_f64());
    match state {
        State::Unknown => "unknown".to_owned(),
        State::Ok => "ok".to_owned(),
        State::Pending { since } => format!("pending since {}", at(since)),
        State::PendingGap { held, gap_since } => {
            format!("pending, frozen at {held} since {}", at(gap_since))
        }
        State::Firing { opened } => format!("firing #{opened}"),
        State::Flapping { opened, side, quiet_since } => {
            format!("flapping #{opened}, {side:?} since {}", at(quiet_since)).to_lowercase()
        }
        State::Recovering { opened, since } => format!("recovering #{opened} since {}", at(since)),
        State::RecoveringGap { opened, held } => format!("recovering #{opened}, frozen at {held}"),
    }
}

fn named(event: Event) -> String {
    let ground = |ground| match ground {
        Ground::Value => "value",
        Ground::NoData => "no data",
        Ground::Absence => "absence",
    };
    match event {
        Event::Breach(on) => format!("breach by {}", ground(on)),
        Event::Between => "between".to_owned(),
        Event::Clear(on) => format!("clear by {}", ground(on)),
        Event::Gap => "gap".to_owned(),
        Event::Close(Closing::Retired) => "series vanished".to_owned(),
        Event::Close(Closing::RuleRemoved) => "rule removed".to_owned(),
        Event::Close(Closing::RuleChanged) => "group gone".to_owned(),
        Event::Change => "clocks edited".to_owned(),
        Event::Rebase => "panes edited".to_owned(),
    }
}
