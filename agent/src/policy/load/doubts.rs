// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the files hardly can mean: rules that can't match, endpoints that nobody reaches or that
//! take addresses from each other.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use ipnet::IpNet;

use crate::config::{Findings, Spot};
use crate::ids::EndpointId;
use crate::policy::coverage::Coverage;
use crate::policy::read::{EndpointDraft, RuleDraft};
use crate::policy::{Action, Endpoint, EndpointSelector, PortSpan, Rule, UserSelector};

/// Warns of rules that an earlier one leaves nothing: at each of their endpoints an earlier rule
/// speaks of all of their users, and asks for nothing that they don't ask for.
pub(super) fn warn_of_dead_rules(
    drafts: &[&RuleDraft],
    rules: &[Rule],
    endpoints: &[Endpoint],
    findings: &mut Findings,
) {
    let mut earlier = Earlier::default();
    for (position, rule) in rules.iter().enumerate() {
        if let Some(by) = earlier.shadow_of(rule, rules, endpoints) {
            let label = if rules[by].is_for_everyone() {
                "an earlier rule for everybody comes first"
            } else {
                "an earlier rule for the same users comes first"
            };
            let message = format!("the rule {:?} can never match", rule.name.as_str());
            findings
                .warning(name_spot(drafts[position]), message)
                .see(name_spot(drafts[by]), label)
                .help("put the more special rule first, or delete it");
        }
        earlier.add(position, rule);
    }
}

/// The rules so far, by what has to be the same in a rule that they leave nothing. A rule that
/// observes leaves everything to those after it.
#[derive(Default)]
struct Earlier<'r> {
    /// By endpoint (none: all of them) and by one of the users.
    by_user: HashMap<(Option<EndpointId>, &'r UserSelector), Vec<usize>>,
    /// Those with users who may take in others that are written otherwise: ranges, everybody.
    wide: HashMap<Option<EndpointId>, Vec<usize>>,
}

impl<'r> Earlier<'r> {
    fn add(&mut self, position: usize, rule: &'r Rule) {
        if rule.action == Action::Observe {
            return;
        }
        let named: Vec<_> = match &rule.endpoints {
            EndpointSelector::All => vec![None],
            EndpointSelector::These(ids) => ids.iter().copied().map(Some).collect(),
        };
        for endpoint in named {
            for user in &rule.users {
                let same = self.by_user.entry((endpoint, user)).or_default();
                same.push(position);
            }
            if rule.users.iter().any(is_wide) {
                self.wide.entry(endpoint).or_default().push(position);
            }
        }
    }

    /// The last of the rules that together leave nothing to this one.
    fn shadow_of(&self, rule: &Rule, rules: &[Rule], endpoints: &[Endpoint]) -> Option<usize> {
        if let Some(by) = self.shadow_at(None, rule, rules) {
            return Some(by);
        }
        let shadow = |endpoint: EndpointId| self.shadow_at(Some(endpoint), rule, rules);
        let each: Option<Vec<_>> = match &rule.endpoints {
            EndpointSelector::All => endpoints.iter().map(|one| shadow(one.id)).collect(),
            EndpointSelector::These(ids) => ids.iter().map(|id| shadow(*id)).collect(),
        };
        each?.into_iter().max()
    }

    /// The first rule that leaves this one nothing at the endpoint.
    fn shadow_at(
        &self,
        endpoint: Option<EndpointId>,
        rule: &Rule,
        rules: &[Rule],
    ) -> Option<usize> {
        let none = Vec::new();
        // Who takes in all users takes in each one: the rarest has the fewest to look through.
        let same = rule
            .users
            .iter()
            .map(|user| self.by_user.get(&(endpoint, user)).unwrap_or(&none))
            .min_by_key(|same| same.len())?;
        let wide = self.wide.get(&endpoint).unwrap_or(&none);
        let first = |list: &[usize]| {
            let mut list = list.iter().copied();
            list.find(|at| leaves_nothing(&rules[*at], rule))
        };
        first(same).into_iter().chain(first(wide)).min()
    }
}

fn is_wide(user: &UserSelector) -> bool {
    matches!(user, UserSelector::Everyone | UserSelector::Uids(..))
}

/// True if the earlier rule fits wherever the later one does, at an endpoint of both.
fn leaves_nothing(earlier: &Rule, later: &Rule) -> bool {
    let asks_no_more = (earlier.programs.is_empty() || earlier.programs == later.programs)
        && (earlier.when.is_empty() || earlier.when == later.when);
    let takes_in = |all: &[UserSelector], user| all.iter().any(|one| covers(one, user));
    asks_no_more
        && (later.users.iter()).all(|user| takes_in(&earlier.users, user))
        && earlier.except.iter().all(|excepted| {
            let users = &later.users;
            takes_in(&later.except, excepted) || users.iter().all(|user| apart(excepted, user))
        })
}

