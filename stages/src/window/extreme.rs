//! The smallest or largest value of a window: only panes that can still matter are kept.
//!
//! A value is kept while no pane at or after its own holds one that beats it. So the list falls from oldest to
//! newest, its first is the extreme, and a late value is inserted in its place like any other.

use std::collections::VecDeque;

/// Values by pane, each beaten by none at or after its pane.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Extreme {
    kept: VecDeque<(i64, f64)>,
    /// 1 for the largest, -1 for the smallest: values are kept times this.
    sign: f64,
}

impl Extreme {
    pub(super) fn max() -> Self {
        Self { kept: VecDeque::new(), sign: 1.0 }
    }

    pub(super) fn min() -> Self {
        Self { kept: VecDeque::new(), sign: -1.0 }
    }

    #[inline]
    pub(super) fn add(&mut self, pane: i64, value: f64) {
        let value = value * self.sign;
        // Nearly always the newest pane, and the newest entry is of it or before it.
        let mut at = self.kept.len();
        while at > 0 && self.kept[at - 1].0 > pane {
            at -= 1;
        }
        if self.kept.get(at).is_some_and(|(_, later)| *later >= value) {
            return;
        }
        let mut first = at;
        while first > 0 && self.kept[first - 1].1 <= value {
            first -= 1;
        }
        if first > 0 && self.kept[first - 1].0 == pane {
            return;
        }
        if first == at {
            self.kept.insert(at, (pane, value));
        } else {
            self.kept[first] = (pane, value);
            self.kept.drain(first + 1..at);
        }
    }

    pub(super) fn drop_before(&mut self, oldest: i64) {
        while self.kept.front().is_some_and(|(pane, _)| *pane < oldest) {
            self.kept.pop_front();
        }
    }

    pub(super) fn value(&self) -> Option<f64> {
        self.kept.front().map(|(_, value)| value * self.sign)
    }

    pub(super) fn bytes(&self) -> usize {
        self.kept.capacity() * size_of::<(i64, f64)>()
    }

    /// (pane, value) from oldest to newest.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (i64, f64)> {
        self.kept.iter().map(|(pane, value)| (*pane, value * self.sign))
    }
}
