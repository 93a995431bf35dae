//! Environment variables that override `config/ops.yml`, in one table.
//!
//! A variable takes the place of the field before anything is read, so both are checked by the same
//! code, and a fault in one is reported at `environment variable OPS_...`.

use crate::problem::Place;
use crate::yaml::{Node, Value};

/// A variable and the field of `config/ops.yml` it overrides.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// The field, from the outside in.
    pub field: &'static [&'static str],
    /// What it says, in a few words.
    pub about: &'static str,
    form: Form,
}

/// How the text of a variable becomes a value.
#[derive(Clone, Copy, Debug)]
enum Form {
    Text,
    Number,
    /// Texts with commas between.
    List,
}

const fn variable(
    name: &'static str,
    field: &'static [&'static str],
    form: Form,
    about: &'static str,
) -> Variable {
    Variable { name, field, about, form }
}

/// All of them. Relative paths in them are relative to the folder of the files, as in the files.
pub const VARIABLES: &[Variable] = &[
    variable("OPS_LISTEN", &["listen"], Form::List, "addresses of collector, board and health"),
    variable("OPS_PUBLIC_URL", &["public_url"], Form::Text, "where people find the board"),
    variable("OPS_TOKEN_FILE", &["token_file"], Form::Text, "file with the collector's token"),
    variable("OPS_DATA", &["data"], Form::Text, "data folder"),
    variable("OPS_ROLES", &["roles"], Form::List, "what this process does"),
    variable("OPS_WORKERS", &["workers"], Form::Number, "threads of the dataflow"),
    variable("OPS_NATS_URL", &["bus", "url"], Form::Text, "the bus; none: start a local one"),
    variable("OPS_NATS_USER", &["bus", "user"], Form::Text, "user on the bus"),
    variable("OPS_NATS_PASSWORD_FILE", &["bus", "password_file"], Form::Text, "its password"),
    variable("OPS_NATS_CREDENTIALS", &["bus", "credentials_file"], Form::Text, "a .creds file"),
    variable("OPS_NATS_KEYS", &["bus", "keys_folder"], Form::Text, "folder of the roles' nkeys"),
    variable("OPS_PREFIX", &["bus", "prefix"], Form::Text, "first tokens of all subjects"),
    variable("OPS_SHARDS", &["bus", "shards"], Form::Number, "shards, fixed at creation"),
    variable("OPS_SMTP_HOST", &["notify", "smtp", "host"], Form::Text, "mail server"),
    variable("OPS_SMTP_PORT", &["notify", "smtp", "port"], Form::Number, "its port"),
    variable("OPS_SMTP_TLS", &["notify", "smtp", "tls"], Form::Text, "none, starttls or tls"),
    variable(
        "OPS_SMTP_CA_FILE",
        &["notify", "smtp", "ca_file"],
        Form::Text,
        "authorities of its certificate",
    ),
    variable("OPS_SMTP_USER", &["notify", "smtp", "user"], Form::Text, "user on the mail server"),
    variable(
        "OPS_SMTP_PASSWORD_FILE",
        &["notify", "smtp", "password_file"],
        Form::Text,
        "its password",
    ),
    variable("OPS_MAIL_FROM", &["notify", "from"], Form::Text, "sender of mails"),
];

/// Puts the variables that are set over the fields of `node`.
pub(crate) fn overlay(node: &mut Node, get: impl Fn(&str) -> Option<String>) {
    for variable in VARIABLES {
        let Some(text) = get(variable.name).filter(|text| !text.is_empty()) else { continue };
        let place = Place::file(format!("environment variable {}", variable.name));
        let leaf = |text: &str| Node { place: place.clone(), value: Value::Text(text.to_owned()) };
        let value = match variable.form {
            Form::Text => leaf(&text),
            Form::Number => match text.parse() {
                Ok(number) => Node { place: place.clone(), value: Value::Whole(number) },
                Err(_) => leaf(&text),
            },
            Form::List => Node {
                place: place.clone(),
                value: Value::List(text.split(',').map(|part| leaf(part.trim())).collect()),
            },
        };
        set(node, variable.field, value);
    }
}

/// Sets the field at `path`. A value in the way that is no mapping stays, for the reader to complain of.
fn set(node: &mut Node, path: &[&str], value: Node) {
    let Some((name, rest)) = path.split_first() else {
        *node = value;
        return;
    };
    if node.value == Value::Null {
        node.value = Value::Map(Vec::new());
    }
    let Value::Map(entries) = &mut node.value else { return };
    let is_name = |key: &Node| matches!(&key.value, Value::Text(text) if text == name);
    if let Some((_, field)) = entries.iter_mut().find(|(key, _)| is_name(key)) {
        set(field, rest, value);
        return;
    }
    let key = Node { place: value.place.clone(), value: Value::Text((*name).to_owned()) };
    let mut field = Node { place: value.place.clone(), value: Value::Null };
    set(&mut field, rest, value);
    entries.push((key, field));
}
