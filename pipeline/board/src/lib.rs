//! The web board: live charts, the list of rules and events, and the JSON they are made of.
//!
//! It reads the bus and shows it; it decides nothing. Pages are plain HTML with one chart library (uPlot),
//! all embedded: a board works without any other machine. The query API:
//!
//! | path | answer |
//! |---|---|
//! | `/api/overview` | revision, rules with their alerts, newest events, metrics |
//! | `/api/metric/<metric>?window=15m` | panes as columns, rules, events, firing spans |
//! | `/api/events?metric=<metric>&limit=<n>` | events, newest first |
//! | `/api/live?metric=<metric>` | server-sent events: `pane`, `event`, `changed` |

mod follow;
mod history;
mod known;
mod live;
mod pages;
mod query;

use bus::SharedBus;
use known::Known;
use stages::subject::Subjects;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::task::AbortOnDropHandle;

/// What a board needs.
pub struct BoardOptions {
    /// The bus, as a reader of events and rollups that may write `look` entries.
    pub bus: SharedBus,
    /// How subjects are spelled.
    pub subjects: Subjects,
    /// Number of shards.
    pub shards: u32,
    /// Folder of runbooks, served as text.
    pub runbooks: Option<PathBuf>,
}

/// Keeps a board following the bus; it stops when this is dropped.
pub struct Board {
    _tasks: [AbortOnDropHandle<()>; 2],
}

/// What all requests share.
pub(crate) struct Shared {
    bus: SharedBus,
    subjects: Subjects,
    shards: u32,
    runbooks: Option<PathBuf>,
    known: Mutex<Known>,
    live: live::Hub,
}

impl Shared {
    /// Locked for moments only, never across an await. A poisoned lock still holds what the bus said.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts following the bus; the routes answer from what was read so far.
pub fn start(options: BoardOptions) -> (axum::Router, Board) {
    let BoardOptions { bus, subjects, shards, runbooks } = options;
    let known = Mutex::default();
    let live = live::Hub::default();
    let shared = Arc::new(Shared { bus, subjects, shards, runbooks, known, live });
    let tasks = [
        AbortOnDropHandle::new(tokio::spawn(follow::follow(Arc::clone(&shared)))),
        AbortOnDropHandle::new(tokio::spawn(live::keep_looking(Arc::clone(&shared)))),
    ];
    (pages::routes().merge(query::routes()).with_state(shared), Board { _tasks: tasks })
}
