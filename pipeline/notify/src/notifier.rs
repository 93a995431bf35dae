//! Takes intents from the bus, many at once, and acknowledges each when its last word is stored.

use crate::contacts::{Contacts, Current, ReadAgain};
use crate::counters::{self, Counters};
use crate::delivery::{Deliverer, Final};
use crate::email::MailError;
use crate::late;
use crate::retry::Retry;
use crate::status::Status;
use crate::turns::{Turn, Turns};
use bus::failpoint::{self, Failpoint};
use bus::{BusError, SharedBus, Stream, Work, WorkOptions, Worker};
use futures::FutureExt;
use stages::subject::Subjects;
use stages::wire::{Intent, SCHEMA};
use std::collections::{HashSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// An intent comes again when the notifier was silent for this long, so long people wait for one that was killed in
/// the middle of telling them. Shorter would have a thousand in flight ask the bus all the time.
const ACK_WAIT: Duration = Duration::from_secs(12);
/// The notifier says that it is still at it three times within [`ACK_WAIT`].
const STILL_AT_IT: Duration = Duration::from_secs(4);
/// Intents in flight: a few KB each; as many late ones as this fold into one digest.
const IN_FLIGHT_MAX: usize = 1000;
/// Wait before the bus is asked for work again after an error, and before failed work is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Keys remembered after delivery, so that a lost acknowledgement does not tell people twice.
const DELIVERED_MAX: usize = 10_000;

/// What a notifier needs.
pub struct NotifierOptions {
    /// The bus.
    pub bus: SharedBus,
    /// Its subjects.
    pub subjects: Subjects,
    /// Where channels lead, by which mail server and how fast.
    pub contacts: Contacts,
    /// Reads those again for an intent whose channel leads nowhere; none: never.
    pub read_again: Option<ReadAgain>,
    /// Folder for what cannot be sent because nothing is configured; none: such a channel is given up.
    pub outbox: Option<PathBuf>,
    /// How attempts are repeated.
    pub retry: Retry,
}

/// Why a notifier does not start.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// Mail cannot be set up.
    #[error(transparent)]
    Mail(#[from] MailError),
    /// The HTTP client cannot be set up.
    #[error("the HTTP client cannot be set up: {0}")]
    Http(String),
}

/// A running notifier. Dropping it ends it at once, as a crash would; the bus hands its intents out again.
pub struct Notifier {
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
    deliverer: Arc<Deliverer>,
    idle: Idle,
}

/// Why no intents come from the bus, if so.
type Idle = Arc<Mutex<Option<String>>>;

/// What all intents in flight share.
struct Shared {
    deliverer: Arc<Deliverer>,
    late: mpsc::UnboundedSender<late::Waiting>,
    delivered: Mutex<Delivered>,
    idle: Idle,
}

/// A text or none: whole whatever panicked elsewhere.
fn locked(idle: &Idle) -> MutexGuard<'_, Option<String>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Notifier {
    /// Starts a notifier. It waits for the bus by itself.
    ///
    /// # Errors
    /// What is configured cannot work.
    pub fn start(options: NotifierOptions) -> Result<Self, NotifyError> {
        let NotifierOptions { bus, subjects, contacts, read_again, outbox, retry } = options;
        let deliverer = Arc::new(Deliverer {
            contacts: Current::new(contacts, outbox, read_again)?,
            retry,
            status: Status { bus, subjects },
            counters: counters::Shared::default(),
            stop: CancellationToken::new(),
        });
        let (late, from) = mpsc::unbounded_channel();
        let delivered = Mutex::default();
        let idle = Arc::new(Mutex::new(Some("they were not asked for yet".to_owned())));
        let shared =
            Shared { deliverer: deliverer.clone(), late, delivered, idle: Arc::clone(&idle) };
        let task = tokio::spawn(take(Arc::new(shared), from));
        Ok(Self { stop: deliverer.stop.clone(), task: Some(task), deliverer, idle })
    }

    /// Takes no more intents and begins no more attempts; returns when those under way have ended. What is not
    /// delivered stays on the bus.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        if let Some(task) = &mut self.task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the notifier did not end well");
        }
        self.task = None;
    }

    /// Goes on with other contacts. What is under way keeps its place and goes by them from its next attempt on.
    ///
    /// # Errors
    /// What is configured cannot work; nothing has changed then.
    pub fn replace(&self, contacts: Contacts) -> Result<(), NotifyError> {
        self.deliverer.contacts.replace(contacts)
    }

    /// What it has done so far.
    pub fn counters(&self) -> Counters {
        self.deliverer.counters.read()
    }

    /// Why nobody would be told right now, if so.
    pub fn not_ready(&self) -> Option<String> {
        if self.task.as_ref().is_none_or(JoinHandle::is_finished) {
            return Some("the notifier has ended".to_owned());
        }
        if !self.deliverer.status.bus.connected() {
            return Some("the notifier's bus does not answer".to_owned());
        }
        let idle = locked(&self.idle).clone();
        idle.map(|why| format!("the notifier gets no intents: {why}"))
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Takes work until told to stop, then waits for what is in flight. Dropped, it drops all of it.
async fn take(shared: Arc<Shared>, from: mpsc::UnboundedReceiver<late::Waiting>) {
    let mut tasks = JoinSet::new();
    tasks.spawn(late::collect(shared.deliverer.clone(), from));
    let (mut worker, mut turns): (Option<Box<dyn Worker>>, _) = (None, Turns::default());
    let stop = shared.deliverer.stop.clone();
    while !stop.is_cancelled() {
        let next = async {
            if worker.is_none() {
                worker = Some(consumer(&shared.deliverer.status).await?);
                *locked(&shared.idle) = None;
            }
            worker.as_mut().expect("made above").next().await
        };
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = tasks.join_next() => {}
            work = next => match work {
                Ok(work) => accept(&shared, work, &mut turns, &mut tasks),
                Err(error) => {
                    tracing::warn!(%error, "no intents from the bus; asking again");
                    *locked(&shared.idle) = Some(error.to_string());
                    worker = None;
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
            },
        }
    }
    // The last one out closes the way to the collector of late intents, which ends by it.
    drop((shared, worker, turns));
    while tasks.join_next().await.is_some() {}
}

async fn consumer(status: &Status) -> Result<Box<dyn Worker>, BusError> {
    let filter = status.subjects.of("notify.>");
    let options = WorkOptions { ack_wait: ACK_WAIT, in_flight_max: IN_FLIGHT_MAX, only_new: false };
    status.bus.work(Stream::Events, &filter, "notifier", options).await
}

/// Gives an intent its place in the row of its incident, in the order the bus hands them out.
fn accept(shared: &Arc<Shared>, work: Work, turns: &mut Turns, tasks: &mut JoinSet<()>) {
    match read(&work) {
        Ok(intent) => {
            let turn = turns.take(&intent.dedup_key);
            tasks.spawn(attend(shared.clone(), work, intent, turn));
        }
        Err(why) => {
            tracing::error!(subject = %String::from_utf8_lossy(&work.message.subject), why, "an intent that does not read");
            shared.deliverer.counters.change(|counters| counters.unreadable += 1);
            tasks.spawn(async move { done(&work).await });
        }
    }
}

fn read(work: &Work) -> Result<Intent, String> {
    let intent: Intent =
        serde_json::from_slice(&work.message.payload).map_err(|error| error.to_string())?;
    if intent.schema > SCHEMA {
        return Err(format!("schema {} is newer than this notifier's {SCHEMA}", intent.schema));
    }
    Ok(intent)
}

/// Sees one intent to its acknowledgement.
async fn attend(shared: Arc<Shared>, work: Work, intent: Intent, turn: Turn) {
    let counters = &shared.deliverer.counters;
    counters.change(|counters| counters.in_flight += 1);
    let carried = AssertUnwindSafe(carry(&shared, &intent, turn)).catch_unwind();
    let carried = tokio::select! {
        carried = carried => carried,
        () = still_at_it(&work) => unreachable!("says so for ever"),
    };
    counters.change(|counters| counters.in_flight -= 1);
    match carried {
        Ok(Some(_)) => {
            failpoint::reach(Failpoint::NotifierBeforeAck);
            shared.delivered.lock().unwrap_or_else(PoisonError::into_inner).remember(intent.key);
            done(&work).await;
        }
        // Stopped: it comes again, to this notifier's successor at once.
        Ok(None) => later(&work, Duration::ZERO).await,
        Err(_) => {
            tracing::error!(key = intent.key, "an intent ended in a panic; it comes again");
            later(&work, AGAIN_AFTER).await;
        }
    }
}

async fn carry(shared: &Shared, intent: &Intent, mut turn: Turn) -> Final {
    tokio::select! {
        () = shared.deliverer.stop.cancelled() => return None,
        () = turn.wait() => {}
    }
    let told = {
        let delivered = shared.delivered.lock().unwrap_or_else(PoisonError::into_inner);
        delivered.keys.contains(&intent.key)
    };
    if told {
        // Its acknowledgement was lost, its last word was not.
        return Some(stages::wire::DeliveryState::Delivered);
    }
    if late::is_late(intent, shared.deliverer.contacts.now().late_after) {
        let (asker, answer) = oneshot::channel();
        // The collector lives as long as this sender; a panic of it drops the asker, which reads as stopped.
        let _ = shared.late.send((intent.clone(), asker));
        return answer.await.ok().flatten();
    }
    shared.deliverer.deliver(intent).await
}

/// The newest keys that need no second delivery.
#[derive(Default)]
struct Delivered {
    keys: HashSet<String>,
    order: VecDeque<String>,
}

impl Delivered {
    fn remember(&mut self, key: String) {
        if self.keys.insert(key.clone()) {
            self.order.push_back(key);
        }
        if self.order.len() > DELIVERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.keys.remove(&oldest);
        }
    }
}

async fn still_at_it(work: &Work) {
    loop {
        tokio::time::sleep(STILL_AT_IT).await;
        if let Err(error) = work.answer.working().await {
            tracing::warn!(%error, "cannot tell the bus that an intent is being worked on");
        }
    }
}

/// An intent whose acknowledgement is lost comes again, and is delivered under the same keys.
async fn done(work: &Work) {
    if let Err(error) = work.answer.done().await {
        tracing::warn!(%error, "cannot acknowledge an intent; it comes again");
    }
}

async fn later(work: &Work, delay: Duration) {
    if let Err(error) = work.answer.later(delay).await {
        tracing::warn!(%error, "cannot hand an intent back; it comes again by itself");
    }
}
