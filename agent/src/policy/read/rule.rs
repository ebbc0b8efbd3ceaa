// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads a `[[rule]]`.

use std::sync::Arc;
use std::time::Duration;

use super::defaults::Defaults;
use super::proof::{PROOF_KEYS, proof_of, reason_of, says_proof};
use super::user::{Users, Who, users_of};
use super::when::{optional, when_of};
use super::{Located, duration, each, or_default};
use crate::config::{Findings, Spot, Table, Value};
use crate::policy::{
    Action, Condition, DEFAULT_HOLD, DEFAULT_REALM_TTL, First, MAX_HOLD, OnExpiry, Pattern,
    ProgramSelector, Proof, RuleName, Scope, Terms,
};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MAX_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// What an empty list of factors would mean.
pub(super) const FACTORS_WANTED: &str = "nothing would be proof";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Allow,
    StepUp,
    Deny,
    Observe,
}

const KINDS: [(&str, Kind); 4] = [
    ("allow", Kind::Allow),
    ("step-up", Kind::StepUp),
    ("deny", Kind::Deny),
    ("observe", Kind::Observe),
];
pub(super) const SCOPES: [(&str, Scope); 4] = [
    ("socket", Scope::Socket),
    ("process", Scope::Process),
    ("unit", Scope::Unit),
    ("user", Scope::User),
];
pub(super) const ON_EXPIRY: [(&str, OnExpiry); 2] =
    [("close", OnExpiry::Close), ("keep", OnExpiry::Keep)];

/// Keys that are easily mistaken.
const RENAMED: [(&str, &str); 8] = [
    ("endpoint", "endpoints"),
    ("user", "users"),
    ("groups", "users"),
    ("factor", "factors"),
    ("lifetime", "ttl"),
    ("duration", "ttl"),
    ("hold", "max_hold"),
    ("timeout", "max_hold"),
];

/// A rule as far as it could be read.
pub(in crate::policy) struct RuleDraft {
    /// Where it begins.
    pub(in crate::policy) spot: Spot,
    /// Its name.
    pub(in crate::policy) name: Option<Located<RuleName>>,
    /// The endpoints that it names.
    pub(in crate::policy) targets: Option<Targets>,
    /// Its users.
    pub(in crate::policy) users: Option<Users>,
    /// Its programs; empty means any.
    pub(in crate::policy) programs: Option<Vec<ProgramSelector>>,
    /// Where those stand, in the same order.
    pub(in crate::policy) program_spots: Vec<Spot>,
    /// When it counts; empty means always.
    pub(in crate::policy) when: Option<Vec<Condition>>,
    /// What it does.
    pub(in crate::policy) action: Option<Action>,
    /// True if it says itself how long a proof is good; else a role may.
    pub(in crate::policy) has_ttl: bool,
    /// True if a role has to say so: the rule needs it, and neither it nor the defaults do.
    pub(in crate::policy) lacks_ttl: bool,
    /// True if it says itself what is proof; else a role may.
    pub(in crate::policy) has_proof: bool,
    /// Where it speaks of single connections, if it does.
    pub(in crate::policy) varies: Option<Spot>,
    /// Where its scope is written, or else where it begins.
    pub(in crate::policy) scope_spot: Spot,
}

/// The endpoints that a rule names, before they are looked up.
pub(in crate::policy) enum Targets {
    /// `*`
    All,
    /// Names, not empty.
    Named(Vec<Located<String>>),
}

