//! Who is looking, and what they are sent: server-sent events.
//!
//! One broadcast channel for all viewers. A viewer too slow for it skips what it missed and reloads
//! (`changed`), so a stuck browser costs nothing but its own picture.

use crate::Shared;
use crate::history::{self, Merged, PaneOut};
use crate::known::Event;
use axum::extract::{Query, State};
use axum::response::Sse;
use axum::response::sse::{Event as Frame, KeepAlive};
use bus::Outgoing;
use futures::Stream;
use futures::stream;
use serde::Deserialize;
use stages::log::LogId;
use stages::rollup::{RollupPack, Tier};
use stages::time::{Span, Time};
use stages::wire::people::LOOK_KEEPS;
use stages::wire::{Look, SCHEMA};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::broadcast;

/// Messages a slow viewer may lag behind before it skips: some seconds of a busy board.
const LAG_MAX: usize = 1024;

/// Panes of a metric that are merged live; a further part of an older one shows when the page is loaded again.
const RECENT_MAX: usize = 120;
/// What is read back when somebody begins to look, so that late parts of those panes find the others.
const RECENT: Span = Span::from_secs(60);

/// What a viewer is sent.
#[derive(Clone, Debug)]
pub enum Live {
    /// A pane of a metric somebody looks at.
    Pane {
        /// Metric.
        metric: String,
        /// The pane, all series of the metric merged.
        pane: PaneOut,
    },
    /// An event.
    Event(Event),
    /// Something else changed: reload.
    Changed,
}

/// The channel and who looks at which metric.
pub struct Hub {
    sender: broadcast::Sender<Live>,
    viewers: Mutex<BTreeMap<String, usize>>,
    /// The newest panes of the metrics somebody looks at: series come in several packs, corrections later.
    recent: Mutex<BTreeMap<(String, Tier), Merged>>,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            sender: broadcast::channel(LAG_MAX).0,
            viewers: Mutex::default(),
            recent: Mutex::default(),
        }
    }
}

impl Hub {
    /// Sends to whoever is there.
    pub fn send(&self, live: Live) {
        // No viewer is no error.
        let _ = self.sender.send(live);
    }

    /// Metrics somebody looks at right now.
    pub fn looked_at(&self) -> Vec<String> {
        self.viewers().keys().cloned().collect()
    }

    /// Merges a pack into what is kept of a metric; the panes that changed.
    pub fn merge(&self, pack: &RollupPack, metric: &str) -> Vec<PaneOut> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|(kept, _), _| self.viewers().contains_key(kept));
        let merged = recent.entry((metric.to_owned(), pack.tier)).or_default();
        let touched = merged.add_pack(pack, metric, Time::default());
        merged.trim(RECENT_MAX);
        touched.into_iter().filter_map(|start| merged.pane(start)).collect()
    }

    /// Adds what was read back of a metric.
    fn seed(&self, metric: &str, tier: Tier, merged: Merged) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.entry((metric.to_owned(), tier)).or_default().add_all(merged);
    }

    fn viewers(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, usize>> {
        self.viewers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts one viewer of a metric for as long as its connection lives.
struct Viewing {
    shared: Arc<Shared>,
    metric: String,
}

impl Viewing {
    fn new(shared: Arc<Shared>, metric: String) -> Self {
        *shared.live.viewers().entry(metric.clone()).or_default() += 1;
        Self { shared, metric }
    }
}

impl Drop for Viewing {
    fn drop(&mut self) {
        let mut viewers = self.shared.live.viewers();
        if let Some(count) = viewers.get_mut(&self.metric) {
            *count -= 1;
            if *count == 0 {
                viewers.remove(&self.metric);
            }
        }
    }
}

/// What a viewer asks for.
#[derive(Deserialize)]
pub struct Ask {
    /// One metric with its panes; all events without panes if none.
    metric: Option<String>,
}

/// `GET /api/live?metric=...`: events `pane`, `event`, `changed`.
pub async fn live(
    State(shared): State<Arc<Shared>>,
    Query(ask): Query<Ask>,
) -> Sse<impl Stream<Item = Result<Frame, Infallible>>> {
    let receiver = shared.live.sender.subscribe();
    let metric = ask.metric.filter(|metric| stages::series::check_name(metric).is_ok());
    let viewing = metric.clone().map(|metric| Viewing::new(Arc::clone(&shared), metric));
    if let Some(metric) = &metric {
        look(&shared, metric).await;
        seed(&shared, metric).await;
    }
    let frames =
        stream::unfold((receiver, viewing, metric), |(mut receiver, viewing, metric)| async {
            loop {
                let frame = match receiver.recv().await {
                    Ok(Live::Pane { metric: of, pane }) if Some(&of) == metric.as_ref() => {
                        Frame::default().event("pane").json_data(pane)
                    }
                    Ok(Live::Pane { .. }) => continue,
                    Ok(Live::Event(event)) => Frame::default().event("event").json_data(event),
                    Ok(Live::Changed) | Err(broadcast::error::RecvError::Lagged(_)) => {
                        Ok(Frame::default().event("changed").data("null"))
                    }
                    Err(broadcast::error::RecvError::Closed) => return None,
                };
                if let Ok(frame) = frame {
                    return Some((Ok(frame), (receiver, viewing, metric)));
                }
            }
        });
    Sse::new(frames).keep_alive(KeepAlive::default())
}

/// Reads back the newest panes of a metric. Best effort: without them the newest points may be incomplete.
async fn seed(shared: &Shared, metric: &str) {
    let since = crate::query::now().minus(RECENT);
    for tier in Tier::ALL {
        match history::history(shared, metric, tier, since.floor(tier.width())).await {
            Ok(merged) => shared.live.seed(metric, tier, merged),
            Err(error) => tracing::debug!(%error, metric, "the newest panes may be incomplete"),
        }
    }
}

/// Repeats every [`Look`] in half the time it lasts, for as long as anybody looks.
pub async fn keep_looking(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(LOOK_KEEPS.as_std() / 2).await;
        for metric in shared.live.looked_at() {
            look(&shared, &metric).await;
        }
    }
}

/// Says in the log that somebody looks, so that rollups carry histograms. Best effort: without it the
/// page lacks percentiles, nothing else.
async fn look(shared: &Shared, metric: &str) {
    let shard = shared.subjects.shard_of(metric, shared.shards);
    let entry = Look { schema: SCHEMA, metric: metric.to_owned() };
    let Ok(payload) = serde_json::to_vec(&entry) else { return };
    let subject = shared.subjects.entry(LogId::Shard(shard), "look");
    let message = Outgoing { subject, payload: payload.into(), ..Outgoing::default() };
    if let Err(error) = shared.bus.publish(message).await {
        tracing::warn!(%error, metric, "percentiles may be missing on the board");
    }
}
