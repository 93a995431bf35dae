//! Forms that texts must have: plain names, mail addresses, web addresses.

use crate::fields::{Fields, Said, short};
use crate::problem::{Kind, Report};

/// `[A-Za-z0-9_-]+`, at most 64: nothing a path, a shell or a subject could take for something else.
pub fn is_plain_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// An address beginning with `http://` or `https://`, without a password in it.
pub(crate) fn url(fields: &Fields<'_>, name: &'static str) -> Option<String> {
    let said = fields.text(name)?;
    let web = said.text.starts_with("http://") || said.text.starts_with("https://");
    if !web || said.text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        let message = format!("{name} {:?} is not a web address", short(&said.text));
        fields.report.error(&said.place, Kind::BadValue, message, "write https://host/path");
        return None;
    }
    if url_holds_secret(&said.text) {
        let message = format!("{name} holds a user or password");
        let remedy = "remove them from the address; write a token_file or url_env";
        fields.report.error(&said.place, Kind::InlineSecret, message, remedy);
        return None;
    }
    Some(said.text)
}

/// A mail address, or a note that it is none.
pub(crate) fn address(said: &Said, report: &Report) -> Option<String> {
    if is_address(&said.text) {
        return Some(said.text.clone());
    }
    let message = format!("{:?} is not a mail address", short(&said.text));
    report.error(&said.place, Kind::BadValue, message, "write it like name@example.org");
    None
}

/// Whether it looks like `name@host`. The mail library has the last word when it sends.
pub(crate) fn is_address(text: &str) -> bool {
    let Some((local, host)) = text.split_once('@') else { return false };
    let allowed = |c: char| !c.is_whitespace() && !c.is_control() && !"<>()[],;:\\\"@".contains(c);
    (1..=64).contains(&local.len())
        && (1..=190).contains(&host.len())
        && local.chars().all(allowed)
        && host.chars().all(|c| c.is_alphanumeric() || c == '.' || c == '-')
        && !host.split('.').any(str::is_empty)
}

/// Whether a URL carries a user or password: `nats://user:password@host`.
pub(crate) fn url_holds_secret(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
}