impl RuleDraft {
    pub(super) fn read(mut table: Table<'_>, defaults: &Defaults, findings: &mut Findings) -> Self {
        let name = table.require("name", findings);
        let name = name.and_then(|value| rule_name(&value, findings));
        let targets = table.require("endpoints", findings);
        let targets = targets.and_then(|value| targets_of(&value, findings));
        let users = table.require("users", findings);
        let users = users.and_then(|value| users_of(&value, findings));
        let scope_spot = table.take("scope").map(|value| value.spot());
        let written = [table.take("programs"), table.take("when")];
        let programs = or_default(written[0], Vec::new(), |value| {
            programs_of(&value, findings)
        });
        let (programs, program_spots) = programs.map_or((None, Vec::new()), |found| {
            let (programs, spots) = found.into_iter().map(|one| (one.value, one.spot)).unzip();
            (Some(programs), spots)
        });
        let zone = defaults.zone.as_ref();
        let when = or_default(written[1], Vec::new(), |value| {
            when_of(&value, zone, findings)
        });
        let realm = match table.take("realm") {
            Some(value) => rule_name(&value, findings),
            None => name.clone(),
        };
        let realm = realm.map(|realm| realm.value);
        let (has_ttl, has_proof) = (table.take("ttl").is_some(), says_proof(&mut table));
        let has_roles = users.as_ref().is_some_and(|users: &Users| {
            let mut meant = users.meant.iter();
            meant.any(|who| matches!(who, Who::Role(_)))
        });
        let reading = Reading {
            defaults,
            has_roles,
        };
        let action = reading.action(&mut table, realm, findings);
        let conditions = when.iter().flatten();
        let varies = match written {
            [Some(programs), _] => Some(programs.spot()),
            [None, Some(when)] if conditions.clone().any(Condition::varies) => Some(when.spot()),
            _ => None,
        };
        let spot = table.spot().clone();
        table.finish(&RENAMED, findings);
        Self {
            name,
            targets,
            users,
            programs,
            program_spots,
            when,
            lacks_ttl: !has_ttl
                && defaults.ttl.is_none()
                && matches!(&action, Some(Action::Allow { terms, .. }) if terms.scope == Scope::User),
            has_ttl,
            has_proof,
            varies,
            action,
            scope_spot: scope_spot.unwrap_or_else(|| spot.clone()),
            spot,
        }
    }
}

pub(super) fn rule_name(value: &Value<'_>, findings: &mut Findings) -> Option<Located<RuleName>> {
    let text = value.text("a name", findings)?;
    let spot = value.spot();
    match RuleName::new(text) {
        Ok(value) => Some(Located { value, spot }),
        Err(refused) => {
            findings
                .error(&spot, format!("{text:?} is no name of a rule"))
                .help(refused.to_string());
            None
        }
    }
}

pub(super) fn targets_of(value: &Value<'_>, findings: &mut Findings) -> Option<Targets> {
    let nothing = "write \"*\" for all endpoints";
    let items = value.list("a list of endpoints", nothing, findings)?;
    let alone = items.len() == 1;
    let names = each(items, |item| {
        let text = item.text("the name of an endpoint", findings)?;
        if text == "*" && !alone {
            findings.error(&item.spot(), "\"*\" already means all endpoints");
            return None;
        }
        Some(Located {
            value: text.to_owned(),
            spot: item.spot(),
        })
    })?;
    Some(match names.as_slice() {
        [one] if one.value == "*" => Targets::All,
        _ => Targets::Named(names),
    })
}

/// What is known while an action is read.
struct Reading<'d> {
    defaults: &'d Defaults,
    /// True if some of the users have a role, which may say what the rule doesn't.
    has_roles: bool,
}

