//! Rates: how fast each series moved over the window, per second, and their sum.
//!
//! Per series and pane stand its first and last sample and how far it rose between them; between panes it rose
//! from the last of one to the first of the next. A counter that falls was reset: its new value is the rise.
//! A gauge's rate is the slope from its first to its last sample. A sample that comes late between two already
//! seen in its pane changes nothing: where the counter only rose it could not, and a reset it might reveal
//! is the price of keeping 40 bytes a pane instead of every sample.
//!
//! The covered span of a series is the time from its first to its last sample; one sample alone has no rate.
//! Reading walks the panes of each series: a rate costs its panes at each evaluation, the other statistics do not.

use crate::batch::varint::{self, Cursor};
use crate::batch::{BatchError, Kind};
use crate::time::Time;
use std::collections::BTreeMap;

/// The series of a window, each with its panes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rates {
    series: BTreeMap<u32, (Kind, BTreeMap<i64, Rise>)>,
}

/// What a series did within one pane.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rise {
    first: (Time, f64),
    last: (Time, f64),
    risen: f64,
}

impl Rates {
    /// Adds a sample to its pane.
    pub fn add(&mut self, pane: i64, series: u32, time: Time, value: f64, kind: Kind) {
        let (known, panes) = self.series.entry(series).or_insert((kind, BTreeMap::new()));
        *known = kind;
        let rise = panes.entry(pane).or_insert(Rise {
            first: (time, value),
            last: (time, value),
            risen: 0.0,
        });
        if time > rise.last.0 {
            rise.risen += risen(kind, rise.last.1, value);
            rise.last = (time, value);
        } else if time < rise.first.0 {
            rise.risen += risen(kind, value, rise.first.1);
            rise.first = (time, value);
        }
    }

    /// Drops the panes before `oldest`.
    pub fn drop_before(&mut self, oldest: i64) {
        self.series.retain(|_, (_, panes)| {
            while panes.first_key_value().is_some_and(|(pane, _)| *pane < oldest) {
                panes.pop_first();
            }
            !panes.is_empty()
        });
    }

    /// The sum of the rates of all series that have one.
    pub fn value(&self) -> Option<f64> {
        self.series.values().filter_map(|(kind, panes)| rate(*kind, panes)).reduce(|a, b| a + b)
    }

    /// Memory it holds, in bytes, itself included; a tree's nodes are two thirds full.
    pub fn bytes(&self) -> usize {
        let panes: usize = self.series.values().map(|(_, panes)| panes.len()).sum();
        size_of::<Self>() + (panes * size_of::<(i64, Rise)>() + self.series.len() * 48) * 3 / 2
    }

    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        varint::put(out, self.series.len() as u64);
        for (series, (kind, panes)) in &self.series {
            varint::put(out, u64::from(*series));
            out.push(*kind as u8);
            varint::put(out, panes.len() as u64);
            for (pane, rise) in panes {
                varint::put_signed(out, *pane);
                for number in [rise.first.0, rise.last.0] {
                    varint::put_signed(out, number.0);
                }
                for value in [rise.first.1, rise.last.1, rise.risen] {
                    out.extend_from_slice(&value.to_le_bytes());
                }
            }
        }
    }

    pub(crate) fn load(cursor: &mut Cursor<'_>) -> Result<Self, BatchError> {
        let mut rates = Self::default();
        for _ in 0..cursor.count(3)? {
            let series = cursor.unsigned()? as u32;
            let kind = if cursor.byte()? == 0 { Kind::Gauge } else { Kind::Counter };
            let mut panes = BTreeMap::new();
            for _ in 0..cursor.count(27)? {
                let pane = cursor.signed()?;
                let (first, last) = (Time(cursor.signed()?), Time(cursor.signed()?));
                let first = (first, cursor.float()?);
                let last = (last, cursor.float()?);
                panes.insert(pane, Rise { first, last, risen: cursor.float()? });
            }
            rates.series.insert(series, (kind, panes));
        }
        Ok(rates)
    }
}

fn risen(kind: Kind, from: f64, to: f64) -> f64 {
    match kind {
        // It started again from zero.
        Kind::Counter if to < from => to,
        Kind::Counter | Kind::Gauge => to - from,
    }
}

fn rate(kind: Kind, panes: &BTreeMap<i64, Rise>) -> Option<f64> {
    let (_, oldest) = panes.first_key_value()?;
    let (_, newest) = panes.last_key_value()?;
    let covered = newest.last.0.since(oldest.first.0).as_secs_f64();
    if covered <= 0.0 {
        return None;
    }
    if kind == Kind::Gauge {
        return Some((newest.last.1 - oldest.first.1) / covered);
    }
    let mut total = 0.0;
    let mut before = None;
    for rise in panes.values() {
        total += before.map_or(0.0, |before| risen(kind, before, rise.first.1)) + rise.risen;
        before = Some(rise.last.1);
    }
    Some(total / covered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_millis(seconds * 1000)
    }

    #[test]
    fn a_counter_rises_through_its_resets() {
        let mut rates = Rates::default();
        for (second, value) in [(0, 100.0), (1, 110.0), (5, 150.0), (6, 5.0), (10, 25.0)] {
            rates.add(second / 5, 7, at(second), value, Kind::Counter);
        }
        assert_eq!(rates.value(), Some(7.5));
        let mut bytes = Vec::new();
        rates.save(&mut bytes);
        assert_eq!(Rates::load(&mut Cursor::new(&bytes)).expect("just saved"), rates);
        rates.drop_before(1);
        assert_eq!(rates.value(), Some(5.0));
    }

    #[test]
    fn rates_of_series_add_up_and_one_sample_has_none() {
        let mut rates = Rates::default();
        rates.add(0, 1, at(0), 0.0, Kind::Counter);
        assert_eq!(rates.value(), None);
        rates.add(0, 1, at(2), 20.0, Kind::Counter);
        rates.add(0, 2, at(0), 50.0, Kind::Gauge);
        rates.add(0, 2, at(2), 40.0, Kind::Gauge);
        assert_eq!(rates.value(), Some(5.0));
    }

    #[test]
    fn order_of_arrival_at_the_ends_does_not_matter() {
        let mut rates = Rates::default();
        for second in [4, 2, 8, 0] {
            rates.add(second / 5, 1, at(second), second as f64 * 3.0, Kind::Counter);
        }
        assert_eq!(rates.value(), Some(3.0));
    }
}
