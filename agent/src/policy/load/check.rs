// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the files mean together: names that are used twice or never, rules that can't work.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use stile_common::MAX_CLASS_PORTS;

use super::doubts::{warn_of_dead_rules, warn_of_overlaps, warn_of_unreachable};
use crate::config::{Findings, Spot, closest};
use crate::ids::EndpointId;
use crate::policy::coverage::Coverage;
use crate::policy::read::{
    BreakGlassDraft, Draft, EndpointDraft, Located, RiskDraft, RoleDraft, RuleDraft, Targets, Who,
};
use crate::policy::{
    Action, BreakGlass, Condition, Endpoint, EndpointSelector, Proof, Protocol, Risk, Rule,
    RuleName, Scope, Threshold, UserSelector,
};

/// What is sound.
pub(super) struct Checked {
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) rules: Vec<Rule>,
    pub(super) risks: Vec<Risk>,
    pub(super) thresholds: Vec<Threshold>,
    pub(super) break_glass: Vec<BreakGlass>,
}

/// Checks everything that takes more than one table to see. `None` if anything is wrong.
pub(super) fn check(draft: Draft, findings: &mut Findings) -> Option<Checked> {
    if !draft.has_endpoints && !findings.is_any_broken() {
        let root = findings.root();
        findings
            .file_error(root, "names no [[endpoint]]: nothing would be protected")
            .help("name at least one");
    }
    refuse_repeated_endpoints(&draft.endpoints, findings);
    let rules = draft.rules.iter().map(|rule| rule.name.as_ref());
    refuse_repeated("rule", rules, findings);
    let roles = draft.roles.iter().map(|role| role.name.as_ref());
    refuse_repeated("role", roles, findings);
    let risks = draft.risks.iter().map(|risk| risk.name.as_ref());
    refuse_repeated("risk", risks, findings);
    let known = Known::new(&draft);
    let resolved: Vec<_> = draft
        .rules
        .iter()
        .map(|rule| known.resolve(rule, findings))
        .collect();
    let risks: Vec<_> = draft
        .risks
        .iter()
        .map(|risk| known.risk(risk, findings))
        .collect();
    let break_glass: Vec<_> = draft
        .break_glass
        .iter()
        .map(|one| known.break_glass(one, findings))
        .collect();
    warn_of_thresholds(&draft, findings);
    let endpoints: Option<Vec<_>> = draft
        .endpoints
        .iter()
        .map(|one| one.endpoint.clone())
        .collect();
    let (endpoints, resolved) = (
        endpoints?,
        resolved.into_iter().collect::<Option<Vec<_>>>()?,
    );
    let risks = risks.into_iter().collect::<Option<Vec<_>>>()?;
    let break_glass = break_glass.into_iter().collect::<Option<Vec<_>>>()?;
    refuse_overfull(&draft.endpoints, &endpoints, findings);
    if findings.has_errors() {
        // What the doubts are about may be the next thing to be corrected.
        return None;
    }
    // One [[rule]] is several where it names roles.
    let mut rules = Vec::new();
    let mut drafts = Vec::new();
    for (draft, made) in draft.rules.iter().zip(resolved) {
        drafts.extend(made.iter().map(|_| draft));
        rules.extend(made);
    }
    warn_of_dead_rules(&drafts, &rules, &endpoints, findings);
    warn_of_unreachable(&draft.endpoints, &endpoints, &rules, findings);
    warn_of_overlaps(&draft.endpoints, &endpoints, findings);
    let mut thresholds = draft.thresholds;
    thresholds.sort_by_key(|threshold| threshold.points);
    Some(Checked {
        endpoints,
        rules,
        risks,
        thresholds,
        break_glass,
    })
}

