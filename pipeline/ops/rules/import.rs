//! `ops rules import prometheus`: rules of Prometheus as a rule file.

use crate::cli::Format;
use crate::exit::{Failure, Kind};
use crate::load;
use serde_json::json;
use settings::Import;
use std::io::Write as _;
use std::path::Path;

/// Converts `file`, to standard output or to a new file.
pub fn run(
    (file, to): (&Path, Option<&Path>),
    group_by: Option<&str>,
    format: Format,
) -> Result<(), Failure> {
    let labels = group_by.map(|said| {
        let labels = said.split(',').map(str::trim).filter(|label| !label.is_empty());
        labels.map(str::to_owned).collect::<Vec<_>>()
    });
    let import = settings::import_prometheus(file, labels.as_deref()).map_err(load::refused)?;
    let Import { text, rules, refused } = &import;
    if let Some(to) = to.filter(|_| !text.is_empty()) {
        write_new(to, text)?;
    }
    if format == Format::Json {
        let names: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
        println!("{}", json!({ "rules": names, "refused": refused, "text": text }));
        return Ok(());
    }
    if to.is_none() {
        print!("{text}");
    }
    for it in refused {
        eprintln!("{}: {} is not converted: {}", it.at, it.name, it.why);
    }
    eprintln!("{} rules converted, {} not", rules.len(), refused.len());
    Ok(())
}

/// What is there already may be somebody's work.
fn write_new(to: &Path, text: &str) -> Result<(), Failure> {
    let file = std::fs::File::options().write(true).create_new(true).open(to);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| {
        Failure::new(
            Kind::Failed,
            format!("{}: {error}; name a file that is not there", to.display()),
        )
    })
}
