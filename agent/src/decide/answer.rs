// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is asked, and what the answer can be.

use std::fmt;

use super::{ElevationFact, First, Rule, Terms};
use crate::clock::BootTime;
use crate::ids::{ElevationId, EndpointId, Uid};
use crate::policy::{Endpoint, Existing, Factor, RuleName};

/// May this subject reach this endpoint?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Who is asked: the attempt's subject.
    pub subject: Uid,
    /// What for.
    pub endpoint: EndpointId,
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
    rule: RuleName,
    question: Question,
    terms: Terms,
}

impl AllowPermit {
    pub(super) fn new(rule: &Rule, question: Question, terms: Terms) -> Self {
        Self {
            rule: rule.name.clone(),
            question,
            terms,
        }
    }

    /// The rule that allows.
    #[must_use]
    pub fn rule(&self) -> &RuleName {
        &self.rule
    }

    /// Whom it lets through, and where to.
    #[must_use]
    pub fn question(&self) -> Question {
        self.question
    }

    /// What it gives; its time runs from the decision.
    #[must_use]
    pub fn terms(&self) -> Terms {
        self.terms
    }
}

/// Proof that a subject has a fresh elevation that satisfies a step-up rule of scope "user".
/// It can't be copied: one permit, one grant.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct ElevationPermit {
    id: ElevationId,
    factor: Factor,
    rule: RuleName,
    question: Question,
    terms: Terms,
    expires: BootTime,
}

impl ElevationPermit {
    pub(super) fn new(
        rule: &Rule,
        question: Question,
        terms: Terms,
        fact: ElevationFact<'_>,
    ) -> Self {
        Self {
            id: fact.id,
            factor: fact.factor,
            rule: rule.name.clone(),
            question,
            terms,
            expires: fact.proven.after(terms.ttl),
        }
    }

    /// The elevation.
    #[must_use]
    pub fn id(&self) -> ElevationId {
        self.id
    }

    /// The factor that was verified.
    #[must_use]
    pub fn factor(&self) -> Factor {
        self.factor
    }

    /// The rule that it satisfies.
    #[must_use]
    pub fn rule(&self) -> &RuleName {
        &self.rule
    }

    /// Whom it lets through, and where to.
    #[must_use]
    pub fn question(&self) -> Question {
        self.question
    }

    /// What it gives. Its time runs from the proof: see [`Self::expires`].
    #[must_use]
    pub fn terms(&self) -> Terms {
        self.terms
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
    rule: RuleName,
    question: Question,
    terms: Terms,
    first: First,
    factors: Vec<Factor>,
}

impl ChallengeOrder {
    pub(super) fn new(
        rule: &Rule,
        question: Question,
        terms: Terms,
        first: First,
        factors: &[Factor],
    ) -> Self {
        Self {
            rule: rule.name.clone(),
            question,
            terms,
            first,
            factors: factors.to_vec(),
        }
    }

    /// The rule that asks. Its name is the realm of the elevation.
    #[must_use]
    pub fn rule(&self) -> &RuleName {
        &self.rule
    }

    /// Who is asked, and what for.
    #[must_use]
    pub fn question(&self) -> Question {
        self.question
    }

    /// What the answer gives; its time runs from the proof.
    #[must_use]
    pub fn terms(&self) -> Terms {
        self.terms
    }

    /// What happens to the connection until then.
    #[must_use]
    pub fn first(&self) -> First {
        self.first
    }

    /// Any one of these is proof; never empty.
    #[must_use]
    pub fn factors(&self) -> &[Factor] {
        &self.factors
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
            DenialReason::NamesFailed => "denied, for the name services failed",
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
    /// Whether a rule matches can't be told: the name services failed.
    NamesFailed,
    /// The kernel could not say whose session the attempt came from.
    UnknownSubject,
    /// The policy that protected it has been replaced since.
    UnknownEndpoint,
}