/// Points that lead to nothing, or steps that nothing leads to.
fn warn_of_thresholds(draft: &Draft, findings: &mut Findings) {
    if let (Some(risk), true) = (draft.risks.first(), draft.thresholds.is_empty()) {
        findings
            .warning(&risk.spot, "its points lead to nothing")
            .help("write a [[threshold]]");
    }
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

fn refuse_repeated<'d>(
    what: &str,
    names: impl Iterator<Item = Option<&'d Located<RuleName>>>,
    findings: &mut Findings,
) {
    let mut known: BTreeMap<&str, &Spot> = BTreeMap::new();
    for name in names.flatten() {
        let text = name.value.as_str();
        if let Some(first) = known.get(text) {
            findings
                .error(&name.spot, format!("there is another {what} {text:?}"))
                .see(first, "the first one")
                .help(format!("give each {what} a name of its own"));
        }
        known.entry(text).or_insert(&name.spot);
    }
}

/// What rules can name.
struct Known<'d> {
    names: BTreeSet<&'d str>,
    roles: BTreeMap<&'d str, &'d RoleDraft>,
    /// The first endpoint that isn't TCP alone, of all and by id.
    waitless: BTreeMap<EndpointId, &'d Endpoint>,
}

impl<'d> Known<'d> {
    fn new(draft: &'d Draft) -> Self {
        let names = draft.endpoints.iter().filter_map(|one| one.name.as_ref());
        let roles = draft.roles.iter().filter_map(|role| {
            let name = role.name.as_ref()?;
            Some((name.value.as_str(), role))
        });
        let endpoints = draft
            .endpoints
            .iter()
            .filter_map(|one| one.endpoint.as_ref());
        let waitless = endpoints.filter(|one| one.protocol != Protocol::Tcp);
        Self {
            names: names.map(|name| name.value.as_str()).collect(),
            roles: roles.collect(),
            waitless: waitless.map(|one| (one.id, one)).collect(),
        }
    }

    /// The rules of one `[[rule]]`: one for each role, and one for the other users between.
    fn resolve(&self, draft: &RuleDraft, findings: &mut Findings) -> Option<Vec<Rule>> {
        let endpoints = draft.targets.as_ref();
        let endpoints = endpoints.and_then(|targets| self.selector(targets, findings));
        if let Some(endpoints) = &endpoints {
            self.refuse_scope(draft, endpoints, findings);
        }
        let users = draft.users.as_ref()?;
        let made: Vec<_> = users
            .meant
            .iter()
            .map(|who| self.made_for(draft, who, findings))
            .collect();
        let (name, endpoints) = (draft.name.as_ref()?, endpoints?);
        let (programs, when) = (draft.programs.as_ref()?, draft.when.as_ref()?);
        let made = made.into_iter().collect::<Option<Vec<_>>>()?;
        let rules = made.into_iter().map(|made| Rule {
            name: name.value.clone(),
            role: made.role,
            endpoints: endpoints.clone(),
            users: made.users,
            except: [&users.except[..], &made.except].concat(),
            programs: programs.clone(),
            when: when.clone(),
            action: made.action,
        });
        Some(rules.collect())
    }

    fn made_for(&self, draft: &RuleDraft, who: &Who, findings: &mut Findings) -> Option<Made> {
        let action = draft.action.clone();
        let name = match who {
            Who::These(users) => {
                let action = action?;
                if !draft.has_ttl && draft.lacks_ttl {
                    self.lack_ttl(draft, "users without a role", findings);
                    return None;
                }
                return Some(Made {
                    role: None,
                    users: users.clone(),
                    except: Vec::new(),
                    action,
                });
            }
            Who::Role(name) => name,
        };
        let Some(role) = self.roles.get(name.value.as_str()) else {
            if !findings.is_any_broken() {
                let help = match closest(&name.value, self.roles.keys().copied()) {
                    Some(close) => format!("did you mean \"@{close}\"?"),
                    None => "name a [[role]] of this policy".to_owned(),
                };
                findings
                    .error(&name.spot, format!("there is no role {:?}", name.value))
                    .help(help);
            }
            return None;
        };
        if !draft.has_ttl && draft.lacks_ttl && role.ttl.is_none() {
            self.lack_ttl(draft, &format!("the role {:?}", name.value), findings);
            return None;
        }
        let mut action = action?;
        if !draft.has_ttl {
            with_ttl(&mut action, role.ttl);
        }
        if let (Action::StepUp { proof, .. }, Some(own), false) =
            (&mut action, &role.proof, draft.has_proof)
        {
            *proof = Proof {
                reason: proof.reason.clone(),
                ..own.clone()
            };
        }
        let users = role.users.as_ref()?;
        let mut these = Vec::new();
        for who in &users.meant {
            match who {
                Who::These(users) => these.extend(users.iter().cloned()),
                Who::Role(inner) => {
                    let message = "a role is made of users and groups, not of roles";
                    findings.error(&inner.spot, message);
                    return None;
                }
            }
        }
        Some(Made {
            role: role.name.as_ref().map(|name| name.value.clone()),
            users: these,
            except: users.except.clone(),
            action,
        })
    }

