//! The feeder of one stream: entries become steps of their log, steps go to the rounds, and logs get their ticks.
//!
//! What is read and not yet committed is bounded in bytes; past the bound the feeder waits, the readers wait behind
//! it, and the bus holds the rest.

use crate::commit::Fed;
use crate::health::Register;
use crate::readers::{Begin, Readers};
use crate::rounds::ToRounds;
use bus::{Message, Outgoing, SharedBus, Stream};
use bytes::Bytes;
use stages::log::{Entry, EntryKind, LogId, Step, Stepper};
use stages::revision::{Ahead, Read};
use stages::subject::Subjects;
use stages::ticks::Ticks;
use stages::time::{Span, Time};
use stages::wire::{DataGap, SCHEMA};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::Instant;

/// Read and not yet committed, in KiB: some rounds' worth of the fastest stream a machine can read.
const ROOM_KIB: u32 = 64 << 10;
/// What an entry costs beside its bytes.
const ENTRY_BYTES: usize = 128;

/// What a feeder is told.
pub(crate) enum ToFeeder {
    /// A log was taken: feed it what lies behind `after`.
    Own(Owned),
    /// A log was lost, or stands still.
    Drop(LogId),
    /// The stages said when they are due next.
    Due(LogId, Option<Time>),
}

/// A log to be fed.
pub(crate) struct Owned {
    pub log: LogId,
    pub fence: u64,
    /// Last entry that is worked off, and log time there.
    pub after: u64,
    pub now: Time,
    /// Entries left out by hand.
    pub skipped: Vec<(u64, u64)>,
}

/// What a feeder works with.
pub(crate) struct Feeding {
    pub bus: SharedBus,
    pub subjects: Subjects,
    pub stream: Stream,
    pub shards: u32,
    pub tick_every: Duration,
    pub orders: mpsc::UnboundedReceiver<ToFeeder>,
    pub rounds: mpsc::UnboundedSender<ToRounds>,
    pub register: Arc<Register>,
    /// Told the sequence of each settings entry read.
    pub settings_read: watch::Sender<u64>,
}

/// Feeds the logs of one stream.
pub(crate) struct Feeder {
    with: Feeding,
    /// Where its clock is zero.
    began: Instant,
    lines: BTreeMap<LogId, Line>,
    readers: Option<Readers>,
    /// One reader reads all of the stream: a jump in it is a hole.
    whole: bool,
    /// The next sequence of that reader.
    expected: Option<u64>,
    room: Arc<Semaphore>,
}

/// One log.
struct Line {
    fence: u64,
    skipped: Vec<(u64, u64)>,
    stepper: Stepper,
    /// Last entry read.
    seen: u64,
    ticks: Ticks,
    /// The newest settings entry of a step that was not fed yet.
    settings: Option<u64>,
    /// Settings entries that were read, for the steps they belong to, and with the help of what.
    ahead: (Ahead, Read),
    /// Entries that are gone before the open step, and log time before them.
    lost: Option<(u64, u64, Time)>,
    /// Size of the open step.
    bytes: usize,
    /// Met in the fetch at hand: entries with content, ticks.
    met: (bool, bool),
}

impl Line {
    fn new(owned: Owned, at: Time, tick_every: Span) -> Self {
        let Owned { log, fence, after, now, skipped } = owned;
        Self {
            fence,
            skipped,
            stepper: Stepper::new(log, now),
            seen: after,
            ticks: Ticks::new(now, at, tick_every),
            settings: None,
            ahead: (Ahead::default(), Read::default()),
            lost: None,
            bytes: 0,
            met: (false, false),
        }
    }

    /// Takes an entry; the steps it ended lie in `ended`.
    fn push(&mut self, entry: Entry, ended: &mut Vec<Step>) {
        self.seen = entry.sequence;
        self.bytes += entry.payload.len() + ENTRY_BYTES;
        match entry.kind {
            EntryKind::Tick => self.met.1 = true,
            _ => self.met.0 = true,
        }
        if entry.kind == EntryKind::Settings {
            self.settings = Some(entry.sequence);
            let (ahead, read) = &mut self.ahead;
            ahead.read(entry.sequence, &entry.payload, read);
        }
        self.stepper.push(entry, ended);
    }

