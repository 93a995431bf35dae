//! A desk driven by lines of text: what happens, and what the desk says to it. Shared by the desk's tests.

#![allow(dead_code, reason = "each test uses its part")]

mod revision;

use bytes::Bytes;
pub use revision::settings;
use serde_json::{Value, json};
use stages::desk::Desk;
use stages::log::{DeskKind, Entry, EntryKind, LogId, Step, Stepper};
use stages::output::Output;
use stages::subject::Subjects;
use stages::time::{Span, Time};
use stages::wire::*;
use std::collections::BTreeMap;

/// 16:07 on a Friday.
pub const FRIDAY: Time = Time::from_millis(1_700_237_220_000);

/// A desk with its log.
pub struct Script {
    pub desk: Desk,
    pub now: Time,
    pub outputs: Vec<Output>,
    stepper: Stepper,
    sequence: u64,
    source: u64,
    incidents: u64,
    current: BTreeMap<String, String>,
}

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

impl Script {
    pub fn new() -> Self {
        Self {
            desk: Desk::new(Subjects::default(), 1, FRIDAY),
            now: FRIDAY,
            outputs: Vec::new(),
            stepper: Stepper::new(LogId::Desk, FRIDAY),
            sequence: 0,
            source: 0,
            incidents: 0,
            current: BTreeMap::new(),
        }
    }

    /// The entry the line says, `gap` after the last one.
    pub fn entry(&mut self, gap: Span, line: &str) -> Entry {
        self.now = self.now.plus(gap);
        self.sequence += 1;
        let mut words = line.split_whitespace();
        let verb = words.next().unwrap_or("tick").to_owned();
        let args: Vec<&str> = words.collect();
        let (kind, payload) = self.read(&verb, &args);
        Entry { sequence: self.sequence, time: self.now, kind, payload: Bytes::from(payload) }
    }

    pub fn step_of(&mut self, entry: Entry) -> Step {
        let mut steps = Vec::new();
        self.stepper.push(entry, &mut steps);
        steps.remove(0)
    }

    /// Plays one line; what the desk says to it. `pass` lets the gap pass in ticks of 10 s, so that nothing is blind.
    pub fn play(&mut self, gap: Span, line: &str) -> Vec<Output> {
        if line == "pass" {
            let tick = Span::from_secs(10);
            let ticks = gap.0 / tick.0;
            return (0..ticks).flat_map(|_| self.play(tick, "tick")).collect();
        }
        let entry = self.entry(gap, line);
        let step = self.step_of(entry);
        let outputs = self.desk.step(&step);
        self.outputs.extend(outputs.iter().cloned());
        outputs
    }

    fn read(&mut self, verb: &str, args: &[&str]) -> (EntryKind, Vec<u8>) {
        let incident = || self.current.get("county_api").cloned().unwrap_or_default();
        let desk = |kind, body: Value| (EntryKind::Desk(kind), body.to_string().into_bytes());
        match verb {
            "tick" => (EntryKind::Tick, Vec::new()),
            "settings" => (EntryKind::Settings, json!(settings(args)).to_string().into_bytes()),
            "pending" | "fire" | "firing" | "recovering" | "ok" | "gone" | "breach_again"
            | "worse" | "no_data" | "flaps" | "vanished" | "group_gone" => {
                self.transition(verb, args)
            }
            "claimed" | "started" | "ended" | "cancelled" | "expired" => self.ledger(verb, args),
            "foreign_claim" => self.foreign_claim(args),
            "status" => self.status(args),
            "verified" => self.verified(args),
            "gap" => self.gap(args),
            "ack" => {
                desk(DeskKind::Ack, json!({"schema": 1, "incident": incident(), "author": args[0]}))
            }
            "close" => desk(
                DeskKind::Close,
                json!({"schema": 1, "incident": incident(), "author": args[0], "comment": "done"}),
            ),
            "approve" | "deny" => desk(
                DeskKind::Approve,
                json!({"schema": 1, "incident": incident(), "author": args[0], "approved": verb == "approve"}),
            ),
            "change" => desk(
                DeskKind::Change,
                json!({"schema": 1, "target": args[0], "revision": args[1], "author": "deploy"}),
            ),
            "freeze" | "thaw" => desk(
                DeskKind::Freeze,
                json!({"schema": 1, "frozen": verb == "freeze", "author": args[0]}),
            ),
            "unlock" => desk(
                DeskKind::Unlock,
                json!({"schema": 1, "plan": option(args, "plan").unwrap_or("DOCKET_RULE"),
                    "author": option(args, "by").unwrap_or_default(),
                    "comment": option(args, "because").unwrap_or_default()}),
            ),
            "silence" => {
                let ends = self.now.plus(Span::parse(option(args, "for").unwrap_or("1h")).unwrap());
                let rule = option(args, "rule").unwrap_or("county_api");
                desk(
                    DeskKind::Silence,
                    json!({"schema": 1, "id": "s1", "author": "anna", "comment": "works",
                        "matchers": {"rule": rule}, "ends": ends, "actions": args.contains(&"actions")}),
                )
            }
            "raw" => {
                let kind = match args[0] {
                    "silence" => EntryKind::Desk(DeskKind::Silence),
                    "outcome" => EntryKind::Desk(DeskKind::Outcome),
                    "settings" => EntryKind::Settings,
                    _ => EntryKind::Desk(DeskKind::Transition),
                };
                (kind, args[1..].join(" ").into_bytes())
            }
            other => panic!("no verb {other:?}"),
        }
    }

