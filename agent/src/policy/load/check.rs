// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the files mean together: names that are used twice or never, rules that can't work.

use std::collections::{BTreeMap, BTreeSet};

use stile_common::MAX_CLASS_PORTS;

use crate::config::{Findings, Spot, closest};
use crate::ids::EndpointId;
use crate::policy::coverage::Coverage;
use crate::policy::read::{Draft, EndpointDraft, RuleDraft, Targets};
use crate::policy::{Endpoint, EndpointSelector, Protocol, Rule, Scope};

/// Checks everything that takes more than one table to see. The endpoints and rules, if
/// nothing is wrong with any of them.
pub(super) fn check(draft: Draft, findings: &mut Findings) -> Option<(Vec<Endpoint>, Vec<Rule>)> {
    if !draft.has_endpoints && !findings.is_any_broken() {
        let root = findings.root();
        findings
            .file_error(root, "names no [[endpoint]]: nothing would be protected")
            .help("name at least one");
    }
    refuse_repeated_endpoints(&draft.endpoints, findings);
    refuse_repeated_rules(&draft.rules, findings);
    let known = Known::new(&draft.endpoints);
    let rules: Vec<_> = draft
        .rules
        .iter()
        .map(|rule| known.resolve(rule, findings))
        .collect();
    let endpoints: Option<Vec<_>> = draft
        .endpoints
        .iter()
        .map(|one| one.endpoint.clone())
        .collect();
    let (endpoints, rules) = (endpoints?, rules.into_iter().collect::<Option<Vec<_>>>()?);
    refuse_overfull(&draft.endpoints, &endpoints, findings);
    if findings.has_errors() {
        // What the doubts are about may be the next thing to be corrected.
        return None;
    }
    warn_of_dead_rules(&draft.rules, &rules, &endpoints, findings);
    warn_of_unreachable(&draft.endpoints, &endpoints, &rules, findings);
    Some((endpoints, rules))
}

fn refuse_repeated_endpoints(drafts: &[EndpointDraft], findings: &mut Findings) {
    let mut names: BTreeMap<&str, &Spot> = BTreeMap::new();
    let mut ids: BTreeMap<EndpointId, (&str, &Spot)> = BTreeMap::new();
    for name in drafts.iter().filter_map(|draft| draft.name.as_ref()) {
        let (text, id) = (name.value.as_str(), EndpointId::from_name(&name.value));
        if let Some(first) = names.get(text) {
            findings
                .error(&name.spot, format!("there is another endpoint {text:?}"))
                .see(first, "the first one")
                .help("give each endpoint a name of its own");
        } else if let Some((other, first)) = ids.get(&id) {
            findings
                .error(
                    &name.spot,
                    format!("the names {text:?} and {other:?} have the same id in the kernel"),
                )
                .see(first, "the other one")
                .help("change one of them a little");
        }
        names.entry(text).or_insert(&name.spot);
        ids.entry(id).or_insert((text, &name.spot));
    }
}

fn refuse_repeated_rules(drafts: &[RuleDraft], findings: &mut Findings) {
    let mut names: BTreeMap<&str, &Spot> = BTreeMap::new();
    for name in drafts.iter().filter_map(|draft| draft.name.as_ref()) {
        let text = name.value.as_str();
        if let Some(first) = names.get(text) {
            findings
                .error(&name.spot, format!("there is another rule {text:?}"))
                .see(first, "the first one")
                .help("give each rule a name of its own");
        }
        names.entry(text).or_insert(&name.spot);
    }
}

/// The endpoints that rules can name.
struct Known<'d> {
    drafts: &'d [EndpointDraft],
    names: BTreeSet<&'d str>,
}

impl<'d> Known<'d> {
    fn new(drafts: &'d [EndpointDraft]) -> Self {
        let names = drafts.iter().filter_map(|draft| draft.name.as_ref());
        Self {
            drafts,
            names: names.map(|name| name.value.as_str()).collect(),
        }
    }

    fn resolve(&self, draft: &RuleDraft, findings: &mut Findings) -> Option<Rule> {
        let endpoints = draft.targets.as_ref();
        let endpoints = endpoints.and_then(|targets| self.selector(targets, findings));
        if let Some(endpoints) = &endpoints {
            self.refuse_scope(draft, endpoints, findings);
        }
        Some(Rule {
            name: draft.name.as_ref()?.value.clone(),
            endpoints: endpoints?,
            role: None,
            users: draft.users.clone()?,
            except: Vec::new(),
            programs: Vec::new(),
            when: Vec::new(),
            action: draft.action.clone()?,
        })
    }

