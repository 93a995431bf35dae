//! Calendars: when people are told of a rule.
//!
//! A calendar names a time zone, spans of the week in that zone's own time, and days off. Time-zone data is compiled
//! in (jiff's copy of the IANA database, the version `Cargo.lock` pins): what a host has installed must not decide
//! whether somebody is paged, nor may a replay depend on it. jiff is here already for stamps, and it knows what to do
//! with hours that a change of clocks skips or repeats (RFC 5545: skipped ones are moved on, of repeated ones the first
//! counts); chrono-tz would be a second library of time.
//!
//! ```
//! use stages::calendar::{Active, Calendar, Clock, Day};
//! use stages::time::Time;
//! let office = Calendar {
//!     name: "office".into(),
//!     zone: "America/New_York".into(),
//!     active: vec![Active { days: Day::ALL[..5].to_vec(), from: Clock(8 * 60), to: Clock(18 * 60) }],
//!     holidays: vec!["2026-12-25".into()],
//! };
//! // 2026-12-24 22:00 UTC is 17:00 on a Thursday there; an hour and a half later the day is over.
//! assert!(office.is_active(Time::from_millis(1_798_149_600_000)));
//! let evening = Time::from_millis(1_798_155_000_000);
//! assert!(!office.is_active(evening));
//! // Friday is off, so it goes on at 8:00 on Monday, 13:00 UTC.
//! assert_eq!(office.next_start(evening), Some(Time::from_millis(1_798_462_800_000)));
//! ```

use crate::time::Time;
use jiff::civil::{Date, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::borrow::Cow;
use std::fmt;

/// How far ahead the next span is looked for: a year of days off and one day more.
const DAYS_AHEAD_MAX: i64 = 367;

/// When people are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Calendar {
    /// Unique, as rules write it.
    pub name: String,
    /// Name of the time zone in the IANA database: `America/New_York`.
    pub zone: String,
    /// Spans of the week.
    pub active: Vec<Active>,
    /// Days on which no span begins, as `2026-12-25`.
    pub holidays: Vec<String>,
}

/// A span of some days of the week.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Active {
    /// The days on which it begins.
    pub days: Vec<Day>,
    /// When it begins.
    pub from: Clock,
    /// When it ends: on the next day where that is not later than `from`.
    pub to: Clock,
}

/// A day of the week.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "their names say it")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Day {
    /// All of them, from Monday.
    pub const ALL: [Self; 7] =
        [Self::Mon, Self::Tue, Self::Wed, Self::Thu, Self::Fri, Self::Sat, Self::Sun];

    const fn of(day: Weekday) -> Self {
        match day {
            Weekday::Monday => Self::Mon,
            Weekday::Tuesday => Self::Tue,
            Weekday::Wednesday => Self::Wed,
            Weekday::Thursday => Self::Thu,
            Weekday::Friday => Self::Fri,
            Weekday::Saturday => Self::Sat,
            Weekday::Sunday => Self::Sun,
        }
    }
}

/// A time of day in minutes, 0 to 1440; on the bus and in files `08:30`, `24:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Clock(pub u16);

impl Clock {
    /// Reads `08:30`.
    pub fn parse(text: &str) -> Option<Self> {
        let (hours, minutes) = text.split_once(':')?;
        let number = |digits: &str, length: std::ops::RangeInclusive<usize>| {
            let plain =
                length.contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| digits.parse::<u16>().ok()).flatten()
        };
        let (hours, minutes) = (number(hours, 1..=2)?, number(minutes, 2..=2)?);
        let all = hours * 60 + minutes;
        (minutes < 60 && all <= 24 * 60).then_some(Self(all))
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl Serialize for Clock {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Clock {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("a time of day like 08:30 belongs here"))
    }
}

impl JsonSchema for Clock {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Clock".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9]{2}:[0-9]{2}$" })
    }
}

/// Whether there is a time zone of this name.
pub fn is_zone(name: &str) -> bool {
    zone(name).is_some()
}

/// The names of all time zones, sorted.
pub fn zones() -> Vec<String> {
    let database = TimeZoneDatabase::bundled();
    let mut names: Vec<String> = database.available().map(|name| name.to_string()).collect();
    names.sort();
    names
}

/// A day like `2026-12-25`; none if there is no such day.
pub fn is_day(text: &str) -> bool {
    text.len() == 10 && text.parse::<Date>().is_ok()
}

fn zone(name: &str) -> Option<TimeZone> {
    TimeZoneDatabase::bundled().get(name).ok()
}

impl Calendar {
    /// Whether people are told at `now`. Of a zone this version does not know: always, for a page too many harms less.
    pub fn is_active(&self, now: Time) -> bool {
        let Some((zone, today)) = self.here(now) else { return true };
        let days = [today.checked_sub(1.day()).ok(), Some(today)];
        let mut spans = days.into_iter().flatten().flat_map(|day| self.spans(day, &zone));
        spans.any(|(from, to)| from <= now && now < to)
    }

    /// When the next span begins after `now`; none if none does within a year.
    pub fn next_start(&self, now: Time) -> Option<Time> {
        let (zone, today) = self.here(now)?;
        let days = (0..DAYS_AHEAD_MAX).filter_map(|ahead| today.checked_add(ahead.days()).ok());
        let mut starts = days.filter_map(|day| {
            let spans = self.spans(day, &zone);
            spans.map(|(from, _)| from).filter(|from| *from > now).min()
        });
        starts.next()
    }

    fn here(&self, now: Time) -> Option<(TimeZone, Date)> {
        let zone = zone(&self.zone)?;
        let stamp = Timestamp::from_nanosecond(i128::from(now.0)).ok()?;
        let date = zone.to_datetime(stamp).date();
        Some((zone, date))
    }

