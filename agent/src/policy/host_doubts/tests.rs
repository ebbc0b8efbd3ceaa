// SPDX-License-Identifier: Apache-2.0 OR MIT
use std::os::unix::fs::symlink;

use super::*;
use crate::config::Trust;
use crate::policy::load_on;
use crate::policy::testing::{ENDPOINT, FakeNames, findings};

/// The warnings about a policy with this rule.
fn warnings(rule: &str, host: &Host<'_>) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let rule = format!("[[rule]]\nname = \"r\"\nendpoints = [\"db\"]\naction = \"deny\"\n{rule}\n");
    fs::write(dir.path().join("1.toml"), format!("{ENDPOINT}\n{rule}")).unwrap();
    let found = findings(load_on(dir.path(), Trust::Anyone, host).unwrap().warnings);
    let short = |one: String| one.rsplit("1.toml:").next().unwrap_or_default().to_owned();
    found.into_iter().map(short).collect()
}

fn accounts(users: &str) -> Vec<String> {
    let names = FakeNames::default().user("alice", 1000, &[("dba", 100)]);
    let names = names.failing("ldap");
    let host = Host {
        accounts: Some(&names),
        programs: None,
    };
    warnings(&format!("users = {users}"), &host)
}

#[test]
fn users_and_groups_that_are_here_are_not_doubted() {
    assert_eq!(accounts("[\"alice\", \"%dba\", 4711, \"!%dba\"]"), [""; 0]);
    assert_eq!(accounts("[\"*\"]"), [""; 0]);
}

#[test]
fn each_name_that_is_not_here_is_shown_at_its_place() {
    let found = accounts("[\"*\", \"!alcie\", \"!%dbas\"]");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].starts_with("10:15 there is no user \"alcie\" here: nobody can tell whom"),
        "{found:?}"
    );
    assert!(
        found[1].starts_with("10:25 there is no group \"dbas\" here"),
        "{found:?}"
    );
}

#[test]
fn a_name_service_that_fails_is_a_doubt_and_not_an_unknown_name() {
    let found = accounts("[\"ldap\"]");
    assert_eq!(found.len(), 1);
    assert!(
        found[0].contains("user \"ldap\": looking up ldap: out of order"),
        "{found:?}"
    );
}

#[test]
fn nothing_is_asked_of_the_host_unless_that_is_wanted() {
    let rule = "users = [\"nobody-knows\"]\nprograms = [\"/no/such/program\"]";
    assert_eq!(warnings(rule, &Host::default()), [""; 0]);
}

/// The warnings about a program, in a directory with a program, a link to it and a script.
fn program(name: &str, doubt: Option<&str>) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().canonicalize().unwrap();
    fs::write(path.join("psql"), "\u{7f}ELF").unwrap();
    symlink(path.join("psql"), path.join("link")).unwrap();
    fs::write(path.join("script"), "#! /usr/bin/env python3\n").unwrap();
    let judge = |_: &Path| doubt.map(str::to_owned);
    let host = Host {
        accounts: None,
        programs: Some(&judge),
    };
    let top = path.display().to_string();
    let rule = format!("users = [\"*\"]\nprograms = [\"{top}/{name}\"]");
    let found = warnings(&rule, &host);
    found.into_iter().map(|one| one.replace(&top, "")).collect()
}

#[test]
fn programs_that_are_what_they_seem_are_not_doubted() {
    assert_eq!(program("psql", None), [""; 0]);
    assert_eq!(program("ps*", None), [""; 0]);
    // The link is of no use, and the program it leads to is.
    assert_eq!(program("*", None), [""; 0]);
}

#[test]
fn what_never_fits_is_said_with_what_to_write_instead() {
    for (name, wanted) in [
        ("psq", "there is no file /psq here; "),
        ("x*", "no file here fits \"/x*\"; "),
        (
            "link",
            "/link is a symbolic link, or lies behind one: this never fits; write \"/psql\"",
        ),
        (
            "script",
            "/script is a script: what runs is /usr/bin/env, so this never fits; ",
        ),
        (
            "l*",
            "/link is a symbolic link, or lies behind one: this never fits; write \"/psql\"",
        ),
    ] {
        let found = program(name, None);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(wanted), "{found:?}");
    }
}

#[test]
fn a_program_that_others_may_write_is_doubted() {
    let found = program("psql", Some("/ can be written by everybody"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("/psql can't be trusted: / can be written by everybody"),
        "{found:?}"
    );
}
