// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile ledger check` and `stile ledger export`.

use std::fs;

use stile_tests::{ALICE, Authenticator, Client, Host, ROOT};

use crate::scene::{SECRET, opens, recovery_codes, waiting, with_token};

/// A connection of alice's with a proof that still counts.
fn passed(host: &Host, token: &Authenticator) -> Client {
    let client = waiting(host);
    host.approve(ALICE, token);
    client.connected();
    client
}

#[test]
fn a_whole_ledger_is_told_so_by_the_daemon_and_without_it() {
    let (mut host, token) = with_token();
    let _client = passed(&host, &token);
    let state = host.state();
    let at = ["ledger", "check", "--state-dir", state.to_str().unwrap()];
    let asked = host.stile(ROOT, &["ledger", "check", "--json"]);
    let asked = asked.succeeded().json();
    assert_eq!((&asked["ok"], &asked["devices"]), (&true.into(), &1.into()));
    assert_eq!(
        (&asked["schema"], &asked["elevations"]),
        (&2.into(), &1.into())
    );
    host.stile(ROOT, &at).failed(1, "is in use");
    host.stop();
    let said = host.stile(ROOT, &at);
    assert!(
        said.succeeded()
            .stdout
            .contains("whole: 1 devices, 1 proofs"),
        "{said:?}"
    );
    let nowhere = ["ledger", "check", "--state-dir", "/var/empty"];
    host.stile(ROOT, &nowhere).failed(3, "no ledger");
    // A check has made or changed nothing that the daemon would mind.
    host.start();
    host.stile(ALICE, &["revoke"]).succeeded();
    opens(&host, &token.fresh_code());
}

#[test]
fn what_is_written_out_has_no_secret() {
    let (mut host, token) = with_token();
    let codes = recovery_codes(&host);
    let _client = passed(&host, &token);
    let asked = host.stile(ROOT, &["ledger", "export", "--json"]);
    host.stop();
    let state = host.state();
    let read = [
        "ledger",
        "export",
        "--state-dir",
        state.to_str().unwrap(),
        "--json",
    ];
    let read = host.stile(ROOT, &read);
    assert_eq!(asked.succeeded().json(), read.succeeded().json());
    let export = asked.json();
    assert_eq!(export["devices"][0]["name"], "token");
    assert_eq!(export["devices"][0]["uid"], ALICE.uid);
    assert_eq!(export["recovery"][0]["left"], 10);
    assert_eq!(export["elevations"][0]["factor"], "totp");
    let key = fs::read_to_string(state.join("secrets.key")).unwrap();
    let hex: String = token
        .secret_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let text = asked.stdout.to_lowercase();
    for secret in [
        &SECRET.to_lowercase(),
        &hex,
        &codes[0],
        &codes[9],
        key.trim(),
    ] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
    for word in ["sealed", "digest", "salt"] {
        assert!(!text.contains(word), "{word} is in {text}");
    }
}

/// One digit of each sealed secret becomes another.
fn damage(host: &Host) {
    let path = host.state().join("ledger.redb");
    let mut bytes = fs::read(&path).unwrap();
    let mark = b"\"sealed\":\"";
    let places: Vec<_> = (0..bytes.len() - 100)
        .filter(|at| bytes[*at..].starts_with(mark))
        .collect();
    assert!(!places.is_empty());
    for at in places {
        let digit = &mut bytes[at + mark.len() + 60];
        *digit = if *digit == b'0' { b'1' } else { b'0' };
    }
    fs::write(&path, bytes).unwrap();
}

#[test]
fn a_damaged_one_is_told_so_and_grants_nothing() {
    let (mut host, token) = with_token();
    host.stop();
    damage(&host);
    let state = host.state();
    let at = ["ledger", "check", "--state-dir", state.to_str().unwrap()];
    let said = host.stile(ROOT, &at);
    said.failed(5, "TOTP device 1 of uid 42001");
    host.start();
    host.stile(ROOT, &["ledger", "check"])
        .failed(5, "TOTP device 1 of uid 42001");
    let client = waiting(&host);
    let said = host.answer(ALICE, None, &token.fresh_code());
    said.failed(1, "nothing can be granted now");
    client.still_waits();
    assert_eq!(host.server().accepted(), 0);
}

#[test]
fn what_is_no_ledger_is_told_so() {
    let host = Host::builder().stopped().build();
    let state = host.state();
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let ledger = state.join("ledger.redb");
    fs::write(&ledger, [0xa5; 65536]).unwrap();
    fs::set_permissions(&ledger, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let at = ["ledger", "check", "--state-dir", state.to_str().unwrap()];
    host.stile(ROOT, &at).failed(5, "ledger.redb");
}
