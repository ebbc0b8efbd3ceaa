// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Turns a policy into the tables that the kernel program looks up.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use stile_common::{FirstKey, MAX_CLASS_PORTS, PortClass, PortRange, UID_ANY, first};

use super::coverage::{Coverage, TooManyRanges};
use super::facts::Unknown;
use super::matching::Matcher;
use super::names::{NameError, Names};
use super::{Action, DEFAULT_HOLD, Endpoint, First, Mode, Policy, Rule, Scope, UserSelector};
use crate::ids::{EndpointId, Uid};

/// The tables of one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelTables {
    /// Protected IPv4 prefixes, each with the index of its class.
    pub v4: Vec<(Ipv4Net, u32)>,
    /// Protected IPv6 prefixes, each with the index of its class.
    pub v6: Vec<(Ipv6Net, u32)>,
    /// NAT64 prefixes of 96 bits that the gate sees through, at most
    /// [`stile_common::MAX_NAT64`].
    pub nat64: Vec<Ipv6Net>,
    /// The classes.
    pub classes: Vec<PortClass>,
    /// What happens at a first attempt ([`stile_common::first`]): for each endpoint an entry
    /// for everybody, and one for each user for whom something else holds. It only saves
    /// time: the daemon decides anew, and only a refusal is final.
    pub first: Vec<(FirstKey, u32)>,
    /// True if everybody gets through, and only what would have happened is wanted.
    pub observes: bool,
    /// Longest time for which a connection may have to be held.
    pub max_hold: Duration,
    /// Names that could not be looked up. Where they matter, the daemon is asked instead of
    /// refusing in the kernel.
    pub problems: Vec<NameError>,
}

/// Why a policy can't be put into tables. [`super::load()`] refuses such a policy, so this is
/// for one that was made otherwise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// More port ranges than the kernel program looks through.
    #[error(
        "{prefix} has {ranges} port ranges, of the endpoints {endpoints}; at most \
         {MAX_CLASS_PORTS} fit: join ranges, or move the endpoints to addresses of their own"
    )]
    TooManyRanges {
        /// The prefix.
        prefix: IpNet,
        /// How many ranges it has.
        ranges: usize,
        /// The names of the endpoints that share it.
        endpoints: String,
    },
}

/// Makes the kernel's tables of a policy.
///
/// # Errors
/// If they can't hold it.
pub fn compile(policy: &Policy, names: &dyn Names) -> Result<KernelTables, CompileError> {
    let coverage = Coverage::new(&policy.endpoints);
    if let Some(overfull) = coverage.overfull().first() {
        return Err(too_many(&policy.endpoints, overfull));
    }
    let mut tables = KernelTables {
        v4: Vec::new(),
        v6: Vec::new(),
        nat64: policy.nat64.clone(),
        classes: Vec::new(),
        first: Vec::new(),
        observes: policy.mode == Mode::Observe,
        max_hold: max_hold(&policy.rules),
        problems: Vec::new(),
    };
    add_prefixes(&mut tables, policy, &coverage);
    add_first(&mut tables, policy, names);
    Ok(tables)
}

fn too_many(endpoints: &[Endpoint], overfull: &TooManyRanges) -> CompileError {
    let names: Vec<_> = overfull
        .sharing
        .iter()
        .map(|at| endpoints[*at].name.as_str())
        .collect();
    CompileError::TooManyRanges {
        prefix: overfull.prefix,
        ranges: overfull.ranges,
        endpoints: names.join(", "),
    }
}

fn max_hold(rules: &[Rule]) -> Duration {
    rules
        .iter()
        .filter_map(|rule| match rule.action.first()? {
            First::Hold { max_hold } => Some(max_hold),
            First::Reject => None,
        })
        .max()
        .unwrap_or(DEFAULT_HOLD)
}

fn add_prefixes(tables: &mut KernelTables, policy: &Policy, coverage: &Coverage<'_>) {
    // The endpoints that share a prefix make its class: the same ones, the same class.
    let mut known: HashMap<Vec<usize>, u32> = HashMap::new();
    coverage.each(|prefix, sharing| {
        let class = known.get(sharing).copied().unwrap_or_else(|| {
            tables.classes.push(class_of(&policy.endpoints, sharing));
            // Each class belongs to a prefix, and memory holds fewer than 2^32 of them.
            let class = u32::try_from(tables.classes.len() - 1).unwrap_or(u32::MAX);
            known.insert(sharing.to_vec(), class);
            class
        });
        match prefix {
            IpNet::V4(net) => tables.v4.push((net, class)),
            IpNet::V6(net) => tables.v6.push((net, class)),
        }
    });
}

/// The ranges of these endpoints in the policy's order. [`Coverage::overfull`] has made sure
/// that they fit.
fn class_of(endpoints: &[Endpoint], sharing: &[usize]) -> PortClass {
    let mut class = PortClass {
        len: 0,
        ranges: [PortRange::default(); MAX_CLASS_PORTS],
    };
    let ranges = sharing.iter().flat_map(|at| ranges_of(&endpoints[*at]));
    for (slot, range) in class.ranges.iter_mut().zip(ranges) {
        *slot = range;
        class.len += 1;
    }
    class
}

