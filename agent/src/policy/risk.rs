// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How much is unusual about a connection, and what comes of it.

use std::time::Duration;

use super::proof::Proof;
use super::rule::{Action, EndpointSelector, RuleName};
use super::{Condition, DEFAULT_REALM_TTL, Terms};

/// Most points that a connection can have.
pub const MAX_POINTS: u32 = 1000;

/// Something that is unusual: it adds points where its conditions hold, or can't be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Risk {
    /// What it is called in prompts and in the audit log; no other risk has it.
    pub name: RuleName,
    /// For connections to which endpoints.
    pub endpoints: EndpointSelector,
    /// How many points; 1 to [`MAX_POINTS`].
    pub points: u32,
    /// When; never empty. One of them is enough.
    pub when: Vec<Condition>,
}

/// What comes of so many points. Each threshold that is reached counts, so that more points are
/// never better. It only makes a rule stricter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// From how many points on; 1 to [`MAX_POINTS`].
    pub points: u32,
    /// What it does.
    pub response: Response,
}

/// What a threshold does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// Nobody gets through.
    Deny,
    /// Who gets through has to prove who they are.
    StepUp {
        /// How long the proof is good at most; as the rule says if none.
        ttl: Option<Duration>,
        /// What is asked for beside what the rule asks for.
        proof: Option<Proof>,
    },
}

impl Response {
    /// What becomes of an action. One that is stricter already stays.
    #[must_use]
    pub(super) fn applied(&self, action: Action, realm: &RuleName) -> Action {
        match (self, action) {
            (Self::Deny, _) | (_, Action::Deny) => Action::Deny,
            (Self::StepUp { ttl, proof }, Action::Allow { terms, first }) => Action::StepUp {
                terms: shorter(terms, Some(ttl.unwrap_or(DEFAULT_REALM_TTL))),
                first,
                proof: proof.clone().unwrap_or_default(),
                realm: realm.clone(),
            },
            (
                Self::StepUp { ttl, proof },
                Action::StepUp {
                    terms,
                    first,
                    proof: own,
                    realm,
                },
            ) => Action::StepUp {
                terms: shorter(terms, *ttl),
                first,
                // It never asks for less than the rule does.
                proof: match proof {
                    Some(more) => own.and(more.clone()),
                    None => own,
                },
                realm,
            },
            // What lets through regardless is decided before risk is.
            (Self::StepUp { .. }, Action::Observe) => Action::Observe,
        }
    }
}

fn shorter(mut terms: Terms, ttl: Option<Duration>) -> Terms {
    if let Some(ttl) = ttl {
        terms.ttl = terms.ttl.min(ttl);
        terms.warn = terms.warn.filter(|warn| *warn < terms.ttl);
    }
    terms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Asks;

    #[test]
    fn a_threshold_asks_for_its_proof_beside_that_of_the_rule_and_never_instead() {
        let own = Proof::any(vec!["pam:stile-finger".parse().unwrap()]);
        let action = |proof: Proof| Action::StepUp {
            terms: Terms {
                scope: crate::policy::Scope::User,
                ttl: Duration::from_secs(60),
                on_expiry: crate::policy::OnExpiry::Close,
                warn: None,
            },
            first: crate::policy::First::Reject,
            proof,
            realm: RuleName::new("r").unwrap(),
        };
        let realm = RuleName::new("r").unwrap();
        let response = |proof| Response::StepUp { ttl: None, proof };
        let applied = response(Some(Proof::default())).applied(action(own.clone()), &realm);
        let Action::StepUp { proof, .. } = applied else {
            panic!("still a step-up");
        };
        let Asks::Both(both) = &proof.asks else {
            panic!("{proof}");
        };
        assert_eq!(**both, (own.clone(), Proof::default()));
        assert_eq!(
            response(None).applied(action(own.clone()), &realm),
            action(own)
        );
    }
}
