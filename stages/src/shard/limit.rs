//! Limits of series: which one refuses a new series, and whether people know.
//!
//! | state \ event | a series is refused          | looked at, full | looked at, room                |
//! |---------------|------------------------------|-----------------|--------------------------------|
//! | `Untold`      | Full, told                   | stays           | stays                          |
//! | `Full`        | stays                        | stays           | Room                           |
//! | `Room`        | Full, told if for an hour    | Full            | Untold if for an hour          |
//!
//! Places come free one by one and are taken at once: told at every refusal after room, people would be told for
//! ever.

use super::Shard;
use crate::batch::BatchError;
use crate::batch::varint::{Cursor, put_signed};
use crate::time::{Span, Time};

/// There must have been room for this long before people are told again; as long as a series is at least kept.
const ROOM_FOR: Span = Span::from_secs(3_600);

/// The limit a new series has met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// That of its metric.
    Metric(u32),
    /// That of the shard, in this slice.
    Slice(u8),
}

/// What people know of a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Told {
    /// Nothing that still counts.
    #[default]
    Untold,
    /// That it is reached.
    Full,
    /// That it was reached; there has been room since then.
    Room(Time),
}

impl Told {
    /// A new series was refused at `now`: the state after it, and whether people are told.
    #[must_use]
    pub(super) fn refused(self, now: Time) -> (Self, bool) {
        let tell = match self {
            Self::Untold => true,
            Self::Full => false,
            Self::Room(since) => now.since(since) >= ROOM_FOR,
        };
        (Self::Full, tell)
    }

    /// The state once somebody has looked whether the limit is still reached.
    #[must_use]
    pub(super) fn looked(self, full: bool, now: Time) -> Self {
        match (self, full) {
            (Self::Untold, true | false) => Self::Untold,
            (Self::Full | Self::Room(_), true) => Self::Full,
            (Self::Full, false) => Self::Room(now),
            (Self::Room(since), false) if now.since(since) >= ROOM_FOR => Self::Untold,
            (Self::Room(since), false) => Self::Room(since),
        }
    }

    /// Appends it to a snapshot.
    pub(super) fn save(self, out: &mut Vec<u8>) {
        match self {
            Self::Untold => out.push(0),
            Self::Full => out.push(1),
            Self::Room(since) => {
                out.push(2);
                put_signed(out, since.0);
            }
        }
    }

    /// Reads what [`Self::save`] wrote.
    ///
    /// # Errors
    /// The bytes are not that.
    pub(super) fn load(cursor: &mut Cursor<'_>) -> Result<Self, BatchError> {
        match cursor.byte()? {
            0 => Ok(Self::Untold),
            1 => Ok(Self::Full),
            2 => Ok(Self::Room(Time(cursor.signed()?))),
            _ => Err(BatchError::Corrupt("a limit")),
        }
    }
}

impl Shard {
    /// A series of the metric named `name` was refused: people are told, unless they know.
    pub(super) fn tell_limit(&mut self, full: Full, name: &str, at: Time) {
        let told = match full {
            Full::Metric(id) => &mut self.metrics[id].limit_told,
            Full::Slice(slice) => &mut self.limits_told[usize::from(slice)],
        };
        let (state, tell) = told.refused(at);
        *told = state;
        if !tell {
            return;
        }
        match full {
            Full::Metric(id) => {
                let known = self.metrics[id].series.len();
                let text = format!(
                    "new series of {name} are refused ({known} are known and keep working): use fewer \
                     label values, or raise limits.series_per_metric"
                );
                self.notice(at, "series_limit", (name, ""), text);
            }
            Full::Slice(slice) => {
                let known = self.series_known[usize::from(slice)];
                let shard = format!("shard {}", self.speaker.shard);
                let text = format!(
                    "new series are refused by {shard}, one of {name} among them ({known} in this part of \
                     it are known and keep working): look for ids in names and labels, or raise \
                     limits.series_per_shard"
                );
                // Several slices may say so in one step: their turn must not depend on the workers.
                self.notice(at, "series_limit", (&shard, &slice.to_string()), text);
            }
        }
    }

    /// Takes note of where there is room again.
    pub(super) fn look_at_limits(&mut self, now: Time) {
        let per_metric = self.settings.limits.series_per_metric as usize;
        for id in self.names.values() {
            let metric = &mut self.metrics[*id];
            metric.limit_told = metric.limit_told.looked(metric.series.len() >= per_metric, now);
        }
        for slice in 0..self.limits_told.len() {
            let full = self.is_full(slice);
            self.limits_told[slice] = self.limits_told[slice].looked(full, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Time {
        Time::from_millis(minutes * 60_000)
    }

    #[test]
    fn people_are_told_again_after_an_hour_of_room_only() {
        let (told, tell) = Told::default().refused(at(0));
        assert_eq!((told, tell), (Told::Full, true));
        assert_eq!(told.refused(at(600)), (Told::Full, false), "however long it lasts");
        let room = told.looked(true, at(1)).looked(false, at(2)).looked(false, at(30));
        assert_eq!(room, Told::Room(at(2)));
        assert_eq!(room.refused(at(61)), (Told::Full, false));
        assert_eq!(room.refused(at(62)), (Told::Full, true));
        assert_eq!(room.looked(true, at(40)), Told::Full, "the place was taken");
        assert_eq!(room.looked(false, at(62)), Told::Untold);
    }

    #[test]
    fn a_saved_one_is_the_same() {
        for told in [Told::Untold, Told::Full, Told::Room(at(7))] {
            let mut bytes = Vec::new();
            told.save(&mut bytes);
            assert_eq!(Told::load(&mut Cursor::new(&bytes)), Ok(told));
        }
        assert!(Told::load(&mut Cursor::new(&[3])).is_err());
    }
}
