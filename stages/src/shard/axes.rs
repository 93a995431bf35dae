//! Alerts counted by their place on the axis: of the shard for its counters, of a view to know what an edit can concern.

use crate::wire::Axis;

/// Alerts by place on the axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Axes(pub(super) [u64; 5]);

impl Axes {
    pub(super) fn came(&mut self, axis: Axis) {
        self.0[axis as usize] += 1;
    }

    pub(super) fn went(&mut self, axis: Axis) {
        self.0[axis as usize] -= 1;
    }

    pub(super) fn moved(&mut self, from: Axis, to: Axis) {
        self.went(from);
        self.came(to);
    }

    /// Those of a view that is laid anew.
    pub(super) fn all_went(&mut self, others: Self) {
        self.0.iter_mut().zip(others.0).for_each(|(count, gone)| *count -= gone);
    }

    /// Whether nothing is open in any of them, neither an incident nor one that may come.
    pub(super) fn are_calm(self) -> bool {
        let calm = self.0[Axis::Unknown as usize] + self.0[Axis::Ok as usize];
        self.0.iter().sum::<u64>() == calm
    }
}
