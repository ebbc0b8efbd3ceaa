// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which endpoints an address can belong to.
//!
//! The kernel looks an address up once, by its longest protected prefix. So each prefix must
//! carry the endpoints of all shorter ones around it, too.

use std::collections::BTreeMap;

use ipnet::IpNet;
use stile_common::MAX_CLASS_PORTS;

use super::Endpoint;

/// All protected prefixes of a policy.
pub(super) struct Coverage<'p> {
    endpoints: &'p [Endpoint],
    /// Positions of the endpoints that name the prefix.
    by_prefix: BTreeMap<IpNet, Vec<usize>>,
}

/// A prefix for which the kernel would need more port ranges than it can look through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TooManyRanges {
    pub(super) prefix: IpNet,
    pub(super) ranges: usize,
    /// Positions of the endpoints that share the prefix.
    pub(super) sharing: Vec<usize>,
}

impl<'p> Coverage<'p> {
    pub(super) fn new(endpoints: &'p [Endpoint]) -> Self {
        let mut by_prefix: BTreeMap<IpNet, Vec<usize>> = BTreeMap::new();
        for (position, endpoint) in endpoints.iter().enumerate() {
            for host in &endpoint.hosts {
                by_prefix.entry(host.trunc()).or_default().push(position);
            }
        }
        Self {
            endpoints,
            by_prefix,
        }
    }

    /// Each prefix once.
    pub(super) fn prefixes(&self) -> impl Iterator<Item = IpNet> {
        self.by_prefix.keys().copied()
    }

    /// Positions of the endpoints that have an address of this prefix, and so all of them;
    /// in the policy's order, each once.
    pub(super) fn sharing(&self, prefix: IpNet) -> Vec<usize> {
        let around = std::iter::successors(Some(prefix), IpNet::supernet);
        let mut positions: Vec<_> = around
            .filter_map(|net| self.by_prefix.get(&net))
            .flatten()
            .copied()
            .collect();
        positions.sort_unstable();
        positions.dedup();
        positions
    }

    /// The prefixes whose endpoints have more ranges than fit, one for each set of endpoints.
    pub(super) fn overfull(&self) -> Vec<TooManyRanges> {
        let mut found: BTreeMap<Vec<usize>, TooManyRanges> = BTreeMap::new();
        for prefix in self.prefixes() {
            let sharing = self.sharing(prefix);
            let ranges = sharing
                .iter()
                .map(|at| self.endpoints[*at].ports.len())
                .sum();
            if ranges > MAX_CLASS_PORTS {
                found.entry(sharing.clone()).or_insert(TooManyRanges {
                    prefix,
                    ranges,
                    sharing,
                });
            }
        }
        found.into_values().collect()
    }
}
