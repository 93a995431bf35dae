//! An intent as a mail: a text part, a simple HTML part, and headers that thread the mails of an incident.
//!
//! `Message-ID` comes from the intent's key, so a repeat is the same mail to every mail program. All mails of an
//! incident refer to one id made of its `dedup_key`; no mail has that id, and none needs to: programs thread by
//! common references, so the "resolved" stands below its page even if that was lost.

use crate::wording::{Links, facts, folded, one_line, subject};
use lettre::Message;
use lettre::message::{Mailbox, MultiPart, header};
use stages::wire::{Intent, Reason};
use std::fmt::Write;
use std::time::{Duration, SystemTime};

/// The mail of `intent`.
///
/// # Errors
/// What is wrong with an address; it stays wrong however often it is tried.
pub fn compose(
    intent: &Intent,
    links: &Links,
    from: &str,
    to: &[String],
) -> Result<Message, String> {
    let sender = mailbox(from)?;
    let domain = sender.email.domain().to_owned();
    let id = |text: &str| format!("<{}@{domain}>", id_text(text));
    let thread = id(&format!("incident-{}", intent.dedup_key));
    let sent = Duration::from_nanos(u64::try_from(intent.time.0).unwrap_or_default());
    let mut mail = Message::builder()
        .from(sender)
        .subject(subject(intent))
        .message_id(Some(id(&intent.key)))
        .references(thread.clone())
        .date(SystemTime::UNIX_EPOCH + sent)
        .header(AutoSubmitted);
    if intent.reason != Reason::Fired {
        mail = mail.in_reply_to(thread);
    }
    for address in to {
        mail = mail.to(mailbox(address)?);
    }
    let body = MultiPart::alternative_plain_html(text(intent, links), html(intent, links));
    mail.multipart(body).map_err(|error| format!("mail cannot be composed: {error}"))
}

fn mailbox(address: &str) -> Result<Mailbox, String> {
    address
        .parse()
        .map_err(|error| format!("{:?} is not a mail address: {error}", one_line(address)))
}

/// Keys are hex, but whatever comes over the bus must not end a header.
fn id_text(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')).collect()
}

fn text(intent: &Intent, links: &Links) -> String {
    let mut text = format!("{}\n\n", subject(intent));
    for line in folded(intent) {
        let _ = writeln!(text, "- {line}");
    }
    for (name, value) in facts(intent) {
        let _ = writeln!(text, "{name:<16} {value}");
    }
    text.push('\n');
    for (name, link) in named(links) {
        let _ = writeln!(text, "{name}: {link}");
    }
    text
}

fn html(intent: &Intent, links: &Links) -> String {
    let mut html = format!(
        "<!doctype html><html><body style=\"font-family:sans-serif\"><h2>{}</h2>",
        escaped(&subject(intent))
    );
    let lines = folded(intent);
    if !lines.is_empty() {
        let items: String =
            lines.iter().map(|line| format!("<li>{}</li>", escaped(line))).collect();
        let _ = write!(html, "<ul>{items}</ul>");
    }
    for (name, link) in named(links) {
        let link = escaped(link);
        let _ = write!(html, "<p>{name}: <a href=\"{link}\">{link}</a></p>");
    }
    html.push_str("<table cellpadding=\"4\" style=\"border-collapse:collapse\">");
    for (name, value) in facts(intent) {
        let (name, value) = (escaped(&name), escaped(&value));
        let _ = write!(html, "<tr><th align=\"left\">{name}</th><td>{value}</td></tr>");
    }
    html.push_str("</table></body></html>\n");
    html
}

fn named(links: &Links) -> impl Iterator<Item = (&'static str, &str)> {
    let all = [("Runbook", &links.runbook), ("Board", &links.board)];
    all.into_iter().filter_map(|(name, link)| Some((name, link.as_deref()?)))
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// RFC 3834: keeps absence notes from answering.
#[derive(Clone)]
struct AutoSubmitted;

impl header::Header for AutoSubmitted {
    fn name() -> header::HeaderName {
        header::HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> header::HeaderValue {
        header::HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wording::links as links_of;
    use crate::wording::tests::county;

    fn mail(intent: &Intent) -> String {
        let links = links_of(intent, "http://localhost:9900");
        let to = ["oncall@opm.gov".to_owned()];
        let message = compose(intent, &links, "hms-ops@opm.gov", &to).unwrap();
        String::from_utf8(message.formatted()).unwrap()
    }

    fn header(mail: &str, name: &str) -> Vec<String> {
        let head = mail.split("\r\n\r\n").next().unwrap();
        let unfolded = head.replace("\r\n ", " ");
        let lines = unfolded.split("\r\n").filter_map(|line| line.split_once(": "));
        lines.filter(|(found, _)| *found == name).map(|(_, value)| value.to_owned()).collect()
    }

    #[test]
    fn resolved_threads_with_fired_and_each_has_its_own_id() {
        let (fired, resolved) = (mail(&county(Reason::Fired)), mail(&county(Reason::Resolved)));
        assert_eq!(header(&fired, "References"), header(&resolved, "References"));
        assert_eq!(header(&resolved, "In-Reply-To"), header(&fired, "References"));
        assert_ne!(header(&fired, "Message-ID"), header(&resolved, "Message-ID"));
        assert_eq!(
            header(&fired, "Message-ID"),
            header(&mail(&county(Reason::Fired)), "Message-ID")
        );
        assert_eq!(header(&fired, "Message-ID"), ["<fired-0123456789abcdef@opm.gov>"]);
    }

    #[test]
    fn a_hostile_intent_adds_no_header_and_no_markup() {
        let mut intent = county(Reason::Fired);
        intent.summary = "x\r\nBcc: all@example.org\r\n\r\n<script>".to_owned();
        intent.key = "k>\r\nBcc: all@example.org".to_owned();
        intent.dedup_key = "d\r\nBcc: b@example.org".to_owned();
        intent.rule = "<script>alert(1)</script>".to_owned();
        let mail = mail(&intent);
        assert!(header(&mail, "Bcc").is_empty(), "{mail}");
        let html = mail.split("text/html").nth(1).unwrap();
        assert!(!html.contains("<script"), "{html}");
        let links = Links::default();
        let to = ["a@b\r\nBcc: c@d".to_owned()];
        assert!(compose(&intent, &links, "hms-ops@opm.gov", &to).is_err());
    }

    #[test]
    fn the_page_says_what_where_and_what_to_do() {
        let mail = mail(&county(Reason::Fired));
        for wanted in [
            "Subject: [CRITICAL] county_api_ms 1580 ms (threshold 1000)",
            "http://localhost:9900/board/county_api_ms",
            "http://localhost:9900/runbook/slow-county-api",
            "ROLLBACK:DOCKET_RULE: commanded",
        ] {
            assert!(mail.contains(wanted), "{wanted} is not in\n{mail}");
        }
    }
}
