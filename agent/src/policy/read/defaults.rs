// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads `[defaults]`: what counts where a rule or an endpoint doesn't say otherwise.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::duration;
use super::proof::{proof_of, says_proof};
use super::rule::{MAX_TTL, ON_EXPIRY, SCOPES, SECOND};
use super::when::zone_of;
use crate::config::{Findings, Table};
use crate::policy::{Existing, MAX_HOLD, Mode, OnExpiry, Proof, Scope};

const MODES: [(&str, Mode); 2] = [("enforce", Mode::Enforce), ("observe", Mode::Observe)];
const FIRST: [(&str, bool); 2] = [("hold", false), ("reject", true)];

/// What the whole policy says once.
#[derive(Clone, Debug, Default)]
pub(in crate::policy) struct Defaults {
    pub(in crate::policy) mode: Option<Mode>,
    pub(super) ttl: Option<Duration>,
    pub(super) proof: Option<Proof>,
    pub(super) scope: Option<Scope>,
    /// True if a first connection is rejected.
    pub(super) rejects: Option<bool>,
    pub(super) max_hold: Option<Duration>,
    pub(super) on_expiry: Option<OnExpiry>,
    pub(super) warn: Option<Duration>,
    pub(super) existing: Option<Existing>,
    pub(super) zone: Option<TimeZone>,
}

impl Defaults {
    pub(super) fn read(mut table: Table<'_>, findings: &mut Findings) -> Self {
        let defaults = Self {
            mode: table
                .take("mode")
                .and_then(|value| value.word(&MODES, findings)),
            ttl: table
                .take("ttl")
                .and_then(|value| duration(&value, SECOND..=MAX_TTL, findings)),
            proof: says_proof(&mut table)
                .then(|| proof_of(&mut table, &Proof::default(), findings))
                .flatten(),
            scope: table
                .take("scope")
                .and_then(|value| value.word(&SCOPES, findings)),
            rejects: table
                .take("first")
                .and_then(|value| value.word(&FIRST, findings)),
            max_hold: table
                .take("max_hold")
                .and_then(|value| duration(&value, SECOND..=MAX_HOLD, findings)),
            on_expiry: table
                .take("on_expiry")
                .and_then(|value| value.word(&ON_EXPIRY, findings)),
            warn: table
                .take("warn")
                .and_then(|value| duration(&value, SECOND..=MAX_TTL, findings)),
            existing: table
                .take("existing")
                .and_then(|value| value.word(&super::endpoint::EXISTING, findings)),
            zone: table.take("tz").and_then(|value| zone_of(&value, findings)),
        };
        table.finish(&[("timezone", "tz"), ("hold", "max_hold")], findings);
        defaults
    }
}
