//! Why an incident was, and what became of it: everything recorded about it, in the order it happened.
//!
//! What stands here is what was said. Whether the log says the same is the audit's business; whoever shows this says so.

pub mod text;

use bus::{BusError, Message, SharedBus, Stream};
use serde::Serialize;
use stages::log::LogId;
use stages::subject::Subjects;
use stages::time::{Span, Time};
use stages::wire::{
    AlertEvent, AlertState, Axis, Delivery, Intent, RollbackEvent, ShardEvent, Silence, Transition,
    Verified,
};
use std::collections::BTreeMap;

/// How far before its opening an incident's path is looked for.
const BEFORE: Span = Span::from_secs(86_400);
/// How long after its end messages about it may still be on their way.
const AFTER: Span = Span::from_secs(900);

/// Everything recorded about an incident.
#[derive(Clone, Debug, Serialize)]
pub struct Story {
    /// The event that opened it.
    pub opened: AlertEvent,
    /// The newest event of its end, if it is over.
    pub ended: Option<(Time, AlertState)>,
    /// Moves of its alert, from the one before the trouble on.
    pub path: Vec<Transition>,
    /// What the desk said of it.
    pub events: Vec<AlertEvent>,
    /// Messages to people, with what became of each.
    pub messages: Vec<(Intent, Vec<Delivery>)>,
    /// Where its rollback stood.
    pub rollback: Vec<RollbackEvent>,
    /// The verdict of the shard.
    pub verified: Option<Verified>,
    /// Silences that covered it when it opened.
    pub silences: Vec<Silence>,
}

impl Story {
    /// From its first move to its end.
    pub fn span(&self) -> (Time, Option<Time>) {
        let from = self.path.first().map_or(self.opened.time, |first| first.time);
        (from.min(self.opened.time), self.ended.map(|(ended, _)| ended))
    }

    /// The logs it follows from, of a bus with so many shards. What the desk judged, any of them may have shown.
    pub fn logs(&self, shards: u32) -> Vec<LogId> {
        let of = match self.path.last() {
            Some(moved) if moved.at_desk => 0..shards,
            Some(moved) => moved.shard..moved.shard.saturating_add(1),
            None => 0..0,
        };
        of.map(LogId::Shard).chain([LogId::Desk]).collect()
    }
}

/// Why there is no story.
#[derive(Debug, thiserror::Error)]
pub enum WhyError {
    /// The bus does not answer.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// No such incident.
    #[error(
        "no incident {0:?} is recorded: `ops status` and the board list them, and they are kept for 90 days"
    )]
    Unknown(String),
    /// More than one.
    #[error("{0:?} is the beginning of {1} incidents: write more of it")]
    Ambiguous(String, usize),
}

/// Reads what was recorded.
#[derive(Clone)]
pub struct Records {
    /// The bus.
    pub bus: SharedBus,
    /// Subjects on it.
    pub subjects: Subjects,
}

impl Records {
    /// The incident whose id begins with `id`.
    ///
    /// # Errors
    /// There is none, or more than one, or the bus does not answer.
    pub async fn incident(&self, id: &str) -> Result<Story, WhyError> {
        let mut opened: BTreeMap<String, AlertEvent> = BTreeMap::new();
        let fired = self.subjects.of("alert.*.*.fired");
        self.each(Stream::Events, &fired, Time(0), |message| {
            if let Ok(event) = serde_json::from_slice::<AlertEvent>(&message.payload)
                && let Some(incident) = event.incident.clone().filter(|found| found.starts_with(id))
            {
                opened.entry(incident).or_insert(event);
            }
        })
        .await?;
        let count = opened.len();
        match opened.pop_first() {
            Some((incident, opened)) if count == 1 => self.story(&incident, opened).await,
            Some(_) => Err(WhyError::Ambiguous(id.to_owned(), count)),
            None => Err(WhyError::Unknown(id.to_owned())),
        }
    }

    /// All moves of a rule's alerts up to `until`, the newest of each group, by label text.
    ///
    /// # Errors
    /// The bus does not answer.
    pub async fn newest_moves(&self, rule: &str, until: Time) -> Result<Vec<Transition>, WhyError> {
        let mut newest: BTreeMap<_, Transition> = BTreeMap::new();
        let filter = self.subjects.of("transition.>");
        self.each(Stream::Events, &filter, Time(0), |message| {
            if let Some(moved) =
                moved(&message).filter(|moved| moved.rule == rule && moved.time <= until)
            {
                newest.insert(moved.group.clone(), moved);
            }
        })
        .await?;
        Ok(newest.into_values().collect())
    }

