// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Cases of what a policy has to do: `[[case]]` tables in a file, for an admin's CI.

mod read;

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde::Serialize;

use super::{Explanation, Given, GivenNames, Outcome};
use crate::config::{Diagnostics, Findings, Trust, parse, read_text};
use crate::ids::Uid;
use crate::policy::{Endpoint, HostName, Policy, Rule, UserSelector};

/// A connection, and what a policy has to do with it.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is called.
    pub name: String,
    user: String,
    uid: Option<Uid>,
    groups: Vec<String>,
    to: (String, u16),
    number: u8,
    given: Given,
    /// True if the case says when it is.
    has_time: bool,
    expected: Expected,
}

/// What has to come of it; what isn't said may be anything.
#[derive(Clone, Debug)]
struct Expected {
    outcome: Outcome,
    instead: Option<Outcome>,
    rule: Option<String>,
    role: Option<String>,
    realm: Option<String>,
    proof: Option<String>,
    scope: Option<String>,
    ttl: Option<String>,
    points: Option<u32>,
}

/// What came of a case.
#[derive(Clone, Debug, Serialize)]
pub struct Tried {
    /// What it is called.
    pub name: String,
    /// What is other than expected, each as a sentence; empty if nothing is.
    pub failures: Vec<String>,
    /// What the policy does.
    pub explanation: Explanation,
}

impl Case {
    /// Reads the cases of a file.
    ///
    /// # Errors
    /// Lists every mistake of it.
    pub fn read(path: &Path) -> Result<Vec<Self>, Diagnostics> {
        let mut findings = Findings::new(path);
        let root = findings.root();
        read_text(path, root, Trust::Anyone, &mut findings);
        let cases = parse(root, &mut findings, read::cases);
        findings.finish(cases).map(|(cases, _)| cases)
    }

    /// Holds a policy against the case.
    #[must_use]
    pub fn tried(&self, policy: &Policy) -> Tried {
        let names = GivenNames::elsewhere(&self.user, self.uid, &self.groups);
        let (host, port) = &self.to;
        let endpoint = endpoint_of(policy, host, *port, self.number);
        let mut explanation = Explanation::new(policy, &names, &self.given, names.uid(), endpoint);
        explanation.not_looked_up = not_looked_up(policy, host, *port, self.number);
        let mut failures = self.expected.failures(&explanation);
        failures.extend(self.lacks(policy, endpoint, &explanation));
        Tried {
            name: self.name.clone(),
            failures,
            explanation,
        }
    }

    /// What the answer depends on and the case doesn't say: it would prove nothing.
    fn lacks(
        &self,
        policy: &Policy,
        endpoint: Option<&Endpoint>,
        found: &Explanation,
    ) -> Option<String> {
        if found.until.is_some() && !self.has_time {
            return Some("the answer depends on the time: add `at`".to_owned());
        }
        let asked = policy.rules_of(endpoint?.id).take(found.rules.len());
        let mut lacking = asked.filter_map(|rule| {
            let name = rule.name.as_str();
            if self.uid.is_none() && names_any(rule, is_number) {
                Some(format!("the rule {name:?} speaks of uids: add `uid`"))
            } else if self.user.is_empty() && names_any(rule, is_name) {
                let help = "write the name as `user`, and the number as `uid`";
                Some(format!("the rule {name:?} speaks of users by name: {help}"))
            } else {
                None
            }
        });
        lacking.next()
    }
}

fn names_any(rule: &Rule, is: fn(&UserSelector) -> bool) -> bool {
    rule.users.iter().chain(&rule.except).any(is)
}

fn is_number(user: &UserSelector) -> bool {
    matches!(user, UserSelector::Uid(_) | UserSelector::Uids(..))
}

fn is_name(user: &UserSelector) -> bool {
    matches!(user, UserSelector::User(_))
}

