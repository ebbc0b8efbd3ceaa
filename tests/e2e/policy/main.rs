// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a policy can say, said to the real agent: programs, conditions, scopes, realms, risk,
//! observation.

#![expect(
    clippy::unwrap_used,
    reason = "these are tests; clippy sees that only of functions marked as such"
)]

mod agreement;
mod conditions;
mod observing;
mod programs;
mod scopes;

use stile_tests::{Host, User};

/// The server of the host as an endpoint over TCP, and these rules.
fn protecting(rules: &str) -> String {
    format!(
        r#"
[[endpoint]]
name = "db"
hosts = ["{{address}}"]
ports = [{{port}}]

{rules}"#
    )
}

/// A rule for everybody at that endpoint, with these keys.
fn rule(name: &str, keys: &str) -> String {
    format!("[[rule]]\nname = \"{name}\"\nendpoints = [\"db\"]\nusers = [\"*\"]\n{keys}\n\n")
}

/// A host with that policy.
fn host(rules: &str) -> Host {
    Host::builder().policy(&protecting(rules)).build()
}

/// How many prompts a user has had.
fn challenges(host: &Host, user: User) -> usize {
    let records = host.audit().records();
    let asked = records.of("challenge").into_iter();
    asked
        .filter(|record| record["subject"]["uid"] == user.uid)
        .count()
}
