//! The lines a person reads in the terminal of `ops lab` and `ops up`: what the desk said, one line a fact.
//!
//! Times are local; values are the current level, the window's mean stands in the evidence.

use bus::{SharedBus, Stream};
use jiff::tz::TimeZone;
use stages::number;
use stages::subject::Subjects;
use stages::time::Time;
use stages::wire::{AlertEvent, AlertState, Forbidden, RollbackEvent, RollbackState};
use std::io::Write;
use std::time::Duration;

/// Column in which the arrow of an EXEC line stands, counted after the clock.
const ARROW: usize = 44;

/// The line for an alert event; none for what only machines care about.
pub fn alert_line(event: &AlertEvent, zone: &TimeZone) -> Option<String> {
    let clock = clock(event.time, zone);
    let AlertEvent { metric, unit, threshold, .. } = event;
    let group: Vec<String> =
        event.group.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let subject =
        if group.is_empty() { metric.clone() } else { format!("{metric}{{{}}}", group.join(",")) };
    let level =
        event.level.map_or_else(|| "no data".to_owned(), |level| number::with_unit(level, unit));
    let detail = event.detail.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
    let line = match event.state {
        AlertState::Fired => {
            let told = match &event.untold {
                Some(why) => format!("not sent: {why}"),
                None if event.notified.is_empty() => "nobody to tell".to_owned(),
                None => "paging…".to_owned(),
            };
            format!("ALERT {subject} {level} (threshold {})  → {told}", number::plain(*threshold))
        }
        AlertState::FiredAgain => {
            format!(
                "ALERT {subject} {level} (threshold {})  in breach again",
                number::plain(*threshold)
            )
        }
        AlertState::Resolved => format!("ALERT_RESOLVED  {subject} back to {level}"),
        AlertState::Closed => format!("ALERT_CLOSED  {subject}{detail}"),
        AlertState::NoData => format!("NO_DATA  {subject}"),
        AlertState::Flapping => format!("FLAPPING  {subject} {level}"),
        AlertState::Acknowledged => format!("ACK  {subject}{detail}"),
        AlertState::Notice => format!("NOTICE  {}", event.detail.as_deref().unwrap_or(&event.rule)),
        AlertState::Pending | AlertState::Recovering | AlertState::Calm => return None,
    };
    Some(format!("[{clock}] {line}"))
}

/// The line for a rollback event; none for the bookkeeping in between.
pub fn rollback_line(event: &RollbackEvent, zone: &TimeZone) -> Option<String> {
    let clock = clock(event.time, zone);
    let why = [event.why.map(word), event.detail.clone()];
    let why: Vec<String> = why.into_iter().flatten().collect();
    let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join(": ")) };
    let script = format!("EXEC  {}", event.script);
    let plan = &event.plan;
    let line = match event.state {
        RollbackState::Succeeded => format!("{script:<ARROW$}→ success"),
        RollbackState::Failed => format!("{script:<ARROW$}→ failed{why}"),
        RollbackState::TimedOut => format!("{script:<ARROW$}→ timed out{why}"),
        RollbackState::Unknown => {
            format!("{script:<ARROW$}→ outcome unknown, a person is paged{why}")
        }
        RollbackState::Suppressed => format!("ROLLBACK {plan} not run{why}"),
        RollbackState::AwaitingApproval => format!("ROLLBACK {plan} waits for approval{why}"),
        RollbackState::Denied => format!("ROLLBACK {plan} denied{why}"),
        RollbackState::Expired => format!("ROLLBACK {plan} expired{why}"),
        RollbackState::Cancelled => format!("ROLLBACK {plan} cancelled{why}"),
        RollbackState::NotRecovered => format!("ROLLBACK {plan} did not help, a person is paged"),
        RollbackState::Inconclusive => format!("ROLLBACK {plan}: too few samples to verify{why}"),
        RollbackState::Proposed
        | RollbackState::Commanded
        | RollbackState::Claimed
        | RollbackState::Running
        | RollbackState::Verifying
        | RollbackState::Recovered => return None,
    };
    Some(format!("[{clock}] {line}"))
}

/// The wire's word for a reason, as people read it.
fn word(why: Forbidden) -> String {
    let word = serde_json::to_value(why).ok().and_then(|word| word.as_str().map(str::to_owned));
    word.unwrap_or_default().replace('_', " ")
}

