// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is asked, and what the answer can be.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ElevationFact, First, Rule, Terms};
use crate::classify::ProcessId;
use crate::clock::BootTime;
use crate::ids::{ElevationId, EndpointId, Uid};
use crate::policy::{Endpoint, Existing, Factor, Proof, RuleName, Scope};

/// May this subject reach this endpoint?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Who is asked: the attempt's subject.
    pub subject: Uid,
    /// What for.
    pub endpoint: EndpointId,
}

/// For which connections of a user a proof counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// For all of them.
    #[default]
    User,
    /// For those of the unit that has this cgroup.
    Unit(PathBuf),
    /// For those of this process.
    Process(ProcessId),
    /// For the one that it was given for.
    Socket,
    /// For those to the endpoint of this name, in an emergency: past the rules.
    Emergency(String),
}

impl Bound {
    /// The scope that it comes from, as policies name it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Unit(_) => "unit",
            Self::Process(_) => "process",
            Self::Socket => "socket",
            Self::Emergency(_) => "emergency",
        }
    }
}

/// What of the user's connects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// The process, if it can be told.
    pub process: Option<ProcessId>,
    /// The cgroup of its unit, if it can be told.
    pub unit: Option<PathBuf>,
}

impl Holder {
    /// For what a proof of this scope counts. What can't be told for sure can't be shared: then
    /// it counts for the one connection.
    pub(super) fn bound(&self, scope: Scope) -> Bound {
        let bound = match scope {
            Scope::User => Some(Bound::User),
            Scope::Unit => self.unit.clone().map(Bound::Unit),
            Scope::Process => self.process.map(Bound::Process),
            Scope::Socket => None,
        };
        bound.unwrap_or(Bound::Socket)
    }
}

/// What is given, and for how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The rule.
    pub rule: RuleName,
    /// What it gives.
    pub terms: Terms,
    /// True if a grant can only be for one connection: another one may be judged differently.
    pub alone: bool,
    /// When it ends at the latest, whatever the terms say: then another rule may count.
    pub until: Option<BootTime>,
    /// What it asks for; none if it asks for nothing.
    pub proof: Option<Proof>,
}

impl Offer {
    /// When a grant ends that is earned at this time.
    #[must_use]
    pub fn expires(&self, earned: BootTime) -> BootTime {
        let expires = earned.after(self.terms.ttl);
        self.until.map_or(expires, |until| expires.min(until))
    }
}

/// The answer. Each names its rule.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a decision that nobody carries out leaves a connection waiting"]
pub enum Decision {
    /// A rule lets the subject through as it is.
    Allow(AllowPermit),
    /// A rule lets the subject through, for it has proven who it is.
    Elevated(ElevationPermit),
    /// A rule lets the subject through if it proves who it is.
    Challenge(ChallengeOrder),
    /// Nobody gets through.
    Deny(Denial),
    /// The policy lets everybody through, and only wants to know what would have happened.
    Observe(ObservePermit),
}

/// Proof that the policy lets connections to an endpoint be that are older than their
/// protection.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct KeepPermit {
    endpoint: EndpointId,
}

impl KeepPermit {
    pub(super) fn new(endpoint: &Endpoint) -> Option<Self> {
        let keeps = endpoint.existing == Existing::Keep;
        keeps.then_some(Self {
            endpoint: endpoint.id,
        })
    }

    /// The endpoint.
    #[must_use]
    pub fn endpoint(&self) -> EndpointId {
        self.endpoint
    }
}

/// Proof that an allow rule lets a subject through. It can't be copied: one permit, one
/// grant.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct AllowPermit {
    question: Question,
    offer: Offer,
}

impl AllowPermit {
    pub(super) fn new(question: Question, offer: Offer) -> Self {
        Self { question, offer }
    }

    /// Whom it lets through, and where to.
    #[must_use]
    pub fn question(&self) -> Question {
        self.question
    }

    /// What the rule gives; its time runs from the decision.
    #[must_use]
    pub fn offer(&self) -> &Offer {
        &self.offer
    }
}

/// Proof that a subject has a fresh elevation that satisfies a step-up rule. It can't be
/// copied: one permit, one grant.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct ElevationPermit {
    id: ElevationId,
    factor: Factor,
    question: Question,
    offer: Offer,
    realm: RuleName,
    expires: BootTime,
    emergency: bool,
}

