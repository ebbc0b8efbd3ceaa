// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Asks a policy about one attempt after the other, and remembers the proofs that each prompt
//! would have been answered with.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::iter;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::attempt::Attempt;
use super::count::{Days, Forecast};
use super::facts::{LogFacts, LogNames};
use crate::classify::unit_cgroup;
use crate::clock::BootTime;
use crate::decide::{ChallengeOrder, Decision, Holder, Known, Question, decide};
use crate::ids::{EndpointId, Uid};
use crate::policy::{Endpoint, Names, Policy, RuleName, Scope};

/// Most destinations whose endpoint is remembered.
const MAX_PLACES: usize = 1 << 16;
/// How many proofs are kept before those are dropped that can't count any more.
const MANY_PROOFS: usize = 1 << 16;
/// The longest that a proof can count.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// What a host name isn't looked up for.
const UNRESOLVED: &str = "which addresses host names had (the endpoint's name counts instead)";

/// For what a proof counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Shared {
    User,
    Unit(PathBuf),
    /// The log has no time at which a process was started.
    Process(u32, Option<PathBuf>),
}

/// A policy, and what it would have come to so far.
pub(super) struct Replay<'p> {
    policy: &'p Policy,
    names: &'p dyn Names,
    places: HashMap<(IpAddr, u16, u8), Option<EndpointId>>,
    proofs: HashMap<(Uid, RuleName, Shared), BootTime>,
    days: Days,
}

impl<'p> Replay<'p> {
    pub(super) fn new(policy: &'p Policy, names: &'p dyn Names) -> Self {
        Self {
            policy,
            names,
            places: HashMap::new(),
            proofs: HashMap::new(),
            days: Days::default(),
        }
    }

    /// What it comes to, of the last days if given.
    pub(super) fn finish(self, days: Option<u16>) -> Forecast {
        self.days.total(days)
    }

    /// Takes the next attempt.
    pub(super) fn take(&mut self, attempt: &Attempt) {
        let count = attempt.count;
        let missing = RefCell::default();
        let endpoint = self.endpoint_of(attempt, &missing);
        let Some(endpoint) = endpoint else {
            let day = self.days.of(attempt.at);
            day.attempts += count;
            day.unprotected += count;
            return;
        };
        let (names, facts) = (
            LogNames {
                names: self.names,
                attempt,
            },
            LogFacts {
                attempt,
                missing: &missing,
            },
        );
        let question = Question {
            subject: attempt.uid,
            endpoint: endpoint.id,
        };
        let known = Known {
            facts: &facts,
            holder: &Holder::default(),
        };
        let now = since_1970(attempt);
        let decided = decide(self.policy, &names, question, known, iter::empty(), now);
        let (decision, observed) = match &decided.decision {
            Decision::Observe(permit) => (permit.instead(), true),
            decision => (decision, false),
        };
        let prompts = match decision {
            Decision::Challenge(order) => self.prompts(order, attempt, now, &missing),
            _ => 0,
        };
        let user = attempt.user.clone();
        let user = user.unwrap_or_else(|| attempt.uid.to_string());
        let day = self.days.of(attempt.at);
        day.attempts += count;
        day.observed += if observed { count } else { 0 };
        day.unsure += if missing.borrow().is_empty() {
            0
        } else {
            count
        };
        day.missing.extend(missing.into_inner());
        match decision {
            Decision::Deny(denial) => {
                let key = (user, endpoint.name.to_string(), denial.to_string());
                *day.refused.entry(key).or_default() += count;
            }
            Decision::Challenge(order) => {
                day.passed += count - prompts;
                if prompts > 0 {
                    let key = (user, order.offer().rule.to_string());
                    *day.prompts.entry(key).or_default() += prompts;
                }
            }
            Decision::Allow(_) | Decision::Elevated(_) | Decision::Observe(_) => {
                day.passed += count
            }
        }
    }

    /// Where an attempt goes, as the policy has it.
    fn endpoint_of(
        &mut self,
        attempt: &Attempt,
        missing: &RefCell<BTreeSet<&'static str>>,
    ) -> Option<&'p Endpoint> {
        let by_name = || {
            let mut endpoints = self.policy.endpoints.iter();
            endpoints.find(|one| one.name.as_str() == attempt.endpoint)
        };
        let Some(to) = attempt.to else {
            return by_name();
        };
        if self.places.len() >= MAX_PLACES {
            self.places.clear();
        }
        let find = || self.policy.endpoint_at(to.0, to.1, to.2).map(|one| one.id);
        if let Some(id) = *self.places.entry(to).or_insert_with(find) {
            return self.policy.endpoint(id);
        }
        let named = by_name().filter(|one| !one.names.is_empty())?;
        missing.borrow_mut().insert(UNRESOLVED);
        Some(named)
    }

    /// How many prompts it takes: none if an earlier proof counts.
    fn prompts(
        &mut self,
        order: &ChallengeOrder,
        attempt: &Attempt,
        now: BootTime,
        missing: &RefCell<BTreeSet<&'static str>>,
    ) -> u64 {
        let Some(shared) = shared(order.offer().terms.scope, attempt, missing) else {
            return attempt.count;
        };
        if self.proofs.len() >= MANY_PROOFS {
            self.proofs.retain(|_, proven| now.since(*proven) < LONGEST);
        }
        let key = (attempt.uid, order.realm().clone(), shared);
        let counts = |proven: &BootTime| *proven <= now && now < order.offer().expires(*proven);
        if self.proofs.get(&key).is_some_and(counts) {
            return 0;
        }
        self.proofs.insert(key, now);
        1
    }
}

/// For what a proof of this scope counts; none if for the one connection.
fn shared(
    scope: Scope,
    attempt: &Attempt,
    missing: &RefCell<BTreeSet<&'static str>>,
) -> Option<Shared> {
    let lacks = |what| missing.borrow_mut().insert(what);
    let process = attempt.process.as_ref();
    match scope {
        Scope::User => Some(Shared::User),
        Scope::Socket => None,
        Scope::Unit => {
            let cgroup = process.and_then(|process| process.cgroup.as_deref());
            let unit = cgroup.and_then(unit_cgroup);
            if unit.is_none() {
                lacks("every systemd unit");
            }
            unit.map(Shared::Unit)
        }
        Scope::Process => {
            let Some(process) = process else {
                lacks("the processes of connections that were only counted");
                return None;
            };
            lacks("when processes were started (one pid is one process)");
            Some(Shared::Process(process.pid, process.exe.clone()))
        }
    }
}

/// The time of an attempt on a clock that goes on over reboots.
fn since_1970(attempt: &Attempt) -> BootTime {
    BootTime(u64::try_from(attempt.at.as_nanosecond()).unwrap_or(0))
}
