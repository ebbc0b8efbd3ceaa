// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What was decided, which proofs count, and where.

use serde::{Deserialize, Serialize};

use super::ReasonView;
use crate::ids::{ElevationId, Uid};

/// One of the last decisions, or the end of a challenge. Text from a process is already escaped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionView {
    /// When: seconds since 1970 in UTC.
    pub time: u64,
    /// Whom it was about.
    pub uid: Uid,
    /// Of a decision `observe`, `allow`, `elevated`, `challenge` or `deny`; of a challenge that
    /// ended `approved`, `denied`, `timed-out`, `withdrawn` or `failed`. As the audit log has it.
    pub outcome: String,
    /// The endpoint's name.
    pub endpoint: String,
    /// `address:port`; empty if that isn't known any more.
    pub destination: String,
    /// Path of the program, or its name if that couldn't be read; escaped. Empty if it isn't known
    /// any more.
    pub program: String,
    /// The rule's name; empty if none matched.
    pub rule: String,
    /// Why, in words.
    pub reason: String,
}

/// One proof that still counts: whoever gave it isn't asked again within its realm and scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElevationView {
    /// Its id.
    pub id: ElevationId,
    /// Whose it is.
    pub uid: Uid,
    /// The realm that it counts in.
    pub realm: String,
    /// How it was given, as `totp`.
    pub factor: String,
    /// For which of the user's connections: `user`, `unit`, `process` or `socket`.
    pub scope: String,
    /// Seconds since it was given. For how long it counts is for each rule to say.
    pub seconds_since: u64,
}

/// One realm in which a user may have to prove who they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RealmView {
    /// Its name.
    pub realm: String,
    /// The endpoints that its rules speak of.
    pub endpoints: Vec<String>,
    /// For which connections a proof counts: `user`, `unit`, `process`, `socket`.
    pub scopes: Vec<String>,
    /// The longest time that a proof counts, in seconds.
    pub ttl_seconds: u64,
    /// How long the last proof still counts, in seconds; 0 if none does.
    pub seconds_left: u64,
    /// What the user can prove themselves with there, as `totp`.
    pub factors: Vec<String>,
    /// Whether a reason is asked for: `required`, `optional`, or empty if none is.
    pub reason: String,
    /// What the reason is called, as `ticket`; empty if it has no name.
    pub reason_name: String,
    /// The regular expression for the whole of it; empty if any text will do.
    pub reason_pattern: String,
}

impl RealmView {
    /// The reason that a proof beforehand takes.
    #[must_use]
    pub fn asked_reason(&self) -> ReasonView {
        ReasonView {
            demand: self.reason.clone(),
            name: self.reason_name.clone(),
            pattern: self.reason_pattern.clone(),
        }
    }
}
