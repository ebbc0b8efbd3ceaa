// SPDX-License-Identifier: Apache-2.0 OR MIT
//! In which realms a user may have to prove who they are, whatever they run and whenever.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::matching::Matcher;
use super::{Action, EndpointSelector, Names, Policy, Proof, RuleName, Scope};
use crate::ids::Uid;

/// What the rules of one realm ask of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Realm {
    /// The endpoints that they speak of.
    pub endpoints: BTreeSet<String>,
    /// How far one proof reaches, of each of them.
    pub scopes: Vec<Scope>,
    /// The longest time that one proof counts.
    pub ttl: Duration,
    /// What they ask for.
    pub proofs: Vec<Proof>,
}

/// The realms of the rules that speak of a user and ask for proof. A rule of which that can't be
/// told is left out: its users are asked when they connect.
#[must_use]
pub fn realms_of(policy: &Policy, names: &dyn Names, user: Uid) -> BTreeMap<String, Realm> {
    let matcher = Matcher::new(names);
    let mut realms: BTreeMap<String, Realm> = BTreeMap::new();
    for rule in &policy.rules {
        let Action::StepUp {
            terms,
            realm,
            proof,
            ..
        } = &rule.action
        else {
            continue;
        };
        if matcher.speaks_of(rule, user) != Ok(true) {
            continue;
        }
        let found = realms.entry(realm_key(realm)).or_default();
        let spoken_of = policy
            .endpoints
            .iter()
            .filter(|endpoint| match &rule.endpoints {
                EndpointSelector::All => true,
                EndpointSelector::These(ids) => ids.contains(&endpoint.id),
            });
        found
            .endpoints
            .extend(spoken_of.map(|endpoint| endpoint.name.to_string()));
        if !found.scopes.contains(&terms.scope) {
            found.scopes.push(terms.scope);
        }
        found.ttl = found.ttl.max(terms.ttl);
        if !found.proofs.contains(proof) {
            found.proofs.push(proof.clone());
        }
    }
    realms
}

fn realm_key(realm: &RuleName) -> String {
    realm.as_str().to_owned()
}