impl ElevationPermit {
    pub(super) fn new(
        question: Question,
        offer: Offer,
        realm: RuleName,
        (fact, expires): (&ElevationFact<'_>, BootTime),
    ) -> Self {
        Self {
            id: fact.id,
            factor: fact.factor.clone(),
            question,
            expires,
            offer,
            realm,
            emergency: false,
        }
    }

    /// The same, of an emergency.
    pub(super) fn in_emergency(mut self) -> Self {
        self.emergency = true;
        self
    }

    /// True if it lets through past the rules.
    #[must_use]
    pub fn is_emergency(&self) -> bool {
        self.emergency
    }

    /// The elevation.
    #[must_use]
    pub fn id(&self) -> ElevationId {
        self.id
    }

    /// The factor that was verified.
    #[must_use]
    pub fn factor(&self) -> &Factor {
        &self.factor
    }

    /// Whom it lets through, and where to.
    #[must_use]
    pub fn question(&self) -> Question {
        self.question
    }

    /// What the rule gives. Its time runs from the proof: see [`Self::expires`].
    #[must_use]
    pub fn offer(&self) -> &Offer {
        &self.offer
    }

    /// The realm of the elevation.
    #[must_use]
    pub fn realm(&self) -> &RuleName {
        &self.realm
    }

    /// When it is over: the rule's time after the proof, whenever it was used.
    #[must_use]
    pub fn expires(&self) -> BootTime {
        self.expires
    }
}

/// What to ask the subject for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a challenge that nobody poses leaves a connection waiting"]
pub struct ChallengeOrder {
    pub(super) question: Question,
    pub(super) offer: Offer,
    pub(super) first: First,
    pub(super) proof: Proof,
    pub(super) realm: RuleName,
    pub(super) bound: Bound,
}

impl ChallengeOrder {
    /// Who is asked, and what for.
    #[must_use]
    pub fn question(&self) -> Question {
        self.question
    }

    /// What the answer gives; its time runs from the proof.
    #[must_use]
    pub fn offer(&self) -> &Offer {
        &self.offer
    }

    /// What happens to the connection until then.
    #[must_use]
    pub fn first(&self) -> First {
        self.first
    }

    /// What is proof.
    #[must_use]
    pub fn proof(&self) -> &Proof {
        &self.proof
    }

    /// The realm in which the proof will count.
    #[must_use]
    pub fn realm(&self) -> &RuleName {
        &self.realm
    }

    /// For which connections it will.
    #[must_use]
    pub fn bound(&self) -> &Bound {
        &self.bound
    }
}

/// Proof that the policy lets a subject through only to see what would have happened. It can't
/// be copied: one permit, one grant.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct ObservePermit {
    question: Question,
    rule: Option<RuleName>,
    instead: Box<Decision>,
}

impl ObservePermit {
    pub(super) fn new(question: Question, rule: Option<&Rule>, instead: Decision) -> Self {
        Self {
            question,
            rule: rule.map(|rule| rule.name.clone()),
            instead: Box::new(instead),
        }
    }

    /// Whom it lets through, and where to.
    #[must_use]
    pub fn question(&self) -> Question {
        self.question
    }

    /// The rule that observes; none if the whole policy does.
    #[must_use]
    pub fn rule(&self) -> Option<&RuleName> {
        self.rule.as_ref()
    }

    /// What would have happened. Whatever it permits is not to be carried out.
    pub fn instead(&self) -> &Decision {
        &self.instead
    }
}

/// Why nobody gets through.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Denial {
    rule: Option<RuleName>,
    reason: DenialReason,
}

impl Denial {
    pub(super) fn new(rule: Option<&Rule>, reason: DenialReason) -> Self {
        Self {
            rule: rule.map(|rule| rule.name.clone()),
            reason,
        }
    }

    /// The rule that denies, or that could not be judged.
    #[must_use]
    pub fn rule(&self) -> Option<&RuleName> {
        self.rule.as_ref()
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> DenialReason {
        self.reason
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let because = match self.reason {
            DenialReason::ByRule => "denied",
            DenialReason::NoRule => "no rule lets this user through",
            DenialReason::Unsure => "denied, for what the rule asks can't be told",
            DenialReason::ByRisk => "denied, for too much is unusual",
            DenialReason::Unprovable => {
                "denied, for this host has no factor that the rule asks for (stile.toml)"
            }
            DenialReason::UnknownSubject => "denied, for the user is not known yet",
            DenialReason::UnknownEndpoint => "denied, for the endpoint is no longer in the policy",
        };
        match &self.rule {
            Some(rule) => write!(f, "{because} (rule {:?})", rule.as_str()),
            None => f.write_str(because),
        }
    }
}

/// Kinds of denials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DenialReason {
    /// A deny rule matches.
    ByRule,
    /// No rule matches.
    NoRule,
    /// Whether a rule matches can't be told: the name services failed, or facts can't be had.
    Unsure,
    /// A rule would let through, but too much is unusual.
    ByRisk,
    /// A rule would let through whoever gives a proof that nobody can give on this host.
    Unprovable,
    /// The kernel could not say whose session the attempt came from.
    UnknownSubject,
    /// The policy that protected it has been replaced since.
    UnknownEndpoint,
}
