// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads a `[[rule]]`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::user::users_of;
use super::{Located, each, or_default};
use crate::config::{Findings, Spot, Table, Value, format_duration, parse_duration};
use crate::policy::{
    Action, DEFAULT_HOLD, Factor, First, MAX_HOLD, OnExpiry, RuleName, Scope, Terms, UserSelector,
};

const SECOND: Duration = Duration::from_secs(1);
const MAX_TTL: Duration = Duration::from_secs(24 * 60 * 60);
const USUAL_TTL: Duration = Duration::from_secs(15 * 60);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Allow,
    StepUp,
    Deny,
}

const KINDS: [(&str, Kind); 3] = [
    ("allow", Kind::Allow),
    ("step-up", Kind::StepUp),
    ("deny", Kind::Deny),
];
const SCOPES: [(&str, Scope); 2] = [("socket", Scope::Socket), ("user", Scope::User)];
const ON_EXPIRY: [(&str, OnExpiry); 2] = [("close", OnExpiry::Close), ("keep", OnExpiry::Keep)];
const FACTORS: [(&str, Factor); 1] = [("totp", Factor::Totp)];
/// Factors that are planned.
const LATER_FACTORS: [&str; 4] = ["push", "pam", "fido2", "recovery-code"];

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
    pub(in crate::policy) users: Option<Vec<UserSelector>>,
    /// What it does.
    pub(in crate::policy) action: Option<Action>,
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
    pub(super) fn read(mut table: Table<'_>, findings: &mut Findings) -> Self {
        let name = table.require("name", findings);
        let name = name.and_then(|value| rule_name(&value, findings));
        let targets = table.require("endpoints", findings);
        let targets = targets.and_then(|value| targets_of(&value, findings));
        let users = table.require("users", findings);
        let users = users.and_then(|value| users_of(&value, findings));
        let scope_spot = table.take("scope").map(|value| value.spot());
        let realm = name.as_ref().map(|name| name.value.clone());
        let action = action(&mut table, realm, findings);
        let spot = table.spot().clone();
        table.finish(&RENAMED, findings);
        Self {
            name,
            targets,
            users,
            action,
            scope_spot: scope_spot.unwrap_or_else(|| spot.clone()),
            spot,
        }
    }
}

fn rule_name(value: &Value<'_>, findings: &mut Findings) -> Option<Located<RuleName>> {
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

fn targets_of(value: &Value<'_>, findings: &mut Findings) -> Option<Targets> {
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

fn action(
    table: &mut Table<'_>,
    realm: Option<RuleName>,
    findings: &mut Findings,
) -> Option<Action> {
    let kind = table.require("action", findings);
    let kind = kind.and_then(|value| value.word(&KINDS, findings));
    if kind == Some(Kind::Deny) {
        for key in [
            "ttl",
            "factors",
            "scope",
            "first",
            "max_hold",
            "on_expiry",
            "warn",
        ] {
            table.refuse(key, "a deny rule lets nobody through", findings);
        }
        return Some(Action::Deny);
    }
    // With an action that can't be read, the rest is read all the same for its mistakes.
    let terms = terms(table, kind, findings);
    let first = first(table, findings);
    let factors = factors(table, kind, findings);
    let (terms, first) = (terms?, first?);
    match kind? {
        Kind::Allow => Some(Action::Allow { terms, first }),
        Kind::StepUp => Some(Action::StepUp {
            terms,
            first,
            factors: factors?,
            realm: realm?,
        }),
        Kind::Deny => Some(Action::Deny),
    }
}

fn terms(table: &mut Table<'_>, kind: Option<Kind>, findings: &mut Findings) -> Option<Terms> {
    let scope = or_default(table.take("scope"), Scope::User, |value| {
        value.word(&SCOPES, findings)
    });
    let on_expiry = or_default(table.take("on_expiry"), OnExpiry::Close, |value| {
        value.word(&ON_EXPIRY, findings)
    });
    let ttl = match (table.take("ttl"), kind, scope) {
        (Some(value), _, _) => duration(&value, SECOND..=MAX_TTL, findings),
        (None, Some(Kind::Allow), Some(Scope::User)) => {
            findings
                .lack(
                    table.spot(),
                    "an allow rule of scope \"user\" needs the key `ttl`",
                )
                .help("say how long one decision holds, as in ttl = \"1h\"");
            None
        }
        // The grant is the connection's own and of no use to another.
        (None, Some(Kind::Allow), _) => Some(MAX_TTL),
        (None, _, _) => Some(USUAL_TTL),
    };
    let warn = match table.take("warn") {
        Some(value) => warning(&value, ttl, findings).map(Some),
        None => Some(None),
    };
    Some(Terms {
        scope: scope?,
        ttl: ttl?,
        on_expiry: on_expiry?,
        warn: warn?,
    })
}

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

fn first(table: &mut Table<'_>, findings: &mut Findings) -> Option<First> {
    let rejects = [("hold", false), ("reject", true)];
    let rejects = or_default(table.take("first"), false, |value| {
        value.word(&rejects, findings)
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
    let max_hold = or_default(table.take("max_hold"), DEFAULT_HOLD, |value| {
        duration(&value, SECOND..=MAX_HOLD, findings)
    });
    rejects
        .and(max_hold)
        .map(|max_hold| First::Hold { max_hold })
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

fn factors(
    table: &mut Table<'_>,
    kind: Option<Kind>,
    findings: &mut Findings,
) -> Option<Vec<Factor>> {
    if kind == Some(Kind::Allow) {
        table.refuse("factors", "an allow rule asks for no proof", findings);
        return None;
    }
    or_default(table.take("factors"), vec![Factor::Totp], |value| {
        let nothing = "nothing would be proof";
        let items = value.list("a list of factors", nothing, findings)?;
        each(items, |item| factor(&item, findings))
    })
}

fn factor(value: &Value<'_>, findings: &mut Findings) -> Option<Factor> {
    let later = value.as_text().filter(|text| LATER_FACTORS.contains(text));
    if let Some(text) = later {
        findings
            .error(
                &value.spot(),
                format!("the factor {text:?} is not supported yet"),
            )
            .help("write \"totp\"");
        return None;
    }
    value.word(&FACTORS, findings)
}

fn duration(
    value: &Value<'_>,
    range: RangeInclusive<Duration>,
    findings: &mut Findings,
) -> Option<Duration> {
    let text = value.text("a duration like \"15m\" or \"1h30m\"", findings)?;
    let duration = match parse_duration(text) {
        Ok(duration) => duration,
        Err(error) => {
            findings
                .error(&value.spot(), format!("{text:?} is no duration: {error}"))
                .help("write it as in \"90s\", \"15m\" or \"1h30m\"");
            return None;
        }
    };
    if !range.contains(&duration) {
        let (least, most) = (
            format_duration(*range.start()),
            format_duration(*range.end()),
        );
        findings.error(
            &value.spot(),
            format!("{text:?} is out of range: {least} to {most}"),
        );
        return None;
    }
    Some(duration)
}
