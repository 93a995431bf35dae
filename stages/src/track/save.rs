//! An alert as bytes, for snapshots.

use super::axis::{Side, State};
use super::{Alert, Data, FLAP_FIRINGS, Rung};
use crate::batch::BatchError;
use crate::batch::varint::{Cursor, put, put_signed};
use crate::time::{Span, Time};

/// Added to the tag where grades follow: an alert of one severity is saved as it always was.
const GRADED: u8 = 0x80;
/// Most grades a snapshot is believed to hold of one alert.
const GRADES_MAX: usize = 64;

impl Alert {
    /// Appends it to a snapshot.
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        let data = match self.data {
            Data::Fresh => 0,
            Data::Stale => 1,
            Data::Insufficient => 2,
            Data::NoData => 3,
            Data::NoDataTold => 4,
            Data::MissingSeries => 5,
        };
        let (tag, numbers) = parts(self.state);
        let graded = if self.above.is_empty() { 0 } else { GRADED };
        out.extend_from_slice(&[tag | graded, data, u8::from(self.shown)]);
        save_rest(numbers, &self.firings, out);
        if graded > 0 {
            put(out, self.above.len() as u64);
            for rung in &self.above {
                let (tag, numbers) = parts(rung.state);
                out.push(tag);
                save_rest(numbers, &rung.firings, out);
            }
        }
    }

    /// Reads what [`Self::save`] appended.
    pub(crate) fn load(cursor: &mut Cursor<'_>) -> Result<Self, BatchError> {
        let (tag, data, shown) = (cursor.byte()?, cursor.byte()?, cursor.byte()? != 0);
        let (state, firings) = load_rest(tag & !GRADED, cursor)?;
        let data = match data {
            0 => Data::Fresh,
            1 => Data::Stale,
            2 => Data::Insufficient,
            3 => Data::NoData,
            4 => Data::NoDataTold,
            5 => Data::MissingSeries,
            _ => return Err(BatchError::Corrupt("a saved data flag")),
        };
        let count = if tag & GRADED > 0 { cursor.count(5)? } else { 0 };
        if count > GRADES_MAX {
            return Err(BatchError::Corrupt("a saved alert"));
        }
        let rung = |cursor: &mut Cursor<'_>| {
            let tag = cursor.byte()?;
            load_rest(tag, cursor).map(|(state, firings)| Rung { state, firings })
        };
        let above = (0..count).map(|_| rung(cursor)).collect::<Result<_, _>>()?;
        Ok(Self { state, data, firings, shown, above })
    }
}

/// A state as a tag, and the position and two numbers it carries.
fn parts(state: State) -> (u8, (u64, i64, i64)) {
    let (tag, opened, one, two) = match state {
        State::Unknown => (0, 0, 0, 0),
        State::Ok => (1, 0, 0, 0),
        State::Pending { since } => (2, 0, since.0, 0),
        State::PendingGap { held, gap_since } => (3, 0, held.0, gap_since.0),
        State::Firing { opened } => (4, opened, 0, 0),
        State::Flapping { opened, side: Side::Breach, quiet_since } => {
            (5, opened, quiet_since.0, 0)
        }
        State::Flapping { opened, side: Side::Clear, quiet_since } => (6, opened, quiet_since.0, 0),
        State::Recovering { opened, since } => (7, opened, since.0, 0),
        State::RecoveringGap { opened, held } => (8, opened, held.0, 0),
    };
    (tag, (opened, one, two))
}

fn save_rest((opened, one, two): (u64, i64, i64), firings: &[Time], out: &mut Vec<u8>) {
    put(out, opened);
    put_signed(out, one);
    put_signed(out, two);
    put(out, firings.len() as u64);
    firings.iter().for_each(|firing| put_signed(out, firing.0));
}

fn load_rest(tag: u8, cursor: &mut Cursor<'_>) -> Result<(State, Vec<Time>), BatchError> {
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
    let count = cursor.count(1)?.min(FLAP_FIRINGS);
    let firings = (0..count).map(|_| cursor.signed().map(Time)).collect::<Result<_, _>>()?;
    Ok((state, firings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_of_several_severities_comes_back_as_it_was() {
        let state = State::Flapping { opened: 7, side: Side::Clear, quiet_since: Time(-5) };
        let rung = |state| Rung { state, firings: vec![Time(1), Time(2)] };
        let above = [
            rung(State::Firing { opened: 9 }),
            rung(State::PendingGap { held: Span(3), gap_since: Time(4) }),
        ];
        for above in [Box::default(), Box::from(above)] {
            let alert =
                Alert { state, data: Data::Stale, firings: vec![Time(9)], shown: true, above };
            let mut bytes = Vec::new();
            alert.save(&mut bytes);
            let mut cursor = Cursor::new(&bytes);
            assert_eq!(Alert::load(&mut cursor), Ok(alert));
            assert!(cursor.is_empty());
        }
    }
}
