//! Pages and their files, embedded in the binary; runbooks from their folder.

use crate::Shared;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;

/// Pages may load from this server alone and may not be framed.
const POLICY: &str =
    "default-src 'self'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// Every file of the pages: path below `/assets/`, type, content.
const ASSETS: [(&str, &str, &str); 7] = [
    ("style.css", STYLE, include_str!("../web/style.css")),
    ("common.js", SCRIPT, include_str!("../web/common.js")),
    ("overview.js", SCRIPT, include_str!("../web/overview.js")),
    ("metric.js", SCRIPT, include_str!("../web/metric.js")),
    ("icon.svg", "image/svg+xml", include_str!("../web/icon.svg")),
    ("uplot.js", SCRIPT, include_str!(concat!(env!("OUT_DIR"), "/uPlot.esm.js"))),
    ("uplot.css", STYLE, include_str!(concat!(env!("OUT_DIR"), "/uPlot.min.css"))),
];

pub(crate) fn routes() -> Router<Arc<Shared>> {
    let metric = || get(|| async { page(include_str!("../web/metric.html")) });
    Router::new()
        .route("/", get(|| async { page(include_str!("../web/overview.html")) }))
        .route("/board/{metric}", metric())
        .route("/d/board/{metric}", metric())
        .route("/assets/{file}", get(asset))
        .route("/runbook/{name}", get(runbook))
}

fn page(html: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HTML),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, html).into_response()
}

async fn asset(Path(file): Path<String>) -> Response {
    let Some((_, kind, content)) = ASSETS.iter().find(|(name, ..)| *name == file) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, *kind),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, *content).into_response()
}

/// A runbook as text. Only plain names: what is asked for never becomes a path.
async fn runbook(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let folder = shared.runbooks.as_ref().filter(|_| !name.is_empty() && name.chars().all(plain));
    let text = match folder {
        Some(folder) => tokio::fs::read_to_string(folder.join(format!("{name}.md"))).await.ok(),
        None => None,
    };
    match text {
        Some(text) => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response(),
        None => {
            let why = format!("there is no runbook {name:?}; write alerts/runbooks/{name}.md\n");
            (StatusCode::NOT_FOUND, why).into_response()
        }
    }
}
