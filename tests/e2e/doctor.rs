// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile doctor` on a real machine: what it finds, as whom, and that it leaves nothing behind.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what fails here fails the test, with its place"
)]

use std::fs;

use serde_json::Value;
use stile_tests::{ALICE, Host, ROOT, Said, User};

/// Looks at this host as this user.
#[track_caller]
fn doctor(host: &Host, user: User, more: &[&str]) -> Said {
    let pins = host.pins().to_str().unwrap();
    let mut arguments = vec!["doctor", "--bpffs", pins];
    arguments.extend(more);
    host.stile(user, &arguments)
}

/// The check of this name in a report.
#[track_caller]
fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {report:#}"))
}

/// The names of the checks in this state.
fn in_state<'a>(report: &'a Value, state: &str) -> Vec<&'a str> {
    let checks = report["checks"].as_array().unwrap().iter();
    checks
        .filter(|check| check["state"] == state)
        .map(|check| check["name"].as_str().unwrap())
        .collect()
}

#[track_caller]
fn says(check: &Value, state: &str, text: &str) {
    assert_eq!(check["state"], state, "{check}");
    assert!(check["detail"].as_str().unwrap().contains(text), "{check}");
}

#[test]
fn root_sees_everything_of_a_gate_that_stands() {
    let host = Host::start_usual();
    let said = doctor(&host, ROOT, &["--json"]);
    let report = said.succeeded().json();
    assert_eq!(in_state(&report, "missing"), [""; 0]);
    let vital = [
        "capabilities",
        "cgroup2",
        "bpffs",
        "btf",
        "ring-buffer",
        "lpm-trie",
        "socket-storage",
        "program-array",
        "connect-hook",
        "packet-hook",
        "links",
        "gate-programs",
        "boot-clock",
    ];
    for name in vital {
        says(check(&report, name), "ok", "");
    }
    says(check(&report, "pins"), "ok", "a gate of this version");
    says(check(&report, "attached"), "ok", "6 of 6 programs, to");
    says(check(&report, "daemon"), "ok", "is enforcing, attached to");
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(report["kernel"], release.trim());
}

#[test]
fn a_user_sees_what_a_user_can_see_and_is_told_what_needs_root() {
    let host = Host::start_usual();
    let said = doctor(&host, ALICE, &["--json"]);
    let report = said.succeeded().json();
    assert_eq!(in_state(&report, "missing"), [""; 0]);
    for name in [
        "capabilities",
        "ring-buffer",
        "gate-programs",
        "raw-sockets",
    ] {
        let check = check(&report, name);
        says(check, "unknown", "not checked: needs root");
        assert_eq!(check["remedy"], "run `stile doctor` as root");
    }
    for name in ["kernel", "cgroup2", "bpffs", "btf", "boot-clock"] {
        says(check(&report, name), "ok", "");
    }
    says(check(&report, "daemon"), "ok", "is enforcing");
}

#[test]
fn a_daemon_that_does_not_run_is_named_with_its_remedy() {
    let mut host = Host::start_usual();
    host.stop();
    let report = doctor(&host, ROOT, &["--json"]).succeeded().json();
    let daemon = check(&report, "daemon");
    assert_eq!(daemon["state"], "degraded");
    assert!(
        daemon["remedy"]
            .as_str()
            .unwrap()
            .contains("systemctl start stiled")
    );
    // The gate outlives it.
    says(check(&report, "attached"), "ok", "6 of 6 programs, to");
}

#[test]
fn looking_attaches_and_pins_nothing() {
    let host = Host::builder().stopped().build();
    let report = doctor(&host, ROOT, &["--json"]).succeeded().json();
    says(
        check(&report, "gate-programs"),
        "ok",
        "the verifier takes them",
    );
    says(check(&report, "pins"), "ok", "no gate is pinned");
    assert_eq!(fs::read_dir(host.pins()).map_or(0, Iterator::count), 0);
    host.connect(ALICE).connected();
}

#[test]
fn a_gate_of_another_version_is_missing_ground_to_stand_on() {
    let host = Host::builder().stopped().build();
    fs::create_dir_all(host.pins().join("v999")).unwrap();
    let said = doctor(&host, ROOT, &["--json"]);
    assert_eq!(said.code, 1, "{said:?}");
    let report = said.json();
    assert_eq!(in_state(&report, "missing"), ["pins"]);
    let pins = check(&report, "pins");
    says(pins, "missing", "\"v999\"");
    assert!(pins["remedy"].as_str().unwrap().contains("stile detach"));
}

#[test]
fn a_place_without_bpffs_is_said_in_words_without_colours_for_a_pipe() {
    let host = Host::builder().stopped().build();
    let said = host.stile(ROOT, &["doctor", "--bpffs", "/proc/stile"]);
    assert_eq!(said.code, 1, "{said:?}");
    for text in [
        "no bpffs is mounted at /proc",
        "the gate would end with the daemon",
        "→ mount one: mount -t bpf bpf /sys/fs/bpf",
        "the gate can't stand here",
    ] {
        assert!(said.stdout.contains(text), "{text}: {}", said.stdout);
    }
    assert!(!said.stdout.contains('\u{1b}'), "{}", said.stdout);
    assert_eq!(said.stderr, "");
}
