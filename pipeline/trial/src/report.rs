//! The results of many tests: run in parallel, told to people, to machines, and as JUnit XML to build servers.

use crate::case::{Difference, Verdict, check};
use crate::found::Found;
use serde_json::{Value, json};
use settings::cases::{Case, CaseFile, Expected};
use stages::settings::Settings;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A test that was run.
#[derive(Debug)]
pub struct Run<'a> {
    /// Its file.
    pub file: &'a str,
    /// The test.
    pub case: &'a Case,
    /// What became of it; the text of an error where it has no result.
    pub verdict: Result<Verdict, String>,
    /// How long it took.
    pub took: Duration,
}

impl Run<'_> {
    /// Whether it passed.
    pub fn passed(&self) -> bool {
        self.verdict.as_ref().is_ok_and(Verdict::passed)
    }
}

/// Runs all tests of all files, as many at a time as there are processors; results in the order written.
pub fn run_all<'a>(files: &'a [CaseFile], settings: &Settings) -> Vec<Run<'a>> {
    let cases: Vec<(&CaseFile, &Case)> =
        files.iter().flat_map(|file| file.cases.iter().map(move |case| (file, case))).collect();
    let workers =
        std::thread::available_parallelism().map_or(1, usize::from).min(cases.len().max(1));
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some((file, case)) = cases.get(at) else { return };
                    let began = Instant::now();
                    let verdict = verdict(case, file.settings.as_ref().unwrap_or(settings));
                    let run = Run { file: &file.file, case, verdict, took: began.elapsed() };
                    done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((at, run));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, run)| run).collect()
}

fn verdict(case: &Case, settings: &Settings) -> Result<Verdict, String> {
    if !case.not_run.is_empty() && case.expect.iter().all(|(_, rows)| rows.is_empty()) {
        return Err("nothing that is expected in it can be run".to_owned());
    }
    check(case, settings).map_err(|error| error.to_string())
}

/// A test as people read it: one line, and the difference below it where it failed.
pub fn text(run: &Run<'_>) -> String {
    let (name, millis) = (&run.case.name, run.took.as_millis());
    let mut text = match &run.verdict {
        Ok(verdict) if verdict.passed() => format!("ok    {}: {name} ({millis} ms)\n", run.file),
        _ => format!("FAIL  {}: {name}\n", run.case.place),
    };
    text.push_str(&detail(run));
    for why in &run.case.not_run {
        let _ = writeln!(text, "      not run: {why}");
    }
    text
}

/// What is wrong with a test, in lines; empty where nothing is.
pub fn detail(run: &Run<'_>) -> String {
    let mut text = String::new();
    match &run.verdict {
        Err(why) => {
            let _ = writeln!(text, "      {why}");
        }
        Ok(verdict) => {
            for difference in &verdict.differences {
                text.push_str(&lines(difference));
            }
            if !verdict.passed() {
                for note in &verdict.notes {
                    let _ = writeln!(text, "      note: {note}");
                }
            }
        }
    }
    text
}

