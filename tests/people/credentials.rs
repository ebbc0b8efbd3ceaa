// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The key of the secrets as a credential that systemd decrypts, with the commands that
//! docs/factors.md has. The machine's TPM isn't there: systemd seals with a key of the host's.

use stile_tests::{ALICE, Host, Machine, cannot_run, missing};

use super::{policy, step_up};

const ENCRYPTED: &str = "/etc/stile/stile-key.cred";

/// Begins a unit that has the credential, and tells where systemd keeps it for that unit.
fn hand_over(machine: &Machine, unit: &str) -> std::path::PathBuf {
    let property = format!("--property=LoadCredentialEncrypted=stile-key:{ENCRYPTED}");
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
    if let Some(program) = missing(&["systemd-creds"]) {
        return cannot_run(&format!("{program} isn't installed"));
    }
    let mut host = Host::builder()
        .policy(&policy(&step_up("dba step-up", "db", "")))
        .without_bus()
        .stopped()
        .build();
    let Some(machine) = Machine::boot(&mut host) else {
        return cannot_run("there is no systemd-nspawn, or no pam_systemd");
    };
    let authenticator = host.enroll(ALICE);
    let key_file = host.state().join("secrets.key");
    assert!(key_file.exists(), "without a credential there is a file");

    for command in [
        "mkdir -p /etc/stile",
        "umask 077; head -c 32 /dev/urandom > /run/stile-key",
        "systemd-creds encrypt --with-key=auto --name=stile-key /run/stile-key \
         /etc/stile/stile-key.cred",
        "rm /run/stile-key",
    ] {
        machine.run(&["sh", "-ec", command]).succeeded();
    }
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
