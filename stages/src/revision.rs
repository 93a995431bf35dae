//! A revision of the settings as it travels: whole where it fits one message, else in parts.
//!
//! A part is settings with some of the rules, plans and receivers, so that it can be read by eye like the whole; all of
//! them carry the same revision. They are written in one atomic batch, so nothing lies between them on their stream, and
//! the revision is in force at its last part. What is collected belongs to a log's state: a snapshot may be taken
//! between two parts. Cutting the JSON at any byte was considered: smaller code, but nobody could read a part.
//!
//! | collected \ came | whole               | first part       | next part          | another part | unreadable |
//! |------------------|---------------------|------------------|--------------------|--------------|------------|
//! | nothing          | in force            | begun            | -                  | refused      | refused    |
//! | n of m           | refused n, in force | refused n, begun | n + 1; in force at m | refused both | refused both |
//!
//! ```
//! use stages::revision::{Collected, parts};
//! use stages::settings::Settings;
//! let settings = Settings { revision: "a1".into(), ..Settings::default() };
//! let mut collected = Collected::default();
//! let taken = collected.take(&parts(&settings).unwrap()[0]);
//! assert_eq!((taken.in_force, taken.refused), (Some(settings), None));
//! ```

mod read;

pub use read::{Ahead, Read};

use crate::settings::{Part, Plan, Receiver, Rule, Settings};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Bytes of a part: half of the bus's usual limit of 1 MiB, so that headers and any smaller limit fit too. Some 500
/// rules.
pub const PART_BYTES: usize = 512 << 10;
/// Most parts of a revision: 32 MiB, half of what a server buffers for one client. Some 30,000 rules.
pub const PARTS_MAX: usize = 64;

/// A revision that no bus takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// One rule, plan or receiver, or the rest of the settings, is larger than a part.
    #[error("{0} makes {1} bytes, more than the {PART_BYTES} of one message")]
    Piece(String, usize),
    /// All together.
    #[error("the settings make {0} messages of {PART_BYTES} bytes, more than {PARTS_MAX}")]
    Whole(usize),
}

impl TooLarge {
    /// What to do about it.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Piece(..) => "shorten its texts",
            Self::Whole(_) => "write fewer rules, or rules that group by labels",
        }
    }
}

/// The messages that carry `settings`, in order: one where it fits.
///
/// # Errors
/// [`TooLarge`] names what does not fit.
pub fn parts(settings: &Settings) -> Result<Vec<Bytes>, TooLarge> {
    let whole = json(&Settings { part: None, ..settings.clone() });
    if whole.len() <= PART_BYTES {
        return Ok(vec![Bytes::from(whole)]);
    }
    let pieces = cut(settings)?;
    if pieces.len() > PARTS_MAX {
        return Err(TooLarge::Whole(pieces.len()));
    }
    let of = pieces.len() as u32;
    let numbered = pieces.into_iter().zip(1..).map(|(piece, number)| {
        Bytes::from(json(&Settings { part: Some(Part { number, of }), ..piece }))
    });
    Ok(numbered.collect())
}

/// One thing of a revision.
enum Item {
    Rule(Arc<Rule>),
    Plan(Arc<Plan>),
    Receiver(Arc<Receiver>),
}

impl Item {
    fn all(settings: &Settings) -> impl Iterator<Item = Self> {
        let rules = settings.rules.iter().cloned().map(Self::Rule);
        let plans = settings.plans.iter().cloned().map(Self::Plan);
        let receivers = settings.receivers.iter().cloned().map(Self::Receiver);
        rules.chain(plans).chain(receivers)
    }

    /// What it is called, and its bytes in a list.
    fn size(&self) -> (String, usize) {
        let (name, bytes) = match self {
            Self::Rule(rule) => (format!("rule {}", rule.name), json(rule)),
            Self::Plan(plan) => (format!("plan {}", plan.name), json(plan)),
            Self::Receiver(receiver) => (format!("receiver {}", receiver.name), json(receiver)),
        };
        (name, bytes.len() + 1)
    }

    fn add_to(self, settings: &mut Settings) {
        match self {
            Self::Rule(rule) => settings.rules.push(rule),
            Self::Plan(plan) => settings.plans.push(plan),
            Self::Receiver(receiver) => settings.receivers.push(receiver),
        }
    }
}