impl Reading<'_> {
    fn action(
        &self,
        table: &mut Table<'_>,
        realm: Option<RuleName>,
        findings: &mut Findings,
    ) -> Option<Action> {
        let kind = table.require("action", findings);
        let kind = kind.and_then(|value| value.word(&KINDS, findings));
        let gives_nothing = match kind {
            Some(Kind::Deny) => Some((Action::Deny, "a deny rule lets nobody through")),
            Some(Kind::Observe) => {
                let why =
                    "an observing rule lets everybody through until the policy says otherwise";
                Some((Action::Observe, why))
            }
            _ => None,
        };
        if let Some((action, why)) = gives_nothing {
            for key in TERMS {
                table.refuse(key, why, findings);
            }
            return Some(action);
        }
        if kind == Some(Kind::Allow) {
            table.refuse("realm", "an allow rule asks for no proof", findings);
        }
        // With an action that can't be read, the rest is read all the same for its mistakes.
        let terms = self.terms(table, kind, findings);
        let first = self.first(table, findings);
        let proof = self.proof(table, kind, findings);
        let (terms, first) = (terms?, first?);
        match kind? {
            Kind::Allow => Some(Action::Allow { terms, first }),
            Kind::StepUp => Some(Action::StepUp {
                terms,
                first,
                proof: proof?,
                realm: realm?,
            }),
            Kind::Deny => Some(Action::Deny),
            Kind::Observe => Some(Action::Observe),
        }
    }

    fn terms(
        &self,
        table: &mut Table<'_>,
        kind: Option<Kind>,
        findings: &mut Findings,
    ) -> Option<Terms> {
        let defaults = self.defaults;
        let scope = defaults.scope.unwrap_or(Scope::User);
        let scope = or_default(table.take("scope"), scope, |value| {
            value.word(&SCOPES, findings)
        });
        let on_expiry = defaults.on_expiry.unwrap_or(OnExpiry::Close);
        let on_expiry = or_default(table.take("on_expiry"), on_expiry, |value| {
            value.word(&ON_EXPIRY, findings)
        });
        let ttl = match (table.take("ttl"), defaults.ttl, kind, scope) {
            (Some(value), ..) => duration(&value, SECOND..=MAX_TTL, findings),
            (None, Some(ttl), ..) => Some(ttl),
            (None, None, Some(Kind::Allow), Some(Scope::User)) if !self.has_roles => {
                findings
                    .lack(
                        table.spot(),
                        "an allow rule of scope \"user\" needs the key `ttl`",
                    )
                    .help("say how long one decision holds, as in ttl = \"1h\"");
                None
            }
            // The grant is the connection's own and of no use to another.
            (None, None, Some(Kind::Allow), scope) if scope != Some(Scope::User) => Some(MAX_TTL),
            (None, None, ..) => Some(DEFAULT_REALM_TTL),
        };
        let warn = match table.take("warn") {
            Some(value) => warning(&value, ttl, findings).map(Some),
            // A default that is too long for this rule doesn't count.
            None => Some(
                defaults
                    .warn
                    .filter(|warn| ttl.is_some_and(|ttl| *warn < ttl)),
            ),
        };
        Some(Terms {
            scope: scope?,
            ttl: ttl?,
            on_expiry: on_expiry?,
            warn: warn?,
        })
    }

    fn first(&self, table: &mut Table<'_>, findings: &mut Findings) -> Option<First> {
        let words = [("hold", false), ("reject", true)];
        let rejects = self.defaults.rejects.unwrap_or(false);
        let rejects = or_default(table.take("first"), rejects, |value| {
            value.word(&words, findings)
        });
        if rejects == Some(true) {
            table.refuse(
                "max_hold",
                "with first = \"reject\" nothing is held",
                findings,
            );
            refuse_scope_of_rejected(table, findings);
            return Some(First::Reject);
        }
        let max_hold = self.defaults.max_hold.unwrap_or(DEFAULT_HOLD);
        let max_hold = or_default(table.take("max_hold"), max_hold, |value| {
            duration(&value, SECOND..=MAX_HOLD, findings)
        });
        rejects
            .and(max_hold)
            .map(|max_hold| First::Hold { max_hold })
    }

    fn proof(
        &self,
        table: &mut Table<'_>,
        kind: Option<Kind>,
        findings: &mut Findings,
    ) -> Option<Proof> {
        if kind == Some(Kind::Allow) {
            for key in PROOF_KEYS {
                table.refuse(key, "an allow rule asks for no proof", findings);
            }
            table.refuse("reason", "an allow rule asks nobody", findings);
            return None;
        }
        let usual = self.defaults.proof.clone().unwrap_or_default();
        let reason = optional(table.take("reason"), |value| reason_of(&value, 0, findings));
        let proof = proof_of(table, &usual, findings)?;
        Some(Proof {
            reason: reason?.map(Arc::new),
            ..proof
        })
    }
}

