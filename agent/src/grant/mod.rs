// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Grants: what opens the gate for one subject, to one endpoint, until one time.
//!
//! A [`Grant`] can be made from a proof only (promise S2): a factor that was verified, an
//! elevation that still counts, a rule that says `allow`, or an entry of the kernel's own map,
//! which nobody but root can write. The map takes nothing but a `&Grant`.

mod table;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use stile_common::{GrantKey, GrantValue, scope};

pub use table::{Grants, Live, Witness};

use crate::clock::{BootTime, Now};
use crate::decide::{AllowPermit, ElevationPermit, ObservePermit, Offer};
use crate::ids::{ElevationId, EndpointId, GrantId, SocketCookie, Uid};
use crate::policy::{self, Factor, OnExpiry, Proof, RuleName};
use crate::verify::Verified;

/// How long what is only observed may go on before it would be asked for again. Connections
/// outlive it.
const OBSERVED: Duration = Duration::from_secs(24 * 60 * 60);

/// How far a grant reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Every connection of the user to the endpoint.
    User,
    /// One socket.
    Socket(SocketCookie),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Socket(_) => "socket",
        })
    }
}

/// What earned a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Basis {
    /// A verified factor, which is in the ledger as this elevation.
    Factor {
        /// Its name.
        factor: Factor,
        /// The ledger's number of it.
        elevation: ElevationId,
    },
    /// A rule that says `allow`.
    Rule,
    /// An earlier daemon's grant, found in the kernel.
    Adopted,
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Factor { factor, .. } => factor.fmt(f),
            Self::Rule => f.write_str("rule"),
            Self::Adopted => f.write_str("adopted"),
        }
    }
}

/// What a rule gives, and which rule it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The rule's name.
    pub rule: RuleName,
    /// In which realm the proof counts that earned it; none if it takes none.
    pub realm: Option<RuleName>,
    /// What it gives.
    pub given: policy::Terms,
    /// True if it gives that to one connection at a time.
    pub alone: bool,
    /// When it ends at the latest.
    pub until: Option<BootTime>,
    /// What it asks for; none if it asks for nothing.
    pub proof: Option<Arc<Proof>>,
}

impl Terms {
    /// The terms of an offer.
    #[must_use]
    pub fn new(offer: &Offer, realm: Option<&RuleName>) -> Self {
        Self {
            rule: offer.rule.clone(),
            realm: realm.cloned(),
            given: offer.terms,
            alone: offer.alone,
            until: offer.until,
            proof: offer.proof.clone().map(Arc::new),
        }
    }

    /// The terms of what is only observed: that one connection, or all of the subject's, may go on
    /// for as long as they live.
    #[must_use]
    pub fn observed(rule: RuleName, alone: bool) -> Self {
        Self {
            rule,
            realm: None,
            given: policy::Terms {
                scope: policy::Scope::Socket,
                ttl: OBSERVED,
                on_expiry: OnExpiry::Keep,
                warn: None,
            },
            alone,
            until: None,
            proof: None,
        }
    }

    /// True if these give no less than `earlier` do, in the same way: a grant under `earlier` may
    /// go on.
    #[must_use]
    pub fn uphold(&self, earlier: &Self, expires: BootTime) -> bool {
        let same = (&self.rule, &self.realm, self.given, self.alone)
            == (&earlier.rule, &earlier.realm, earlier.given, earlier.alone);
        // Whoever earned it may not have proven what is asked for now.
        let same = same && self.proof == earlier.proof;
        same && self.until.is_none_or(|until| expires <= until)
    }

    /// When a grant ends that is earned at this time.
    #[must_use]
    pub fn expires(&self, earned: BootTime) -> BootTime {
        let expires = earned.after(self.given.ttl);
        self.until.map_or(expires, |until| expires.min(until))
    }

    /// True if connections outlive the grant.
    #[must_use]
    pub fn keeps(&self) -> bool {
        self.given.on_expiry == OnExpiry::Keep
    }
}

/// What is granted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// How far.
    pub scope: Scope,
}

impl Target {
    /// The key in the kernel of a grant of this to a user.
    #[must_use]
    pub fn key(&self, subject: Uid) -> GrantKey {
        let (scope, id) = match self.scope {
            Scope::User => (scope::USER, u64::from(subject.0)),
            Scope::Socket(cookie) => (scope::SOCKET, cookie.0),
        };
        GrantKey {
            id,
            scope,
            endpoint: self.endpoint.0,
        }
    }
}

