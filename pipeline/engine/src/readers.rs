//! The readers of one stream: one unfiltered reader when this process owns all of its logs, else one a log.
//!
//! A filtered consumer costs the server three times the CPU a message, so a lone engine reads everything in one pass.

use crate::patience::Patience;
use bus::{BusError, Message, SharedBus, Stream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Fetched ahead of the feeder; each holds what one wake-up of a reader found.
const FETCHES_AHEAD: usize = 4;

/// Where one reader begins.
#[derive(Clone, Debug)]
pub(crate) struct Begin {
    /// Only these subjects.
    pub filter: Option<String>,
    /// First sequence wanted.
    pub from: u64,
}

/// Readers of one stream; they end when this is dropped.
pub(crate) struct Readers {
    fetched: mpsc::Receiver<Vec<Message>>,
    _tasks: JoinSet<()>,
}

impl Readers {
    pub fn start(bus: &SharedBus, stream: Stream, begins: Vec<Begin>) -> Self {
        let (sender, fetched) = mpsc::channel(FETCHES_AHEAD);
        let mut tasks = JoinSet::new();
        for begin in begins {
            tasks.spawn(read(bus.clone(), stream, begin, sender.clone()));
        }
        Self { fetched, _tasks: tasks }
    }

    /// What was read next. Cancel-safe. Never ends while there are readers.
    pub async fn next(&mut self) -> Option<Vec<Message>> {
        self.fetched.recv().await
    }
}

async fn read(bus: SharedBus, stream: Stream, begin: Begin, sender: mpsc::Sender<Vec<Message>>) {
    let (mut from, mut patience) = (begin.from, Patience::new());
    loop {
        let mut reader = match bus.read(stream, begin.filter.as_deref(), from).await {
            Ok(reader) => reader,
            Err(error) => {
                tracing::warn!(%error, ?stream, from, "cannot read; trying again");
                patience.wait().await;
                continue;
            }
        };
        loop {
            let mut fetched = Vec::new();
            if let Err(error) = reader.next(&mut fetched).await {
                if let BusError::Anew { .. } = error {
                    // What its entries mean begins anew too: the log stands still, and health says so.
                    tracing::error!(%error, "the log stands still");
                    return;
                }
                tracing::warn!(%error, ?stream, from, "reader ended; beginning anew");
                break;
            }
            patience.renew();
            from = fetched.last().map_or(from, |message| message.sequence + 1);
            if sender.send(fetched).await.is_err() {
                return;
            }
        }
        patience.wait().await;
    }
}
