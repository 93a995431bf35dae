//! A log in memory and files in a folder, each with the same hours of a hundred series, and what playing them takes.

use crate::support::from_env;
use crate::support::load::{self, Values};
use crate::support::process::own_cpu;
use crate::support::table::{Goal, Table, short};
use bus::layout::Layout;
use bus::memory::MemoryBus;
use bus::{Outgoing, SharedBus};
use bytes::Bytes;
use stages::log::LogId;
use stages::settings::{Settings, Stat};
use stages::subject::Subjects;
use stages::time::{Span, Time};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use trial::Setup;
use trial::backtest::retained::Retained;
use trial::backtest::{Backtest, Variant};
use trial::input::Samples;

const START: Time = Time::from_millis(1_794_819_600_000);
/// Series of one metric; each sends ten samples a second, and an entry holds a second of all.
const SERIES: usize = 100;
const EACH: usize = 10;

/// A name that every form can write.
const NAME: &str = "county_api_ms";

/// What one way took.
struct Took {
    samples: u64,
    wall: f64,
    cpu: f64,
}

/// A rule that would have fired now and then.
fn backtest(setup: Setup) -> Backtest {
    let rule = load::rule("rule", NAME, Stat::Mean, Span::from_secs(180));
    let settings = Settings {
        revision: "tried".to_owned(),
        rules: vec![Arc::new(rule)],
        ..Settings::default()
    };
    Backtest::new(setup, vec![Variant { label: "as written".to_owned(), settings }])
}

fn key(series: usize) -> String {
    format!("{}\u{1f}host\u{1e}app-{series:02}", NAME)
}

/// Value of a sample: slow for one minute of ten.
fn value(values: &mut Values, second: i64) -> f64 {
    let usual = values.next_ms();
    if second / 60 % 10 == 9 { usual * 40.0 } else { usual }
}

/// All ways.
pub fn all(table: &mut Table) {
    let seconds = from_env("OPS_BENCH_SECONDS", 3_600) as i64;
    let runtime = tokio::runtime::Runtime::new().expect("threads start");
    let took = runtime.block_on(log(seconds));
    row(table, "the collector's entries in a log", &took);
    let folder = tempfile::tempdir().expect("a folder for a moment");
    let forms: [(&str, Write); 4] = [
        ("CSV", csv),
        ("JSON lines", json),
        ("Prometheus text", text),
        ("promtool tsdb dump", dump),
    ];
    for (name, write) in forms {
        let path = folder.path().join("samples");
        std::fs::write(&path, file(seconds, name, write)).expect("room on the disk");
        row(table, &format!("a file of {name}"), &of_file(&path));
    }
}

fn row(table: &mut Table, name: &str, took: &Took) {
    let Took { samples, wall, cpu } = took;
    let text = format!("{samples} samples in {} s, {} s of CPU", short(*wall), short(*cpu));
    let figure = (*samples as f64 / wall / 1e6, "M samples/s");
    table.goal(format!("backtest over {name}"), figure, Goal::AtLeast(1.0), text);
}

async fn log(seconds: i64) -> Took {
    let memory = MemoryBus::manual_time(Layout::default(), START);
    let bus: SharedBus = Arc::new(memory.clone());
    bus.ensure(1).await.expect("streams are made");
    let subject = Subjects::default().entry(LogId::Shard(0), "batch");
    let (keys, mut values): (Vec<String>, _) = ((0..SERIES).map(key).collect(), Values::new(1));
    for second in 0..seconds {
        let now = START.plus(Span::from_secs(second));
        memory.set_time(now);
        let mut next = |_| value(&mut values, second);
        let payload = load::batch(&keys, 0..SERIES, EACH, Some(now), &mut next);
        let (message_id, expect, keep_forever) = (None, None, false);
        let sent = Outgoing { subject: subject.clone(), payload, message_id, expect, keep_forever };
        bus.publish(sent).await.expect("it is stored");
    }
    let (began, cpu) = (Instant::now(), own_cpu());
    let span = (START, START.plus(Span::from_secs(seconds)));
    let subjects = Subjects::default();
    let retained = Retained { bus, subjects: subjects.clone(), shards: 1, span };
    let created = retained.created().await.expect("the bus answers");
    let setup = Setup { subjects, created, shards: 1, keep: false, stored: true };
    let mut backtest = backtest(setup);
    retained.play(&mut backtest, &mut |_, _, _| ()).await.expect("the stages hold");
    ended(backtest, (began, cpu))
}

fn of_file(path: &Path) -> Took {
    let (began, cpu) = (Instant::now(), own_cpu());
    let samples = Samples::read(path).expect("the file is as it should be");
    let mut backtest = backtest(Setup::at(samples.span().unwrap_or_default().0));
    let played = samples.each(|time, batch, _| backtest.samples(time, Bytes::from(batch)));
    played.expect("the stages hold");
    ended(backtest, (began, cpu))
}

fn ended(backtest: Backtest, (began, cpu): (Instant, std::time::Duration)) -> Took {
    let samples = backtest.counted().0;
    let seen = backtest.finish(START);
    let (wall, cpu) = (began.elapsed().as_secs_f64(), (own_cpu() - cpu).as_secs_f64());
    assert!(!seen[0].incidents.is_empty(), "the slow minutes are found");
    Took { samples, wall, cpu }
}

/// Appends a sample in one form.
type Write = fn(&mut String, &Line);

/// One sample of a file.
struct Line {
    series: usize,
    /// Milliseconds.
    time: i64,
    value: f64,
}

/// The hours as a file of one form, in order of time.
fn file(seconds: i64, form: &str, write: Write) -> String {
    let mut text = String::from(if form == "CSV" { "ts,name,val,host\n" } else { "" });
    let mut values = Values::new(1);
    for second in 0..seconds {
        for tenth in 0..EACH as i64 {
            let time = START.as_millis() + second * 1_000 + tenth * 100;
            for series in 0..SERIES {
                let value = value(&mut values, second);
                write(&mut text, &Line { series, time, value });
            }
        }
    }
    text
}

fn csv(text: &mut String, line: &Line) {
    let Line { series, time, value } = line;
    let _ = writeln!(text, "{time},{},{value},app-{series:02}", NAME);
}

fn json(text: &mut String, line: &Line) {
    let Line { series, time, value } = line;
    let _ = writeln!(
        text,
        "{{\"name\":\"{NAME}\",\"labels\":{{\"host\":\"app-{series:02}\"}},\"ts\":{time},\"val\":{value}}}"
    );
}

fn text(text: &mut String, line: &Line) {
    let Line { series, time, value } = line;
    let _ = writeln!(text, "{}{{host=\"app-{series:02}\"}} {value} {time}", NAME);
}

fn dump(text: &mut String, line: &Line) {
    let Line { series, time, value } = line;
    let _ = writeln!(text, "{{__name__=\"{NAME}\", host=\"app-{series:02}\"}} {value} {time}");
}
