// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where secrets are not.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use stile_tests::{ALICE, Host, ROOT, Running, program, until};

use crate::scene::recovery_codes;

/// A secret as somebody might have written it down.
fn forms(bytes: &[u8], base32: &str) -> Vec<Vec<u8>> {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let texts = [
        hex.to_uppercase(),
        hex,
        base32.to_owned(),
        base32.to_lowercase(),
    ];
    let mut forms: Vec<_> = texts.into_iter().map(String::into_bytes).collect();
    forms.push(bytes.to_vec());
    forms
}

fn has(bytes: &[u8], form: &[u8]) -> bool {
    bytes.windows(form.len()).any(|window| window == form)
}

#[test]
fn secrets_are_in_no_file_no_log_no_signal_and_no_environment() {
    let host = Host::start_usual();
    let signals = host.state().with_file_name("signals");
    let mut monitor = Command::new("dbus-monitor");
    monitor
        .args(["--address", host.bus(), "type='signal'"])
        .arg("type='method_call',member='Subscribe'")
        .stdin(Stdio::null())
        .stdout(File::create(&signals).unwrap());
    let monitor = Running::new(&mut monitor);
    let hears = |what: &str| {
        until(&format!("{what} is heard on the bus"), || {
            let heard = fs::read_to_string(&signals).unwrap();
            heard.contains(what).then_some(())
        });
    };
    hears("NameAcquired");
    let mut waiting = host.as_user(ALICE, program("stile"));
    let waiting = Running::start(waiting.args(["wait", "--next"]));
    hears("Subscribe");

    let phone = host.enroll(ALICE);
    let codes = recovery_codes(&host);
    let client = host.connect(ALICE);
    hears("ChallengeRaised");
    host.wait_for_challenge(ALICE);
    host.answer(ALICE, None, &phone.wrong_code())
        .failed(1, "wrong code");
    let right = phone.fresh_code();
    host.answer(ALICE, None, &right).succeeded();
    client.connected();
    host.stile(ROOT, &["secrets", "rotate"]).succeeded();
    hears("ChallengeEnded");
    drop((monitor, waiting));

    let mut forms = forms(&phone.secret_bytes(), phone.secret());
    for code in &codes {
        forms.push(code.clone().into_bytes());
        forms.push(code.replace('-', "").into_bytes());
    }
    let key = fs::read_to_string(host.state().join("secrets.key")).unwrap();
    forms.push(key.trim().as_bytes().to_vec());
    let process = format!("/proc/{}", host.pid());
    let mut places = vec![
        host.state().join("ledger.redb"),
        host.state().join("history.redb"),
        host.audit().path().to_owned(),
        signals,
        format!("{process}/cmdline").into(),
        format!("{process}/environ").into(),
    ];
    places.retain(|place| place.exists());
    assert!(places.len() >= 5, "{places:?}");
    for place in places {
        let bytes = fs::read(&place).unwrap();
        assert!(!bytes.is_empty(), "{}", place.display());
        let found = forms.iter().find(|form| has(&bytes, form));
        assert_eq!(found, None, "{}", place.display());
    }
    let log = host.log();
    assert!(log.contains("enrolled"), "it logs what it does: {log}");
    assert!(!forms.iter().any(|form| has(log.as_bytes(), form)), "{log}");
    // What is looked for is found where it is.
    let address = format!("otpauth://totp/x?secret={}", phone.secret());
    assert!(forms.iter().any(|form| has(address.as_bytes(), form)));
}

#[test]
fn the_daemon_leaves_no_core() {
    let mut host = Host::start_usual();
    let _ = host.enroll(ALICE);
    let limits = fs::read_to_string(format!("/proc/{}/limits", host.pid())).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let words: Vec<&str> = line.unwrap().split_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"], "{limits}");
    host.signal(Signal::SIGABRT);
    let status = host.wait_for_end();
    assert_eq!(status.signal(), Some(Signal::SIGABRT as i32));
    assert!(!status.core_dumped());
}

#[test]
fn files_of_the_ledger_and_its_key_are_roots_alone() {
    use std::os::unix::fs::MetadataExt as _;
    let host = Host::start_usual();
    let _ = host.enroll(ALICE);
    for name in ["ledger.redb", "secrets.key"] {
        let metadata = fs::metadata(host.state().join(name)).unwrap();
        assert_eq!(
            (metadata.mode() & 0o777, metadata.uid()),
            (0o600, 0),
            "{name}"
        );
    }
    let key = host.state().join("secrets.key");
    let mut reading = host.as_user(ALICE, "/bin/cat");
    let said = Running::start(reading.arg(key)).output();
    assert!(!said.status.success());
}