fn ranges_of(endpoint: &Endpoint) -> impl Iterator<Item = PortRange> {
    endpoint.ports.iter().map(|ports| PortRange {
        endpoint: endpoint.id.0,
        first: ports.first,
        last: ports.last,
        protocol: endpoint.protocol.number(),
        reserved: [0; 3],
    })
}

fn add_first(tables: &mut KernelTables, policy: &Policy, names: &dyn Names) {
    let matcher = Matcher::new(names);
    let mut problems = BTreeMap::new();
    for endpoint in &policy.endpoints {
        let mut add = |uid, mode| {
            let endpoint = endpoint.id.0;
            tables.first.push((FirstKey { endpoint, uid }, mode));
        };
        let mut named = Named::default();
        for rule in policy.rules_of(endpoint.id) {
            named.add(rule, &matcher, names);
        }
        let speaks = |rule: &Rule| speaks_of_others(rule, &matcher);
        let everybody = mode(policy, endpoint.id, speaks);
        add(UID_ANY, everybody);
        for uid in named.uids {
            let mut unsure = Vec::new();
            let mode = mode(policy, endpoint.id, |rule| {
                match matcher.speaks_of(rule, uid) {
                    Ok(true) => Speaks::Surely,
                    Ok(false) => Speaks::Never,
                    Err(why) => {
                        unsure.push(why);
                        Speaks::Perhaps
                    }
                }
            });
            named
                .problems
                .extend(unsure.into_iter().filter_map(failure));
            // The entry for everybody says the same; a big group would fill the map.
            if mode != everybody {
                add(uid.0, mode);
            }
        }
        problems.extend(named.problems.into_iter().map(|e| (e.object.clone(), e)));
    }
    tables.problems = problems.into_values().collect();
}

fn failure(why: Unknown) -> Option<NameError> {
    match why {
        Unknown::Names(error) => Some(error),
        Unknown::Fact(_) => None,
    }
}

/// The users whom the rules of an endpoint name, as far as they can be listed.
#[derive(Default)]
struct Named {
    uids: BTreeSet<Uid>,
    problems: Vec<NameError>,
}

impl Named {
    fn add(&mut self, rule: &Rule, matcher: &Matcher<'_>, names: &dyn Names) {
        for selector in rule.users.iter().chain(&rule.except) {
            let found = match selector {
                UserSelector::Everyone | UserSelector::Uids(..) => continue,
                UserSelector::Uid(uid) => Ok(vec![*uid]),
                UserSelector::User(name) => matcher.uid_of(name).map(Vec::from_iter),
                UserSelector::Group(name) => names.members_of(name),
            };
            match found {
                Ok(uids) => self.uids.extend(uids),
                Err(error) => self.problems.push(error),
            }
        }
    }
}

/// Whether a rule speaks of somebody.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Speaks {
    Surely,
    /// It may: that can't be told just now, or not for all of them together.
    Perhaps,
    Never,
}

/// Whether a rule speaks of users whom no rule names, and who so have no entry. Those of a
/// directory's group can't all be listed, nor those of a range.
fn speaks_of_others(rule: &Rule, matcher: &Matcher<'_>) -> Speaks {
    let is_open = |users: &[UserSelector]| users.iter().any(|user| is_open_ended(user, matcher));
    if rule.users.contains(&UserSelector::Everyone) {
        return if is_open(&rule.except) {
            Speaks::Perhaps
        } else {
            Speaks::Surely
        };
    }
    if is_open(&rule.users) {
        Speaks::Perhaps
    } else {
        Speaks::Never
    }
}

fn is_open_ended(user: &UserSelector, matcher: &Matcher<'_>) -> bool {
    match user {
        UserSelector::Group(_) | UserSelector::Uids(..) => true,
        UserSelector::User(name) => !matches!(matcher.uid_of(name), Ok(Some(_))),
        UserSelector::Everyone | UserSelector::Uid(_) => false,
    }
}

/// What happens to the first attempt of somebody. Where that depends on more than who they are,
/// or on what can't be told now, the daemon is asked if any outcome could let them through.
fn mode(policy: &Policy, endpoint: EndpointId, mut speaks: impl FnMut(&Rule) -> Speaks) -> u32 {
    let (mut holds, mut rejects, mut varies, mut unsure) = (false, false, false, false);
    for rule in policy.rules_of(endpoint) {
        let speaks = speaks(rule);
        if speaks == Speaks::Never {
            continue;
        }
        let decides = speaks == Speaks::Surely && rule.is_unconditional();
        if decides && rule.action == Action::Observe && !unsure {
            return first::OBSERVE;
        }
        match rule.action.first() {
            Some(First::Reject) => rejects = true,
            Some(First::Hold { .. }) => holds = true,
            None => holds |= rule.action == Action::Observe,
        }
        // A grant for all connections of the user, which the next one would need to pass at
        // once, can't be given: so this one waits while the daemon decides.
        let is_alone = rule
            .action
            .terms()
            .is_some_and(|terms| terms.scope != Scope::User);
        varies |= rule.varies() || is_alone;
        if decides {
            break;
        }
        unsure = true;
    }
    varies |= policy.risk_varies(endpoint);
    match (holds, rejects) {
        (true, _) => first::HOLD,
        (false, true) if varies => first::HOLD,
        (false, true) => first::REJECT,
        (false, false) => first::DENY,
    }
}

#[cfg(test)]
mod tests;
