// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What changes of endpoints.

use std::collections::HashSet;
use std::hash::Hash;

use super::{Item, ItemChange, changed_fields, listed};
use crate::policy::{Endpoint, Existing, Policy, PortSpan, Protocol};

pub(super) fn changes(old: &Policy, new: &Policy) -> Vec<Item> {
    let gone = old
        .endpoints
        .iter()
        .filter(|one| new.endpoint(one.id).is_none());
    let gone = gone.map(|one| item(one, ItemChange::Removed, true));
    let others = new.endpoints.iter().filter_map(|after| {
        let Some(before) = old.endpoint(after.id) else {
            return Some(item(after, ItemChange::Added, false));
        };
        let fields = changed_fields(fields(before), fields(after));
        (!fields.is_empty()).then(|| Item {
            name: after.name.to_string(),
            change: ItemChange::Changed,
            laxer: covers_less(before, after),
            fields,
        })
    });
    gone.chain(others).collect()
}

fn item(endpoint: &Endpoint, change: ItemChange, laxer: bool) -> Item {
    Item {
        name: endpoint.name.to_string(),
        change,
        laxer,
        fields: Vec::new(),
    }
}

fn fields(endpoint: &Endpoint) -> Vec<(&'static str, Option<String>)> {
    let names = endpoint.names.iter().map(ToString::to_string);
    let hosts = endpoint.hosts.iter().map(|net| {
        if net.prefix_len() == net.max_prefix_len() {
            net.addr().to_string()
        } else {
            net.to_string()
        }
    });
    let protocol = match endpoint.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Any => "any",
    };
    let existing = match endpoint.existing {
        Existing::Close => "close",
        Existing::Keep => "keep",
    };
    vec![
        ("hosts", Some(listed(hosts.chain(names)))),
        ("ports", Some(listed(endpoint.ports.iter().map(span)))),
        ("protocol", Some(protocol.to_owned())),
        ("existing", Some(existing.to_owned())),
    ]
}

fn span(ports: &PortSpan) -> String {
    if ports.first == ports.last {
        ports.first.to_string()
    } else {
        format!("{}-{}", ports.first, ports.last)
    }
}

/// True if something that was protected may not be any more, or goes on where it was closed. An
/// address may have gone to another endpoint.
fn covers_less(before: &Endpoint, after: &Endpoint) -> bool {
    let covered = |net| after.hosts.iter().any(|wide| wide.contains(net));
    let ports = |endpoint: &Endpoint| -> HashSet<u16> {
        let spans = endpoint.ports.iter();
        spans.flat_map(|ports| ports.first..=ports.last).collect()
    };
    let narrower = before.protocol != after.protocol && after.protocol != Protocol::Any;
    narrower
        || !before.hosts.iter().all(covered)
        || !includes(&after.names, &before.names)
        || !ports(before).is_subset(&ports(after))
        || (before.existing == Existing::Close && after.existing == Existing::Keep)
}

fn includes<T: Eq + Hash>(all: &[T], some: &[T]) -> bool {
    let all: HashSet<_> = all.iter().collect();
    some.iter().all(|one| all.contains(one))
}
