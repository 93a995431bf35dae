//! What a process says of itself once it is up.

use crate::cli::Format;
use crate::reload;
use notify::Unsent;
use serde_json::{Value, json};
use settings::{Loaded, ROLES, Role};
use std::path::Path;

/// Says where it is reached, and where mails and pages go that nothing is configured for.
pub fn announce(loaded: &Loaded, format: Format) {
    let ops = &loaded.ops;
    let url = ops.listen.first().map(|address| format!("http://{address}")).unwrap_or_default();
    let words = ROLES.iter().filter(|(_, role)| ops.roles.contains(role)).map(|(word, _)| *word);
    let (rules, roles) = (loaded.settings.rules.len(), words.collect::<Vec<_>>());
    let outbox = ops.data.join("outbox");
    let telling = ops.roles.contains(&Role::Notifier);
    let unsent = if telling { reload::contacts(loaded).unsent() } else { Unsent::default() };
    match format {
        Format::Json => {
            let Unsent { mails, pages } = unsent;
            let outbox = match unsent == Unsent::default() {
                true => Value::Null,
                false => json!({ "folder": shown(&outbox), "mails": mails, "pages": pages }),
            };
            let ready = json!({
                "ready": true, "url": url, "roles": roles, "rules": rules, "outbox": outbox,
            });
            println!("{ready}");
        }
        Format::Text => {
            let data = shown(&ops.data);
            if ops.roles.contains(&Role::Board) {
                println!("ready: {rules} rules, board at {url}, data in {data}");
            } else {
                println!("ready: {}, health at {url}/readyz, data in {data}", roles.join(", "));
            }
            if let Some(line) = written_instead(unsent, &shown(&outbox)) {
                println!("{line}");
            }
        }
    }
}

/// The line about the outbox, if anything goes there.
fn written_instead(unsent: Unsent, outbox: &str) -> Option<String> {
    let (what, why) = match (unsent.mails, unsent.pages) {
        (false, false) => return None,
        (true, false) => ("mails", "no mail server is configured"),
        (false, true) => ("pages", "no PagerDuty key is set"),
        (true, true) => {
            ("mails and pages", "no mail server is configured, and no PagerDuty key is set")
        }
    };
    Some(format!("{what} are written to {outbox}: {why}"))
}

/// A path as a person would type it here.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let path = path.strip_prefix(&here).unwrap_or(path);
    path.strip_prefix(".").unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_configured_is_said_in_one_line() {
        let line = |mails, pages| written_instead(Unsent { mails, pages }, "data/outbox");
        assert_eq!(line(false, false), None);
        assert_eq!(
            line(true, false).unwrap(),
            "mails are written to data/outbox: no mail server is configured"
        );
        assert!(line(true, true).unwrap().starts_with(
            "mails and pages are written to data/outbox: no mail server is configured"
        ));
        assert!(line(false, true).unwrap().ends_with("no PagerDuty key is set"));
    }

    #[test]
    fn a_path_below_the_working_folder_is_short() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(shown(&here.join("data/outbox")), "data/outbox");
        assert_eq!(shown(Path::new("./data")), "data");
        assert_eq!(shown(Path::new("/srv/ops")), "/srv/ops");
    }
}