    /// What an ended step is fed with.
    fn fed(&mut self, step: &Step) -> Fed {
        let settings = self.settings.take_if(|sequence| *sequence <= step.position()).is_some();
        let gap = self.lost.take().map(|(first, last, from)| DataGap {
            schema: SCHEMA,
            from,
            to: step.began,
            length: step.began.since(from),
            position: step.position(),
            lost: Some((first, last)),
        });
        Fed { fence: self.fence, settings, gap, room: None }
    }
}

impl Feeder {
    pub fn new(with: Feeding) -> Self {
        let room = Arc::new(Semaphore::new(ROOM_KIB as usize));
        let (lines, readers, whole, expected) = (BTreeMap::new(), None, false, None);
        Self { with, began: Instant::now(), lines, readers, whole, expected, room }
    }

    /// Runs until nobody gives orders any more.
    pub async fn run(mut self) {
        loop {
            let owed = self.lines.values().map(|line| line.ticks.owed()).min();
            tokio::select! {
                biased;
                order = self.with.orders.recv() => {
                    let Some(order) = order else { return };
                    self.obey(order).await;
                }
                Some(fetched) = next(&mut self.readers) => self.take(fetched).await,
                () = at(owed.map(|owed| self.began + owed.since(Time(0)).as_std())) => self.tick(),
            }
        }
    }

    /// Its own time, by which ticks are owed.
    fn clock(&self) -> Time {
        Time(0).plus(span(self.began.elapsed()))
    }

    async fn obey(&mut self, first: ToFeeder) {
        let (mut next, mut changed) = (Some(first), false);
        while let Some(order) = next {
            match order {
                ToFeeder::Own(owned) => {
                    changed = true;
                    let every = span(self.with.tick_every);
                    self.lines.insert(owned.log, Line::new(owned, self.clock(), every));
                }
                ToFeeder::Drop(log) => changed |= self.lines.remove(&log).is_some(),
                ToFeeder::Due(log, due) => {
                    if let Some(line) = self.lines.get_mut(&log) {
                        line.ticks.due(due);
                    }
                }
            }
            next = self.with.orders.try_recv().ok();
        }
        if changed {
            self.restart().await;
        }
    }

    /// Starts the readers that the owned logs need, behind what was read.
    async fn restart(&mut self) {
        self.readers = None;
        self.expected = None;
        self.whole =
            self.with.stream == Stream::Desk || self.lines.len() == self.with.shards as usize;
        let begins = if self.whole {
            let from = self.lines.values().map(|line| line.seen + 1).min();
            // From the very start there is no hole: what expired before the first owner came was never promised.
            self.expected = from.filter(|from| *from > 1);
            from.map(|from| Begin { filter: None, from }).into_iter().collect()
        } else {
            self.find_expired().await;
            let begin = |(log, line): (&LogId, &Line)| Begin {
                filter: Some(self.with.subjects.entries(*log)),
                from: line.seen + 1,
            };
            self.lines.iter().map(begin).collect::<Vec<_>>()
        };
        if !begins.is_empty() {
            self.readers = Some(Readers::start(&self.with.bus, self.with.stream, begins));
        }
    }

    /// A filtered reader sees jumps all the time; only what lies before the stream's first entry is surely gone.
    async fn find_expired(&mut self) {
        let Ok(state) = self.with.bus.state(self.with.stream).await else { return };
        for (log, line) in &mut self.lines {
            if line.seen > 0 && line.seen + 1 < state.first {
                line.lost = Some((line.seen + 1, state.first - 1, line.stepper.now()));
                self.with.register.lost(*log, line.seen + 1, state.first - 1);
            }
        }
    }

