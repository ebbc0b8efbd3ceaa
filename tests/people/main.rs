// SPDX-License-Identifier: Apache-2.0 OR MIT
//! People and the real agent: what they are asked, where, and how often.

#![expect(
    clippy::unwrap_used,
    reason = "these are tests; clippy sees that only of functions marked as such"
)]

mod administrators;
mod asking;
mod bus;
mod credentials;
mod dunst;
mod elevating;
mod giving_up;
mod gnome;
mod joining;
mod notifications;
mod pam;
mod places;
mod reasons;
mod scene;
mod sessions;
mod several;
mod terminals;
mod tmux;
mod top;

use stile_tests::{Host, User};

/// Two endpoints, of which the first has the host's server, and these rules.
fn policy(rules: &str) -> String {
    format!(
        r#"
[[endpoint]]
name = "db"
hosts = ["{{address}}"]
ports = [{{port}}]

[[endpoint]]
name = "cache"
hosts = ["{{address}}"]
ports = [6379]

{rules}"#
    )
}

/// A rule for everybody that asks for proof, with these keys.
fn step_up(name: &str, endpoint: &str, keys: &str) -> String {
    format!(
        "[[rule]]\nname = \"{name}\"\nendpoints = [\"{endpoint}\"]\nusers = [\"*\"]\n\
         action = \"step-up\"\n{keys}\n\n"
    )
}

/// How many prompts a user has had.
fn prompts(host: &Host, user: User) -> usize {
    let records = host.audit().records();
    let asked = records.of("challenge").into_iter();
    asked
        .filter(|record| record["subject"]["uid"] == user.uid)
        .count()
}