/// The endpoint of a destination that nobody looks up: by its address, or by the very name.
#[must_use]
pub fn endpoint_of<'p>(
    policy: &'p Policy,
    host: &str,
    port: u16,
    number: u8,
) -> Option<&'p Endpoint> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return policy.endpoint_at(address, port, number);
    }
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let is_named = |name: &HostName| match name {
        HostName::Exact(name) => **name == *host,
        HostName::Below(suffix) => host.len() > suffix.len() && host.ends_with(&**suffix),
    };
    let mut endpoints = policy.endpoints.iter();
    endpoints.find(|one| one.names.iter().any(is_named) && one.serves(port, number))
}

/// The host names that an address may have, of endpoints before the one that has it.
#[must_use]
pub fn not_looked_up(policy: &Policy, host: &str, port: u16, number: u8) -> Vec<String> {
    let Ok(address) = host.parse::<IpAddr>() else {
        return Vec::new();
    };
    let found = policy.endpoint_at(address, port, number);
    let found = found.map(|endpoint| endpoint.id);
    let before = policy.endpoints.iter();
    let before = before.take_while(|endpoint| Some(endpoint.id) != found);
    let named = before.filter(|endpoint| endpoint.serves(port, number));
    named
        .flat_map(|endpoint| endpoint.names.iter().map(ToString::to_string))
        .collect()
}

/// `HOST:PORT`, `ADDRESS:PORT` or `[ADDRESS]:PORT`; none for anything else.
#[must_use]
pub fn destination(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(host) => host.strip_suffix(']')?,
        None => host,
    };
    let port = port.parse::<u16>().ok().filter(|port| *port > 0)?;
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

/// A time with its zone, or in this one; none for anything else.
#[must_use]
pub fn time(text: &str, zone: TimeZone) -> Option<Timestamp> {
    let own: Option<Timestamp> = text.parse().ok();
    let zoned = || text.parse::<Zoned>().ok();
    let local = || text.parse::<DateTime>().ok()?.to_zoned(zone.clone()).ok();
    own.or_else(|| zoned().or_else(local).map(|time| time.timestamp()))
}

impl Expected {
    fn failures(&self, found: &Explanation) -> Vec<String> {
        let mut failures = Vec::new();
        let mut compare = |what: &str, wanted: Option<&str>, came: Option<&str>| {
            if let Some(wanted) = wanted
                && came != Some(wanted)
            {
                let came = came.map_or("none".to_owned(), |came| format!("{came:?}"));
                failures.push(format!("{what}: expected {wanted:?}, found {came}"));
            }
        };
        compare(
            "outcome",
            Some(self.outcome.word()),
            Some(found.outcome.word()),
        );
        let instead = found.instead.map(Outcome::word);
        compare("instead", self.instead.map(Outcome::word), instead);
        compare("rule", self.rule.as_deref(), found.rule.as_deref());
        compare("role", self.role.as_deref(), found.role.as_deref());
        let terms = found.terms.as_ref();
        let realm = terms.and_then(|terms| terms.realm.as_deref());
        compare("realm", self.realm.as_deref(), realm);
        let proof = terms.filter(|terms| terms.realm.is_some());
        let proof = proof.map(|terms| terms.proof.as_str());
        compare("proof", self.proof.as_deref(), proof);
        let scope = terms.map(|terms| terms.scope.as_str());
        compare("scope", self.scope.as_deref(), scope);
        compare(
            "ttl",
            self.ttl.as_deref(),
            terms.map(|terms| terms.ttl.as_str()),
        );
        let points = found.points.to_string();
        let wanted = self.points.map(|points| points.to_string());
        compare("points", wanted.as_deref(), Some(&points));
        failures
    }
}

impl Tried {
    /// What went wrong, with the explanation; empty if nothing did.
    #[must_use]
    pub fn complaint(&self) -> String {
        let mut text = String::new();
        for failure in &self.failures {
            // Writing to a String can't fail.
            let _ = writeln!(text, "{failure}");
        }
        if !self.failures.is_empty() {
            for line in self.explanation.to_string().lines() {
                let _ = writeln!(text, "  {line}");
            }
        }
        text
    }
}
