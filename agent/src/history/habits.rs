// SPDX-License-Identifier: Apache-2.0 OR MIT
//! At which hours of the day a user works.
//!
//! Hours count, not connections: a script that connects a thousand times in one night makes
//! that night one hour like any other.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// Below so many hours on so many days too little is known of a user.
const LEAST_HOURS: u32 = 20;
const LEAST_DAYS: u16 = 5;
/// An hour is unusual if less than one in so many lies within one hour around it.
const RARE: u32 = 20;
/// With so many hours known all counts are halved: what is older counts less and less.
const MOST_HOURS: u32 = 1000;

/// The hours of the local day in which a user got through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Habits {
    /// In how many of the hours from 0 to 1 o'clock, and so on.
    hours: [u16; 24],
    /// On how many days.
    days: u16,
    /// The last one: `20261123`, and its hour.
    last: (i32, i8),
    /// When that was, in seconds since 1970.
    pub(super) seconds: u64,
}

/// What too little is known of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLittle {
    pub(super) hours: u32,
    pub(super) days: u16,
}

impl Habits {
    /// Takes in that the user got through; true if that is news.
    pub(super) fn note(&mut self, seconds: u64, zone: &TimeZone) -> bool {
        let Some((day, hour)) = local(seconds, zone) else {
            return false;
        };
        if (day, hour) == self.last {
            return false;
        }
        if day > self.last.0 {
            self.days = self.days.saturating_add(1);
        }
        self.last = (day, hour);
        self.seconds = seconds;
        if self.known() >= MOST_HOURS {
            self.hours.iter_mut().for_each(|count| *count /= 2);
        }
        let slot = usize::try_from(hour).unwrap_or_default();
        self.hours[slot % 24] = self.hours[slot % 24].saturating_add(1);
        true
    }

    /// Whether the user hardly ever got through within one hour around this one.
    pub(super) fn is_unusual(&self, seconds: u64, zone: &TimeZone) -> Result<bool, TooLittle> {
        let (hours, days) = (self.known(), self.days);
        let hour = local(seconds, zone).and_then(|(_, hour)| usize::try_from(hour).ok());
        match hour {
            Some(hour) if hours >= LEAST_HOURS && days >= LEAST_DAYS => {
                let around = [hour + 23, hour, hour + 1];
                let near: u32 = around
                    .iter()
                    .map(|hour| u32::from(self.hours[hour % 24]))
                    .sum();
                Ok(near * RARE < hours)
            }
            _ => Err(TooLittle { hours, days }),
        }
    }

    fn known(&self) -> u32 {
        self.hours.iter().map(|count| u32::from(*count)).sum()
    }
}

/// Day and hour on the clock of a place.
fn local(seconds: u64, zone: &TimeZone) -> Option<(i32, i8)> {
    let time = Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?;
    let time = time.to_zoned(zone.clone());
    let (year, month, day) = (time.year(), time.month(), time.day());
    let date = i32::from(year) * 10_000 + i32::from(month) * 100 + i32::from(day);
    Some((date, time.hour()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;
    const DAY: u64 = 24 * HOUR;

    fn worked(days: u64, hours: std::ops::Range<u64>) -> Habits {
        let mut habits = Habits::default();
        for day in 1..=days {
            for hour in hours.clone() {
                habits.note(day * DAY + hour * HOUR, &TimeZone::UTC);
            }
        }
        habits
    }

    #[track_caller]
    fn is_unusual(habits: &Habits, hour: u64) -> bool {
        habits
            .is_unusual(400 * DAY + hour * HOUR, &TimeZone::UTC)
            .unwrap()
    }

    #[test]
    fn the_night_is_unusual_for_who_works_by_day() {
        let habits = worked(10, 8..17);
        for usual in [7, 8, 12, 16, 17] {
            assert!(!is_unusual(&habits, usual), "{usual}");
        }
        for unusual in [0, 3, 6, 18, 23] {
            assert!(is_unusual(&habits, unusual), "{unusual}");
        }
        let habits = worked(10, 22..25);
        assert!(!is_unusual(&habits, 0) && !is_unusual(&habits, 21));
        assert!(is_unusual(&habits, 12));
    }

    #[test]
    fn with_too_little_known_nothing_is_said() {
        let at = 400 * DAY;
        let (hours, days) = (16, 4);
        assert_eq!(
            worked(4, 8..12).is_unusual(at, &TimeZone::UTC),
            Err(TooLittle { hours, days })
        );
        let (hours, days) = (40, 4);
        assert_eq!(
            worked(4, 8..18).is_unusual(at, &TimeZone::UTC),
            Err(TooLittle { hours, days })
        );
        assert!(worked(5, 8..12).is_unusual(at, &TimeZone::UTC).is_ok());
    }

    #[test]
    fn a_thousand_connections_in_one_night_are_one_hour() {
        let mut habits = worked(10, 8..17);
        assert!(habits.note(20 * DAY + 3 * HOUR, &TimeZone::UTC));
        for second in 1..1000 {
            assert!(!habits.note(20 * DAY + 3 * HOUR + second, &TimeZone::UTC));
        }
        assert!(is_unusual(&habits, 3));
    }

    #[test]
    fn what_is_long_ago_counts_less() {
        let mut habits = worked(200, 8..17);
        for day in 300..400 {
            for hour in 20..24 {
                habits.note(day * DAY + hour * HOUR, &TimeZone::UTC);
            }
        }
        assert!(!is_unusual(&habits, 22));
        assert!(habits.known() <= MOST_HOURS);
    }

    #[test]
    fn a_clock_that_goes_back_makes_no_new_day() {
        let mut habits = worked(10, 8..17);
        habits.note(2 * DAY, &TimeZone::UTC);
        assert_eq!(habits.days, 10);
        assert!(!habits.note(u64::MAX, &TimeZone::UTC));
    }

    #[test]
    fn the_hour_is_the_one_on_the_clock_of_the_place() {
        let zone = TimeZone::fixed(jiff::tz::offset(9));
        let mut habits = Habits::default();
        habits.note(DAY, &zone);
        assert_eq!(habits.hours[9], 1);
    }
}
