// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads `[[risk]]`, `[[threshold]]` and `[[role]]`.

use std::time::Duration;

use super::proof::{PROOF_KEYS, proof_of, says_proof};
use super::rule::{MAX_TTL, SECOND, Targets, rule_name, targets_of};
use super::user::{Users, users_of};
use super::when::{optional, when_of};
use super::{Defaults, Located, duration};
use crate::config::{Findings, Spot, Table};
use crate::policy::{Condition, MAX_POINTS, Proof, Response, RuleName, Threshold};

/// A risk as far as it could be read.
pub(in crate::policy) struct RiskDraft {
    pub(in crate::policy) spot: Spot,
    pub(in crate::policy) name: Option<Located<RuleName>>,
    pub(in crate::policy) targets: Option<Targets>,
    pub(in crate::policy) points: Option<u32>,
    pub(in crate::policy) when: Option<Vec<Condition>>,
}

/// A role as far as it could be read.
pub(in crate::policy) struct RoleDraft {
    pub(in crate::policy) name: Option<Located<RuleName>>,
    pub(in crate::policy) users: Option<Users>,
    pub(in crate::policy) ttl: Option<Duration>,
    pub(in crate::policy) proof: Option<Proof>,
}

impl RiskDraft {
    pub(super) fn read(mut table: Table<'_>, defaults: &Defaults, findings: &mut Findings) -> Self {
        let name = table.require("name", findings);
        let name = name.and_then(|value| rule_name(&value, findings));
        let targets = match table.take("endpoints") {
            Some(value) => targets_of(&value, findings),
            None => Some(Targets::All),
        };
        let points = points(&mut table, findings);
        let when = table.require("when", findings);
        let when = when.and_then(|value| when_of(&value, defaults.zone.as_ref(), findings));
        let spot = table.spot().clone();
        table.finish(&[("score", "points"), ("weight", "points")], findings);
        Self {
            spot,
            name,
            targets,
            points,
            when,
        }
    }
}

fn points(table: &mut Table<'_>, findings: &mut Findings) -> Option<u32> {
    let value = table.require("points", findings)?;
    if value.as_integer().is_none() {
        value.unexpected("a number of points", findings);
    }
    value.integer_in(1..=MAX_POINTS, "number of points", findings)
}

pub(super) fn threshold(mut table: Table<'_>, findings: &mut Findings) -> Option<Threshold> {
    let points = points(&mut table, findings);
    let denies = [("step-up", false), ("deny", true)];
    let denies = table
        .take("action")
        .map_or(Some(false), |value| value.word(&denies, findings));
    if denies == Some(true) {
        for key in ["ttl"].into_iter().chain(PROOF_KEYS) {
            table.refuse(key, "nobody gets through", findings);
        }
    }
    let ttl = optional(table.take("ttl"), |value| {
        duration(&value, SECOND..=MAX_TTL, findings)
    });
    let proof = match says_proof(&mut table) {
        true => proof_of(&mut table, &Proof::default(), findings).map(Some),
        false => Some(None),
    };
    table.finish(&[("at", "points")], findings);
    let response = if denies? {
        Response::Deny
    } else {
        Response::StepUp {
            ttl: ttl?,
            proof: proof?,
        }
    };
    Some(Threshold {
        points: points?,
        response,
    })
}

impl RoleDraft {
    pub(super) fn read(mut table: Table<'_>, findings: &mut Findings) -> Self {
        let name = table.require("name", findings);
        let name = name.and_then(|value| rule_name(&value, findings));
        let users = table.require("users", findings);
        let users = users.and_then(|value| users_of(&value, findings));
        let ttl = table
            .take("ttl")
            .and_then(|value| duration(&value, SECOND..=MAX_TTL, findings));
        let proof = says_proof(&mut table)
            .then(|| proof_of(&mut table, &Proof::default(), findings))
            .flatten();
        table.finish(&[("user", "users"), ("members", "users")], findings);
        Self {
            name,
            users,
            ttl,
            proof,
        }
    }
}