    fn transition(&mut self, verb: &str, args: &[&str]) -> (EntryKind, Vec<u8>) {
        let rule = args[0].to_owned();
        let group: BTreeMap<String, String> = option(args, "group")
            .map(|value| BTreeMap::from([("region".to_owned(), value.to_owned())]))
            .unwrap_or_default();
        let name = format!("{rule}{}", option(args, "group").unwrap_or_default());
        let (from, to, cause) = match verb {
            "pending" => (Axis::Ok, Axis::Pending, Cause::Breach),
            "fire" => (Axis::Pending, Axis::Firing, Cause::Held),
            "firing" => (Axis::Firing, Axis::Firing, Cause::Data),
            "recovering" => (Axis::Firing, Axis::Recovering, Cause::Recovered),
            "gone" => (Axis::Firing, Axis::Ok, Cause::RuleRemoved),
            "breach_again" => (Axis::Recovering, Axis::Firing, Cause::BreachAgain),
            "worse" => (Axis::Firing, Axis::Firing, Cause::Severity),
            "no_data" => (Axis::Firing, Axis::Firing, Cause::NoData),
            "flaps" => (Axis::Firing, Axis::Firing, Cause::Flapping),
            "vanished" => (Axis::Firing, Axis::Unknown, Cause::Retired),
            "group_gone" => (Axis::Firing, Axis::Unknown, Cause::RuleChanged),
            _ => (Axis::Firing, Axis::Ok, Cause::StayedRecovered),
        };
        if verb == "fire" && !args.contains(&"again") {
            self.incidents += 1;
            self.current.insert(name.clone(), format!("inc{}", self.incidents));
        }
        let number =
            |name: &str, default: f64| option(args, name).map_or(default, |it| it.parse().unwrap());
        let level = number("level", 1580.0);
        let age = Span::parse(option(args, "age").unwrap_or("0s")).unwrap();
        let evidence = Evidence {
            value: Some(number("value", 1002.0)),
            level: Some(level),
            threshold: 1000.0,
            count: number("samples", 570.0) as u64,
            panes: 19,
            panes_filled: number("panes", 19.0) as u32,
            ..Evidence::default()
        };
        let data = match option(args, "data") {
            Some("stale") => DataFlag::Stale,
            Some("none") => DataFlag::NoData,
            _ if verb == "no_data" => DataFlag::NoData,
            _ if verb == "vanished" => DataFlag::MissingSeries,
            _ => DataFlag::Fresh,
        };
        let transition = Transition {
            at_desk: false,
            schema: 1,
            shard: 0,
            position: self.source,
            time: self.now.minus(age),
            rule,
            group,
            severity: option(args, "severity").unwrap_or("critical").to_owned(),
            from,
            to,
            cause,
            data,
            flapping: verb == "flaps" || args.contains(&"flapping"),
            shadow: args.contains(&"shadow"),
            incident: self.current.get(&name).cloned(),
            evidence,
        };
        let body = json!(ShardEvent::Transition(Box::new(transition)));
        self.relayed(DeskKind::Transition, "ops.transition.0".to_owned(), body, Span::ZERO, args)
    }

    fn ledger(&mut self, verb: &str, args: &[&str]) -> (EntryKind, Vec<u8>) {
        let incident = self.current.get("county_api").cloned().unwrap_or_default();
        let state = match verb {
            "claimed" => json!({"state": "claimed"}),
            "started" => json!({"state": "started", "fence": 7}),
            "ended" => {
                json!({"state": "ended", "outcome": args[0], "exit_code": option(args, "exit").map(|it| it.parse::<i32>().unwrap()),
                    "cause": option(args, "cause")})
            }
            other => json!({"state": other}),
        };
        let body = json!({"schema": 1, "plan": "DOCKET_RULE", "incident": incident, "holder": "agent-1", "state": state});
        let subject = Subjects::default().ledger("DOCKET_RULE", &incident);
        let ago = Span::parse(option(args, "ago").unwrap_or("0s")).unwrap();
        self.relayed(DeskKind::Outcome, subject, body, ago, args)
    }

    /// A record of somebody else's making on the ledger.
    fn foreign_claim(&mut self, args: &[&str]) -> (EntryKind, Vec<u8>) {
        let incident = self.current.get("county_api").cloned().unwrap_or_default();
        let body = serde_json::from_str(args[0]).unwrap();
        let subject = Subjects::default().ledger("DOCKET_RULE", &incident);
        let ago = Span::parse(option(args, "ago").unwrap_or("0s")).unwrap();
        self.relayed(DeskKind::Outcome, subject, body, ago, args)
    }

