//! The bus as one process sees it: slow, lossy, and gone when the process dies.
//!
//! A request travels, is carried out, and its answer travels back. Each leg may take its time or get lost, and a request
//! on its way outlives whoever sent it, as on a network: a dead or frozen owner's write may arrive after its
//! successor has begun.

use crate::dice::Dice;
use async_trait::async_trait;
use bus::memory::MemoryBus;
use bus::{
    Answer, Bus, BusError, Message, Outgoing, Reader, SharedBus, Stored, Stream, StreamState, Work,
    WorkOptions, Worker,
};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::sleep;

/// How long a writer waits before it calls an answer lost.
const LOST_AFTER: Duration = Duration::from_millis(500);

/// How bad it is, in happenings of a thousand calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// A leg takes some milliseconds.
    pub slow: u64,
    /// A request is stored and its answer lost.
    pub answer_lost: u64,
    /// A request is lost, or comes seconds later.
    pub request_lost: u64,
    /// The bus says that it cannot.
    pub refused: u64,
}

/// What is broken on purpose, to see whether the simulation notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Nothing expected of the bus is checked: no fence, no compare-and-set.
    NoFence,
    /// An unclear answer is taken for a yes; nothing is read back.
    NoReadBack,
    /// Outputs are acknowledged before they are stored: the position may be out before them.
    PositionFirst,
}

/// One life of a process: until it is killed, and while it is not frozen.
pub struct Life {
    calls: AtomicU64,
    /// It dies at this call: before it is sent, or after it was carried out.
    dies_at: (u64, bool),
    dead: AtomicBool,
    /// Told when it died.
    pub died: Notify,
    frozen: AtomicBool,
    /// Whoever is frozen is woken in the order they came, so that a run repeats.
    thawed: Notify,
}

impl Life {
    /// A life that ends at a call, if it comes that far.
    pub fn until(call: u64, after: bool) -> Arc<Self> {
        Arc::new(Self {
            calls: AtomicU64::new(0),
            dies_at: (call, after),
            dead: AtomicBool::new(false),
            died: Notify::new(),
            frozen: AtomicBool::new(false),
            thawed: Notify::new(),
        })
    }

    pub fn freeze(&self, frozen: bool) {
        self.frozen.store(frozen, Ordering::Relaxed);
        if !frozen {
            self.thawed.notify_waiters();
        }
    }

    pub fn kill(&self) {
        self.dead.store(true, Ordering::Relaxed);
        self.died.notify_one();
    }

    fn call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed)
    }

    /// Comes back unless the process is dead at this place, and when it is not frozen.
    async fn goes_on(&self, call: u64, after: bool) {
        if self.dies_at == (call, after) {
            self.kill();
        }
        if self.dead.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        if self.frozen.load(Ordering::Relaxed) {
            self.thawed.notified().await;
        }
    }
}

/// The bus as one process sees it.
#[derive(Clone)]
pub struct Faulty {
    bus: MemoryBus,
    life: Arc<Life>,
    dice: Arc<Mutex<Dice>>,
    weather: watch::Receiver<Weather>,
    mutant: Option<Mutant>,
}

/// What becomes of a write.
struct Fate {
    there: Duration,
    back: Duration,
    /// The answer gets lost.
    answer_lost: bool,
    /// The request gets lost, or comes late.
    lost: Option<Option<Duration>>,
    refused: bool,
}

impl Faulty {
    pub fn new(
        bus: &MemoryBus,
        life: &Arc<Life>,
        dice: Dice,
        weather: &watch::Receiver<Weather>,
    ) -> Self {
        let (dice, weather) = (Arc::new(Mutex::new(dice)), weather.clone());
        Self { bus: bus.clone(), life: life.clone(), dice, weather, mutant: None }
    }

    pub fn broken(mut self, mutant: Option<Mutant>) -> Self {
        self.mutant = mutant;
        self
    }

    pub fn shared(self) -> SharedBus {
        Arc::new(self)
    }

    fn weather(&self) -> Weather {
        *self.weather.borrow()
    }

    fn leg(&self, dice: &mut Dice) -> Duration {
        if dice.happens(self.weather().slow) { dice.millis(1, 40) } else { Duration::ZERO }
    }

    fn fate(&self) -> Fate {
        let weather = self.weather();
        let mut dice = self.dice.lock().unwrap();
        let (there, back) = (self.leg(&mut dice), self.leg(&mut dice));
        let late = dice.happens(500).then(|| dice.millis(1, 8_000));
        Fate {
            there,
            back,
            answer_lost: dice.happens(weather.answer_lost),
            lost: dice.happens(weather.request_lost).then_some(late),
            refused: dice.happens(weather.refused),
        }
    }