    async fn story(&self, id: &str, opened: AlertEvent) -> Result<Story, WhyError> {
        let mut story = Story {
            ended: None,
            path: Vec::new(),
            events: Vec::new(),
            messages: Vec::new(),
            rollback: Vec::new(),
            verified: None,
            silences: Vec::new(),
            opened,
        };
        let (rule, group) = (story.opened.rule.clone(), story.opened.group.clone());
        let since = story.opened.time;
        self.each(Stream::Events, &self.subjects.of("alert.>"), since.minus(BEFORE), |message| {
            let event = serde_json::from_slice::<AlertEvent>(&message.payload).ok();
            story.events.extend(event.filter(|event| event.incident.as_deref() == Some(id)));
        })
        .await?;
        let over =
            |event: &&AlertEvent| matches!(event.state, AlertState::Resolved | AlertState::Closed);
        story.ended = story.events.iter().rfind(over).map(|event| (event.time, event.state));
        let until = story.ended.map_or(Time(i64::MAX), |(ended, _)| ended.plus(AFTER));
        self.each(
            Stream::Events,
            &self.subjects.of("transition.>"),
            since.minus(BEFORE),
            |message| match serde_json::from_slice::<ShardEvent>(&message.payload) {
                Ok(ShardEvent::Transition(moved))
                    if moved.rule == rule && moved.group == group && moved.time <= until =>
                {
                    story.path.push(*moved);
                }
                Ok(ShardEvent::Verified(verified)) if verified.incident == id => {
                    story.verified = Some(*verified);
                }
                _ => {}
            },
        )
        .await?;
        story.path = path(std::mem::take(&mut story.path), id, story.ended.map(|(ended, _)| ended));
        self.each(Stream::Events, &self.subjects.of("rollback.>"), since, |message| {
            let event = serde_json::from_slice::<RollbackEvent>(&message.payload).ok();
            story.rollback.extend(event.filter(|event| event.incident == id));
        })
        .await?;
        story.messages = self.messages(id, since).await?;
        story.silences = self.silences(&story.opened).await?;
        Ok(story)
    }

    /// Messages about an incident, digests with it among them, each with the attempts to deliver it.
    async fn messages(
        &self,
        id: &str,
        since: Time,
    ) -> Result<Vec<(Intent, Vec<Delivery>)>, WhyError> {
        let mut messages: Vec<(Intent, Vec<Delivery>)> = Vec::new();
        self.each(Stream::Events, &self.subjects.of("notify.*"), since, |message| {
            let intent = serde_json::from_slice::<Intent>(&message.payload).ok();
            let about = |intent: &Intent| {
                intent.incident.as_deref() == Some(id)
                    || intent.folded.iter().any(|line| line.incident.as_deref() == Some(id))
            };
            messages.extend(intent.filter(about).map(|intent| (intent, Vec::new())));
        })
        .await?;
        self.each(Stream::Outcomes, &self.subjects.of("status.notify.*"), since, |message| {
            if let Ok(delivery) = serde_json::from_slice::<Delivery>(&message.payload)
                && let Some((_, attempts)) =
                    messages.iter_mut().find(|(intent, _)| intent.key == delivery.key)
            {
                attempts.push(delivery);
            }
        })
        .await?;
        Ok(messages)
    }

    /// Silences in force over an alert when it fired.
    async fn silences(&self, opened: &AlertEvent) -> Result<Vec<Silence>, WhyError> {
        let mut labels = opened.labels.clone();
        labels.extend(opened.group.clone());
        labels.insert("rule".to_owned(), opened.rule.clone());
        labels.insert("severity".to_owned(), opened.severity.clone());
        let mut by_id: BTreeMap<String, Silence> = BTreeMap::new();
        self.each(Stream::Desk, &self.subjects.of("desk.silence.>"), Time(0), |message| {
            if let Ok(silence) = serde_json::from_slice::<Silence>(&message.payload)
                && message.time <= opened.time
            {
                by_id.insert(silence.id.clone(), silence);
            }
        })
        .await?;
        let covers = |silence: &Silence| {
            silence.starts.is_none_or(|starts| starts <= opened.time)
                && silence.ends > opened.time
                && silence.matchers.iter().all(|(name, value)| labels.get(name) == Some(value))
        };
        Ok(by_id.into_values().filter(covers).collect())
    }

    /// Hands out every message of a stream that matches `filter`, from the first stored at `since` on.
    async fn each(
        &self,
        stream: Stream,
        filter: &str,
        since: Time,
        mut take: impl FnMut(Message),
    ) -> Result<(), BusError> {
        let Some(last) = self.bus.last(stream, filter).await? else { return Ok(()) };
        let first = self.bus.first_at(stream, since).await?;
        if first > last.sequence {
            return Ok(());
        }
        let mut reader = self.bus.read(stream, Some(filter), first).await?;
        let (mut messages, mut at) = (Vec::new(), 0);
        while at < last.sequence {
            reader.next(&mut messages).await?;
            for message in messages.drain(..) {
                at = message.sequence;
                take(message);
            }
        }
        Ok(())
    }
}

fn moved(message: &Message) -> Option<Transition> {
    match serde_json::from_slice(&message.payload) {
        Ok(ShardEvent::Transition(moved)) => Some(*moved),
        _ => None,
    }
}

/// The moves that belong to an incident: from the last calm one before it to the one that ended it.
fn path(all: Vec<Transition>, id: &str, ended: Option<Time>) -> Vec<Transition> {
    let ours = |moved: &Transition| moved.incident.as_deref() == Some(id);
    let Some(first) = all.iter().position(ours) else { return Vec::new() };
    let calm = |moved: &Transition| matches!(moved.to, Axis::Ok | Axis::Unknown);
    let from = all[..first].iter().rposition(calm).unwrap_or(first);
    let last = all.iter().rposition(ours).unwrap_or(first);
    let until = ended.unwrap_or(Time(i64::MAX));
    let kept = all
        .into_iter()
        .enumerate()
        .filter(|(at, moved)| (from..=last).contains(at) || (*at > last && moved.time <= until));
    kept.map(|(_, moved)| moved).collect()
}
