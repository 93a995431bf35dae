//! Why a whole request was turned away: one enum for status, text, remedy and when to come again.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// Why a whole request was turned away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// No token, or a wrong one.
    Unauthorized,
    /// Sent by a browser on behalf of a page of another site.
    CrossSite,
    /// Not JSON by its own words.
    MediaType,
    /// Compressed.
    Encoding,
    /// `Ops-Client` or `Ops-Batch` cannot be read, or one stands without the other.
    Number,
    /// More bytes than are taken; how many are.
    BodyTooLarge(usize),
    /// The connection ended before the body did.
    BodyCutOff,
    /// The body took too long to arrive.
    BodySlow,
    /// The engine is this far behind.
    Behind(Duration),
    /// Too much is waiting for the bus already.
    QueueFull,
    /// The bus did not take it in time; what it said last.
    BusUnavailable(Option<Arc<str>>),
    /// The bus will not take it however often it is sent.
    BusRefuses,
    /// This process is ending.
    Closing,
}

/// Seconds after which a client may come again: one entry is stored within milliseconds once there is room.
const AGAIN_SOON: u64 = 1;
/// A bus that elects a leader needs about five; a few clients find it sooner.
const AGAIN_LATER: u64 = 2;

impl Rejection {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::CrossSite => StatusCode::FORBIDDEN,
            Self::MediaType | Self::Encoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Number | Self::BodyCutOff => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodySlow => StatusCode::REQUEST_TIMEOUT,
            Self::Behind(_) | Self::QueueFull => StatusCode::TOO_MANY_REQUESTS,
            Self::BusUnavailable(_) | Self::Closing => StatusCode::SERVICE_UNAVAILABLE,
            Self::BusRefuses => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::QueueFull | Self::Closing => Some(AGAIN_SOON),
            Self::BusUnavailable(_) => Some(AGAIN_LATER),
            Self::Behind(lag) => Some((lag.as_secs() / 10).clamp(AGAIN_SOON, 30)),
            _ => None,
        }
    }

    fn error(&self) -> String {
        match self {
            Self::Unauthorized => "the bearer token is missing or wrong".into(),
            Self::CrossSite => "a page of another site may not report metrics".into(),
            Self::MediaType => "the content type is not one of JSON or text".into(),
            Self::Encoding => "the body is compressed".into(),
            Self::Number => "the batch's number cannot be read".into(),
            Self::BodyTooLarge(most) => format!("the body has more than {most} bytes"),
            Self::BodyCutOff => "the connection ended before the body did".into(),
            Self::BodySlow => "the body took too long to arrive".into(),
            Self::Behind(lag) => format!("the engine is {} s behind", lag.as_secs()),
            Self::QueueFull => "too much is waiting for the bus".into(),
            Self::BusUnavailable(None) => "the bus did not store it in time".into(),
            Self::BusUnavailable(Some(why)) => format!("the bus did not store it in time: {why}"),
            Self::BusRefuses => "the bus refuses it; the collector's log says why".into(),
            Self::Closing => "the collector is stopping".into(),
        }
    }

    fn remedy(&self) -> &'static str {
        match self {
            Self::Unauthorized => "send the header Authorization: Bearer <token>",
            Self::CrossSite => "report from a service",
            Self::MediaType => "send Content-Type: application/json",
            Self::Encoding => "send it without Content-Encoding",
            Self::Number => {
                "send both or neither: Ops-Client, 1 to 128 of [A-Za-z0-9_.:-], and Ops-Batch, a number that rises"
            }
            Self::BodyTooLarge(_) => "send several smaller ones",
            Self::BodyCutOff | Self::BodySlow => "send it again",
            Self::Behind(_) | Self::QueueFull | Self::BusUnavailable(_) | Self::Closing => {
                "send it again after the seconds in Retry-After; a numbered batch counts once"
            }
            Self::BusRefuses => "see `ops doctor`",
        }
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.error(), "remedy": self.remedy() });
        let mut response = (self.status(), axum::Json(body)).into_response();
        if let Some(seconds) = self.retry_after() {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self == Self::Unauthorized {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}
