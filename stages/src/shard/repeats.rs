//! Repeats: a numbered batch is applied once, a sample's id is remembered for two minutes of log time.

use crate::batch::BatchError;
use crate::batch::varint::{Cursor, put, put_bytes, put_signed};
use crate::time::{Span, Time};
use rustc_hash::{FxHashSet, FxHasher};
use std::collections::{BTreeMap, VecDeque};
use std::hash::Hasher;

/// Clients remembered: 16 384 of at most 128 bytes are 3 MiB.
const CLIENTS_MAX: usize = 16_384;
/// A client is forgotten after this much silence.
const CLIENT_KEPT: Span = Span::from_secs(3_600);
/// Numbers below a client's newest that are told apart; anything older counts as a repeat.
const NUMBERS_KEPT: u64 = 64;
/// How long a sample's id is remembered.
const ID_KEPT: Span = Span::from_secs(120);
/// Ids remembered per slice: with eight slices half a million, in about 24 MiB.
const IDS_MAX: usize = 65_536;

/// Which batches of which clients were applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Clients {
    seen: BTreeMap<String, Numbers>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Numbers {
    newest: u64,
    /// Bit `i`: number `newest - i` was applied.
    applied: u64,
    at: Time,
}

impl Clients {
    /// Whether batch `number` of `client` is new. Numbers may come out of order, two collectors apart.
    pub(super) fn is_new(&mut self, client: &str, number: u64, now: Time) -> bool {
        let Some(numbers) = self.seen.get_mut(client) else {
            self.make_room(now);
            self.seen.insert(client.to_owned(), Numbers { newest: number, applied: 1, at: now });
            return true;
        };
        numbers.at = now;
        if number > numbers.newest {
            let ahead = number - numbers.newest;
            let shifted = if ahead < NUMBERS_KEPT { numbers.applied << ahead } else { 0 };
            (numbers.newest, numbers.applied) = (number, shifted | 1);
            return true;
        }
        let behind = numbers.newest - number;
        let bit = if behind < NUMBERS_KEPT { 1 << behind } else { 0 };
        let is_new = bit != 0 && numbers.applied & bit == 0;
        numbers.applied |= bit;
        is_new
    }

    fn make_room(&mut self, now: Time) {
        if self.seen.len() < CLIENTS_MAX {
            return;
        }
        self.seen.retain(|_, numbers| now.since(numbers.at) < CLIENT_KEPT);
        if self.seen.len() >= CLIENTS_MAX {
            let mut times: Vec<Time> = self.seen.values().map(|numbers| numbers.at).collect();
            times.sort_unstable();
            // A quarter at once, so that the next room is far away.
            let oldest = times[times.len() / 4];
            self.seen.retain(|_, numbers| numbers.at > oldest);
        }
    }

    pub(super) fn save(&self, out: &mut Vec<u8>) {
        put(out, self.seen.len() as u64);
        for (client, numbers) in &self.seen {
            put_bytes(out, client.as_bytes());
            put(out, numbers.newest);
            put(out, numbers.applied);
            put_signed(out, numbers.at.0);
        }
    }

    pub(super) fn load(cursor: &mut Cursor<'_>) -> Result<Self, BatchError> {
        let mut seen = BTreeMap::new();
        for _ in 0..cursor.count(4)? {
            let client = cursor.text()?.to_owned();
            let (newest, applied) = (cursor.unsigned()?, cursor.unsigned()?);
            seen.insert(client, Numbers { newest, applied, at: Time(cursor.signed()?) });
        }
        Ok(Self { seen })
    }
}

/// Ids of samples seen lately, as hashes: two different ids of 64 bits meet once in millions of years at the
/// bound of [`IDS_MAX`].
#[derive(Clone, Debug, Default)]
pub(super) struct Ids {
    known: FxHashSet<u64>,
    order: VecDeque<(Time, u64)>,
}

impl Ids {
    /// Whether `id` of `metric` was not seen within [`ID_KEPT`].
    pub(super) fn is_new(&mut self, metric: &str, id: &str, now: Time) -> bool {
        while self.order.front().is_some_and(|(at, _)| now.since(*at) >= ID_KEPT) {
            self.forget_oldest();
        }
        let mut hasher = FxHasher::default();
        hasher.write(metric.as_bytes());
        hasher.write_u8(0xff);
        hasher.write(id.as_bytes());
        let hash = hasher.finish();
        if !self.known.insert(hash) {
            return false;
        }
        self.order.push_back((now, hash));
        if self.order.len() > IDS_MAX {
            self.forget_oldest();
        }
        true
    }

    fn forget_oldest(&mut self) {
        if let Some((_, hash)) = self.order.pop_front() {
            self.known.remove(&hash);
        }
    }

    pub(super) fn save(&self, out: &mut Vec<u8>) {
        put(out, self.order.len() as u64);
        for (at, hash) in &self.order {
            put_signed(out, at.0);
            out.extend_from_slice(&hash.to_le_bytes());
        }
    }

    pub(super) fn load(cursor: &mut Cursor<'_>) -> Result<Self, BatchError> {
        let mut ids = Self::default();
        for _ in 0..cursor.count(9)? {
            let at = Time(cursor.signed()?);
            let hash = u64::from_le_bytes(cursor.fixed()?);
            ids.known.insert(hash);
            ids.order.push_back((at, hash));
        }
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_applied_once_even_out_of_order() {
        let mut clients = Clients::default();
        let mut is_new = |number| clients.is_new("a", number, Time(0));
        assert!(is_new(5) && is_new(7) && is_new(6), "numbers may overtake each other");
        assert!(!is_new(5) && !is_new(6) && !is_new(7), "repeats are dropped");
        assert!(is_new(200) && !is_new(100), "older than is told apart: a repeat");
    }

    #[test]
    fn an_id_is_remembered_for_two_minutes() {
        let mut ids = Ids::default();
        let second = |n: i64| Time(n * 1_000_000_000);
        assert!(ids.is_new("m", "x", second(0)));
        assert!(ids.is_new("other", "x", second(0)), "ids are of a metric");
        assert!(!ids.is_new("m", "x", second(119)));
        assert!(ids.is_new("m", "x", second(120)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut ids, mut clients) = (Ids::default(), Clients::default());
        for n in 0..IDS_MAX + 10 {
            assert!(ids.is_new("m", &n.to_string(), Time(0)));
        }
        assert_eq!((ids.order.len(), ids.known.len()), (IDS_MAX, IDS_MAX));
        for n in 0..CLIENTS_MAX + 10 {
            assert!(clients.is_new(&n.to_string(), 1, Time(n as i64)));
        }
        assert!(clients.seen.len() <= CLIENTS_MAX);
        assert!(!clients.is_new(&CLIENTS_MAX.to_string(), 1, Time(0)), "the newest stay known");
    }
}