/// The lines of one list in order of time: as expected, missing, surplus.
fn lines(difference: &Difference) -> String {
    let Difference { about, missing, surplus, same } = difference;
    let mut all = Vec::new();
    all.extend(same.iter().map(|found| (found.at, format!("        {}", shown(found)))));
    for one in missing {
        let expected = &one.expected;
        let place = &expected.place;
        let mut line = format!("      - {}   (expected at {place})", wanted(expected));
        if let Some(found) = &one.instead {
            let _ = write!(line, "\n      + {}", shown(found));
        }
        all.push((expected.at.0, line));
    }
    all.extend(
        surplus
            .iter()
            .map(|found| (found.at, format!("      + {}   (not expected)", shown(found)))),
    );
    all.sort_by_key(|(at, _)| *at);
    let mut text = format!("    {}: - expected, + found\n", about.name());
    for (_, line) in all {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

fn shown(found: &Found) -> String {
    format!("{} {}", found.at, pairs(&found.fields))
}

fn wanted(expected: &Expected) -> String {
    let (from, to) = expected.at;
    let at = if from == to { from.to_string() } else { format!("{from}..{to}") };
    format!("{at} {}", pairs(&expected.fields))
}

fn pairs(fields: &[(&'static str, String)]) -> String {
    let said = fields.iter().filter(|(_, text)| !text.is_empty());
    // What has quotes of its own is told apart by them.
    let quoted = |text: &str| {
        if text.contains(' ') && !text.contains('"') {
            format!("{text:?}")
        } else {
            text.to_owned()
        }
    };
    said.map(|(name, text)| format!("{name}={}", quoted(text))).collect::<Vec<_>>().join(" ")
}

/// All tests as JSON: `{"passed": n, "failed": n, "tests": [...]}`.
pub fn as_json(runs: &[Run<'_>]) -> Value {
    let failed = runs.iter().filter(|run| !run.passed()).count();
    let tests: Vec<Value> = runs.iter().map(one_as_json).collect();
    json!({ "passed": runs.len() - failed, "failed": failed, "tests": tests })
}

fn one_as_json(run: &Run<'_>) -> Value {
    let fields = |fields: &[(&'static str, String)]| -> serde_json::Map<String, Value> {
        fields.iter().map(|(name, text)| ((*name).to_owned(), json!(text))).collect()
    };
    let found = |one: &Found| json!({ "at": one.at, "fields": fields(&one.fields) });
    let expected = |one: &Expected| json!({ "place": one.place.to_string(), "at": [one.at.0, one.at.1], "fields": fields(&one.fields) });
    let differences: Vec<Value> = run.verdict.iter().flat_map(|verdict| &verdict.differences).map(|one| {
        let missing: Vec<Value> = one.missing.iter().map(|missing| {
            json!({ "expected": expected(&missing.expected), "found": missing.instead.as_ref().map(found) })
        }).collect();
        json!({ "about": one.about.name(), "missing": missing, "surplus": one.surplus.iter().map(found).collect::<Vec<_>>() })
    }).collect();
    json!({
        "file": run.file,
        "place": run.case.place.to_string(),
        "name": run.case.name,
        "passed": run.passed(),
        "seconds": run.took.as_secs_f64(),
        "error": run.verdict.as_ref().err(),
        "differences": differences,
        "not_run": run.case.not_run,
        "notes": run.verdict.as_ref().map(|verdict| verdict.notes.clone()).unwrap_or_default(),
    })
}

/// All tests as JUnit XML, a suite for each file.
pub fn junit(runs: &[Run<'_>]) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let seconds = |runs: &[&Run<'_>]| runs.iter().map(|run| run.took.as_secs_f64()).sum::<f64>();
    let failures = |runs: &[&Run<'_>]| runs.iter().filter(|run| !run.passed()).count();
    let all: Vec<&Run<'_>> = runs.iter().collect();
    let (tests, failed, time) = (all.len(), failures(&all), seconds(&all));
    let _ = writeln!(
        xml,
        "<testsuites name=\"rules\" tests=\"{tests}\" failures=\"{failed}\" time=\"{time:.3}\">"
    );
    for suite in all.chunk_by(|one, other| one.file == other.file) {
        let (file, tests, failed, time) =
            (escaped(suite[0].file), suite.len(), failures(suite), seconds(suite));
        let _ = writeln!(
            xml,
            "  <testsuite name=\"{file}\" tests=\"{tests}\" failures=\"{failed}\" errors=\"0\" skipped=\"0\" time=\"{time:.3}\">"
        );
        for run in suite {
            let (name, time) = (escaped(&run.case.name), run.took.as_secs_f64());
            let _ = write!(
                xml,
                "    <testcase classname=\"{file}\" name=\"{name}\" time=\"{time:.3}\""
            );
            if run.passed() && run.case.not_run.is_empty() {
                xml.push_str("/>\n");
                continue;
            }
            xml.push_str(">\n");
            if !run.passed() {
                let place = escaped(&run.case.place.to_string());
                let detail = escaped(&detail(run));
                let _ = writeln!(xml, "      <failure message=\"{place}\">{detail}</failure>");
            }
            if !run.case.not_run.is_empty() {
                let left = escaped(&run.case.not_run.join("\n"));
                let _ = writeln!(xml, "      <system-out>not run: {left}</system-out>");
            }
            xml.push_str("    </testcase>\n");
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

/// Text of an XML attribute or element; characters XML does not know become `?`.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('?'),
            c => out.push(c),
        }
    }
    out
}
