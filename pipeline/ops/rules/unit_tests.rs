//! `ops rules test`: plays the tests beside the rules, offline.

use crate::cli::{Format, TestOptions};
use crate::exit::{Failure, Kind};
use crate::load;
use settings::cases::load_cases;
use trial::report::{self, Run};

/// Runs all tests that were named.
pub fn run(options: &TestOptions, format: Format) -> Result<(), Failure> {
    let layout = load::layout(&options.folders);
    let loaded = settings::load(&layout).map_err(load::refused)?;
    let named = &options.paths;
    let paths = if named.is_empty() { vec![layout.alerts.clone()] } else { named.clone() };
    let (files, warnings) = load_cases(&layout, &paths, &loaded.settings).map_err(|problems| {
        Failure::new(Kind::Settings, format!("the tests cannot be read\n{problems}"))
    })?;
    if format == Format::Text && !warnings.is_empty() {
        eprintln!("{warnings}");
    }
    let runs = report::run_all(&files, &loaded.settings);
    if let Some(path) = &options.junit {
        std::fs::write(path, report::junit(&runs)).map_err(|error| {
            let text = format!("{}: {error}; name a file that can be written", path.display());
            Failure::new(Kind::Failed, text)
        })?;
    }
    match format {
        Format::Json => println!("{}", report::as_json(&runs)),
        Format::Text => print(&runs, files.len()),
    }
    let failed = runs.iter().filter(|run| !run.passed()).count();
    if failed == 0 {
        return Ok(());
    }
    Err(Failure::new(Kind::Unhealthy, format!("{failed} of {} tests failed", runs.len())))
}

fn print(runs: &[Run<'_>], files: usize) {
    for run in runs {
        print!("{}", report::text(run));
    }
    let passed = runs.iter().filter(|run| run.passed()).count();
    let not_run: usize = runs.iter().map(|run| run.case.not_run.len()).sum();
    let left = if not_run > 0 { format!(", {not_run} parts not run") } else { String::new() };
    println!("{passed} of {} tests in {files} files passed{left}", runs.len());
}
