// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is counted, and what is told of it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use jiff::{Span, Timestamp};
use serde::Serialize;

/// What a policy would have done with the attempts of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Forecast {
    /// The first day that counts, of UTC; none if there was no attempt.
    pub first_day: Option<String>,
    /// The last one.
    pub last_day: Option<String>,
    /// How many attempts count.
    pub attempts: u64,
    /// How many the policy would have let through without asking: by a rule, or by an earlier
    /// proof.
    pub passed: u64,
    /// How many go where the policy protects nothing.
    pub unprotected: u64,
    /// How many the policy only observes. They count as what would be done otherwise.
    pub observed: u64,
    /// How many met a rule that the log doesn't tell enough to judge.
    pub unsure: u64,
    /// Prompts by day and user.
    pub prompts: Vec<Prompts>,
    /// Refusals by user and endpoint; the most first.
    pub refused: Vec<Refused>,
    /// The rules that ask; the one that asks most first.
    pub asking: Vec<Asking>,
    /// What the policy asks about and the log doesn't tell.
    pub missing: Vec<String>,
}

/// How often a user would have been asked on a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Prompts {
    /// The day, of UTC, as `2026-01-05`.
    pub day: String,
    /// The user's name, or the uid of one without.
    pub user: String,
    /// How often.
    pub prompts: u64,
}

/// How often a user would have been refused at an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// The user's name, or the uid of one without.
    pub user: String,
    /// The endpoint.
    pub endpoint: String,
    /// How often.
    pub attempts: u64,
    /// Why, in words.
    pub why: String,
}

/// How often a rule would have asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Asking {
    /// The rule.
    pub rule: String,
    /// How often.
    pub prompts: u64,
    /// How many users.
    pub users: usize,
}

/// Counts of one day.
#[derive(Debug, Default)]
pub(super) struct Day {
    pub(super) attempts: u64,
    pub(super) passed: u64,
    pub(super) unprotected: u64,
    pub(super) observed: u64,
    pub(super) unsure: u64,
    /// By user and rule.
    pub(super) prompts: BTreeMap<(String, String), u64>,
    /// By user, endpoint and reason.
    pub(super) refused: BTreeMap<(String, String, String), u64>,
    pub(super) missing: BTreeSet<&'static str>,
}

/// The days of a log.
#[derive(Debug, Default)]
pub(super) struct Days(BTreeMap<Date, Day>);

impl Days {
    /// The day of this moment.
    pub(super) fn of(&mut self, at: Timestamp) -> &mut Day {
        let date = jiff::tz::TimeZone::UTC.to_datetime(at).date();
        self.0.entry(date).or_default()
    }

    /// What the last days come to; all of them, if none.
    pub(super) fn total(&self, days: Option<u16>) -> Forecast {
        let Some((&last, _)) = self.0.last_key_value() else {
            return Forecast::default();
        };
        let first = days.and_then(|days| last.checked_sub(Span::new().days(days - 1)).ok());
        let first = first.unwrap_or(Date::MIN);
        let mut total = Forecast::default();
        let mut asking: BTreeMap<&str, (u64, BTreeSet<&str>)> = BTreeMap::new();
        let mut refused: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
        let mut missing = BTreeSet::new();
        for (date, day) in self.0.range(first..) {
            total.first_day.get_or_insert_with(|| date.to_string());
            total.last_day = Some(date.to_string());
            total.attempts += day.attempts;
            total.passed += day.passed;
            total.unprotected += day.unprotected;
            total.observed += day.observed;
            total.unsure += day.unsure;
            missing.extend(day.missing.iter().copied());
            let mut prompts: BTreeMap<&str, u64> = BTreeMap::new();
            for ((user, rule), count) in &day.prompts {
                *prompts.entry(user).or_default() += count;
                let (sum, users) = asking.entry(rule).or_default();
                *sum += count;
                users.insert(user);
            }
            total
                .prompts
                .extend(prompts.into_iter().map(|(user, prompts)| Prompts {
                    day: date.to_string(),
                    user: user.to_owned(),
                    prompts,
                }));
            for ((user, endpoint, why), count) in &day.refused {
                *refused.entry((user, endpoint, why)).or_default() += count;
            }
        }
        let asking = asking.into_iter().map(|(rule, (prompts, users))| Asking {
            rule: rule.to_owned(),
            prompts,
            users: users.len(),
        });
        total.asking = asking.collect();
        total
            .asking
            .sort_by_key(|one| std::cmp::Reverse(one.prompts));
        let refused = refused.into_iter();
        let refused = refused.map(|((user, endpoint, why), attempts)| Refused {
            user: user.to_owned(),
            endpoint: endpoint.to_owned(),
            attempts,
            why: why.to_owned(),
        });
        total.refused = refused.collect();
        total
            .refused
            .sort_by_key(|one| std::cmp::Reverse(one.attempts));
        total.missing = missing.into_iter().map(str::to_owned).collect();
        total
    }
}
