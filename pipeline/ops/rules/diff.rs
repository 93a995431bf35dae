//! `ops rules diff`: what the settings of the folders would change of those in force.

use crate::cli::{Format, UpOptions};
use crate::exit::Failure;
use crate::{connect, load};
use bus::accounts::Role;
use engine::current_settings;
use serde_json::json;
use settings::Diff;

/// Compares the files with what is in force.
pub async fn run(options: &UpOptions, format: Format) -> Result<(), Failure> {
    let loaded = load::load(options)?;
    let connection = connect::existing(&loaded.ops).await?;
    let admin = connection.in_role(Role::Admin).await?;
    let current = current_settings(&admin, &connection.subjects).await;
    let current = current.map_err(connect::engine_failed)?.map(|(_, settings)| settings);
    let files = load::revision(&loaded, "", "");
    let diff = Diff::between(&current.unwrap_or_default(), &files);
    match format {
        Format::Json => println!("{}", json!(diff)),
        Format::Text if diff.is_empty() => {
            println!("the files are what is in force (revision {})", diff.before);
        }
        Format::Text => println!("{diff}"),
    }
    Ok(())
}