/// A grant.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Grant {
    id: GrantId,
    subject: Uid,
    target: Target,
    terms: Terms,
    basis: Basis,
    expires: BootTime,
}

impl Grant {
    /// The grants that one verified factor earns. It is used up by them.
    pub fn from_verified(
        verified: Verified,
        targets: impl IntoIterator<Item = (GrantId, Target, Arc<Terms>)>,
    ) -> Vec<Self> {
        let basis = Basis::Factor {
            factor: verified.factor().clone(),
            elevation: verified.elevation(),
        };
        let expires = |terms: &Terms| {
            let expires = terms.expires(verified.proven().boot);
            verified.until().map_or(expires, |until| expires.min(until))
        };
        targets
            .into_iter()
            .map(|(id, target, terms)| Self {
                id,
                subject: verified.uid(),
                target,
                expires: expires(&terms),
                terms: Arc::unwrap_or_clone(terms),
                basis: basis.clone(),
            })
            .collect()
    }

    /// The grant of an elevation that still counts. It ends when the elevation does.
    pub fn from_elevation(
        permit: &ElevationPermit,
        id: GrantId,
        subject: Uid,
        terms: Terms,
        target: Target,
    ) -> Self {
        let basis = Basis::Factor {
            factor: permit.factor().clone(),
            elevation: permit.id(),
        };
        Self {
            id,
            subject,
            target,
            terms,
            basis,
            expires: permit.expires(),
        }
    }

    /// The grant of a rule that says `allow`.
    pub fn from_rule(
        _permit: &AllowPermit,
        id: GrantId,
        subject: Uid,
        terms: Terms,
        target: Target,
        now: Now,
    ) -> Self {
        let expires = terms.expires(now.boot);
        Self {
            id,
            subject,
            target,
            terms,
            basis: Basis::Rule,
            expires,
        }
    }

    /// The grant of a connection that the policy only observes.
    pub fn from_observation(
        permit: &ObservePermit,
        id: GrantId,
        terms: Terms,
        target: Target,
        now: Now,
    ) -> Self {
        let expires = terms.expires(now.boot);
        Self {
            id,
            subject: permit.question().subject,
            target,
            terms,
            basis: Basis::Rule,
            expires,
        }
    }

    /// A grant that an earlier daemon left in the kernel, under a rule of today's policy. It
    /// never lasts longer than it would have. `None` for an entry that is no grant of a user.
    pub fn adopt(key: &GrantKey, value: &GrantValue, subject: Uid, terms: Terms) -> Option<Self> {
        let scope = match key.scope {
            scope::USER => Scope::User,
            scope::SOCKET => Scope::Socket(SocketCookie(key.id)),
            _ => return None,
        };
        let target = Target {
            endpoint: EndpointId(key.endpoint),
            scope,
        };
        let expires = BootTime(value.expires_ns);
        let id = GrantId(value.grant);
        Some(Self {
            id,
            subject,
            target,
            terms,
            basis: Basis::Adopted,
            expires,
        })
    }

    /// The same grant under the terms of a changed rule: it may only end sooner.
    pub fn under(self, terms: Terms, latest: BootTime) -> Self {
        Self {
            terms,
            expires: self.expires.min(latest),
            ..self
        }
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> GrantId {
        self.id
    }

    /// Whose it is.
    #[must_use]
    pub fn subject(&self) -> Uid {
        self.subject
    }

    /// What it grants.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Under which rule.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// What earned it.
    #[must_use]
    pub fn basis(&self) -> &Basis {
        &self.basis
    }

    /// When it ends.
    #[must_use]
    pub fn expires(&self) -> BootTime {
        self.expires
    }

    /// Its key in the kernel.
    #[must_use]
    pub fn key(&self) -> GrantKey {
        self.target.key(self.subject)
    }

    /// Its value in the kernel.
    #[must_use]
    pub fn value(&self) -> GrantValue {
        let expires_ns = self.expires.0;
        let cut_ns = if self.terms.keeps() {
            u64::MAX
        } else {
            expires_ns
        };
        GrantValue {
            expires_ns,
            cut_ns,
            grant: self.id.0,
        }
    }
}
