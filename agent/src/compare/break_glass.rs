// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What changes of emergencies. Whatever is new of them may let somebody past every rule.

use super::rules::{duration, user_text};
use super::{Item, ItemChange, listed};
use crate::policy::{BreakGlass, EndpointSelector, Policy};

/// They have no names: one that is other is another.
pub(super) fn changes(old: &Policy, new: &Policy) -> impl Iterator<Item = Item> {
    let (before, after) = (&old.break_glass, &new.break_glass);
    let gone = before.iter().filter(|one| !after.contains(one));
    let gone = gone.map(|one| item(old, one, ItemChange::Removed));
    let added = after.iter().filter(|one| !before.contains(one));
    gone.chain(added.map(|one| item(new, one, ItemChange::Added)))
}

fn item(policy: &Policy, entry: &BreakGlass, change: ItemChange) -> Item {
    Item {
        name: name(policy, entry),
        change,
        // Of several that speak of a user the first counts: without it, it is the next.
        laxer: true,
        fields: Vec::new(),
    }
}

fn name(policy: &Policy, entry: &BreakGlass) -> String {
    let endpoints = EndpointSelector::These(entry.endpoints.clone());
    let endpoints = super::rules::endpoint_list(policy, &endpoints);
    let except = entry.except.iter();
    let except = except.map(|user| format!("!{}", user_text(user)));
    let users = listed(entry.users.iter().map(user_text).chain(except));
    let (ttl, times) = (duration(entry.ttl), entry.per_day);
    let proof = &entry.proof;
    format!("break glass to {endpoints} for {users}: {ttl}, {times} a day, by {proof}")
}