/// True if the first takes in everybody whom the second does, whoever that is.
fn covers(wide: &UserSelector, narrow: &UserSelector) -> bool {
    match (wide, narrow) {
        (UserSelector::Everyone, _) => true,
        (wide, narrow) if wide == narrow => true,
        (wide, narrow) => match (uids(wide), uids(narrow)) {
            (Some((first, last)), Some((from, to))) => first <= from && to <= last,
            _ => false,
        },
    }
}

/// True if nobody can be both.
fn apart(one: &UserSelector, other: &UserSelector) -> bool {
    match (uids(one), uids(other)) {
        (Some((first, last)), Some((from, to))) => last < from || to < first,
        _ => false,
    }
}

fn uids(user: &UserSelector) -> Option<(u32, u32)> {
    match user {
        UserSelector::Uid(uid) => Some((uid.0, uid.0)),
        UserSelector::Uids(first, last) => Some((first.0, last.0)),
        UserSelector::Everyone | UserSelector::User(_) | UserSelector::Group(_) => None,
    }
}

/// Warns of endpoints that no rule lets anybody reach.
pub(super) fn warn_of_unreachable(
    drafts: &[EndpointDraft],
    endpoints: &[Endpoint],
    rules: &[Rule],
    findings: &mut Findings,
) {
    let mut spoken_of: BTreeSet<EndpointId> = BTreeSet::new();
    for rule in rules {
        match &rule.endpoints {
            EndpointSelector::All => return,
            EndpointSelector::These(ids) => spoken_of.extend(ids),
        }
    }
    for (draft, endpoint) in drafts.iter().zip(endpoints) {
        if !spoken_of.contains(&endpoint.id) {
            let name = endpoint.name.as_str();
            findings
                .warning(
                    endpoint_spot(draft),
                    format!("no rule speaks of {name:?}: nobody can reach it"),
                )
                .help("write a [[rule]] for it, or a deny rule to say that it is meant so");
        }
    }
}

/// Warns of endpoints that have addresses and ports which an earlier one takes first. A single
/// host before the network around it is how exceptions are written, and nothing to warn of.
pub(super) fn warn_of_overlaps(
    drafts: &[EndpointDraft],
    endpoints: &[Endpoint],
    findings: &mut Findings,
) {
    let mut found: BTreeMap<(usize, usize), String> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    // An endpoint may have a million hosts, most of which nobody shares.
    let named: Vec<OnceCell<HashSet<IpNet>>> = vec![OnceCell::new(); endpoints.len()];
    let hosts_of = |at: usize| endpoints[at].hosts.iter().copied().collect();
    Coverage::new(endpoints).each(|net, sharing| {
        // The same endpoints overlap in the same way, but for which of them is the wider.
        if sharing.len() < 2 {
            return;
        }
        let here: Vec<_> = sharing
            .iter()
            .map(|at| (*at, named[*at].get_or_init(|| hosts_of(*at)).contains(&net)))
            .collect();
        if !seen.insert(here.clone()) {
            return;
        }
        let later = here.iter().filter(|(_, names_it)| *names_it);
        for (later, _) in later {
            for earlier in sharing.iter().take_while(|at| *at < later) {
                let common = common_ports(&endpoints[*earlier], &endpoints[*later]);
                if let Some(ports) = common {
                    let ports = match ports.first == ports.last {
                        true => format!("port {}", ports.first),
                        false => format!("ports {}-{}", ports.first, ports.last),
                    };
                    let pair = found.entry((*later, *earlier));
                    pair.or_insert_with(|| format!("{} {ports}", shown(&net)));
                }
            }
        }
    });
    for ((later, earlier), place) in found {
        let name = |at: usize| endpoints[at].name.as_str();
        let message = format!(
            "{:?} never gets {place}: {:?} comes first and has it, too",
            name(later),
            name(earlier)
        );
        findings
            .warning(endpoint_spot(&drafts[later]), message)
            .see(endpoint_spot(&drafts[earlier]), "the first one counts")
            .help("put the more special endpoint first, or take the address out of one of them");
    }
}

fn shown(net: &IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() {
        net.addr().to_string()
    } else {
        net.to_string()
    }
}

/// Ports that both have, if their protocols have anything in common.
fn common_ports(one: &Endpoint, other: &Endpoint) -> Option<PortSpan> {
    use stile_common::protocol::{TCP, UDP};
    let both = |number| one.protocol.contains(number) && other.protocol.contains(number);
    if !both(TCP) && !both(UDP) {
        return None;
    }
    let mut pairs = (one.ports.iter()).flat_map(|a| other.ports.iter().map(move |b| (a, b)));
    pairs.find_map(|(a, b)| PortSpan::new(a.first.max(b.first), a.last.min(b.last)))
}

fn name_spot(draft: &RuleDraft) -> &Spot {
    draft.name.as_ref().map_or(&draft.spot, |name| &name.spot)
}

fn endpoint_spot(draft: &EndpointDraft) -> &Spot {
    draft.name.as_ref().map_or(&draft.spot, |name| &name.spot)
}

#[cfg(test)]
mod tests;