/// Settings with as many items each as fit.
fn cut(settings: &Settings) -> Result<Vec<Settings>, TooLarge> {
    let (rules, plans, receivers) = (Vec::new(), Vec::new(), Vec::new());
    let number = PARTS_MAX as u32;
    let part = Some(Part { number, of: number });
    let empty = Settings { part, rules, plans, receivers, ..settings.clone() };
    let frame = json(&empty).len();
    if frame > PART_BYTES {
        return Err(TooLarge::Piece("comment, author or limits".to_owned(), frame));
    }
    let (mut pieces, mut piece, mut bytes) = (Vec::new(), empty.clone(), frame);
    for item in Item::all(settings) {
        let (name, size) = item.size();
        if frame + size > PART_BYTES {
            return Err(TooLarge::Piece(name, frame + size));
        }
        if bytes + size > PART_BYTES {
            pieces.push(std::mem::replace(&mut piece, empty.clone()));
            bytes = frame;
        }
        bytes += size;
        item.add_to(&mut piece);
    }
    pieces.push(piece);
    Ok(pieces)
}

/// The parts of a revision that came so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Collected {
    /// None.
    #[default]
    Nothing,
    /// All up to this one, joined.
    UpTo(Part, Box<Settings>),
}

/// What an entry came to. Both are empty where a part was put to the others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Taken {
    /// A whole revision.
    pub in_force: Option<Settings>,
    /// Why what came, or what was collected before it, is refused.
    pub refused: Option<String>,
}

impl Collected {
    /// Takes the bytes of a settings entry.
    pub fn take(&mut self, payload: &[u8]) -> Taken {
        self.take_read(serde_json::from_slice(payload).map_err(|error| error.to_string()))
    }

    /// The same of the entry at this sequence, which may have been read already.
    pub fn take_entry(&mut self, (sequence, payload): (u64, &[u8]), ahead: &Ahead) -> Taken {
        match ahead.get(sequence) {
            Some(came) => self.take_read(came),
            None => self.take(payload),
        }
    }

    fn take_read(&mut self, came: Result<Settings, String>) -> Taken {
        let (collected, taken) = std::mem::take(self).step(came);
        *self = collected;
        taken
    }

    fn step(self, came: Result<Settings, String>) -> (Self, Taken) {
        let incomplete = match &self {
            Self::Nothing => None,
            Self::UpTo(part, settings) => {
                let (Part { number, of }, revision) = (part, &settings.revision);
                Some(format!("revision {revision} is incomplete: {number} of {of} parts came"))
            }
        };
        let refuse = |why: String| {
            let why = incomplete.iter().cloned().chain([why]).collect::<Vec<_>>().join("; ");
            (Self::Nothing, Taken { refused: Some(why), in_force: None })
        };
        let settings = match came {
            Ok(settings) => settings,
            Err(why) => return refuse(why),
        };
        let Some(part) = settings.part else {
            return (Self::Nothing, Taken { in_force: Some(settings), refused: incomplete });
        };
        if part.number == 0 || part.of as usize > PARTS_MAX || part.number > part.of {
            return refuse(format!("there is no part {} of {}", part.number, part.of));
        }
        match self {
            Self::UpTo(before, joined) if follows(before, &joined, part, &settings) => {
                join(*joined, part, settings)
            }
            _ if part.number == 1 => {
                let (collected, taken) = join(Settings::default(), part, settings);
                (collected, Taken { refused: incomplete, ..taken })
            }
            _ => refuse(format!(
                "part {} of {} of revision {} came without those before it",
                part.number, part.of, settings.revision
            )),
        }
    }
}

fn follows(before: Part, joined: &Settings, part: Part, settings: &Settings) -> bool {
    joined.revision == settings.revision
        && part == Part { number: before.number + 1, of: before.of }
}

