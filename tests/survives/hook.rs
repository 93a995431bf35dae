//! Who is told, inside the test: takes the posts of a webhook and of PagerDuty, answers, and keeps them.

#![allow(dead_code, reason = "shared with tests/chaos; each uses its part of this")]

use crate::support::PATIENCE;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Json;
use axum::routing::post;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// A receiver of posts.
pub struct Hook {
    address: SocketAddr,
    posts: Arc<Mutex<Vec<(String, Value)>>>,
    arrived: watch::Receiver<()>,
}

type Shared = (Arc<Mutex<Vec<(String, Value)>>>, watch::Sender<()>);

impl Hook {
    /// Starts one on a free port.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (posts, arrived) = (Arc::new(Mutex::new(Vec::new())), watch::Sender::new(()));
        let hook = Self { address, posts: posts.clone(), arrived: arrived.subscribe() };
        let routes = Router::new().route("/{who}", post(take)).with_state((posts, arrived));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        hook
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was posted to `who` so far.
    pub fn posts(&self, who: &str) -> Vec<Value> {
        let posts = self.posts.lock().unwrap();
        posts.iter().filter(|(to, _)| to == who).map(|(_, body)| body.clone()).collect()
    }

    /// Waits until something `wanted` was posted to `who`.
    pub async fn until(&self, who: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut arrived = self.arrived.clone();
        let waiting = async {
            loop {
                if let Some(found) = self.posts(who).into_iter().find(|body| wanted(body)) {
                    return found;
                }
                arrived.changed().await.unwrap();
            }
        };
        let found = tokio::time::timeout(PATIENCE, waiting).await;
        found.unwrap_or_else(|_| panic!("{who} was not told; it was told {:#?}", self.posts(who)))
    }
}

async fn take(
    State((posts, arrived)): State<Shared>,
    Path(who): Path<String>,
    Json(body): Json<Value>,
) -> StatusCode {
    posts.lock().unwrap().push((who, body));
    arrived.send_replace(());
    StatusCode::ACCEPTED
}
