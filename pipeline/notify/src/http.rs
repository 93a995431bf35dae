//! Posts JSON: no redirects (a key must not travel to where a provider points), bounded time and answer.

use crate::channel::Sent;
use jiff::Timestamp;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use std::time::Duration;

/// One exchange may take this long; providers answer within a second or are ill.
const EXCHANGE_MAX: Duration = Duration::from_secs(15);
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How much of an answer is read: enough for the reason of a refusal.
const ANSWER_BYTES_MAX: usize = 4 * 1024;
/// How much of it is published.
const DETAIL_CHARS_MAX: usize = 200;

/// The client of all channels that speak HTTP.
#[derive(Clone, Debug)]
pub struct Http(Client);

/// What to post.
pub struct Post<'a> {
    /// Where to.
    pub url: &'a str,
    /// The body.
    pub body: Vec<u8>,
    /// The same for every repeat.
    pub idempotency_key: &'a str,
    /// Bearer token.
    pub token: Option<&'a str>,
    /// Texts that must not be published even if the provider repeats them.
    pub secrets: &'a [&'a str],
}

impl Http {
    /// A client with the compiled-in roots, so that it works on a host without a certificate store.
    ///
    /// # Errors
    /// The TLS library refuses its own defaults.
    pub fn new() -> Result<Self, String> {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_MAX)
            .timeout(EXCHANGE_MAX)
            .user_agent(concat!("hms-ops/", env!("CARGO_PKG_VERSION")))
            .build();
        client.map(Self).map_err(|error| error.to_string())
    }

    /// Posts once.
    pub async fn post(&self, post: Post<'_>) -> Sent {
        let mut request = self
            .0
            .post(post.url)
            .header("content-type", "application/json")
            .header("idempotency-key", post.idempotency_key)
            .body(post.body);
        if let Some(token) = post.token {
            request = request.bearer_auth(token);
        }
        match request.send().await {
            Ok(response) => judge(response, post.secrets).await,
            Err(error) if error.is_builder() => {
                Sent::Refused(format!("cannot be asked: {}", cause(error)))
            }
            Err(error) => Sent::failed(cause(error)),
        }
    }
}

async fn judge(mut response: Response, secrets: &[&str]) -> Sent {
    let (status, after) = (response.status(), retry_after(response.headers(), Timestamp::now()));
    let mut answer = Vec::new();
    while answer.len() < ANSWER_BYTES_MAX {
        match response.chunk().await {
            Ok(Some(chunk)) => answer.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    answer.truncate(ANSWER_BYTES_MAX);
    let detail = detail(status, &answer, secrets);
    verdict(status, after, detail)
}

/// | status | verdict |
/// |---|---|
/// | 2xx | delivered |
/// | 408, 425, 429, 5xx | failed: again, after `Retry-After` if given |
/// | all else (3xx: redirects are not followed) | refused |
fn verdict(status: StatusCode, after: Option<Duration>, detail: String) -> Sent {
    match status.as_u16() {
        200..=299 => Sent::Delivered(detail),
        408 | 425 | 429 | 500..=599 => Sent::Failed { why: detail, after },
        300..=399 => Sent::Refused(format!("{detail} (redirects are not followed)")),
        _ => Sent::Refused(detail),
    }
}

fn detail(status: StatusCode, answer: &[u8], secrets: &[&str]) -> String {
    let mut text = String::from_utf8_lossy(answer).into_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "***");
    }
    let text = crate::wording::one_line(&text);
    let short: String = text.trim().chars().take(DETAIL_CHARS_MAX).collect();
    if short.is_empty() {
        format!("HTTP {}", status.as_u16())
    } else {
        format!("HTTP {}: {short}", status.as_u16())
    }
}

/// Seconds, or a date; a date gone by means now.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

/// The innermost reason; never the address, which may be a secret itself.
fn cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut innermost: &dyn std::error::Error = &error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    if error.is_timeout() {
        format!("no answer in time ({innermost})")
    } else {
        crate::wording::one_line(&innermost.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(text: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, reqwest::header::HeaderValue::from_static(text));
        headers
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "1994-11-06T08:49:00Z".parse().unwrap();
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!(retry_after(&headers("120"), now), seconds(120));
        assert_eq!(retry_after(&headers("Sun, 06 Nov 1994 08:49:37 GMT"), now), seconds(37));
        assert_eq!(retry_after(&headers("Sun, 06 Nov 1994 08:40:00 GMT"), now), seconds(0));
        assert_eq!(retry_after(&headers("soon"), now), None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn every_status_has_its_verdict() {
        let verdict = |code| verdict(StatusCode::from_u16(code).unwrap(), None, String::new());
        for code in [408, 425, 429, 500, 502, 503, 504] {
            assert!(matches!(verdict(code), Sent::Failed { .. }), "{code}");
        }
        for code in [301, 307, 400, 401, 403, 404, 410, 413, 422] {
            assert!(matches!(verdict(code), Sent::Refused(_)), "{code}");
        }
        assert!(matches!(verdict(202), Sent::Delivered(_)));
    }

    #[test]
    fn a_secret_the_provider_repeats_is_not_published() {
        let text = detail(StatusCode::BAD_REQUEST, b"bad key abc123\r\nX: y", &["abc123"]);
        assert_eq!(text, "HTTP 400: bad key *** X: y");
    }
}
