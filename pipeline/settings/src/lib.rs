//! What people write, and what it means.
//!
//! Files are where people edit: rules in `alerts/`, plans in `deploy/plans/`, the rest in `config/`.
//! [`load`] reads them all and gives back [`Loaded`], apart by where each part may go: [`stages::settings::Settings`]
//! enters the logs, [`Endpoints`] and [`OpsConfig`] stay at the edge. Or it gives back [`Problems`]: every
//! fault in every file, each as `file:line:column: what is wrong: what to write instead`.
//!
//! From the outside in: `files` finds them, `yaml` makes a tree in which every value knows its place,
//! `environment` lays variables over it, `fields` reads typed values from it, and `rule`, `plan`,
//! `receivers` and `ops` know what each file means. `load` checks what refers to what.
//!
//! ```no_run
//! let loaded = settings::load(&settings::Layout::at(".")).unwrap_or_else(|problems| {
//!     eprintln!("{problems}");
//!     std::process::exit(2)
//! });
//! println!("revision {}", loaded.settings.revision);
//! ```

mod calendars;
pub mod cases;
mod defaults;
mod diff;
mod endpoint;
mod environment;
mod explain;
mod fields;
mod files;
mod forms;
mod hint;
mod load;
mod ops;
mod plan;
mod problem;
mod prometheus;
mod receivers;
mod rule;
mod schema;
mod secret;
mod suspect;
mod yaml;

pub use diff::{Change, Diff, Effect, Field, Kind as Part, Piece};
pub use endpoint::{Endpoint, Endpoints, PAGER_DUTY_URL, WebhookUrl};
pub use environment::{VARIABLES, Variable};
pub use explain::explain;
pub use files::Layout;
pub use forms::is_plain_name;
pub use hint::nearest;
pub use load::{Loaded, load, load_beside, load_with, revision_of};
pub use ops::{BusConfig, NotifyConfig, OpsConfig, Pacing, ROLES, Role, Smtp, Tls};
pub use problem::{Kind, Place, Problem, Problems, Severity};
pub use prometheus::{Converted, Import, Refused, import_prometheus};
pub use schema::{defaults_schema, rule_schema};
pub use secret::{Secret, SecretError};
