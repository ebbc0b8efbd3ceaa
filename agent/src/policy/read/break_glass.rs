// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads a `[[break_glass]]`.

use std::sync::Arc;

use super::proof::{proof_of, reason_of};
use super::rule::{SECOND, Targets, targets_of};
use super::user::{Users, Who, users_of};
use super::{Located, duration, or_default};
use crate::config::{Findings, Spot, Table};
use crate::policy::break_glass::{DEFAULT_BREAK_GLASS, LEAST_REASON, MAX_BREAK_GLASS, MAX_PER_DAY};
use crate::policy::{Asks, Assurance, BreakGlass, Proof, ReasonAsked, UserSelector};

/// What lets through in an emergency, as far as it could be read.
pub(in crate::policy) struct BreakGlassDraft {
    /// The endpoints that it names.
    pub(in crate::policy) targets: Option<Targets>,
    /// The rest, without endpoints.
    pub(in crate::policy) entry: Option<BreakGlass>,
}

impl BreakGlassDraft {
    pub(super) fn read(mut table: Table<'_>, findings: &mut Findings) -> Self {
        let targets = table.require("endpoints", findings).and_then(|value| {
            let targets = targets_of(&value, findings)?;
            if matches!(targets, Targets::All) {
                findings
                    .error(&value.spot(), "an emergency isn't for all endpoints")
                    .help("write out the names");
                return None;
            }
            Some(targets)
        });
        let users = table.require("users", findings).and_then(|value| {
            let users = users_of(&value, findings)?;
            written_out(users, &value.spot(), findings)
        });
        let ttl = or_default(table.take("ttl"), DEFAULT_BREAK_GLASS, |value| {
            duration(&value, SECOND..=MAX_BREAK_GLASS, findings)
        });
        let per_day = or_default(table.take("per_day"), 1, |value| {
            if value.as_integer().is_none() {
                value.unexpected("a number of times", findings);
            }
            value.integer_in(1..=MAX_PER_DAY, "number of times a day", findings)
        });
        let anything = Proof {
            asks: Asks::Level(Assurance::LOW),
            ..Proof::default()
        };
        let proof = proof_of(&mut table, &anything, findings);
        let usual = ReasonAsked {
            required: true,
            least: LEAST_REASON,
            pattern: None,
            prompt: None,
        };
        let reason = or_default(table.take("reason"), usual, |value| {
            reason_of(&value, LEAST_REASON, findings)
        });
        table.finish(
            &[
                ("endpoint", "endpoints"),
                ("user", "users"),
                ("factor", "factors"),
            ],
            findings,
        );
        let entry = || {
            let (users, except) = users?;
            Some(BreakGlass {
                endpoints: Vec::new(),
                users,
                except,
                ttl: ttl?,
                per_day: per_day?,
                proof: Proof {
                    reason: Some(Arc::new(reason?)),
                    ..proof?
                },
            })
        };
        Self {
            targets,
            entry: entry(),
        }
    }
}

/// Users and groups, but not everybody.
fn written_out(
    users: Users,
    spot: &Spot,
    findings: &mut Findings,
) -> Option<(Vec<UserSelector>, Vec<UserSelector>)> {
    let mut these = Vec::new();
    for who in users.meant {
        match who {
            Who::These(users) => these.extend(users),
            Who::Role(Located { spot, .. }) => {
                findings.error(&spot, "here users and groups are written out, not roles");
                return None;
            }
        }
    }
    if these.contains(&UserSelector::Everyone) {
        findings
            .error(spot, "an emergency isn't for everybody")
            .help("write out the users and groups");
        return None;
    }
    Some((these, users.except))
}
