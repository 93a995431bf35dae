//! Settings as a line of a script says them: the brief's, with options.

use super::option;
use stages::calendar::{Active, Calendar, Clock, Day};
use stages::settings::*;
use stages::time::Span;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The settings of the brief, with options: `approve`, `dry_run`, `unless=..`, `changed_within=..`, `burst=..`,
/// `repeat=..`, `reopen=..`, `cooldown=..`, `lock=..`, `hourly=..`, `receivers=..` of
/// `shadow`, `hours=08:00-18:00`, `channel=..`, `fallback=..`, `notify=..`, `text=..` (an annotation, `_` for blanks), `no_plan`, `off`,
/// `severity=..`, `grades` (warning at 500, critical at 1000) with `acts=..`.
pub fn settings(args: &[&str]) -> Settings {
    let span =
        |name: &str, default: &str| Span::parse(option(args, name).unwrap_or(default)).unwrap();
    let number =
        |name: &str, default: u32| option(args, name).map_or(default, |it| it.parse().unwrap());
    let budget = Budget {
        burst: number("burst", 20),
        refill: Span::from_secs(60),
        reserve: number("reserve", 2),
        digest_every: Span::from_secs(300),
    };
    let receiver = |name: &str, channel: &str| {
        let (name, channels) = (name.to_owned(), vec![channel.to_owned()]);
        Arc::new(Receiver { name, channels, budget })
    };
    let channel = option(args, "channel").unwrap_or("webhook");
    let mut receivers = vec![receiver("fallback", option(args, "fallback").unwrap_or("email"))];
    let mut notify = Vec::new();
    match option(args, "receivers") {
        Some(count) => {
            for number in 0..count.parse::<u32>().unwrap() {
                receivers.push(receiver(&format!("r{number}"), channel));
                notify.push(format!("r{number}"));
            }
        }
        None => {
            receivers.push(receiver("oncall@opm.gov", "email"));
            receivers.push(receiver("pager_duty", "pager_duty"));
            notify.extend(["oncall@opm.gov".to_owned(), "pager_duty".to_owned()]);
        }
    }
    if let Some(only) = option(args, "notify") {
        notify = vec![only.to_owned()];
    }
    let rule = county_rule(args, &notify);
    let site = self::rule("county_site", "county_site_up", &[]);
    let mut rules = vec![Arc::new(rule), Arc::new(site)];
    if args.contains(&"no_rule") {
        rules.remove(0);
    }
    let plan = plan(span("cooldown", "30m"), number("lock", 2));
    Settings {
        schema: 1,
        part: None,
        revision: "r1".into(),
        author: "anna".into(),
        comment: "test".into(),
        rules,
        plans: if args.contains(&"no_plan") { vec![] } else { vec![Arc::new(plan)] },
        receivers,
        fallback_receiver: Some("fallback".into()),
        limits: Limits {
            rollbacks_per_hour: number("hourly", 10),
            actions_enabled: !args.contains(&"off"),
            ..Limits::default()
        },
        calendars: option(args, "hours").map(office).into_iter().collect(),
    }
}

/// The brief's rule, as these options change it.
fn county_rule(args: &[&str], notify: &[String]) -> Rule {
    let span =
        |name: &str, default: &str| Span::parse(option(args, name).unwrap_or(default)).unwrap();
    let mut rule = rule("county_api", "county_api_ms", notify);
    if args.contains(&"shadow") {
        rule.mode = Mode::Shadow;
    }
    rule.hours = option(args, "hours").map(|_| "office".to_owned());
    rule.severity = option(args, "severity").unwrap_or("critical").to_owned();
    if args.contains(&"grades") {
        let grade = |severity: &str, bound| Grade { severity: severity.to_owned(), bound };
        (rule.severity, rule.threshold) = ("warning".to_owned(), 500.0);
        rule.grades = vec![grade("warning", 500.0), grade("critical", 1000.0)];
        rule.action_severity = option(args, "acts").map(str::to_owned);
    }
    if let Some(text) = option(args, "text") {
        rule.annotations.insert("summary".into(), text.replace('_', " "));
    }
    rule.repeat = span("repeat", "4h");
    rule.reopen_within = span("reopen", "0s");
    rule.action = Some(Action::Rollback("DOCKET_RULE".to_owned()));
    rule.guards = Guards {
        changed_within: option(args, "changed_within").map(|it| Span::parse(it).unwrap()),
        unless: option(args, "unless").map(str::to_owned),
        approve: args.contains(&"approve"),
        dry_run: args.contains(&"dry_run"),
    };
    rule
}

/// `08:00-18:00`, every day in UTC.
fn office(hours: &str) -> Arc<Calendar> {
    let (from, to) = hours.split_once('-').unwrap();
    let [from, to] = [from, to].map(|clock| Clock::parse(clock).unwrap());
    let active = vec![Active { days: Day::ALL.to_vec(), from, to }];
    Arc::new(Calendar { name: "office".into(), zone: "UTC".into(), active, holidays: vec![] })
}

fn plan(cooldown: Span, lock_after: u32) -> Plan {
    Plan {
        name: "DOCKET_RULE".into(),
        script: "rollback_docket_rule.sh".into(),
        target: "docket_rule".into(),
        timeout: Span::from_secs(60),
        cooldown,
        lock_after: Some(lock_after),
        lock_window: Span::from_secs(86_400),
        not_after: Span::from_secs(120),
        approval_expires: Span::from_secs(600),
        idempotent: false,
        verify: Verify {
            settle: Span::from_secs(5),
            hold: Span::from_secs(10),
            within: Span::from_secs(300),
            min_samples: 10,
        },
    }
}

/// The brief's rule, without its action.
pub fn rule(name: &str, metric: &str, notify: &[String]) -> Rule {
    Rule {
        name: name.to_owned(),
        metric: metric.to_owned(),
        matchers: Vec::new(),
        any_of: Vec::new(),
        group_by: vec![],
        stat: Stat::Mean,
        compare: Compare::Greater,
        threshold: 1000.0,
        share: None,
        window: Span::from_secs(180),
        hold: Span::ZERO,
        recover: None,
        keep_firing_for: Span::ZERO,
        reopen_within: Span::ZERO,
        min_samples: 1,
        fresh_for: Span::from_secs(60),
        gap_tolerance: Span::from_secs(60),
        no_data: NoData::Keep,
        keep_max: Span::from_secs(900),
        absent: None,
        flap_window: Span::from_secs(3600),
        severity: "critical".into(),
        grades: Vec::new(),
        action_severity: None,
        unit: None,
        action: None,
        action_min_samples: 10,
        guards: Guards::default(),
        runbook: Some("wiki/slow-county-api".into()),
        notify: notify.to_vec(),
        repeat: Span::from_secs(4 * 3600),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        mode: Mode::Live,
        hours: None,
    }
}
