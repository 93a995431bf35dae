//! What a request says about itself, and its body, read within bounds.

use crate::limits::CollectorLimits;
use crate::rejection::Rejection;
use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use stages::batch::CLIENT_BYTES_MAX;
use std::sync::Arc;

/// Read and thrown away of a body that is too large, so that its sender gets to read the answer.
const DRAIN_BYTES_MAX: usize = 16 << 20;

/// Content types taken; `curl -d` says the form's, simple senders say text or nothing.
const MEDIA_TYPES: [&str; 6] = [
    "application/json",
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-www-form-urlencoded",
    "text/plain",
];

/// Refuses what cannot be samples, by its headers alone.
pub(crate) fn check(headers: &HeaderMap) -> Result<(), Rejection> {
    // A browser says so itself when a page of another site sends something; this listener is on localhost.
    if headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
        return Err(Rejection::CrossSite);
    }
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(Rejection::Encoding);
    }
    let Some(media_type) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let text = media_type.to_str().unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim();
    if MEDIA_TYPES.iter().any(|taken| essence.eq_ignore_ascii_case(taken)) {
        Ok(())
    } else {
        Err(Rejection::MediaType)
    }
}

/// Client and number of the batch, where the request has them.
pub(crate) fn number(headers: &HeaderMap) -> Result<Option<(Arc<str>, u64)>, Rejection> {
    match (headers.get("ops-client"), headers.get("ops-batch")) {
        (None, None) => Ok(None),
        (Some(client), Some(number)) => {
            let client = client.to_str().map_err(|_| Rejection::Number)?;
            let number = number.to_str().map_err(|_| Rejection::Number)?;
            let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
            if client.is_empty() || client.len() > CLIENT_BYTES_MAX || !client.bytes().all(letter) {
                return Err(Rejection::Number);
            }
            let number = number.parse().map_err(|_| Rejection::Number)?;
            Ok(Some((Arc::from(client), number)))
        }
        _ => Err(Rejection::Number),
    }
}

/// How many bytes the body will have, as far as the headers say.
pub(crate) fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The whole body, at most as large and as slow as the limits say.
pub(crate) async fn body(
    headers: &HeaderMap,
    body: Body,
    limits: &CollectorLimits,
) -> Result<Bytes, Rejection> {
    let announced = announced(headers).unwrap_or(0);
    let too_large = Rejection::BodyTooLarge(limits.body_bytes_max);
    // Who asks first gets the answer before sending anything.
    if announced > limits.body_bytes_max && headers.contains_key(header::EXPECT) {
        return Err(too_large);
    }
    let read = async {
        let (mut stream, mut whole) = (body.into_data_stream(), BytesMut::new());
        let mut bytes = 0;
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|_| Rejection::BodyCutOff)?;
            bytes += chunk.len();
            if bytes > DRAIN_BYTES_MAX {
                break;
            }
            if bytes <= limits.body_bytes_max {
                whole.extend_from_slice(&chunk);
            }
        }
        if bytes > limits.body_bytes_max { Err(too_large) } else { Ok(whole.freeze()) }
    };
    tokio::time::timeout(limits.body_wait, read).await.unwrap_or(Err(Rejection::BodySlow))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn a_number_needs_its_client_and_the_other_way_round() {
        let both = number(&headers(&[("ops-client", "py-1"), ("ops-batch", "7")]));
        assert_eq!(both, Ok(Some((Arc::from("py-1"), 7))));
        assert_eq!(number(&headers(&[])), Ok(None));
        for wrong in [
            &[("ops-client", "py-1")][..],
            &[("ops-batch", "7")],
            &[("ops-client", "py-1"), ("ops-batch", "-7")],
            &[("ops-client", "py-1"), ("ops-batch", "99999999999999999999")],
            &[("ops-client", "a b"), ("ops-batch", "7")],
            &[("ops-client", ""), ("ops-batch", "7")],
        ] {
            assert_eq!(number(&headers(wrong)), Err(Rejection::Number), "{wrong:?}");
        }
    }

    #[test]
    fn only_what_may_be_json_is_read() {
        for good in ["application/json", "Application/JSON; charset=utf-8", "text/plain"] {
            assert_eq!(check(&headers(&[("content-type", good)])), Ok(()), "{good}");
        }
        let binary = headers(&[("content-type", "application/x-protobuf")]);
        assert_eq!(check(&binary), Err(Rejection::MediaType));
        assert_eq!(check(&headers(&[("content-encoding", "gzip")])), Err(Rejection::Encoding));
        assert_eq!(check(&headers(&[("sec-fetch-site", "cross-site")])), Err(Rejection::CrossSite));
    }
}