fn clock(time: Time, zone: &TimeZone) -> String {
    let stamp = jiff::Timestamp::from_nanosecond(i128::from(time.0)).unwrap_or_default();
    zone.to_datetime(stamp).strftime("%H:%M").to_string()
}

/// Prints what the desk says from now on, until the process ends.
pub async fn follow(bus: SharedBus, subjects: Subjects) {
    let zone = TimeZone::system();
    let mut next = None;
    loop {
        if let Err(error) = read(&bus, &subjects, &zone, &mut next).await {
            tracing::warn!(%error, "events cannot be read; trying again");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn read(
    bus: &SharedBus,
    subjects: &Subjects,
    zone: &TimeZone,
    next: &mut Option<u64>,
) -> Result<(), bus::BusError> {
    let from = match *next {
        Some(next) => next,
        None => bus.state(Stream::Events).await?.last + 1,
    };
    *next = Some(from);
    let (alerts, rollbacks) = (subjects.of("alert."), subjects.of("rollback."));
    let mut reader = bus.read(Stream::Events, None, from).await?;
    let mut messages = Vec::new();
    loop {
        reader.next(&mut messages).await?;
        for message in messages.drain(..) {
            *next = Some(message.sequence + 1);
            let line = if message.subject.starts_with(alerts.as_bytes()) {
                let event = serde_json::from_slice::<AlertEvent>(&message.payload);
                event.ok().and_then(|event| alert_line(&event, zone))
            } else if message.subject.starts_with(rollbacks.as_bytes()) {
                let event = serde_json::from_slice::<RollbackEvent>(&message.payload);
                event.ok().and_then(|event| rollback_line(&event, zone))
            } else {
                None
            };
            if let Some(line) = line {
                // A closed terminal is no reason to stop the engine.
                let _ = writeln!(std::io::stdout().lock(), "{line}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stages::wire::{Axis, DataFlag, Evidence, SCHEMA};

    fn at(minute: i64) -> Time {
        Time::from_millis((16 * 60 + minute) * 60_000)
    }

    fn alert(state: AlertState, minute: i64, level: f64) -> AlertEvent {
        AlertEvent {
            schema: SCHEMA,
            state,
            incident: Some("6c1d".into()),
            rule: "county_api".into(),
            metric: "county_api_ms".into(),
            group: Default::default(),
            severity: "critical".into(),
            time: at(minute),
            position: 1,
            opened: None,
            axis: Axis::Firing,
            data: DataFlag::Fresh,
            cause: None,
            level: Some(level),
            threshold: 1000.0,
            unit: "ms".into(),
            evidence: Evidence::default(),
            runbook: None,
            labels: Default::default(),
            notified: vec!["oncall@opm.gov".into()],
            untold: None,
            folded: Vec::new(),
            detail: None,
        }
    }

    fn rollback(state: RollbackState, minute: i64) -> RollbackEvent {
        RollbackEvent {
            schema: SCHEMA,
            plan: "DOCKET_RULE".into(),
            incident: "6c1d".into(),
            rule: "county_api".into(),
            metric: "county_api_ms".into(),
            state,
            why: None,
            time: at(minute),
            position: 1,
            script: "rollback_docket_rule.sh".into(),
            exit_code: None,
            cause: None,
            detail: None,
            evidence: None,
            notified: Vec::new(),
            untold: None,
        }
    }

    #[test]
    fn friday_4pm_reads_as_the_brief_has_it() {
        let zone = TimeZone::UTC;
        let lines: Vec<String> = [
            alert_line(&alert(AlertState::Fired, 7, 1580.2), &zone),
            rollback_line(&rollback(RollbackState::Proposed, 7), &zone),
            rollback_line(&rollback(RollbackState::Succeeded, 7), &zone),
            alert_line(&alert(AlertState::Resolved, 8, 111.8), &zone),
        ]
        .into_iter()
        .flatten()
        .collect();
        assert_eq!(
            lines,
            [
                "[16:07] ALERT county_api_ms 1580 ms (threshold 1000)  → paging…",
                "[16:07] EXEC  rollback_docket_rule.sh               → success",
                "[16:08] ALERT_RESOLVED  county_api_ms back to 112 ms",
            ]
        );
    }

    #[test]
    fn an_alert_nobody_hears_says_so() {
        let mut silenced = alert(AlertState::Fired, 7, 1580.0);
        silenced.untold = Some("silenced".into());
        let line = alert_line(&silenced, &TimeZone::UTC).unwrap();
        assert!(line.ends_with("→ not sent: silenced"), "{line}");
    }
}
