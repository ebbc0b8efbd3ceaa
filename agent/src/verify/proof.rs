// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a right answer is worth, and what it was asked for.

use std::time::Duration;

use crate::clock::{BootTime, Now};
use crate::decide::Bound;
use crate::ids::{ElevationId, Uid};
use crate::ledger::{BootId, NewElevation};
use crate::policy::{Assurance, Factor};

/// Proof that a user passed a factor just now. Not `Clone`: one proof, one use.
///
/// Only this module's checks make one, and only after the ledger recorded the code as used.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Verified {
    uid: Uid,
    realm: String,
    factor: Factor,
    assurance: Assurance,
    elevation: ElevationId,
    further: Vec<ElevationId>,
    proven: Now,
    until: Option<BootTime>,
    reason: Option<String>,
    recovery_left: Option<usize>,
}

impl Verified {
    pub(super) fn new(
        elevation: ElevationId,
        further: Vec<ElevationId>,
        stored: NewElevation,
    ) -> Self {
        Self {
            uid: stored.uid,
            realm: stored.realm,
            factor: stored.factor,
            assurance: stored.assurance,
            elevation,
            further,
            proven: stored.proven,
            until: stored.until,
            reason: stored.reason,
            recovery_left: None,
        }
    }

    pub(super) fn by_recovery(mut self, left: usize) -> Self {
        self.recovery_left = Some(left);
        self
    }

    /// Who proved it.
    #[must_use]
    pub fn uid(&self) -> Uid {
        self.uid
    }

    /// The realm it was proven for.
    #[must_use]
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// How.
    #[must_use]
    pub fn factor(&self) -> &Factor {
        &self.factor
    }

    /// How much that was worth.
    #[must_use]
    pub fn assurance(&self) -> Assurance {
        self.assurance
    }

    /// The same, good no longer than until then: another proof beside it ends first.
    pub fn not_after(mut self, until: BootTime) -> Self {
        self.until = Some(self.until.map_or(until, |own| own.min(until)));
        self
    }

    /// Where the ledger keeps it.
    #[must_use]
    pub fn elevation(&self) -> ElevationId {
        self.elevation
    }

    /// Where the ledger keeps it for others of the user's connections.
    #[must_use]
    pub fn further(&self) -> &[ElevationId] {
        &self.further
    }

    /// When.
    #[must_use]
    pub fn proven(&self) -> Now {
        self.proven
    }

    /// When it ends, if sooner than rules let it.
    #[must_use]
    pub fn until(&self) -> Option<BootTime> {
        self.until
    }

    /// The reason that the user gave with it.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// How many recovery codes the user has left, if this was one.
    #[must_use]
    pub fn recovery_left(&self) -> Option<usize> {
        self.recovery_left
    }
}

/// Proof that a user has a factor of their own at hand, good for changing their factors. Not
/// `Clone`: one proof, one change.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Owner {
    uid: Uid,
    recovery_left: Option<usize>,
}

impl Owner {
    pub(super) fn new(uid: Uid, recovery_left: Option<usize>) -> Self {
        Self { uid, recovery_left }
    }

    /// Who.
    #[must_use]
    pub fn uid(&self) -> Uid {
        self.uid
    }

    /// How many recovery codes the user has left, if this was one.
    #[must_use]
    pub fn recovery_left(&self) -> Option<usize> {
        self.recovery_left
    }
}

/// What became of a code.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Verification<T = Verified> {
    /// Right, and used up.
    Verified(T),
    /// Not right, or used before; counted.
    Wrong {
        /// Tries left before the next one has to wait.
        tries_left: u32,
        /// It was a right code of a step that is used up. For the audit log: the person who
        /// typed it is told only that it was wrong.
        replayed: bool,
    },
    /// Not looked at and not counted: too many wrong codes.
    Throttled {
        /// How long until the next try.
        retry: Duration,
    },
    /// Not looked at: an administrator has to unlock the user.
    Locked,
    /// The user has no such factor, or the rule doesn't take it.
    NotEnrolled,
}

/// What a proof is to count for.
#[derive(Clone, Copy, Debug)]
pub struct Purpose<'a> {
    /// In which realm.
    pub realm: &'a str,
    /// For which of the user's connections.
    pub bound: &'a Bound,
    /// And for which others, by the same code.
    pub further: &'a [Bound],
    /// When it ends, if sooner than rules let it.
    pub until: Option<BootTime>,
    /// True if a recovery code will do.
    pub recovery: bool,
    /// The reason that the user gave. It is kept with the proof.
    pub reason: Option<&'a str>,
}

impl<'a> Purpose<'a> {
    /// For some of the user's connections, for as long as rules let it.
    #[must_use]
    pub fn new(realm: &'a str, bound: &'a Bound) -> Self {
        Self {
            realm,
            bound,
            further: &[],
            until: None,
            recovery: true,
            reason: None,
        }
    }
}

impl Purpose<'_> {
    /// The elevation that a right answer earns.
    pub(super) fn earns(
        &self,
        uid: Uid,
        factor: Factor,
        assurance: Assurance,
        now: Now,
        boot: &BootId,
    ) -> NewElevation {
        NewElevation {
            uid,
            realm: self.realm.to_owned(),
            bound: self.bound.clone(),
            factor,
            assurance,
            proven: now,
            boot: boot.clone(),
            until: self.until,
            reason: self.reason.map(str::to_owned),
        }
    }
}