    fn status(&mut self, args: &[&str]) -> (EntryKind, Vec<u8>) {
        let incident = self.current.get("county_api").cloned().unwrap_or_default();
        let mut body = json!({"schema": 1, "plan": "DOCKET_RULE", "incident": incident, "agent": "agent-1",
            "state": args[0], "detail": option(args, "detail"), "exit_code": option(args, "exit").map(|it| it.parse::<i32>().unwrap())});
        if let Some(cause) = option(args, "cause") {
            body["cause"] = json!(cause);
        }
        let subject = "ops.status.rollback.DOCKET_RULE".to_owned();
        self.relayed(DeskKind::Outcome, subject, body, Span::ZERO, args)
    }

    fn verified(&mut self, args: &[&str]) -> (EntryKind, Vec<u8>) {
        let level = option(args, "level").map(|level| level.parse::<f64>().unwrap());
        let evidence = Evidence { level, value: level, count: 120, ..Evidence::default() };
        let body = json!({"type": "verified", "schema": 1, "plan": "DOCKET_RULE", "verdict": args[0],
            "incident": self.current.get("county_api"), "time": self.now, "position": 1, "evidence": evidence});
        self.relayed(DeskKind::Transition, "ops.transition.0".to_owned(), body, Span::ZERO, args)
    }

    /// A shard's hole, `began` and `ended` so long ago; `lost`: entries are gone with it.
    fn gap(&mut self, args: &[&str]) -> (EntryKind, Vec<u8>) {
        let at =
            |name: &str| self.now.minus(Span::parse(option(args, name).unwrap_or("0s")).unwrap());
        let (from, to) = (at("began"), at("ended"));
        let lost = args.contains(&"lost").then_some((7, 9));
        let gap = DataGap { schema: 1, from, to, length: to.since(from), position: 0, lost };
        let subject = format!("ops.transition.{}", option(args, "shard").unwrap_or("0"));
        let body = json!(ShardEvent::DataGap(gap));
        self.relayed(DeskKind::Transition, subject, body, Span::ZERO, args)
    }

    fn relayed(
        &mut self,
        kind: DeskKind,
        subject: String,
        body: Value,
        ago: Span,
        args: &[&str],
    ) -> (EntryKind, Vec<u8>) {
        if !args.contains(&"repeated") {
            self.source += 1;
        }
        let stream = if kind == DeskKind::Transition { "events" } else { "outcomes" }.to_owned();
        let source = Source { stream, sequence: self.source, time: self.now.minus(ago) };
        let relayed = Relayed { schema: 1, source, subject, body };
        (EntryKind::Desk(kind), serde_json::to_vec(&relayed).unwrap())
    }
}

fn option<'a>(args: &[&'a str], name: &str) -> Option<&'a str> {
    args.iter().find_map(|arg| arg.strip_prefix(name)?.strip_prefix('='))
}

/// An output as one line.
pub fn line(output: &Output) -> String {
    let subject = output.subject.strip_prefix("ops.").unwrap();
    let body: Value = serde_json::from_slice(&output.payload).unwrap();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let mut parts = vec![subject.to_owned()];
    if subject.starts_with("alert.") {
        parts.extend(body["incident"].as_str().map(str::to_owned));
        parts.extend(body["level"].as_f64().map(|level| format!("level={level}")));
    }
    if subject.starts_with("notify.") {
        parts.push(format!("[{}] {}", text("reason"), text("summary")));
        let ends = !body["ended"].is_null() && body["reason"] != "resolved";
        parts.extend(ends.then(|| "(ends)".to_owned()));
        parts.extend(body["action"].as_str().map(|action| format!("({action})")));
        let text = body["annotations"]["summary"].as_str();
        parts.extend(text.map(|text| format!("'{text}'")));
        parts.extend(body["action_detail"].as_str().map(|detail| format!("({detail})")));
    }
    if subject.ends_with(".command") {
        parts.push(format!(
            "{} {} not_after={}",
            text("incident"),
            text("script"),
            clock(&text("not_after"))
        ));
        parts.extend(body["from_revision"].as_str().map(|it| format!("from_revision={it}")));
    }
    if subject.ends_with(".withdraw") {
        parts.push(text("kind"));
    }
    if subject.starts_with("request.") {
        parts.push(format!(
            "{} from={} until={}",
            text("rule"),
            clock(&text("from")),
            clock(&text("until"))
        ));
    }
    if subject.starts_with("rollback.") {
        parts.extend(body["cause"].as_str().map(|cause| format!("cause={cause}")));
    }
    if !subject.starts_with("notify.") {
        parts.extend(body["why"].as_str().map(|why| format!("why={why}")));
        parts.extend(body["untold"].as_str().map(|why| format!("untold={why}")));
        parts.extend(body["detail"].as_str().map(|detail| format!("\"{detail}\"")));
    }
    parts.join(" ")
}

fn clock(stamp: &str) -> String {
    stamp.get(11..23).unwrap_or_default().to_owned()
}
