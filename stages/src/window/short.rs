//! Pane numbers in four bytes, for lists within one window: its panes lie so close together that the low half of
//! a number tells them apart and in which order they come.

/// The low half of a pane's number.
pub(super) type Short = u32;

/// The short form of a pane's number.
#[inline]
pub(super) const fn of(pane: i64) -> Short {
    pane as u32
}

/// The pane at or after `oldest` that has this short form.
pub(super) const fn long(short: Short, oldest: i64) -> i64 {
    oldest.wrapping_add(short.wrapping_sub(oldest as u32) as i64)
}

/// Whether `one` comes before `other`.
#[inline]
pub(super) const fn is_before(one: Short, other: Short) -> bool {
    (one.wrapping_sub(other) as i32) < 0
}
