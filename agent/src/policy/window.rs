// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Times of the day and of the week.

use std::fmt;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// For how long [`Window::next_change`] looks ahead: a week, and the day on which it began.
const AHEAD_DAYS: i64 = 8;

/// Hours of some days, in a time zone.
///
/// Local clock times count: on the day on which clocks are put forward a span may be shorter
/// or missing, and on the day on which they are put back the hour that comes twice is in it
/// twice. A span over midnight belongs to the day on which it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The days; never empty.
    pub days: Days,
    /// The hours; empty means all day.
    pub hours: Vec<HourSpan>,
    /// Whose clock.
    pub zone: TimeZone,
}

/// Days of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days(u8);

/// From one time of the day to another, which is not part of it. If it is not later, it is
/// that of the next day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HourSpan {
    /// Minutes since midnight; below 1440.
    from: u16,
    /// Minutes since midnight; 1440 at most, and not `from`.
    to: u16,
}

/// Minutes of a day.
const DAY: u16 = 24 * 60;

impl Days {
    /// Every day.
    pub const ALL: Self = Self(0x7f);

    /// No day.
    pub const NONE: Self = Self(0);

    /// These and one more.
    #[must_use]
    pub fn with(self, day: Weekday) -> Self {
        Self(self.0 | bit(day))
    }

    /// True if the day is one of them.
    #[must_use]
    pub fn contains(self, day: Weekday) -> bool {
        self.0 & bit(day) != 0
    }
}

fn bit(day: Weekday) -> u8 {
    1 << day.to_monday_zero_offset()
}

impl fmt::Display for Days {
    /// As a policy has it: `["mon", "tue"]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        let days = NAMES.iter().enumerate();
        let days = days.filter(|(at, _)| self.0 & (1 << at) != 0);
        let days: Vec<_> = days.map(|(_, name)| format!("\"{name}\"")).collect();
        write!(f, "[{}]", days.join(", "))
    }
}

impl HourSpan {
    /// Takes minutes since midnight for a span: `from` below 1440, `to` at most 1440. `None` if
    /// they are not, or are the same.
    #[must_use]
    pub fn new(from: u16, to: u16) -> Option<Self> {
        (from < DAY && to <= DAY && from != to).then_some(Self { from, to })
    }

    /// True if it ends on the day after the one on which it begins.
    #[must_use]
    pub fn crosses_midnight(self) -> bool {
        self.to < self.from
    }
}

impl fmt::Display for HourSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to } = self;
        write!(
            f,
            "{:02}:{:02}-{:02}:{:02}",
            from / 60,
            from % 60,
            to / 60,
            to % 60
        )
    }
}

impl Window {
    /// True if the time lies in it.
    #[must_use]
    pub fn contains(&self, at: Timestamp) -> bool {
        let local = self.zone.to_datetime(at);
        let minute = minute_of(local.time());
        let today = self.days.contains(local.weekday());
        if self.hours.is_empty() {
            return today;
        }
        let yesterday = self.days.contains(local.weekday().previous());
        self.hours.iter().any(|span| {
            if span.crosses_midnight() {
                (today && minute >= span.from) || (yesterday && minute < span.to)
            } else {
                today && minute >= span.from && minute < span.to
            }
        })
    }

    /// When the answer of [`Self::contains`] changes next; `None` if it doesn't within a week.
    #[must_use]
    pub fn next_change(&self, at: Timestamp) -> Option<Timestamp> {
        let now = self.contains(at);
        let mut candidates = self.boundaries(at);
        candidates.sort_unstable();
        let mut later = candidates.into_iter().filter(|candidate| *candidate > at);
        later.find(|candidate| self.contains(*candidate) != now)
    }

    /// Every time around these days at which the answer may change: where a span begins or ends
    /// by the clock, and where the clock itself is changed.
    fn boundaries(&self, at: Timestamp) -> Vec<Timestamp> {
        let today = self.zone.to_datetime(at).date();
        let mut minutes = vec![0];
        minutes.extend(
            self.hours
                .iter()
                .flat_map(|span| [span.from, span.to % DAY]),
        );
        let mut found = Vec::new();
        for ahead in 0..=AHEAD_DAYS {
            let Ok(date) = today.checked_add(Span::new().days(ahead)) else {
                continue;
            };
            for minute in &minutes {
                found.extend(self.instants(date, *minute));
            }
        }
        let until = at.checked_add(Span::new().hours(24 * AHEAD_DAYS));
        let until = until.unwrap_or(Timestamp::MAX);
        let transitions = self.zone.following(at).map(|change| change.timestamp());
        found.extend(transitions.take_while(|change| *change <= until));
        found
    }

    /// When a clock shows this; twice where it is put back.
    fn instants(&self, date: Date, minute: u16) -> impl Iterator<Item = Timestamp> {
        let time = i8::try_from(minute / 60)
            .ok()
            .zip(i8::try_from(minute % 60).ok())
            .and_then(|(hour, minute)| Time::new(hour, minute, 0, 0).ok());
        let ambiguous = time.map(|time| self.zone.to_ambiguous_timestamp(date.to_datetime(time)));
        ambiguous.into_iter().flat_map(|instant| {
            let both = [instant.earlier(), instant.later()];
            both.into_iter().filter_map(Result::ok)
        })
    }
}

