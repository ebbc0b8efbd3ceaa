// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads the tables of a policy file, each by itself. What they mean together is looked at
//! when all files are read ([`mod@super::load`]).

mod endpoint;
mod rule;
mod user;

pub(super) use endpoint::EndpointDraft;
pub(super) use rule::{RuleDraft, Targets};

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
    /// True if any file has the key `endpoint`, whatever is wrong with it.
    pub(super) has_endpoints: bool,
    pub(super) endpoints: Vec<EndpointDraft>,
    pub(super) rules: Vec<RuleDraft>,
}

impl Draft {
    /// Adds what one file says.
    pub(super) fn read_file(&mut self, mut top: Table<'_>, findings: &mut Findings) {
        self.has_endpoints |= top.take("endpoint").is_some();
        for value in tables(&mut top, "endpoint", findings) {
            if let Some(table) = value.table("an endpoint", findings) {
                self.endpoints.push(EndpointDraft::read(table, findings));
            }
        }
        for value in tables(&mut top, "rule", findings) {
            if let Some(table) = value.table("a rule", findings) {
                self.rules.push(RuleDraft::read(table, findings));
            }
        }
        top.finish(&[("endpoints", "endpoint"), ("rules", "rule")], findings);
    }
}

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

#[cfg(test)]
mod tests;