    /// The spans that begin on a day.
    fn spans(&self, day: Date, zone: &TimeZone) -> impl Iterator<Item = (Time, Time)> {
        let off = self.holidays.iter().any(|holiday| holiday.parse().ok() == Some(day));
        let name = Day::of(day.weekday());
        let spans = self.active.iter().filter(move |span| !off && span.days.contains(&name));
        spans.filter_map(move |span| {
            let next = day.checked_add(1.day()).ok()?;
            let last = if span.to > span.from { day } else { next };
            Some((at(day, span.from, zone)?, at(last, span.to, zone)?))
        })
    }
}

/// The moment at which it is `clock` on `day`.
fn at(day: Date, clock: Clock, zone: &TimeZone) -> Option<Time> {
    let (day, minutes) = match clock.0 {
        1440 => (day.checked_add(1.day()).ok()?, 0),
        minutes => (day, minutes),
    };
    let hour = i8::try_from(minutes / 60).ok()?;
    let minute = i8::try_from(minutes % 60).ok()?;
    let stamp = zone.to_timestamp(day.at(hour, minute, 0, 0)).ok()?;
    i64::try_from(stamp.as_nanosecond()).ok().map(Time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(zone: &str, days: &[Day], (from, to): (&str, &str), holidays: &[&str]) -> Calendar {
        let [from, to] = [from, to].map(|text| Clock::parse(text).unwrap());
        Calendar {
            name: "c".into(),
            zone: zone.into(),
            active: vec![Active { days: days.to_vec(), from, to }],
            holidays: holidays.iter().map(|day| (*day).to_owned()).collect(),
        }
    }

    fn time(text: &str) -> Time {
        serde_json::from_value(serde_json::json!(text)).unwrap()
    }

    #[test]
    fn a_change_of_clocks_moves_the_hours_with_it() {
        let office = calendar("America/New_York", &Day::ALL, ("08:00", "18:00"), &[]);
        for (before, start) in [
            ("2026-03-07T23:30:00Z", "2026-03-08T12:00:00Z"),
            ("2026-03-06T23:30:00Z", "2026-03-07T13:00:00Z"),
            ("2026-10-31T22:30:00Z", "2026-11-01T13:00:00Z"),
        ] {
            assert!(!office.is_active(time(before)), "{before}");
            assert_eq!(office.next_start(time(before)), Some(time(start)), "{before}");
            assert!(office.is_active(time(start)), "{start}");
        }
    }

    #[test]
    fn an_hour_that_is_skipped_begins_when_it_would_have_and_one_that_is_repeated_begins_once() {
        let night = calendar("Europe/Berlin", &[Day::Sun], ("02:30", "04:00"), &[]);
        // 2026-03-29: 02:00 is 03:00. 2026-10-25: 03:00 is 02:00 again.
        assert_eq!(
            night.next_start(time("2026-03-28T12:00:00Z")),
            Some(time("2026-03-29T01:30:00Z"))
        );
        assert_eq!(
            night.next_start(time("2026-10-24T12:00:00Z")),
            Some(time("2026-10-25T00:30:00Z"))
        );
        assert!(night.is_active(time("2026-10-25T01:10:00Z")), "02:10, the second time");
    }

    #[test]
    fn a_night_belongs_to_the_day_it_begins_on() {
        let night = calendar("Asia/Kolkata", &[Day::Fri], ("22:00", "06:00"), &["2026-07-10"]);
        assert!(night.is_active(time("2026-07-03T16:30:00Z")), "Friday 22:00");
        assert!(night.is_active(time("2026-07-04T00:29:59Z")), "Saturday 05:59:59");
        assert!(!night.is_active(time("2026-07-04T00:30:00Z")), "Saturday 06:00");
        assert!(!night.is_active(time("2026-07-10T20:00:00Z")), "that Friday is off");
        assert_eq!(
            night.next_start(time("2026-07-04T00:30:00Z")),
            Some(time("2026-07-17T16:30:00Z"))
        );
    }

    #[test]
    fn a_calendar_that_is_never_active_says_so_and_one_of_no_known_zone_is_always() {
        let never = calendar("UTC", &[], ("08:00", "18:00"), &[]);
        assert!(!never.is_active(time("2026-07-04T10:00:00Z")));
        assert_eq!(never.next_start(time("2026-07-04T10:00:00Z")), None);
        let unknown = calendar("Mars/Olympus", &[], ("08:00", "18:00"), &[]);
        assert!(unknown.is_active(time("2026-07-04T10:00:00Z")));
        let whole = calendar("UTC", &Day::ALL, ("00:00", "24:00"), &[]);
        assert!(whole.is_active(time("2026-07-04T23:59:59Z")));
        assert!(whole.is_active(time("2026-07-05T00:00:00Z")));
    }

    #[test]
    fn clocks_are_read_as_they_are_written() {
        for (text, minutes) in [("08:30", 510), ("8:30", 510), ("00:00", 0), ("24:00", 1440)] {
            assert_eq!(Clock::parse(text), Some(Clock(minutes)));
        }
        for text in ["24:01", "8", "08:3", "08:60", "-1:00", "+8:00", "", "008:00", "8:000"] {
            assert_eq!(Clock::parse(text), None, "{text}");
        }
        assert_eq!(Clock(510).to_string(), "08:30");
        assert!(is_zone("America/New_York") && !is_zone("America/NewYork"));
        assert!(is_day("2028-02-29") && !is_day("2026-02-29") && !is_day("20260229"));
    }
}
