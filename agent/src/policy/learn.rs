// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Gives the names of a policy the addresses that were learned of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::{IpNet, Ipv6Net};

use super::coverage::Coverage;
use super::nat64::{behind, seen_through};
use super::{Endpoint, EndpointName, HostName, Policy};

/// The addresses of host names, as far as they are known.
pub type Learned = BTreeMap<HostName, BTreeSet<IpAddr>>;

/// Addresses that an endpoint can't take: with them, its ports and those of other endpoints with
/// the same addresses are more ranges than the kernel program looks through. What the endpoint
/// had before stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{endpoint}: new addresses of its names are NOT protected, they share too many port ranges \
     with other endpoints: join ranges, or give the endpoints other hosts"
)]
pub struct NotTaken {
    /// Which one.
    pub endpoint: EndpointName,
}

impl Policy {
    /// The names whose addresses are to be looked up.
    #[must_use]
    pub fn host_names(&self) -> BTreeSet<HostName> {
        let names = self.endpoints.iter().flat_map(|endpoint| &endpoint.names);
        names.cloned().collect()
    }

    /// Fills in what is known of the policy's names, in place of what was known before. To be
    /// followed by [`super::compile()`], which then doesn't fail for what was learned. `nat64`
    /// are the prefixes that [`Policy::add_nat64`] was given.
    ///
    /// Returns the endpoints that can't take their new addresses.
    pub fn learn(&mut self, learned: &Learned, nat64: &[Ipv6Net]) -> Vec<NotTaken> {
        let written = nat64.iter().filter(|prefix| !self.nat64.contains(prefix));
        let written: Vec<_> = written.copied().collect();
        let found = |endpoint: &Endpoint| self.found(&endpoint.names, learned, &written);
        let known: Vec<_> = self.endpoints.iter().map(found).collect();
        let before = self.take_all(known.clone());
        if self.fits() {
            return Vec::new();
        }
        // Rare, so it may take its time: one endpoint after the other, each as far as it fits.
        self.take_all(before);
        let mut refused = Vec::new();
        for (at, resolved) in known.into_iter().enumerate() {
            let before = self.endpoints.resolve(at, resolved);
            if !self.fits() {
                self.endpoints.resolve(at, before);
                let endpoint = self.endpoints[at].name.clone();
                refused.push(NotTaken { endpoint });
            }
        }
        refused
    }

    /// The networks of these names, each once. An address behind a NAT64 prefix that the gate
    /// sees through is the IPv4 address that it looks up; behind the others, which are written
    /// out, an IPv4 address has one of its own.
    fn found(&self, names: &[HostName], learned: &Learned, written: &[Ipv6Net]) -> Vec<IpNet> {
        let addresses = names.iter().filter_map(|name| learned.get(name)).flatten();
        let mut found = BTreeSet::new();
        for address in addresses {
            let net = IpNet::from(seen_through(&self.nat64, *address));
            found.insert(net);
            if let IpNet::V4(v4) = net {
                let nets = written.iter().filter_map(|prefix| behind(prefix, v4));
                found.extend(nets.map(IpNet::V6));
            }
        }
        found.into_iter().collect()
    }

    /// Sets what is known of each endpoint, and returns what was.
    fn take_all(&mut self, known: Vec<Vec<IpNet>>) -> Vec<Vec<IpNet>> {
        let known = known.into_iter().enumerate();
        known
            .map(|(at, resolved)| self.endpoints.resolve(at, resolved))
            .collect()
    }

    fn fits(&self) -> bool {
        Coverage::new(&self.endpoints).overfull().is_empty()
    }
}

#[cfg(test)]
mod tests;
