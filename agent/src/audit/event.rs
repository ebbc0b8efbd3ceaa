// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is recorded. The names of fields and events are an interface: people search for them.
//!
//! Text that a process chose (paths, comm, cgroups) comes escaped from where it was read; the
//! log makes any text safe for terminals and bounds its length.

use std::net::IpAddr;

use serde::{Serialize, Serializer};

use super::{
    Attempt, BreakGlass, Challenge, ChallengeEnd, Closed, Connection, Connections, Decision,
    FactorFailure, FactorUse, Grant, GrantEnd, Kept, Subject,
};
use crate::clock::{BootTime, Now, WallTime};
use crate::ids::{DeviceId, Uid};
use crate::policy::{Factor, HostName};

/// Most policy errors that one record lists; the rest is counted.
const MAX_ERRORS: usize = 20;

/// Most addresses that one record lists as added, and as removed.
const MAX_ADDRESSES: usize = 20;

/// One record.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    #[serde(serialize_with = "as_text")]
    time: WallTime,
    boot_ns: BootTime,
    #[serde(flatten)]
    event: Event,
}

impl Record {
    /// What happened at `now`.
    #[must_use]
    pub fn new(now: Now, event: Event) -> Self {
        Self {
            time: now.wall,
            boot_ns: now.boot,
            event,
        }
    }

    /// What happened.
    #[must_use]
    pub fn event(&self) -> &Event {
        &self.event
    }
}

fn as_text<S: Serializer>(time: &WallTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

/// What happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The log begins. Only the log itself writes it.
    Genesis {
        /// A random id of this chain.
        chain: String,
        /// The host's name.
        #[serde(skip_serializing_if = "Option::is_none")]
        host: Option<String>,
    },
    /// The daemon runs.
    DaemonStarted {
        /// Its version.
        version: String,
        /// First 16 hex digits of the policy's SHA-256.
        policy: String,
        /// Length of a line of this log that a crash had cut short; 0 if none was.
        repaired_bytes: u64,
        /// True if the kernel program of an earlier daemon was still in place.
        adopted: bool,
    },
    /// The daemon ends in good order.
    DaemonStopped {},
    /// A policy holds from now on.
    PolicyLoaded {
        /// First 16 hex digits of its SHA-256.
        policy: String,
        /// How many endpoints it protects.
        endpoints: usize,
        /// How many rules it has.
        rules: usize,
    },
    /// A policy was refused, and the running one stays. See [`Event::policy_refused`].
    PolicyRefused {
        /// Its first errors.
        errors: Vec<String>,
        /// How many more there are.
        more: usize,
    },
    /// The addresses of a host name of the policy have changed. See [`Event::host_learned`].
    HostLearned {
        /// The name, or `*` and its suffix.
        host: String,
        /// The first addresses that are protected from now on.
        added: Vec<String>,
        /// The first ones that no longer are.
        removed: Vec<String>,
        /// How many more there are of both.
        more: usize,
    },
    /// A process tried to reach a protected endpoint.
    Attempt(Attempt),
    /// What the policy says to that.
    Decision(Decision),
    /// A user is asked for proof.
    Challenge(Challenge),
    /// The asking is over.
    ChallengeEnded(ChallengeEnd),
    /// A user gave a code.
    Factor(FactorUse),
    /// A user could not be asked, or what asks could not tell. That speaks against the host, so it
    /// counts as no try.
    FactorFailed(FactorFailure),
    /// A grant is about to take effect.
    Grant(Grant),
    /// A connection goes on, or passed, under a live grant.
    Connection(Connection),
    /// So many connections passed under a live grant that they were counted. None of them has a
    /// record of its own.
    Connections(Connections),
    /// A grant reached its end.
    GrantExpired(GrantEnd),
    /// The one connection that a grant was for is over.
    GrantSpent(GrantEnd),
    /// A grant was ended early.
    GrantRevoked {
        /// The grant.
        #[serde(flatten)]
        end: GrantEnd,
        /// Who ended it.
        by: Uid,
    },
    /// A connection goes on that is older than the protection of its endpoint.
    ConnectionKept(Kept),
    /// stile ended a connection.
    ConnectionClosedByStile(Closed),
    /// A user has a new factor.
    Enrolled {
        /// The user.
        #[serde(flatten)]
        subject: Subject,
        /// The factor.
        factor: Factor,
        /// The device.
        device: DeviceId,
        /// What it is called.
        name: String,
        /// Who enrolled them.
        by: Uid,
    },
    /// A user's factors were changed.
    FactorChanged {
        /// The user.
        #[serde(flatten)]
        subject: Subject,
        /// The factor.
        factor: Factor,
        /// What was done.
        change: FactorChange,
        /// The device, if it is one.
        #[serde(skip_serializing_if = "Option::is_none")]
        device: Option<DeviceId>,
        /// What it is called.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Who did.
        by: Uid,
    },
    /// A user reaches an endpoint past the rules.
    BreakGlass(BreakGlass),
    /// Somebody should look at this user.
    Alarm {
        /// The user.
        #[serde(flatten)]
        subject: Subject,
        /// Why.
        alarm: Alarm,
        /// More of it, in words.
        detail: String,
    },
    /// The secrets of the ledger are sealed with new keys.
    KeysReplaced {
        /// How many secrets there are.
        secrets: u64,
        /// Who did.
        by: Uid,
    },
    /// An administrator reset a user's failures.
    Unlocked {
        /// The user.
        #[serde(flatten)]
        subject: Subject,
        /// Who did.
        by: Uid,
    },
    /// Events that could not be recorded one by one.
    EventsLost {
        /// Of what kind.
        kind: String,
        /// How many.
        count: u64,
    },
    /// Something failed, and access was refused because of it.
    Fault {
        /// What, in words.
        what: String,
    },
}

/// What was done with a factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FactorChange {
    /// A hardware token was taken over.
    Imported,
    /// It has another name.
    Renamed,
    /// It doesn't count any more.
    Removed,
    /// There are new recovery codes; older ones don't count any more.
    RecoveryCodesMade,
}

/// Why somebody should look at a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alarm {
    /// A recovery code was used.
    RecoveryCodeUsed,
    /// So many wrong answers that the user is locked out of a factor.
    LockedOut,
    /// A user wanted past the rules who may not, or not again.
    BreakGlassRefused,
    /// An emergency that lasts has opened its endpoint again: its grant was gone, as after a crash.
    BreakGlassGoesOn,
}

impl Event {
    /// A [`Event::HostLearned`] that lists the first addresses and counts the others.
    pub fn host_learned(host: &HostName, added: &[IpAddr], removed: &[IpAddr]) -> Self {
        let first = |all: &[IpAddr]| -> Vec<String> {
            let listed = all.iter().take(MAX_ADDRESSES);
            listed.map(IpAddr::to_string).collect()
        };
        let rest = |all: &[IpAddr]| all.len().saturating_sub(MAX_ADDRESSES);
        Self::HostLearned {
            host: host.to_string(),
            added: first(added),
            removed: first(removed),
            more: rest(added) + rest(removed),
        }
    }

    /// A [`Event::PolicyRefused`] that lists the first errors and counts the others.
    pub fn policy_refused<E: ToString>(errors: &[E]) -> Self {
        let listed = errors.len().min(MAX_ERRORS);
        Self::PolicyRefused {
            errors: errors[..listed].iter().map(E::to_string).collect(),
            more: errors.len() - listed,
        }
    }
}
