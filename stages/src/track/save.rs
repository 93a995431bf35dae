//! An alert as bytes, for snapshots.

use super::axis::{Side, State};
use super::{Alert, Data, FLAP_FIRINGS};
use crate::batch::BatchError;
use crate::batch::varint::{Cursor, put, put_signed};
use crate::time::{Span, Time};

impl Alert {
    /// Appends it to a snapshot.
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        let (tag, opened, one, two) = match self.state {
            State::Unknown => (0, 0, 0, 0),
            State::Ok => (1, 0, 0, 0),
            State::Pending { since } => (2, 0, since.0, 0),
            State::PendingGap { held, gap_since } => (3, 0, held.0, gap_since.0),
            State::Firing { opened } => (4, opened, 0, 0),
            State::Flapping { opened, side: Side::Breach, quiet_since } => {
                (5, opened, quiet_since.0, 0)
            }
            State::Flapping { opened, side: Side::Clear, quiet_since } => {
                (6, opened, quiet_since.0, 0)
            }
            State::Recovering { opened, since } => (7, opened, since.0, 0),
            State::RecoveringGap { opened, held } => (8, opened, held.0, 0),
        };
        let data = match self.data {
            Data::Fresh => 0,
            Data::Stale => 1,
            Data::Insufficient => 2,
            Data::NoData => 3,
            Data::NoDataTold => 4,
            Data::MissingSeries => 5,
        };
        out.extend_from_slice(&[tag, data, u8::from(self.shown)]);
        put(out, opened);
        put_signed(out, one);
        put_signed(out, two);
        put(out, self.firings.len() as u64);
        self.firings.iter().for_each(|firing| put_signed(out, firing.0));
    }

    /// Reads what [`Self::save`] appended.
    pub(crate) fn load(cursor: &mut Cursor<'_>) -> Result<Self, BatchError> {
        let (tag, data, shown) = (cursor.byte()?, cursor.byte()?, cursor.byte()? != 0);
        let (opened, one, two) = (cursor.unsigned()?, cursor.signed()?, cursor.signed()?);
        let flapping = |side| State::Flapping { opened, side, quiet_since: Time(one) };
        let state = match tag {
            0 => State::Unknown,
            1 => State::Ok,
            2 => State::Pending { since: Time(one) },
            3 => State::PendingGap { held: Span(one), gap_since: Time(two) },
            4 => State::Firing { opened },
            5 => flapping(Side::Breach),
            6 => flapping(Side::Clear),
            7 => State::Recovering { opened, since: Time(one) },
            8 => State::RecoveringGap { opened, held: Span(one) },
            _ => return Err(BatchError::Corrupt("a saved alert")),
        };
        let data = match data {
            0 => Data::Fresh,
            1 => Data::Stale,
            2 => Data::Insufficient,
            3 => Data::NoData,
            4 => Data::NoDataTold,
            5 => Data::MissingSeries,
            _ => return Err(BatchError::Corrupt("a saved data flag")),
        };
        let count = cursor.count(1)?.min(FLAP_FIRINGS);
        let firings = (0..count).map(|_| cursor.signed().map(Time)).collect::<Result<_, _>>()?;
        Ok(Self { state, data, firings, shown })
    }
}
