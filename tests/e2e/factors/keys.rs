// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The key that opens the secrets: without it nothing is granted, and nothing is made anew.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::errno::Errno;
use stile_tests::{ALICE, Host, cannot_run, missing};

use crate::scene::{opens, with_token};

fn key_file(host: &Host) -> PathBuf {
    host.state().join("secrets.key")
}

/// Asserts that the daemon doesn't start, that it says this in one line, and that nobody gets
/// through.
#[track_caller]
fn stays_closed(host: &mut Host, saying: &[&str]) {
    let said = host.try_start().unwrap_err();
    let line = said.lines().find(|line| line.starts_with("stiled: "));
    let line = line.unwrap_or_else(|| panic!("{said}"));
    for text in saying {
        assert!(line.contains(text), "{line}");
    }
    assert_eq!(host.connect(ALICE).refused().0, Errno::EPERM);
}

fn write(path: &Path, bytes: &[u8], mode: u32) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn without_its_key_the_daemon_does_not_start_until_that_is_back() {
    let (mut host, token) = with_token();
    let key = key_file(&host);
    host.stop();
    let kept = fs::read(&key).unwrap();

    fs::remove_file(&key).unwrap();
    stays_closed(&mut host, &["there is no key", "secrets.key", "restore it"]);
    assert!(
        !key.exists(),
        "a new key would hide that the old one is gone"
    );
    write(&key, &[7; 32], 0o600);
    stays_closed(&mut host, &["secrets.key", "another key"]);
    write(&key, &kept[..20], 0o600);
    stays_closed(&mut host, &["secrets.key is no key", "32 random bytes"]);
    write(&key, &kept, 0o644);
    stays_closed(&mut host, &["lets others in", "chmod 600"]);
    write(&key, &kept, 0o600);
    chown(&key, Some(ALICE.uid), None).unwrap();
    stays_closed(&mut host, &["belongs to uid 42001", "chown 0"]);

    chown(&key, Some(0), None).unwrap();
    host.start();
    opens(&host, &token.fresh_code());
}

/// A folder as systemd gives it to a service with `LoadCredential=`.
fn credentials(host: &Host) -> PathBuf {
    let folder = host.state().with_file_name("credentials");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o500)).unwrap();
    folder
}

#[test]
fn a_credential_takes_the_place_of_the_file_and_later_of_another_credential() {
    let (mut host, token) = with_token();
    let folder = credentials(&host);
    write(&folder.join("stile-key"), &[1; 32], 0o400);
    host.give_credentials(Some(&folder));
    host.restart();
    assert!(!key_file(&host).exists());
    opens(&host, &token.fresh_code());

    // The file is gone for good.
    host.stop();
    host.give_credentials(None);
    stays_closed(&mut host, &["there is no key", "\"stile-key\""]);

    // Another credential, with the one before beside it for one start.
    host.give_credentials(Some(&folder));
    write(&folder.join("stile-key"), &[2; 32], 0o400);
    stays_closed(&mut host, &["\"stile-key\"", "another key"]);
    write(&folder.join("stile-key-previous"), &[1; 32], 0o400);
    host.start();
    host.stop();
    fs::remove_file(folder.join("stile-key-previous")).unwrap();
    host.start();
    opens(&host, &token.fresh_code());
    host.stop();
    write(&folder.join("stile-key"), &[1; 32], 0o400);
    stays_closed(&mut host, &["another key"]);
}

/// The key of `systemd-creds` itself is one of the test's own.
#[test]
fn a_credential_of_systemd_is_such_a_key() {
    if let Some(program) = missing(&["systemd-creds"]) {
        cannot_run(&format!("{program} isn't installed"));
        return;
    }
    let (mut host, token) = with_token();
    let folder = credentials(&host);
    let own = tempfile::tempdir_in("/var/tmp").unwrap();
    let (plain, sealed) = (own.path().join("plain"), own.path().join("sealed"));
    write(&plain, &[3; 32], 0o600);
    let creds = |arguments: &[&str], from: &Path, to: &Path| {
        let output = Command::new("systemd-creds")
            .args(arguments)
            .args([from, to])
            .env("SYSTEMD_CREDENTIAL_SECRET", own.path().join("host.secret"))
            .output();
        output.unwrap()
    };
    let encrypt = ["encrypt", "--with-key=host", "--name=stile-key"];
    let made = creds(&encrypt, &plain, &sealed);
    if !made.status.success() {
        let why = String::from_utf8_lossy(&made.stderr).trim().to_owned();
        cannot_run(&format!("systemd-creds makes no key here: {why}"));
        return;
    }
    let text = fs::read(&sealed).unwrap();
    assert!(!text.windows(32).any(|window| window == [3; 32]));
    let decrypt = ["decrypt", "--name=stile-key"];
    let opened = creds(&decrypt, &sealed, &folder.join("stile-key"));
    assert!(opened.status.success(), "{opened:?}");
    host.give_credentials(Some(&folder));
    host.restart();
    assert!(!key_file(&host).exists());
    opens(&host, &token.fresh_code());
}
