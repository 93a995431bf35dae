//! `ops rules history` and `ops rules rollback`: the revisions there were, and one of them again.

use crate::cli::{Format, UpOptions};
use crate::connect::{self, Connection};
use crate::exit::{Failure, Kind};
use crate::load;
use bus::accounts::Role;
use engine::{Applying, settings_at};
use serde_json::json;
use stages::settings::Settings;

/// Fewest digits that name a revision: four let one in 65,536 stand for another.
const DIGITS_MIN: usize = 4;

/// Lists the newest `limit` revisions, newest first.
pub async fn history(options: &UpOptions, limit: usize, format: Format) -> Result<(), Failure> {
    let loaded = load::load(options)?;
    let connection = connect::existing(&loaded.ops).await?;
    let mut all = revisions(&connection).await?;
    all.reverse();
    all.truncate(limit);
    if format == Format::Json {
        println!("{}", json!({ "revisions": all }));
        return Ok(());
    }
    if all.is_empty() {
        println!("no revision was ever in force");
    }
    for (index, Applying { sequence, time, revision, author, comment }) in all.iter().enumerate() {
        let time = stages::desk::words::moment(*time);
        let now = if index == 0 { "  (newest)" } else { "" };
        let comment = if comment.is_empty() { "-" } else { comment };
        println!("{time}  {revision}  #{sequence:<8} {author:<16} {comment}{now}");
    }
    Ok(())
}

/// Puts an earlier revision in force again, in a new entry with author and comment of its own.
pub async fn rollback(
    options: &UpOptions,
    wanted: &str,
    (author, comment): (String, String),
    format: Format,
) -> Result<(), Failure> {
    let loaded = load::load(options)?;
    let connection = connect::existing(&loaded.ops).await?;
    let all = revisions(&connection).await?;
    let found = find(&all, wanted)?;
    let admin = connection.in_role(Role::Admin).await?;
    let settings = settings_at(&admin, &connection.subjects, found.sequence).await;
    let Some(settings) = settings.map_err(connect::engine_failed)? else {
        let text = format!("revision {} is not whole any more", found.revision);
        return Err(Failure::new(Kind::Failed, text));
    };
    let comment = match comment.is_empty() {
        true => format!("back to {} of {}", found.revision, found.author),
        false => comment,
    };
    let settings = Settings { author, comment, ..settings };
    super::put_in_force(&connection, &settings, loaded.ops.bus.shards, format).await?;
    if format == Format::Text && load::revision(&loaded, "", "").revision != settings.revision {
        println!("the files say something else: `ops rules diff` shows what");
    }
    Ok(())
}

async fn revisions(connection: &Connection) -> Result<Vec<Applying>, Failure> {
    let admin = connection.in_role(Role::Admin).await?;
    engine::history(&admin, &connection.subjects).await.map_err(connect::engine_failed)
}

/// The newest revision a person may mean by `wanted`.
fn find<'a>(all: &'a [Applying], wanted: &str) -> Result<&'a Applying, Failure> {
    let refuse = |text: String| Failure::new(Kind::Usage, text);
    if let Some(sequence) = wanted.strip_prefix('#') {
        let found = all.iter().find(|it| it.sequence.to_string() == sequence);
        return found.ok_or_else(|| {
            refuse(format!("no revision lies at {wanted}; `ops rules history` lists them"))
        });
    }
    if wanted.len() < DIGITS_MIN {
        let text = format!("revision {wanted:?}: write at least {DIGITS_MIN} of its digits");
        return Err(refuse(text));
    }
    let found: Vec<&Applying> = all.iter().filter(|it| it.revision.starts_with(wanted)).collect();
    let Some(newest) = found.last() else {
        let text =
            format!("no revision {wanted:?} was ever in force; `ops rules history` lists them");
        return Err(refuse(text));
    };
    if found.iter().any(|it| it.revision != newest.revision) {
        return Err(refuse(format!("several revisions begin with {wanted:?}: write more digits")));
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stages::time::Time;

    #[test]
    fn a_revision_is_found_by_its_first_digits_or_its_place() {
        let applied = |sequence, revision: &str| Applying {
            sequence,
            time: Time(0),
            revision: revision.into(),
            author: "anna".into(),
            comment: String::new(),
        };
        let all = [applied(3, "abcd11"), applied(7, "abcd22"), applied(9, "abcd11")];
        let place = |wanted: &str| find(&all, wanted).map(|it| it.sequence).ok();
        assert_eq!(place("abcd1"), Some(9), "the newest of that content");
        assert_eq!(place("#3"), Some(3));
        assert_eq!(
            (place("abcd"), place("abc"), place("ffff"), place("#4")),
            (None, None, None, None)
        );
    }
}
