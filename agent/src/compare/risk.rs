// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What changes of risks and thresholds.

use super::rules::{condition_list, duration, endpoint_list};
use super::{Item, ItemChange, changed_fields};
use crate::policy::{Policy, Response, Risk, Threshold};

pub(super) fn changes(old: &Policy, new: &Policy) -> Vec<Item> {
    let mut items = Vec::new();
    for before in &old.risks {
        match new.risks.iter().find(|after| after.name == before.name) {
            None => items.push(item(risk_name(before), ItemChange::Removed, true)),
            Some(after) => {
                let fields = changed_fields(risk_fields(old, before), risk_fields(new, after));
                // What else changes may mean fewer points, too.
                let laxer = after.points < before.points
                    || after.endpoints != before.endpoints
                    || after.when != before.when;
                if !fields.is_empty() {
                    items.push(Item {
                        fields,
                        ..item(risk_name(after), ItemChange::Changed, laxer)
                    });
                }
            }
        }
    }
    for after in &new.risks {
        if !old.risks.iter().any(|before| before.name == after.name) {
            items.push(item(risk_name(after), ItemChange::Added, false));
        }
    }
    items.extend(thresholds(old, new));
    items
}

/// Thresholds have no names: one with other points is another.
fn thresholds(old: &Policy, new: &Policy) -> impl Iterator<Item = Item> {
    let gone = old.thresholds.iter();
    let gone = gone.filter(|one| !new.thresholds.contains(one));
    let gone = gone.map(|one| item(threshold_name(one), ItemChange::Removed, true));
    let added = new.thresholds.iter();
    let added = added.filter(|one| !old.thresholds.contains(one));
    gone.chain(added.map(|one| item(threshold_name(one), ItemChange::Added, false)))
}

fn item(name: String, change: ItemChange, laxer: bool) -> Item {
    Item {
        name,
        change,
        laxer,
        fields: Vec::new(),
    }
}

fn risk_name(risk: &Risk) -> String {
    format!("risk {:?}", risk.name.as_str())
}

fn risk_fields(policy: &Policy, risk: &Risk) -> Vec<(&'static str, Option<String>)> {
    vec![
        ("points", Some(risk.points.to_string())),
        ("endpoints", Some(endpoint_list(policy, &risk.endpoints))),
        ("when", condition_list(&risk.when)),
    ]
}

fn threshold_name(threshold: &Threshold) -> String {
    let points = threshold.points;
    match &threshold.response {
        Response::Deny => format!("threshold {points}: deny"),
        Response::StepUp { ttl, proof } => {
            let ttl = ttl.map_or_else(String::new, |ttl| format!(" {}", duration(ttl)));
            let proof = proof
                .as_ref()
                .map_or_else(String::new, |proof| format!(" with {proof}"));
            format!("threshold {points}: step-up{ttl}{proof}")
        }
    }
}
