// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Emergencies: what lets through past the rules, for as long as one lasts.

use super::{Asked, Bound, ElevationFact, ElevationPermit, Offer, Question};
use crate::clock::BootTime;
use crate::policy::{BreakGlass, Names, OnExpiry, Policy, RuleName, Scope, Terms};

/// What an emergency gives: all of the user's connections to the endpoint.
#[must_use]
pub fn emergency_offer(entry: &BreakGlass) -> Offer {
    Offer {
        rule: RuleName::break_glass(),
        terms: Terms {
            scope: Scope::User,
            ttl: entry.ttl,
            on_expiry: OnExpiry::Close,
            warn: None,
        },
        alone: false,
        until: None,
        proof: Some(entry.proof.clone()),
    }
}

/// The permit of an emergency that the subject has there, if today's policy lets them have it.
pub(super) fn permitted(
    policy: &Policy,
    names: &dyn Names,
    question: Question,
    elevations: &[ElevationFact<'_>],
    now: BootTime,
) -> Option<ElevationPermit> {
    let endpoint = policy.endpoint(question.endpoint)?;
    let is_for =
        |bound: &Bound| matches!(bound, Bound::Emergency(name) if *name == endpoint.name.as_str());
    let fact = elevations.iter().find(|fact| is_for(fact.bound))?;
    let entry = policy.break_glass_for(question.endpoint, question.subject, names)?;
    let offer = emergency_offer(entry);
    let realm = RuleName::break_glass();
    let asked = Asked {
        proof: &entry.proof,
        offer: &offer,
        realm: realm.as_str(),
        bound: fact.bound,
    };
    let (fact, expires) = asked.met_by(elevations.iter().copied(), &policy.levels, now)?;
    let permit = ElevationPermit::new(question, offer, realm, (&fact, expires));
    Some(permit.in_emergency())
}
