// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What changes between two policies, and for whom: what `stile policy diff` shows.
//!
//! Two things are compared: what is written ([`Item`]), and what comes of it for each class of
//! users ([`OutcomeChange`]). The second is evaluated without conditions, for they aren't known;
//! where conditions could let more or fewer through, that is said.

mod break_glass;
mod class;
mod endpoints;
mod outcome;
mod proof;
mod risk;
mod rules;
#[cfg(test)]
mod tests;

use serde::Serialize;

pub use class::Class;
pub use outcome::{OutcomeChange, Way};

use crate::policy::{Mode, Policy};

/// What changes between two policies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Whether the policy is enforced, if that changes.
    pub mode: Option<FieldChange>,
    /// What comes of it for whom; what gets laxer first.
    pub outcomes: Vec<OutcomeChange>,
    /// Endpoints.
    pub endpoints: Vec<Item>,
    /// Rules.
    pub rules: Vec<Item>,
    /// Risks, thresholds and emergencies.
    pub risk: Vec<Item>,
}

/// An endpoint, a rule, a risk or a threshold that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// Its name.
    pub name: String,
    /// What becomes of it.
    pub change: ItemChange,
    /// True if the change by itself may let somebody through.
    pub laxer: bool,
    /// The fields that change.
    pub fields: Vec<FieldChange>,
}

/// What becomes of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemChange {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It has other fields.
    Changed,
    /// It stands elsewhere among those that are in both policies, and may have other fields.
    Moved {
        /// Where it was among all, from 1.
        from: usize,
        /// Where it is.
        to: usize,
    },
}

/// A field, as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldChange {
    /// Its key.
    pub field: &'static str,
    /// What it was; none if it wasn't there.
    pub before: Option<String>,
    /// What it is.
    pub after: Option<String>,
}

impl Comparison {
    /// True if nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self {
            mode,
            outcomes,
            endpoints,
            rules,
            risk,
        } = self;
        mode.is_none()
            && outcomes.is_empty()
            && endpoints.is_empty()
            && rules.is_empty()
            && risk.is_empty()
    }
}

/// Compares two policies.
#[must_use]
pub fn compare(old: &Policy, new: &Policy) -> Comparison {
    let mode = |policy: &Policy| match policy.mode {
        Mode::Enforce => "enforce".to_owned(),
        Mode::Observe => "observe".to_owned(),
    };
    Comparison {
        mode: changed("mode", Some(mode(old)), Some(mode(new))),
        outcomes: outcome::changes(old, new),
        endpoints: endpoints::changes(old, new),
        rules: rules::changes(old, new),
        risk: risk::changes(old, new)
            .into_iter()
            .chain(break_glass::changes(old, new))
            .collect(),
    }
}

/// A field, if it changes.
fn changed(
    field: &'static str,
    before: Option<String>,
    after: Option<String>,
) -> Option<FieldChange> {
    (before != after).then_some(FieldChange {
        field,
        before,
        after,
    })
}

/// The fields that two lists of the same fields differ in.
fn changed_fields(
    before: Vec<(&'static str, Option<String>)>,
    after: Vec<(&'static str, Option<String>)>,
) -> Vec<FieldChange> {
    let both = before.into_iter().zip(after);
    both.filter_map(|((field, before), (_, after))| changed(field, before, after))
        .collect()
}

/// A list as a policy has it: one alone as itself.
fn listed<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(", ")
}
