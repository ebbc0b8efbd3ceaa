// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What was decided, and which proofs count.

use serde::{Deserialize, Serialize};

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
