// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads the tables of a policy file, each by itself. What they mean together is looked at
//! when all files are read ([`mod@super::load`]).

mod break_glass;
mod defaults;
mod endpoint;
mod proof;
mod risk;
mod rule;
mod user;
mod when;

pub(super) use break_glass::BreakGlassDraft;
pub(super) use defaults::Defaults;
pub(super) use endpoint::EndpointDraft;
pub(super) use risk::{RiskDraft, RoleDraft};
pub(super) use rule::{RuleDraft, Targets};
pub(super) use user::Who;

use std::ops::RangeInclusive;
use std::time::Duration;

use super::Threshold;
use crate::config::{Findings, Spot, Table, Value};

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) spot: Spot,
}

/// What the files say, in their order.
#[derive(Default)]
pub(super) struct Draft {
    /// What counts where nothing else is said.
    pub(super) defaults: Defaults,
    /// Where that is said.
    has_defaults: Option<Spot>,
    /// True if any file has the key `endpoint`, whatever is wrong with it.
    pub(super) has_endpoints: bool,
    pub(super) endpoints: Vec<EndpointDraft>,
    pub(super) roles: Vec<RoleDraft>,
    pub(super) rules: Vec<RuleDraft>,
    pub(super) risks: Vec<RiskDraft>,
    /// Those that are sound.
    pub(super) thresholds: Vec<Threshold>,
    pub(super) break_glass: Vec<BreakGlassDraft>,
}

impl Draft {
    /// Adds the defaults of one file, before any file is read: they count in all of them.
    pub(super) fn read_defaults(&mut self, mut top: Table<'_>, findings: &mut Findings) {
        let Some(value) = top.take("defaults") else {
            return;
        };
        if let Some(first) = &self.has_defaults {
            findings
                .error(&value.spot(), "the defaults are written twice")
                .see(first, "the first ones")
                .help("write them once in the whole policy");
            return;
        }
        self.has_defaults = Some(value.spot());
        if let Some(table) = value.table("the table of defaults", findings) {
            self.defaults = Defaults::read(table, findings);
        }
    }

    /// Adds what one file says.
    pub(super) fn read_file(&mut self, mut top: Table<'_>, findings: &mut Findings) {
        top.know(&["defaults"]);
        let defaults = &self.defaults;
        self.has_endpoints |= top.take("endpoint").is_some();
        for value in tables(&mut top, "endpoint", findings) {
            if let Some(table) = value.table("an endpoint", findings) {
                let draft = EndpointDraft::read(table, defaults, findings);
                self.endpoints.push(draft);
            }
        }
        for value in tables(&mut top, "role", findings) {
            if let Some(table) = value.table("a role", findings) {
                self.roles.push(RoleDraft::read(table, findings));
            }
        }
        for value in tables(&mut top, "rule", findings) {
            if let Some(table) = value.table("a rule", findings) {
                self.rules.push(RuleDraft::read(table, defaults, findings));
            }
        }
        for value in tables(&mut top, "risk", findings) {
            if let Some(table) = value.table("a risk", findings) {
                self.risks.push(RiskDraft::read(table, defaults, findings));
            }
        }
        for value in tables(&mut top, "threshold", findings) {
            if let Some(table) = value.table("a threshold", findings) {
                self.thresholds.extend(risk::threshold(table, findings));
            }
        }
        for value in tables(&mut top, "break_glass", findings) {
            if let Some(table) = value.table("an emergency", findings) {
                let draft = BreakGlassDraft::read(table, findings);
                self.break_glass.push(draft);
            }
        }
        top.finish(&RENAMED, findings);
    }
}

/// Keys that are easily mistaken.
const RENAMED: [(&str, &str); 8] = [
    ("default", "defaults"),
    ("endpoints", "endpoint"),
    ("rules", "rule"),
    ("roles", "role"),
    ("risks", "risk"),
    ("thresholds", "threshold"),
    ("break-glass", "break_glass"),
    ("breakglass", "break_glass"),
];

fn tables<'a>(top: &mut Table<'a>, key: &'static str, findings: &mut Findings) -> Vec<Value<'a>> {
    let Some(value) = top.take(key) else {
        return Vec::new();
    };
    let expected = format!("tables, each headed [[{key}]]");
    let tables = value.list(&expected, "leave the key out", findings);
    tables.unwrap_or_default()
}

/// What `read` makes of a value, or `default` where there is none. `None` is a mistake that
/// was reported.
fn or_default<T>(
    value: Option<Value<'_>>,
    default: T,
    read: impl FnOnce(Value<'_>) -> Option<T>,
) -> Option<T> {
    value.map_or(Some(default), read)
}

/// All of them, or `None` if one is a mistake. Each one is read, so that each mistake is
/// reported.
fn each<'a, T>(items: Vec<Value<'a>>, read: impl FnMut(Value<'a>) -> Option<T>) -> Option<Vec<T>> {
    let read: Vec<_> = items.into_iter().map(read).collect();
    read.into_iter().collect()
}

/// A duration within a range.
fn duration(
    value: &Value<'_>,
    range: RangeInclusive<Duration>,
    findings: &mut Findings,
) -> Option<Duration> {
    value.duration_in(range, findings)
}

#[cfg(test)]
mod tests;
