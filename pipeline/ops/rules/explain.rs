//! `ops rules explain`: a paragraph of plain English for each rule of the folders.

use crate::cli::{Folders, Format};
use crate::exit::{Failure, Kind};
use crate::load;
use serde_json::json;
use stages::settings::Settings;

/// Explains all rules, or the one of this name.
pub fn run(folders: &Folders, only: Option<&str>, format: Format) -> Result<(), Failure> {
    let loaded = settings::load(&load::layout(folders)).map_err(load::refused)?;
    let settings = &loaded.settings;
    if let Some(name) = only {
        known(settings, name)?;
    }
    let rules = settings.rules.iter().filter(|rule| only.is_none_or(|name| rule.name == name));
    let said = rules.map(|rule| (rule.name.as_str(), settings::explain(rule, settings)));
    match format {
        Format::Json => {
            let rules = said.map(|(rule, text)| json!({ "rule": rule, "text": text }));
            println!("{}", json!({ "rules": rules.collect::<Vec<_>>() }));
        }
        Format::Text => {
            let paragraphs: Vec<String> = said.map(|(_, text)| text).collect();
            println!("{}", paragraphs.join("\n\n"));
        }
    }
    Ok(())
}

/// Refuses a name that no rule has.
pub fn known(settings: &Settings, name: &str) -> Result<(), Failure> {
    let names = || settings.rules.iter().map(|rule| rule.name.as_str());
    if names().any(|known| known == name) {
        return Ok(());
    }
    let hint = settings::nearest(name, names());
    let hint = hint.map_or("`ops rules check` counts them".to_owned(), |near| {
        format!("did you mean {near:?}?")
    });
    Err(Failure::new(Kind::Usage, format!("no rule is called {name:?}; {hint}")))
}
