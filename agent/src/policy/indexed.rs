// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The endpoints and the rules of a policy, with what finds one without looking through all.
//!
//! Nothing but this module can change which endpoint or rule stands where, so that an index is
//! never older than its list.

use std::collections::HashMap;
use std::ops::Deref;
use std::slice::Iter;

use ipnet::IpNet;

use super::{Endpoint, EndpointSelector, Rule};
use crate::ids::EndpointId;

/// Endpoints in their order: a slice that knows where each id is.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    list: Vec<Endpoint>,
    at: HashMap<EndpointId, usize>,
}

impl Endpoints {
    /// The endpoint with this id, the first if there are several.
    pub(super) fn with(&self, id: EndpointId) -> Option<&Endpoint> {
        self.at.get(&id).map(|at| &self.list[*at])
    }

    /// Sets what is known of an endpoint's names, and returns what was.
    pub(super) fn resolve(&mut self, at: usize, resolved: Vec<IpNet>) -> Vec<IpNet> {
        std::mem::replace(&mut self.list[at].resolved, resolved)
    }

    /// Adds networks to each endpoint.
    pub(super) fn add_hosts(&mut self, added: impl Fn(&Endpoint) -> Vec<IpNet>) {
        for endpoint in &mut self.list {
            let added = added(endpoint);
            endpoint.hosts.extend(added);
        }
    }
}

impl From<Vec<Endpoint>> for Endpoints {
    fn from(list: Vec<Endpoint>) -> Self {
        let mut at = HashMap::with_capacity(list.len());
        for (position, endpoint) in list.iter().enumerate() {
            at.entry(endpoint.id).or_insert(position);
        }
        Self { list, at }
    }
}

/// Rules in their order: a slice that knows which of them speak of an endpoint.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    list: Vec<Rule>,
    /// Positions of those that name the endpoint.
    naming: HashMap<EndpointId, Vec<usize>>,
    /// Positions of those that speak of all endpoints.
    of_all: Vec<usize>,
}

impl Rules {
    /// The rules that speak of an endpoint, in their order.
    pub(super) fn of(&self, endpoint: EndpointId) -> impl Iterator<Item = &Rule> {
        let naming = self.naming.get(&endpoint).map_or(&[][..], Vec::as_slice);
        merged(naming, &self.of_all).map(|at| &self.list[at])
    }
}

/// Two rising lists without a common number, as one rising list.
fn merged<'a>(mut one: &'a [usize], mut other: &'a [usize]) -> impl Iterator<Item = usize> + 'a {
    std::iter::from_fn(move || {
        let from_one = match (one.first(), other.first()) {
            (Some(first), Some(second)) => first < second,
            (Some(_), None) => true,
            (None, _) => false,
        };
        let list = if from_one { &mut one } else { &mut other };
        let (next, rest) = list.split_first()?;
        *list = rest;
        Some(*next)
    })
}

impl From<Vec<Rule>> for Rules {
    fn from(list: Vec<Rule>) -> Self {
        let mut naming: HashMap<EndpointId, Vec<usize>> = HashMap::new();
        let mut of_all = Vec::new();
        for (position, rule) in list.iter().enumerate() {
            match &rule.endpoints {
                EndpointSelector::All => of_all.push(position),
                EndpointSelector::These(ids) => {
                    for id in ids {
                        let known = naming.entry(*id).or_default();
                        // A rule may name an endpoint twice.
                        if known.last() != Some(&position) {
                            known.push(position);
                        }
                    }
                }
            }
        }
        Self {
            list,
            naming,
            of_all,
        }
    }
}

macro_rules! slice {
    ($list:ident of $item:ident) => {
        impl Deref for $list {
            type Target = [$item];

            fn deref(&self) -> &[$item] {
                &self.list
            }
        }

        impl<'a> IntoIterator for &'a $list {
            type Item = &'a $item;
            type IntoIter = Iter<'a, $item>;

            fn into_iter(self) -> Self::IntoIter {
                self.list.iter()
            }
        }

        impl PartialEq for $list {
            fn eq(&self, other: &Self) -> bool {
                self.list == other.list
            }
        }

        impl Eq for $list {}

        /// For tests that change anything but what the index is made of.
        #[cfg(test)]
        impl std::ops::DerefMut for $list {
            fn deref_mut(&mut self) -> &mut [$item] {
                &mut self.list
            }
        }
    };
}

slice!(Endpoints of Endpoint);
slice!(Rules of Rule);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::{Action, RuleName, UserSelector};

    fn rule(number: usize, endpoints: EndpointSelector) -> Rule {
        Rule {
            name: RuleName::new(&number.to_string()).unwrap(),
            role: None,
            endpoints,
            users: vec![UserSelector::Everyone],
            except: Vec::new(),
            programs: Vec::new(),
            when: Vec::new(),
            action: Action::Deny,
        }
    }

    proptest! {
        #[test]
        fn the_index_finds_what_looking_through_all_rules_finds(
            named in prop::collection::vec(prop::option::of(prop::collection::vec(0_u32..5, 1..4)), 0..20)
        ) {
            let selectors = named.into_iter().map(|ids| ids.map_or(
                EndpointSelector::All,
                |ids| EndpointSelector::These(ids.into_iter().map(EndpointId).collect()),
            ));
            let list: Vec<_> = selectors.enumerate().map(|(at, one)| rule(at, one)).collect();
            let rules = Rules::from(list.clone());
            for id in (0..6).map(EndpointId) {
                let plainly: Vec<_> = list.iter().filter(|rule| rule.endpoints.contains(id)).collect();
                prop_assert_eq!(rules.of(id).collect::<Vec<_>>(), plainly);
            }
        }
    }
}
