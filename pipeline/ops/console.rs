//! The lines a person reads in the terminal of `ops lab` and `ops up`: what the desk said, one line a fact; or the
//! same as JSON lines.
//!
//! Times are local; numbers are worded by the desk, like those of a page: the current level where the rule watches one,
//! else its statistic.

use crate::cli::Format;
use bus::{BusError, Message, SharedBus, Stream};
use jiff::tz::TimeZone;
use serde::Serialize;
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
    // A rule of several conditions watches no metric alone.
    let metric = if event.evidence.terms.len() > 1 { &event.rule } else { &event.metric };
    let group: Vec<String> =
        event.group.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let subject =
        if group.is_empty() { metric.clone() } else { format!("{metric}{{{}}}", group.join(",")) };
    let seen = event.reading.as_deref().unwrap_or("no data");
    let limit = event.limit.as_deref().map(|limit| format!(" ({limit})")).unwrap_or_default();
    let detail = event.detail.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
    let line = match event.state {
        AlertState::Fired => {
            let told = match &event.untold {
                Some(why) => format!("not sent: {why}"),
                None if event.notified.is_empty() => "nobody to tell".to_owned(),
                None => "paging…".to_owned(),
            };
            format!("ALERT {subject} {seen}{limit}  → {told}")
        }
        AlertState::FiredAgain => format!("ALERT {subject} {seen}{limit}  in breach again"),
        AlertState::SeverityChanged => {
            format!(
                "ALERT {subject} {seen}{limit}  {}",
                event.detail.as_deref().unwrap_or_default()
            )
        }
        AlertState::Resolved => format!("ALERT_RESOLVED  {subject} back to {seen}"),
        AlertState::Closed => format!("ALERT_CLOSED  {subject}{detail}"),
        AlertState::NoData => format!("NO_DATA  {subject}"),
        AlertState::Flapping => format!("FLAPPING  {subject} {seen}"),
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

/// The JSON line for an event: all that the desk said, in UTC, and what kind of event it is. Machines get every state.
fn json_line(kind: &str, event: &impl Serialize) -> Option<String> {
    #[derive(Serialize)]
    struct Line<'a, T> {
        kind: &'a str,
        #[serde(flatten)]
        event: &'a T,
    }
    serde_json::to_string(&Line { kind, event }).ok()
}

/// Prints what the desk says.
pub struct Console {
    bus: SharedBus,
    subjects: Subjects,
    format: Format,
    zone: TimeZone,
    next: u64,
}

impl Console {
    /// Begins behind what is there already.
    pub async fn at_end(
        bus: SharedBus,
        subjects: Subjects,
        format: Format,
    ) -> Result<Self, BusError> {
        let next = bus.state(Stream::Events).await?.last + 1;
        Ok(Self { bus, subjects, format, zone: TimeZone::system(), next })
    }

    /// Prints until the process ends.
    pub async fn follow(mut self) {
        loop {
            if let Err(error) = self.read().await {
                tracing::warn!(%error, "events cannot be read; trying again");
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn read(&mut self) -> Result<(), BusError> {
        let mut reader = self.bus.read(Stream::Events, None, self.next).await?;
        let mut messages = Vec::new();
        loop {
            reader.next(&mut messages).await?;
            for message in messages.drain(..) {
                self.next = message.sequence + 1;
                if let Some(line) = self.line(&message) {
                    // A closed terminal is no reason to stop the engine.
                    let _ = writeln!(std::io::stdout().lock(), "{line}");
                }
            }
        }
    }

    /// The line of a message; none for what is no event, and for what this format leaves out.
    fn line(&self, message: &Message) -> Option<String> {
        let of = |what: &str| message.subject.starts_with(self.subjects.of(what).as_bytes());
        if of("alert.") {
            let event: AlertEvent = serde_json::from_slice(&message.payload).ok()?;
            match self.format {
                Format::Json => json_line("alert", &event),
                Format::Text => alert_line(&event, &self.zone),
            }
        } else if of("rollback.") {
            let event: RollbackEvent = serde_json::from_slice(&message.payload).ok()?;
            match self.format {
                Format::Json => json_line("rollback", &event),
                Format::Text => rollback_line(&event, &self.zone),
            }
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stages::wire::TermSeen;
    use stages::wire::{Axis, DataFlag, Evidence, SCHEMA};

    fn at(minute: i64) -> Time {
        Time::from_millis((16 * 60 + minute) * 60_000)
    }

    fn alert(state: AlertState, minute: i64, reading: &str) -> AlertEvent {
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
            level: Some(150.0),
            threshold: 1000.0,
            unit: "ms".into(),
            reading: Some(reading.into()),
            limit: Some("threshold 1000".into()),
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
            alert_line(&alert(AlertState::Fired, 7, "1580 ms"), &zone),
            rollback_line(&rollback(RollbackState::Proposed, 7), &zone),
            rollback_line(&rollback(RollbackState::Succeeded, 7), &zone),
            alert_line(&alert(AlertState::Resolved, 8, "112 ms"), &zone),
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
    fn a_machine_reads_what_was_said_and_in_utc() {
        let line = json_line("alert", &alert(AlertState::Fired, 7, "1580 ms")).unwrap();
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        let read = ["kind", "state", "time"].map(|field| event[field].as_str().unwrap());
        assert_eq!(read, ["alert", "fired", "1970-01-01T16:07:00.000000000Z"]);
        assert!(!line.contains('\n'));
    }

    #[test]
    fn a_rule_of_several_conditions_is_called_by_its_name() {
        let mut event = alert(AlertState::Resolved, 8, "web_ms 110, requests 17");
        let seen = |term: &str| TermSeen {
            term: term.into(),
            value: Some(110.0),
            threshold: 1000.0,
            count: 9,
            breach: false,
        };
        event.evidence.terms = vec![seen("web_ms"), seen("requests")];
        event.rule = "slow_while_busy".into();
        let line = alert_line(&event, &TimeZone::UTC);
        let said = "[16:08] ALERT_RESOLVED  slow_while_busy back to web_ms 110, requests 17";
        assert_eq!(line.as_deref(), Some(said));
    }

    #[test]
    fn an_alert_nobody_hears_says_so() {
        let mut silenced = alert(AlertState::Fired, 7, "p99 4000 ms");
        silenced.untold = Some("silenced".into());
        let line = alert_line(&silenced, &TimeZone::UTC).unwrap();
        let told = "[16:07] ALERT county_api_ms p99 4000 ms (threshold 1000)  → not sent: silenced";
        assert_eq!(line, told);
    }
}
