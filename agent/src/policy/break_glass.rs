// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who may get through in an emergency, past the rules.

use std::time::Duration;

use super::proof::Proof;
use super::rule::UserSelector;
use crate::ids::EndpointId;

/// Longest that an emergency may last.
pub(super) const MAX_BREAK_GLASS: Duration = Duration::from_secs(4 * 60 * 60);
/// How long one lasts if nothing is said.
pub(super) const DEFAULT_BREAK_GLASS: Duration = Duration::from_secs(60 * 60);
/// Most emergencies that a user may have in a day.
pub(super) const MAX_PER_DAY: u8 = 10;
/// Fewest characters of the reason.
pub(super) const LEAST_REASON: usize = 10;

/// What lets users through to endpoints in an emergency, whatever the rules say. It is never
/// used by itself: somebody has to ask for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakGlass {
    /// To which endpoints; never empty, and each by its name.
    pub endpoints: Vec<EndpointId>,
    /// Whom; never empty, and never everybody.
    pub users: Vec<UserSelector>,
    /// Whom not, though they are in `users`.
    pub except: Vec<UserSelector>,
    /// For how long: 1 s to 4 h.
    pub ttl: Duration,
    /// How often each user may in a day: 1 to 10.
    pub per_day: u8,
    /// What is proof; a reason is always part of it.
    pub proof: Proof,
}