    async fn take(&mut self, fetched: Vec<Message>) {
        let Some(last) = fetched.last().map(|message| message.sequence) else { return };
        let mut ended = Vec::new();
        for message in fetched {
            self.look_for_hole(message.sequence);
            let Some(log) = self.log_of(&message.subject) else { continue };
            let Some(line) = self.lines.get_mut(&log).filter(|line| message.sequence > line.seen)
            else {
                continue;
            };
            let Message { subject, sequence, time, payload } = message;
            let place = (sequence, time);
            let entry = self.with.subjects.log_entry(subject, place, payload, &line.skipped);
            line.push(entry, &mut ended);
            for step in ended.drain(..) {
                self.feed(log, step).await;
            }
        }
        self.with.register.read(self.with.stream == Stream::Desk, last);
        let at = self.clock();
        for (log, line) in &mut self.lines {
            let (content, tick) = std::mem::take(&mut line.met);
            if content || tick {
                line.ticks.entries(&line.stepper, at, content, tick);
                let seen = line.seen;
                self.with.register.log(*log, |health| health.read = seen);
            }
        }
    }

    /// Hands a step to the rounds, when there is room for it.
    async fn feed(&mut self, log: LogId, mut step: Step) {
        let Some(line) = self.lines.get_mut(&log) else { return };
        step.ahead = line.ahead.0.up_to(step.position());
        let mut fed = line.fed(&step);
        let bytes = std::mem::take(&mut line.bytes);
        if fed.settings {
            self.with.settings_read.send_replace(step.position());
        }
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX).min(ROOM_KIB);
        fed.room = self.room.clone().acquire_many_owned(kib).await.ok();
        let _ = self.with.rounds.send(ToRounds::Step { log, step: Arc::new(step), fed });
    }

    /// An unfiltered reader that jumps has met a hole: entries of some log are gone. Filtered ones jump all the time.
    fn look_for_hole(&mut self, sequence: u64) {
        if !self.whole {
            return;
        }
        let Some(expected) = self.expected.replace(sequence + 1) else { return };
        if sequence <= expected {
            return;
        }
        for (log, line) in &mut self.lines {
            if line.seen < sequence {
                let now = line.stepper.now();
                line.lost.get_or_insert((expected, sequence - 1, now)).1 = sequence - 1;
                self.with.register.lost(*log, expected, sequence - 1);
            }
        }
    }

    /// The log an entry belongs to.
    fn log_of(&self, subject: &Bytes) -> Option<LogId> {
        if self.with.stream == Stream::Desk {
            return Some(LogId::Desk);
        }
        self.with.subjects.log_of(subject)
    }

    /// Sends the ticks that are owed. One that gets lost is owed again a second later.
    fn tick(&mut self) {
        let now = self.clock();
        for (log, line) in self.lines.iter_mut().filter(|(_, line)| line.ticks.owed() <= now) {
            line.ticks.sent(now);
            self.with.register.log(*log, |health| health.ticks += 1);
            let subject = self.with.subjects.entry(*log, "tick");
            let bus = self.with.bus.clone();
            tokio::spawn(async move {
                if let Err(error) = bus.publish(Outgoing { subject, ..Outgoing::default() }).await {
                    tracing::debug!(%error, "a tick was not stored");
                }
            });
        }
    }
}

async fn next(readers: &mut Option<Readers>) -> Option<Vec<Message>> {
    match readers {
        Some(readers) => readers.next().await,
        None => std::future::pending().await,
    }
}

fn span(length: Duration) -> Span {
    Span(i64::try_from(length.as_nanos()).unwrap_or(i64::MAX))
}

async fn at(owed: Option<Instant>) {
    match owed {
        // The timer rounds up to its next millisecond, even for what is owed already.
        Some(owed) if owed <= Instant::now() => {}
        Some(owed) => tokio::time::sleep_until(owed).await,
        None => std::future::pending().await,
    }
}
