//! Scripts of a trial: lines of what happens, played, and everything that is said as lines.

mod again;
mod lines;
mod posted;

use bytes::Bytes;
use lines::said;
use serde_json::{Value, json};
use settings::Layout;
use settings::cases::parse_selector;
use stages::batch::{Frame, Kind};
use stages::log::{DeskKind, Entry, EntryKind, LogId};
use stages::series::series_key;
use stages::settings::Settings;
use stages::time::{Span, Time};
use stages::wire::AlertState;
use std::path::{Path, PathBuf};
use trial::{Said, Setup, Spoken, Trial};

/// A Monday at midnight.
const START: &str = "2026-01-05T00:00:00Z";

const OFFICE: &str = "calendars:\n  office: {zone: America/New_York, active: [{days: mon-fri, from: \"08:00\", to: \"18:00\"}]}\n";
const ROSTER: &str = "people:\n  oncall@opm.gov: {name: On-call}\n";
const RECEIVERS: &str = "fallback: oncall@opm.gov\nreceivers:\n  pager:\n    channels: [{kind: pager_duty, key_env: KEY}]\n";

/// A test for each script of a folder beside this one, by the script's name, and one that none of them is forgotten.
macro_rules! scripts {
    ($folder:literal, $all:ident: $($name:ident)*) => {
        $(#[test] fn $name() { scripts::golden($folder, concat!(stringify!($name), ".txt")); })*

        #[test]
        fn $all() {
            scripts::are_all_of($folder, &mut [$(concat!(stringify!($name), ".txt")),*]);
        }
    };
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

/// Plays a script and holds what is said against what stands below it.
#[track_caller]
pub fn golden(of: &str, name: &str) {
    let path = folder(of).join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    let (script, expected) = text.split_once("---\n").expect("a line --- before what is expected");
    let said = played(script);
    if std::env::var_os("OPS_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, format!("{script}---\n{said}")).unwrap();
        return;
    }
    assert!(said == expected, "{name}: other than written:\n{said}");
}

pub fn are_all_of(of: &str, played: &mut [&str]) {
    let names = std::fs::read_dir(folder(of)).unwrap();
    let mut there: Vec<String> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    there.sort();
    played.sort_unstable();
    assert_eq!(there, played);
}

/// The settings that hold a file of rules.
fn settings_of(rules: &str, limit: Option<&str>) -> Settings {
    let folder = tempfile::tempdir().unwrap();
    let limits =
        limit.map_or(String::new(), |limit| format!("limits: {{series_per_metric: {limit}}}\n"));
    for (path, text) in [
        ("alerts/rules.yml", rules.to_owned()),
        ("config/ops.yml", format!("workers: 1\n{limits}")),
        ("config/roster.yml", ROSTER.to_owned()),
        ("config/receivers.yml", RECEIVERS.to_owned()),
        ("config/calendars.yml", OFFICE.to_owned()),
    ] {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    std::fs::create_dir_all(folder.path().join("deploy/plans")).unwrap();
    let loaded = settings::load_with(&Layout::at(folder.path()), |_| None);
    loaded.unwrap_or_else(|problems| panic!("{problems}")).settings
}

/// Rules of Prometheus as our file of rules; each of their series is judged by these labels.
fn imported(rules: &str, labels: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.yml");
    std::fs::write(&path, format!("groups:\n- name: g\n  interval: 30s\n  rules:\n{rules}"))
        .unwrap();
    let labels: Vec<String> = labels.split_whitespace().map(str::to_owned).collect();
    let import = settings::import_prometheus(&path, Some(&labels));
    let import = import.unwrap_or_else(|problems| panic!("{problems}"));
    assert!(import.refused.is_empty(), "{:?}", import.refused);
    // Imported rules tell nobody before somebody says whom.
    import.text.replace("\n- name:", "\n- notify: oncall@opm.gov\n  name:")
}

/// Plays a script; all that is said.
fn played(script: &str) -> String {
    let mut play = Play::new(script);
    let mut lines = script.lines().filter(|line| !line.trim_start().starts_with('#')).peekable();
    while let Some(line) = lines.next().map(str::trim_end) {
        let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words: Vec<&str> = rest.split_whitespace().collect();
        let ours = first == "rules" || rest == "rules";
        if ours || first == "prometheus" || words.first() == Some(&"prometheus") {
            let mut rules = String::new();
            while let Some(line) = lines.next_if(|line| line.starts_with(' ')) {
                rules.push_str(line);
                rules.push('\n');
            }
            let now = matches!(first, "rules" | "prometheus");
            let at = if now { play.start } else { play.at(first) };
            let rules = match ours {
                true => format!("rules:\n{rules}"),
                false => imported(&rules, rest.trim_start_matches("prometheus")),
            };
            let settings = settings_of(&rules, play.limit.as_deref());
            play.trial.settings(at, &[settings]).unwrap();
            continue;
        }
        if !line.is_empty() && !matches!(first, "start" | "limit" | "posted") {
            play.line(first, rest);
        }
    }
    play.end()
}

struct Play {
    trial: Trial,
    start: Time,
    limit: Option<String>,
    /// Messages are shown as a webhook gets them.
    posted: bool,
    silences: u32,
}

impl Play {
    fn new(script: &str) -> Self {
        let option = |name: &str| {
            script
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .map(|rest| rest.trim().to_owned())
        };
        let start = option("start ").unwrap_or_else(|| START.to_owned());
        let start: Time = serde_json::from_value(json!(start)).unwrap();
        let trial = Trial::new(Setup { keep: true, ..Setup::at(start) });
        let posted = script.lines().any(|line| line == "posted");
        Self { trial, start, limit: option("limit "), posted, silences: 0 }
    }

    fn at(&self, text: &str) -> Time {
        self.start.plus(Span::parse(text).unwrap())
    }

    fn line(&mut self, first: &str, rest: &str) {
        if let Some((from, to)) = first.split_once("..") {
            let (every, sample) =
                rest.strip_prefix("every ").and_then(|rest| rest.split_once(' ')).unwrap();
            let (mut time, to, every) = (self.at(from), self.at(to), Span::parse(every).unwrap());
            let mut number = 0;
            while time < to {
                self.sample(time, sample, number);
                time = time.plus(every);
                number += 1;
            }
            return;
        }
        let time = self.at(first);
        let words: Vec<&str> = rest.split_whitespace().collect();
        match words[..] {
            ["end"] => self.trial.pass(time.plus(Span(1))).unwrap(),
            ["hole", length] => {
                self.trial.hole(time, time.plus(Span::parse(length).unwrap())).unwrap();
            }
            ["silence", rule, "for", length] => {
                self.silences += 1;
                let ends = time.plus(Span::parse(length).unwrap());
                let id = format!("s{}", self.silences);
                self.say(time, DeskKind::Silence, json!({
                    "id": id, "author": "anna", "comment": "works", "matchers": { "rule": rule },
                    "starts": null, "ends": ends, "actions": false,
                }));
            }
            ["ack", rule] => {
                let incident = self.incident(rule, time);
                self.say(
                    time,
                    DeskKind::Ack,
                    json!({ "incident": incident, "author": "anna", "comment": null }),
                );
            }
            ["close", rule] => {
                let incident = self.incident(rule, time);
                self.say(
                    time,
                    DeskKind::Close,
                    json!({ "incident": incident, "author": "anna", "comment": "done" }),
                );
            }
            ["raw", ..] => self.raw(time, &rest["raw ".len()..]),
            _ => self.sample(time, rest, 0),
        }
    }

    fn sample(&mut self, time: Time, text: &str, number: u32) {
        text.split(" ; ").for_each(|one| self.one_sample(time, one, number));
    }

    fn one_sample(&mut self, time: Time, text: &str, number: u32) {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (metric, labels) = parse_selector(words[0]).unwrap();
        let value = match words[1].split_once('+') {
            Some((first, step)) => {
                first.parse::<f64>().unwrap() + step.parse::<f64>().unwrap() * f64::from(number)
            }
            None => words[1].parse().unwrap(),
        };
        let kind = if words.contains(&"counter") { Kind::Counter } else { Kind::Gauge };
        let key = series_key(&metric, &labels);
        let ts = words.iter().find_map(|word| word.strip_prefix("ts="));
        let batch = match ts.map(|ts| (ts.starts_with('-'), Span::parse(&ts[1..]).unwrap())) {
            None => Frame::new(vec![(key, kind)]).write(&[Some(value)]),
            Some((back, span)) => {
                let event = if back { time.minus(span) } else { time.plus(span) };
                stages::batch::TimedFrame::new(&[(key, kind)]).write(&[(event, 0, value)])
            }
        };
        self.trial.samples(time, 0, Bytes::from(batch)).unwrap();
    }

    /// A message as a service publishes it, whatever it says.
    fn raw(&mut self, time: Time, text: &str) {
        self.trial.pass(time).unwrap();
        let sequence = self.trial.kept(LogId::Shard(0)).entries.len() as u64 + 1;
        let kind = EntryKind::Metric(Bytes::from_static(b"county_api_ms"));
        let payload = Bytes::from(text.to_owned());
        self.trial.replay(0, Entry { sequence, time, kind, payload }).unwrap();
    }

    /// The newest incident of a rule.
    fn incident(&mut self, rule: &str, time: Time) -> String {
        self.trial.pass(time).unwrap();
        let fired = self.trial.spoken().iter().rev().find_map(|spoken| match &spoken.said {
            Said::Alert(event) if event.rule == rule && event.state == AlertState::Fired => {
                event.incident.clone()
            }
            _ => None,
        });
        fired.expect("an incident")
    }

    fn say(&mut self, time: Time, kind: DeskKind, mut body: Value) {
        body["schema"] = json!(stages::wire::SCHEMA);
        self.trial.say(time, kind, &Bytes::from(body.to_string())).unwrap();
    }

    fn end(mut self) -> String {
        again::says_the_same(&self.trial, self.start);
        let counters = self.trial.take_counters();
        let line = |spoken: &Spoken| match &spoken.said {
            Said::Message(intent) if self.posted => posted::alert(intent, self.start),
            _ => said(spoken, self.start),
        };
        let mut text: String = self.trial.spoken().iter().map(line).collect();
        if counters.late > 0 {
            text.push_str(&format!("late: {}\n", counters.late));
        }
        for (reason, count) in counters.refused {
            text.push_str(&format!("refused: {reason} {count}\n"));
        }
        text
    }
}