/// Keys that only mean something where something is given.
const TERMS: [&str; 12] = [
    "ttl",
    "factors",
    "assurance",
    "all",
    "recovery",
    "reason",
    "scope",
    "first",
    "max_hold",
    "on_expiry",
    "warn",
    "realm",
];

/// How long before the end somebody is told: before it, and after the beginning.
fn warning(value: &Value<'_>, ttl: Option<Duration>, findings: &mut Findings) -> Option<Duration> {
    let warn = duration(value, SECOND..=MAX_TTL, findings)?;
    if ttl.is_some_and(|ttl| warn >= ttl) {
        findings.error(
            &value.spot(),
            "the warning would come before the grant: `warn` must be shorter than `ttl`",
        );
        return None;
    }
    Some(warn)
}

fn refuse_scope_of_rejected(table: &mut Table<'_>, findings: &mut Findings) {
    let Some(scope) = table.take("scope") else {
        return;
    };
    if scope.as_text() == Some("socket") {
        findings
            .error(
                &scope.spot(),
                "scope \"socket\" means nothing with first = \"reject\": the refused connection \
                 is over",
            )
            .help("write first = \"hold\", or scope = \"user\"");
    }
}

fn programs_of(
    value: &Value<'_>,
    findings: &mut Findings,
) -> Option<Vec<Located<ProgramSelector>>> {
    let nothing = "no program would fit; leave the key out for all of them";
    let items = value.list("a list of programs", nothing, findings)?;
    each(items, |item| {
        let spot = item.spot();
        program(&item, findings).map(|value| Located { value, spot })
    })
}

fn program(value: &Value<'_>, findings: &mut Findings) -> Option<ProgramSelector> {
    if !value.is_table() {
        let path = program_path(value, findings)?;
        return Some(ProgramSelector { path, sha256: None });
    }
    let mut table = value.table("a program", findings)?;
    let path = table.require("path", findings);
    let path = path.and_then(|value| program_path(&value, findings));
    let sha256 = optional(table.take("sha256"), |value| digest(&value, findings));
    table.finish(&[("sha", "sha256"), ("hash", "sha256")], findings);
    Some(ProgramSelector {
        path: path?,
        sha256: sha256?,
    })
}

fn program_path(value: &Value<'_>, findings: &mut Findings) -> Option<Pattern> {
    let text = value.text("the absolute path of a program", findings)?;
    let parts = || text.split('/').skip(1);
    let is_plain = text.starts_with('/')
        && parts().all(|part| !matches!(part, "" | "." | ".." | "**"))
        && text.len() < libc::PATH_MAX as usize
        && !text.contains('\0');
    if !is_plain {
        findings
            .error(
                &value.spot(),
                format!("{text:?} is no absolute path of a program"),
            )
            .help(
                "write the path as `readlink -f` shows it; \"*\" stands for a part of one name, \
                 as in \"/usr/lib/postgresql/*/bin/psql\"",
            );
        return None;
    }
    Some(Pattern::new(text))
}

fn digest(value: &Value<'_>, findings: &mut Findings) -> Option<[u8; 32]> {
    let text = value.text("a SHA-256 in hexadecimal digits", findings)?;
    let mut digest = [0; 32];
    if hex::decode_to_slice(text, &mut digest).is_err() {
        findings
            .error(&value.spot(), "this is no SHA-256")
            .help("write the 64 hexadecimal digits that sha256sum(1) prints");
        return None;
    }
    Some(digest)
}
