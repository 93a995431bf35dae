//! Due instants: when time alone may change something.
//!
//! A queue of (instant, whom). An instant that moves later, as freshness does with every sample, leaves its
//! old place in the queue; whoever is asked too early is put back where it belongs now. So the hot path never
//! touches the queue, and asking too early changes nothing.

use crate::time::Time;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Instants, earliest first.
#[derive(Clone, Debug)]
pub struct DueQueue<Whom: Ord> {
    heap: BinaryHeap<Reverse<(Time, Whom)>>,
}

/// The due instant of one member of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// When it is due.
    at: Option<Time>,
    /// Where it stands in the queue; never later than `at`.
    queued: Option<Time>,
}

impl<Whom: Ord> Default for DueQueue<Whom> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new() }
    }
}

impl<Whom: Ord + Copy> DueQueue<Whom> {
    /// The earliest instant at which somebody may be due.
    pub fn next(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the first place at or before `until`. Ask [`Due::take`] whether it is really due.
    pub fn pop(&mut self, until: Time) -> Option<(Time, Whom)> {
        let first = self.heap.peek().filter(|Reverse((at, _))| *at <= until)?.0;
        self.heap.pop();
        Some(first)
    }

    /// Makes `whom` due at `at`, or never.
    pub fn set(&mut self, due: &mut Due, at: Option<Time>, whom: Whom) {
        due.at = at;
        let Some(at) = at else { return };
        if due.queued.is_none_or(|queued| at < queued) {
            due.queued = Some(at);
            self.heap.push(Reverse((at, whom)));
        }
    }
}

impl Due {
    /// Due then, and in no queue yet.
    pub fn unqueued(at: Option<Time>) -> Self {
        Self { at, queued: None }
    }

    /// When it is due.
    pub fn at(&self) -> Option<Time> {
        self.at
    }

    /// Answers a place of the queue at `at`: true if due then. If not, it is put back where it belongs.
    pub fn take<Whom: Ord + Copy>(
        &mut self,
        at: Time,
        whom: Whom,
        queue: &mut DueQueue<Whom>,
    ) -> bool {
        if self.queued != Some(at) {
            return false;
        }
        self.queued = None;
        match self.at {
            Some(due) if due <= at => {
                self.at = None;
                true
            }
            later => {
                queue.set(self, later, whom);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_moved_later_is_met_once_at_its_last_place() {
        let (mut queue, mut due) = (DueQueue::default(), Due::default());
        queue.set(&mut due, Some(Time(10)), 'a');
        queue.set(&mut due, Some(Time(30)), 'a');
        assert_eq!(queue.pop(Time(20)), Some((Time(10), 'a')));
        assert!(!due.take(Time(10), 'a', &mut queue));
        assert_eq!(queue.pop(Time(29)), None);
        assert_eq!(queue.pop(Time(30)), Some((Time(30), 'a')));
        assert!(due.take(Time(30), 'a', &mut queue));
        assert_eq!(queue.next(), None);
    }

    #[test]
    fn an_instant_moved_earlier_is_met_there_and_its_old_place_says_nothing() {
        let (mut queue, mut due) = (DueQueue::default(), Due::default());
        queue.set(&mut due, Some(Time(30)), 'a');
        queue.set(&mut due, Some(Time(10)), 'a');
        assert!(queue.pop(Time(10)).is_some_and(|(at, whom)| due.take(at, whom, &mut queue)));
        assert!(queue.pop(Time(30)).is_some_and(|(at, whom)| !due.take(at, whom, &mut queue)));
    }

    #[test]
    fn what_is_no_longer_due_is_never_met() {
        let (mut queue, mut due) = (DueQueue::default(), Due::default());
        queue.set(&mut due, Some(Time(10)), 'a');
        queue.set(&mut due, None, 'a');
        assert!(queue.pop(Time(10)).is_some_and(|(at, whom)| !due.take(at, whom, &mut queue)));
        assert_eq!(queue.next(), None);
    }
}