/// Puts a part to those before it.
fn join(joined: Settings, part: Part, mut settings: Settings) -> (Collected, Taken) {
    let Settings { mut rules, mut plans, mut receivers, .. } = joined;
    rules.append(&mut settings.rules);
    plans.append(&mut settings.plans);
    receivers.append(&mut settings.receivers);
    let settings = Settings { part: None, rules, plans, receivers, ..settings };
    if part.number == part.of {
        let in_force = Some(settings);
        return (Collected::Nothing, Taken { in_force, refused: None });
    }
    (Collected::UpTo(part, Box::new(settings)), Taken::default())
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("wire types serialise")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Limits;

    /// Settings with receivers of about 100 KiB each.
    fn large(revision: &str, count: usize) -> Settings {
        let receiver = |n: usize| {
            let budget = crate::settings::Budget {
                burst: 1,
                refill: crate::time::Span::from_secs(1),
                reserve: 0,
                digest_every: crate::time::Span::from_secs(1),
            };
            let name = format!("{n:04}{}", "x".repeat(100 << 10));
            Arc::new(Receiver { name, channels: vec!["email".into()], budget })
        };
        Settings {
            revision: revision.to_owned(),
            receivers: (0..count).map(receiver).collect(),
            limits: Limits { rollbacks_per_hour: 3, ..Limits::default() },
            ..Settings::default()
        }
    }

    /// What a row of entries came to: `.` put to the others, `=revision` in force, `!` refused.
    fn told(collected: &mut Collected, payloads: &[&[u8]]) -> String {
        let mut told = String::new();
        for payload in payloads {
            let taken = collected.take(payload);
            told.push_str(if taken.refused.is_some() { "!" } else { "" });
            match taken.in_force {
                Some(settings) => told.push_str(&format!("={}", settings.revision)),
                None if taken.refused.is_none() => told.push('.'),
                None => {}
            }
        }
        told
    }

    #[test]
    fn a_revision_in_parts_is_the_revision_again() {
        for count in [0, 1, 5, 6, 23] {
            let settings = large("a", count);
            let parts = parts(&settings).unwrap();
            assert!(parts.iter().all(|part| part.len() <= PART_BYTES));
            assert_eq!(parts.len() > 1, count > 5, "{count}");
            let mut collected = Collected::default();
            let (last, first) = parts.split_last().unwrap();
            for part in first {
                assert_eq!(collected.take(part), Taken::default());
                // Between any two a snapshot may be taken.
                let saved = serde_json::to_vec(&collected).unwrap();
                collected = serde_json::from_slice(&saved).unwrap();
            }
            assert_eq!(collected.take(last).in_force, Some(settings));
            assert_eq!(collected, Collected::Nothing);
        }
    }

    #[test]
    fn incomplete_and_mixed_parts_are_refused_and_the_next_whole_revision_is_taken() {
        let (a, b) = (parts(&large("a", 12)).unwrap(), parts(&large("b", 12)).unwrap());
        let more = parts(&large("a", 17)).unwrap();
        let whole = parts(&large("w", 1)).unwrap().remove(0);
        assert_eq!((a.len(), b.len(), more.len()), (3, 3, 4));
        let rows: [(&[&[u8]], &str); 10] = [
            (&[&a[0], &a[1], &a[2]], "..=a"),
            (&[&whole, &whole], "=w=w"),
            (&[&a[1], &a[2]], "!!"),
            (&[&a[0], &a[2]], ".!"),
            (&[&a[0], &a[0], &a[1], &a[2]], ".!.=a"),
            (&[&a[0], &b[1], &b[2]], ".!!"),
            (&[&a[0], &b[0], &b[1], &b[2]], ".!.=b"),
            (&[&a[0], &a[1], &whole], "..!=w"),
            (&[&a[0], &more[1]], ".!"),
            (&[&a[0], b"{", &a[1]], ".!!"),
        ];
        for (payloads, expected) in rows {
            assert_eq!(told(&mut Collected::default(), payloads), expected);
        }
    }

    #[test]
    fn numbers_that_make_no_sense_are_refused() {
        for (number, of) in [(0, 3), (4, 3), (1, 0), (1, PARTS_MAX as u32 + 1)] {
            let part = Some(Part { number, of });
            let payload = json(&Settings { part, ..Settings::default() });
            assert_eq!(told(&mut Collected::default(), &[&payload]), "!", "{number} of {of}");
        }
    }

    #[test]
    fn what_no_bus_takes_is_named() {
        let mut one = large("a", 1);
        let name = "x".repeat(PART_BYTES);
        one.receivers = vec![Arc::new(Receiver { name, ..(*one.receivers[0]).clone() })];
        assert!(
            matches!(parts(&one), Err(TooLarge::Piece(name, _)) if name.starts_with("receiver"))
        );
        let comment = Settings { comment: "x".repeat(PART_BYTES), ..large("a", 1) };
        assert!(
            matches!(parts(&comment), Err(TooLarge::Piece(name, _)) if name.starts_with("comment"))
        );
        assert_eq!(parts(&large("a", 400)), Err(TooLarge::Whole(80)));
    }
}