fn minute_of(time: Time) -> u16 {
    let minutes = i32::from(time.hour()) * 60 + i32::from(time.minute());
    u16::try_from(minutes).unwrap_or(0)
}

impl fmt::Display for Window {
    /// As a policy has it, without what is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        match self.hours.as_slice() {
            [] => {}
            [one] => parts.push(format!("hours = \"{one}\"")),
            several => {
                let several: Vec<_> = several.iter().map(|one| format!("\"{one}\"")).collect();
                parts.push(format!("hours = [{}]", several.join(", ")));
            }
        }
        if self.days != Days::ALL {
            parts.push(format!("days = {}", self.days));
        }
        if let Some(name) = self.zone.iana_name() {
            parts.push(format!("tz = \"{name}\""));
        }
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from: u16, to: u16) -> HourSpan {
        HourSpan::new(from * 60, to * 60).unwrap()
    }

    fn window(zone: &str, days: &[Weekday], hours: &[HourSpan]) -> Window {
        let days = days.iter().fold(Days::NONE, |days, day| days.with(*day));
        Window {
            days: if days == Days::NONE { Days::ALL } else { days },
            hours: hours.to_vec(),
            zone: TimeZone::get(zone).unwrap(),
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn hours_are_those_of_the_zone() {
        let office = window("Europe/Berlin", &[], &[span(8, 19)]);
        assert!(office.contains(at("2026-01-05T07:00:00Z")));
        assert!(!office.contains(at("2026-01-05T06:59:59Z")));
        assert!(office.contains(at("2026-07-06T06:00:00Z")), "in summer");
        assert!(
            !office.contains(at("2026-01-05T18:00:00Z")),
            "the end is out"
        );
    }

    #[test]
    fn a_span_over_midnight_belongs_to_the_day_on_which_it_begins() {
        let night = window("UTC", &[Weekday::Friday], &[span(22, 6)]);
        assert!(night.contains(at("2026-01-02T23:00:00Z")));
        assert!(night.contains(at("2026-01-03T05:59:00Z")));
        assert!(!night.contains(at("2026-01-02T05:00:00Z")), "Thursday's");
        assert!(!night.contains(at("2026-01-03T23:00:00Z")));
    }

    #[test]
    fn the_next_change_is_where_the_answer_changes() {
        let office = window("Europe/Berlin", &[Weekday::Monday], &[span(8, 19)]);
        let friday = at("2026-01-02T10:00:00Z");
        assert_eq!(office.next_change(friday), Some(at("2026-01-05T07:00:00Z")));
        let monday = at("2026-01-05T10:00:00Z");
        assert_eq!(office.next_change(monday), Some(at("2026-01-05T18:00:00Z")));
        let always = window("UTC", &[], &[]);
        assert_eq!(always.next_change(monday), None);
    }

    #[test]
    fn an_end_that_the_clock_leaps_over_comes_with_the_leap() {
        // On 29 March 2026 clocks in Berlin go from 02:00 to 03:00, at 01:00 UTC.
        let early = Window {
            hours: vec![HourSpan::new(60, 150).unwrap()],
            ..window("Europe/Berlin", &[], &[])
        };
        let before = at("2026-03-29T00:30:00Z");
        assert!(early.contains(before));
        assert_eq!(early.next_change(before), Some(at("2026-03-29T01:00:00Z")));
    }

    #[test]
    fn an_hour_that_comes_twice_is_in_it_twice() {
        // On 25 October 2026 clocks in Berlin go from 03:00 back to 02:00, at 01:00 UTC.
        let two = window("Europe/Berlin", &[], &[span(2, 3)]);
        for inside in ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"] {
            assert!(two.contains(at(inside)), "{inside}");
        }
        let first = at("2026-10-25T00:30:00Z");
        assert_eq!(two.next_change(first), Some(at("2026-10-25T02:00:00Z")));
    }

    proptest::proptest! {
        /// Between now and the change the answer is one, and at the change it is another.
        #[test]
        fn nothing_changes_before_the_next_change(
            second in 1_760_000_000_i64..1_800_000_000,
            days in 1_u8..128,
            spans in proptest::collection::vec((0_u16..1440, 0_u16..=1440), 0..3),
            zone in proptest::sample::select(vec![
                "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata",
            ]),
            part in 0.0_f64..1.0,
        ) {
            let hours = spans.iter().filter_map(|(from, to)| HourSpan::new(*from, *to)).collect();
            let zone = TimeZone::get(zone).unwrap();
            let window = Window { days: Days(days), hours, zone };
            let now = Timestamp::from_second(second).unwrap();
            let change = window.next_change(now);
            let end = change.map_or(second + 7 * 86_400, Timestamp::as_second);
            if let Some(change) = change {
                proptest::prop_assert_ne!(window.contains(change), window.contains(now));
            }
            #[expect(clippy::cast_possible_truncation, reason = "it lies between two seconds")]
            let between = second + ((end - second) as f64 * part) as i64;
            if between < end {
                let between = Timestamp::from_second(between).unwrap();
                proptest::prop_assert_eq!(window.contains(between), window.contains(now));
            }
        }
    }
}