    fn selector(&self, targets: &Targets, findings: &mut Findings) -> Option<EndpointSelector> {
        let Targets::Named(named) = targets else {
            return Some(EndpointSelector::All);
        };
        let mut ids = Vec::new();
        for name in named {
            if self.names.contains(name.value.as_str()) {
                ids.push(EndpointId::from_name(&name.value));
            } else if !findings.is_any_broken() {
                let help = match closest(&name.value, self.names.iter().copied()) {
                    Some(close) => format!("did you mean {close:?}?"),
                    None => "name an [[endpoint]] of this policy".to_owned(),
                };
                findings
                    .error(&name.spot, format!("there is no endpoint {:?}", name.value))
                    .help(help);
            }
        }
        (ids.len() == named.len()).then_some(EndpointSelector::These(ids))
    }

    /// A grant of scope "socket" is for a socket that waits, and only TCP waits.
    fn refuse_scope(&self, rule: &RuleDraft, named: &EndpointSelector, findings: &mut Findings) {
        let terms = rule.action.as_ref().and_then(|action| action.terms());
        if terms.is_none_or(|terms| terms.scope != Scope::Socket) {
            return;
        }
        let endpoints = self.drafts.iter().filter_map(|one| one.endpoint.as_ref());
        let mut waitless =
            endpoints.filter(|one| one.protocol != Protocol::Tcp && named.contains(one.id));
        if let Some(endpoint) = waitless.next() {
            let message = format!(
                "scope \"socket\" means nothing for the endpoint {:?}, which isn't TCP alone: \
                 only TCP can be held",
                endpoint.name.as_str()
            );
            findings
                .error(&rule.scope_spot, message)
                .help("write scope = \"user\", or a rule of its own for that endpoint");
        }
    }
}

fn refuse_overfull(drafts: &[EndpointDraft], endpoints: &[Endpoint], findings: &mut Findings) {
    for overfull in Coverage::new(endpoints).overfull() {
        let names: Vec<_> = overfull
            .sharing
            .iter()
            .map(|at| endpoints[*at].name.as_str())
            .collect();
        let mut hosts = overfull.sharing.iter().flat_map(|at| &drafts[*at].hosts);
        let host = hosts.find(|host| host.value == overfull.prefix);
        let spot = host.map_or(&drafts[overfull.sharing[0]].spot, |host| &host.spot);
        let message = format!(
            "{} has {} ranges of ports, of the endpoints {}; at most {MAX_CLASS_PORTS} fit",
            overfull.prefix,
            overfull.ranges,
            names.join(", ")
        );
        findings
            .error(spot, message)
            .help("join ranges, or give the endpoints addresses of their own");
    }
}

/// Warns of rules all of whose endpoints an earlier rule has settled for everybody.
fn warn_of_dead_rules(
    drafts: &[RuleDraft],
    rules: &[Rule],
    endpoints: &[Endpoint],
    findings: &mut Findings,
) {
    let mut settled: BTreeMap<EndpointId, usize> = BTreeMap::new();
    for (position, rule) in rules.iter().enumerate() {
        let all = endpoints.iter().map(|endpoint| endpoint.id);
        let own: Vec<_> = all.filter(|id| rule.endpoints.contains(*id)).collect();
        let earlier: Option<Vec<_>> = own.iter().map(|id| settled.get(id)).collect();
        if let Some(by) = earlier.and_then(|by| by.into_iter().max().copied()) {
            findings
                .warning(
                    name_spot(&drafts[position]),
                    format!("the rule {:?} can never match", rule.name.as_str()),
                )
                .see(
                    name_spot(&drafts[by]),
                    "an earlier rule for everybody comes first",
                )
                .help("put the more special rule first, or delete it");
        }
        if rule.is_for_everyone() {
            for id in own {
                settled.entry(id).or_insert(position);
            }
        }
    }
}

fn name_spot(draft: &RuleDraft) -> &Spot {
    draft.name.as_ref().map_or(&draft.spot, |name| &name.spot)
}

/// Warns of endpoints that no rule lets anybody reach.
fn warn_of_unreachable(
    drafts: &[EndpointDraft],
    endpoints: &[Endpoint],
    rules: &[Rule],
    findings: &mut Findings,
) {
    for (draft, endpoint) in drafts.iter().zip(endpoints) {
        if !rules
            .iter()
            .any(|rule| rule.endpoints.contains(endpoint.id))
        {
            let name = endpoint.name.as_str();
            let spot = draft.name.as_ref().map_or(&draft.spot, |name| &name.spot);
            findings
                .warning(
                    spot,
                    format!("no rule speaks of {name:?}: nobody can reach it"),
                )
                .help("write a [[rule]] for it, or a deny rule to say that it is meant so");
        }
    }
}
