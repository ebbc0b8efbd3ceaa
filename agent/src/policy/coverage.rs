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
    /// Each prefix with the position of an endpoint that names it, in an order in which a
    /// network comes before those inside it.
    named: Vec<(IpNet, usize)>,
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
        let mut named: Vec<_> = endpoints
            .iter()
            .enumerate()
            .flat_map(|(at, endpoint)| endpoint.networks().map(move |host| (host.trunc(), at)))
            .collect();
        named.sort_unstable_by_key(|(net, at)| (place(net), *at));
        named.dedup();
        Self { endpoints, named }
    }

    /// Shows each prefix once, with the positions of the endpoints that have an address of it,
    /// and so all of them; in the policy's order, each once.
    pub(super) fn each(&self, mut see: impl FnMut(IpNet, &[usize])) {
        // The networks around the present one, from the widest on, with their endpoints.
        let mut around: Vec<(IpNet, Vec<usize>)> = Vec::new();
        for same in self.named.chunk_by(|(one, _), (other, _)| one == other) {
            let [(net, _), ..] = same else { continue };
            while around.pop_if(|(outer, _)| !outer.contains(net)).is_some() {}
            let mut sharing: Vec<usize> = same.iter().map(|(_, at)| *at).collect();
            if let Some((_, outer)) = around.last() {
                sharing.extend(outer);
                sharing.sort_unstable();
                sharing.dedup();
            }
            see(*net, &sharing);
            if net.prefix_len() < net.max_prefix_len() {
                around.push((*net, sharing));
            }
        }
    }

    /// The prefixes whose endpoints have more ranges than fit, one for each set of endpoints.
    pub(super) fn overfull(&self) -> Vec<TooManyRanges> {
        let mut found: BTreeMap<Vec<usize>, TooManyRanges> = BTreeMap::new();
        self.each(|prefix, sharing| {
            let ports = sharing.iter().map(|at| self.endpoints[*at].ports.len());
            let ranges = ports.sum();
            if ranges > MAX_CLASS_PORTS && !found.contains_key(sharing) {
                let too_many = TooManyRanges {
                    prefix,
                    ranges,
                    sharing: sharing.to_vec(),
                };
                found.insert(sharing.to_vec(), too_many);
            }
        });
        found.into_values().collect()
    }
}

/// Sorts a network before those inside it, and the families apart.
fn place(net: &IpNet) -> (bool, u128, u8) {
    match net {
        IpNet::V4(net) => (false, net.network().to_bits().into(), net.prefix_len()),
        IpNet::V6(net) => (true, net.network().to_bits(), net.prefix_len()),
    }
}