    fn lack_ttl(&self, draft: &RuleDraft, whose: &str, findings: &mut Findings) {
        let message = format!("an allow rule of scope \"user\" needs the key `ttl` for {whose}");
        findings
            .lack(&draft.spot, message)
            .help("say how long one decision holds, as in ttl = \"1h\"");
    }

    fn risk(&self, draft: &RiskDraft, findings: &mut Findings) -> Option<Risk> {
        let endpoints = draft.targets.as_ref();
        let endpoints = endpoints.and_then(|targets| self.selector(targets, findings))?;
        let varies = draft.when.iter().flatten().any(Condition::varies);
        let mut waitless = self.waitless.values();
        if let Some(endpoint) = waitless.find(|one| varies && endpoints.contains(one.id)) {
            let message = format!(
                "this is asked of each connection by itself, but the endpoint {:?} isn't TCP alone: \
                 only TCP can be held",
                endpoint.name.as_str()
            );
            findings
                .error(&draft.spot, message)
                .help("name the endpoints over TCP that it is for: endpoints = [...]");
        }
        Some(Risk {
            name: draft.name.as_ref()?.value.clone(),
            endpoints,
            points: draft.points?,
            when: draft.when.clone()?,
        })
    }

    fn break_glass(&self, draft: &BreakGlassDraft, findings: &mut Findings) -> Option<BreakGlass> {
        match self.selector(draft.targets.as_ref()?, findings)? {
            EndpointSelector::All => None,
            EndpointSelector::These(endpoints) => Some(BreakGlass {
                endpoints,
                ..draft.entry.clone()?
            }),
        }
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

    /// What is given to single connections is given while they wait, and only TCP waits.
    fn refuse_scope(&self, rule: &RuleDraft, named: &EndpointSelector, findings: &mut Findings) {
        let waitless = match named {
            EndpointSelector::All => self.waitless.values().next(),
            EndpointSelector::These(ids) => {
                let known = ids.iter().filter_map(|id| self.waitless.get(id));
                known.min_by_key(|one| one.id)
            }
        };
        let Some(endpoint) = waitless else { return };
        let name = endpoint.name.as_str();
        let terms = rule.action.as_ref().and_then(|action| action.terms());
        if let Some(scope) = terms
            .map(|terms| terms.scope)
            .filter(|scope| *scope != Scope::User)
        {
            let message = format!(
                "scope \"{scope}\" means nothing for the endpoint {name:?}, which isn't TCP alone: \
                 only TCP can be held"
            );
            findings
                .error(&rule.scope_spot, message)
                .help("write scope = \"user\", or a rule of its own for that endpoint");
        }
        if let Some(spot) = &rule.varies {
            let message = format!(
                "this is asked of each connection by itself, but the endpoint {name:?} isn't TCP \
                 alone: only TCP can be held"
            );
            findings
                .error(spot, message)
                .help("write a rule of its own for that endpoint, for all programs and sessions");
        }
    }
}

/// What one rule makes of some of its users.
struct Made {
    role: Option<RuleName>,
    users: Vec<UserSelector>,
    except: Vec<UserSelector>,
    action: Action,
}

/// Gives a role's own time to an action.
fn with_ttl(action: &mut Action, ttl: Option<Duration>) {
    let terms = match action {
        Action::Allow { terms, .. } | Action::StepUp { terms, .. } => terms,
        Action::Observe | Action::Deny => return,
    };
    if let Some(ttl) = ttl {
        terms.ttl = ttl;
        // There is no warning before the beginning.
        terms.warn = terms.warn.filter(|warn| *warn < ttl);
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
