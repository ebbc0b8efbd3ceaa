// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The key of the secrets as a credential that systemd decrypts, with the commands that
//! docs/factors.md has. The machine's TPM isn't there: systemd seals with a key of the host's.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use stile_tests::{ALICE, Host, Machine, Said, cannot_run, missing, until};

use super::{policy, step_up};

const CREDENTIAL: &str = "LoadCredentialEncrypted=stile-key:/etc/stile/stile-key.cred";
/// Only waits, so that what systemd has opened stays there.
const WAITS: &str = "Type=exec\nExecStart=\nExecStart=/usr/bin/sleep infinity";
/// Opens the ledger of the unit.
const CHECKS: &str = "Type=oneshot\nRestart=no\nExecStart=\n\
                      ExecStart=/usr/bin/stile ledger check --state-dir /var/lib/stile";

/// Starts the packaged unit with these lines in a drop-in.
#[track_caller]
fn start(machine: &Machine, lines: &[&str]) -> Said {
    let folder = machine.root().join("etc/systemd/system");
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd/stiled.service");
    fs::copy(unit, folder.join("stiled.service")).unwrap();
    let folder = folder.join("stiled.service.d");
    fs::create_dir_all(&folder).unwrap();
    let text = format!("[Service]\n{}\n", lines.join("\n"));
    fs::write(folder.join("test.conf"), text).unwrap();
    machine.run(&["systemctl", "daemon-reload"]).succeeded();
    machine.run(&["systemctl", "restart", "stiled"])
}

/// A machine, and a host whose daemon serves it; the credential is made as docs/factors.md tells.
/// `None`, having said so, where that can't be had.
fn sealed() -> Option<(Host, Machine)> {
    if let Some(program) = missing(&["systemd-creds"]) {
        cannot_run(&format!("{program} isn't installed"));
        return None;
    }
    let mut host = Host::builder()
        .policy(&policy(&step_up("dba step-up", "db", "")))
        .without_bus()
        .stopped()
        .build();
    let Some(machine) = Machine::boot(&mut host) else {
        cannot_run("there is no systemd-nspawn, or no pam_systemd");
        return None;
    };
    for command in [
        "mkdir -p /etc/stile",
        "umask 077; head -c 32 /dev/urandom > /run/stile-key",
        "systemd-creds encrypt --with-key=auto --name=stile-key /run/stile-key \
         /etc/stile/stile-key.cred",
        "rm /run/stile-key",
    ] {
        machine.run(&["sh", "-ec", command]).succeeded();
    }
    Some((host, machine))
}

/// Begins a unit that has the credential, and tells where systemd keeps it for that unit.
fn hand_over(machine: &Machine, unit: &str) -> PathBuf {
    let property = format!("--property={CREDENTIAL}");
    let unit_name = format!("--unit={unit}");
    let started = [
        "systemd-run",
        &unit_name,
        &property,
        "--property=Type=exec",
        "sleep",
        "infinity",
    ];
    machine.run(&started).succeeded();
    machine.seen_inside(format!("/run/credentials/{unit}.service"))
}

#[test]
fn a_credential_that_systemd_has_decrypted_opens_the_secrets_and_nothing_else_does() {
    let Some((mut host, machine)) = sealed() else {
        return;
    };
    let authenticator = host.enroll(ALICE);
    let key_file = host.state().join("secrets.key");
    assert!(key_file.exists(), "without a credential there is a file");

    let folder = hand_over(&machine, "with-stile-key");
    host.stop();
    host.give_credentials(Some(&folder));
    host.start();
    host.wait_for_bus();
    assert!(!key_file.exists(), "the key from outside takes its place");
    let test = ["factor", "test", "--stdin"];
    host.stile_typing(ALICE, &test, &authenticator.fresh_code())
        .succeeded();

    host.stop();
    host.give_credentials(None);
    let said = host.try_start().unwrap_err();
    assert!(said.contains("stile-key"), "{said}");
    // After a restart of its unit systemd hands the same key over.
    machine
        .run(&["systemctl", "stop", "with-stile-key"])
        .succeeded();
    host.give_credentials(Some(&hand_over(&machine, "with-stile-key-again")));
    host.start();
}

#[test]
fn the_packaged_unit_has_the_key_from_an_encrypted_credential_and_no_file_is_made() {
    let Some((mut host, machine)) = sealed() else {
        return;
    };
    // As on a host on which stile has never run.
    host.stop();
    let (ledger, key) = (
        host.state().join("ledger.redb"),
        host.state().join("secrets.key"),
    );
    fs::remove_file(&ledger).unwrap();
    fs::remove_file(&key).unwrap();
    start(&machine, &[WAITS, CREDENTIAL]).succeeded();
    host.give_credentials(Some(
        &machine.seen_inside("/run/credentials/stiled.service"),
    ));
    host.start();
    assert!(!key.exists());
    let _ = host.enroll(ALICE);
    host.stop();
    assert!(!key.exists());

    // In the unit itself, which finds it by what systemd says.
    let state = machine.root().join("var/lib/stile");
    fs::copy(&ledger, state.join("ledger.redb")).unwrap();
    let mode = fs::Permissions::from_mode(0o600);
    fs::set_permissions(state.join("ledger.redb"), mode).unwrap();
    start(&machine, &[CHECKS, CREDENTIAL]).succeeded();
    assert!(!state.join("secrets.key").exists());
    // Without the credential there is no other key.
    assert_ne!(start(&machine, &[CHECKS]).code, 0);
    until("the journal has what both said", || {
        let log = machine.run(&["journalctl", "--no-pager", "--unit=stiled"]);
        let both = ["sealed with the key of: credential", "there is no key"];
        both.iter().all(|it| log.stdout.contains(it)).then_some(())
    });
    assert!(host.try_start().unwrap_err().contains("there is no key"));
}