    /// Carries out a write apart from its writer, who may be gone by then.
    async fn write(&self, mut batch: Vec<Outgoing>) -> Result<Stored, BusError> {
        let call = self.life.call();
        self.life.goes_on(call, false).await;
        let fate = self.fate();
        let what = batch[0].subject.clone();
        // Taking a log over goes by what it reads anyway.
        let takes_over = batch.iter().any(|message| message.subject.starts_with("ops.own."));
        if fate.refused {
            sleep(fate.there).await;
            return Err(BusError::Unavailable { what, why: "no leader".to_owned() });
        }
        if self.mutant == Some(Mutant::NoFence) {
            batch.iter_mut().for_each(|message| message.expect = None);
        }
        let (answer, answered) = oneshot::channel();
        let (bus, life) = (self.bus.clone(), self.life.clone());
        let early =
            self.mutant == Some(Mutant::PositionFirst) && batch.len() == 1 && is_output(&what);
        let there = match fate.lost {
            None => Some(fate.there),
            Some(late) => late,
        };
        if let Some(there) = there {
            tokio::spawn(async move {
                sleep(there).await;
                if early {
                    // Lies with the process, and dies with it.
                    sleep(Duration::from_millis(300)).await;
                    if life.dead.load(Ordering::Relaxed) {
                        return;
                    }
                }
                let stored = match &mut batch[..] {
                    [_] => bus.publish(batch.remove(0)).await,
                    _ => bus
                        .commit(batch)
                        .await
                        .map(|sequence| Stored { sequence, duplicate: false }),
                };
                let _ = answer.send(stored);
            });
        }
        if early {
            return Ok(Stored { sequence: 0, duplicate: false });
        }
        let stored = if fate.lost.is_some() || fate.answer_lost {
            sleep(LOST_AFTER).await;
            Err(BusError::Unclear { what })
        } else {
            let stored = answered.await.unwrap_or(Err(BusError::Unclear { what }));
            sleep(fate.back).await;
            stored
        };
        self.life.goes_on(call, true).await;
        match stored {
            Err(BusError::Unclear { .. })
                if self.mutant == Some(Mutant::NoReadBack) && !takes_over =>
            {
                Ok(Stored { sequence: 0, duplicate: false })
            }
            stored => stored,
        }
    }

    /// A read: there and back, or not at all.
    async fn ask<T>(
        &self,
        answer: impl Future<Output = Result<T, BusError>>,
    ) -> Result<T, BusError> {
        let call = self.life.call();
        self.life.goes_on(call, false).await;
        let fate = self.fate();
        sleep(fate.there).await;
        if fate.refused || fate.lost.is_some() {
            return Err(BusError::Unavailable { what: "read".to_owned(), why: "lost".to_owned() });
        }
        let answer = answer.await;
        sleep(fate.back).await;
        self.life.goes_on(call, true).await;
        answer
    }
}

/// Whether it is something that a log says.
fn is_output(subject: &str) -> bool {
    ["ops.transition.", "ops.alert.", "ops.notify.", "ops.rollback.", "ops.request."]
        .iter()
        .any(|output| subject.starts_with(output))
}

#[async_trait]
impl Bus for Faulty {
    async fn ensure(&self, shards: u32) -> Result<(), BusError> {
        self.bus.ensure(shards).await
    }

    async fn publish(&self, message: Outgoing) -> Result<Stored, BusError> {
        self.write(vec![message]).await
    }

    async fn commit(&self, batch: Vec<Outgoing>) -> Result<u64, BusError> {
        self.write(batch).await.map(|stored| stored.sequence)
    }

    async fn last(&self, stream: Stream, subject: &str) -> Result<Option<Message>, BusError> {
        self.ask(self.bus.last(stream, subject)).await
    }

    async fn subjects(&self, stream: Stream, filter: &str) -> Result<Vec<String>, BusError> {
        self.ask(self.bus.subjects(stream, filter)).await
    }

    async fn state(&self, stream: Stream) -> Result<StreamState, BusError> {
        self.ask(self.bus.state(stream)).await
    }

    async fn first_at(&self, stream: Stream, time: stages::time::Time) -> Result<u64, BusError> {
        self.ask(self.bus.first_at(stream, time)).await
    }

    async fn read(
        &self,
        stream: Stream,
        filter: Option<&str>,
        from: u64,
    ) -> Result<Box<dyn Reader>, BusError> {
        let reader = self.ask(self.bus.read(stream, filter, from)).await?;
        Ok(Box::new(FaultyReader { with: self.clone(), reader }))
    }

    async fn work(
        &self,
        stream: Stream,
        filter: &str,
        name: &str,
        options: WorkOptions,
    ) -> Result<Box<dyn Worker>, BusError> {
        let worker = self.ask(self.bus.work(stream, filter, name, options)).await?;
        Ok(Box::new(FaultyWorker { with: self.clone(), worker }))
    }

    async fn purge(&self, stream: Stream, subject: &str, keep: u64) -> Result<(), BusError> {
        self.ask(self.bus.purge(stream, subject, keep)).await
    }

    fn connected(&self) -> bool {
        true
    }
}

struct FaultyReader {
    with: Faulty,
    reader: Box<dyn Reader>,
}

#[async_trait]
impl Reader for FaultyReader {
    async fn next(&mut self, into: &mut Vec<Message>) -> Result<(), BusError> {
        let fate = self.with.fate();
        sleep(fate.there).await;
        if fate.refused {
            return Err(BusError::Unavailable { what: "read".to_owned(), why: "cut".to_owned() });
        }
        let mut found = Vec::new();
        self.reader.next(&mut found).await?;
        // Frozen or dead, it has them and does nothing with them.
        self.with.life.goes_on(self.with.life.call(), true).await;
        into.append(&mut found);
        Ok(())
    }
}

struct FaultyWorker {
    with: Faulty,
    worker: Box<dyn Worker>,
}

#[async_trait]
impl Worker for FaultyWorker {
    async fn next(&mut self) -> Result<Work, BusError> {
        let work = self.worker.next().await?;
        let call = self.with.life.call();
        self.with.life.goes_on(call, false).await;
        let Work { message, delivery, answer } = work;
        let answer = Box::new(FaultyAnswer { with: self.with.clone(), answer: Arc::from(answer) });
        Ok(Work { message, delivery, answer })
    }
}

struct FaultyAnswer {
    with: Faulty,
    answer: Arc<dyn Answer>,
}

#[async_trait]
impl Answer for FaultyAnswer {
    async fn done(&self) -> Result<(), BusError> {
        self.with.ask(self.answer.done()).await
    }

    async fn working(&self) -> Result<(), BusError> {
        self.with.ask(self.answer.working()).await
    }

    async fn later(&self, delay: Duration) -> Result<(), BusError> {
        self.with.ask(self.answer.later(delay)).await
    }
}
