// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the real libpam asks, asked in dialogs.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use stile_tests::{ALICE, Desktop, Host, Installed, cannot_run, missing, program, until};

use super::dunst::Dunst;
use super::scene::{Asked, DIALOG, asked_at};
use super::{policy, prompts, step_up};

const FOLDERS: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
];
/// What alice's service says, before it asks for a password as `pam_matrix` does.
const TELLS: &str = "This is no password of yours elsewhere.";

/// The module that asks for a password in a file. `None`, having said so, where there is none.
fn matrix() -> Option<PathBuf> {
    let module = |folder: &&str| Path::new(folder).join("pam_wrapper/pam_matrix.so");
    let found = FOLDERS.iter().map(module).find(|path| path.exists());
    if found.is_none() {
        cannot_run("libpam-wrapper isn't installed");
    }
    found
}

/// A host whose rule asks for what a service of PAM does. `None`, having said so, where there is
/// no such service.
fn host(number: u32) -> Option<Host> {
    let matrix = matrix()?;
    let service = format!("stile-people-{number}");
    let passwords = Path::new("/etc").join(format!("{service}-passwords"));
    fs::write(&passwords, format!("alice:sesame:{service}\n")).unwrap();
    let asks = format!("{} passdb={}", matrix.display(), passwords.display());
    let file = Path::new("/etc/pam.d").join(&service);
    let lines = format!(
        "auth optional pam_echo.so {TELLS}\nauth required {asks}\naccount required {asks}\n"
    );
    fs::write(&file, lines).unwrap();
    fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    let factors = format!("factors = [\"pam:{service}\"]");
    let rule = step_up("dba step-up", "db", &factors);
    let helper = program("stile-pam");
    let settings = format!("pam_helper = {helper:?}\n\n[[pam]]\nservice = {service:?}\n");
    let host = Host::builder().policy(&policy(&rule)).settings(&settings);
    Some(host.build())
}

/// Where alice answers in the dialog that this program shows.
fn asked(number: u32, program: &str, desktop: &str) -> Option<Asked> {
    asked_at(host(number)?, program, desktop, &[])
}

/// The outcomes of what was judged, from first to last.
fn outcomes(host: &Host) -> Vec<String> {
    let records = host.audit().records();
    let judged = records.of("factor").into_iter();
    judged
        .map(|record| record["outcome"].as_str().unwrap().to_owned())
        .collect()
}

/// True while a process asks this service of PAM.
fn is_asked(service: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
        .any(|words| {
            words
                .split(|byte| *byte == 0)
                .any(|it| it == service.as_bytes())
        })
}

/// Asks, is answered wrongly, asks again and is answered.
fn answers_what_pam_asks(asked: &Asked, picture: &str) {
    let mut client = asked.host.connect(ALICE);
    asked.desktop.wait_for_window(DIALOG);
    asked.desktop.screenshot(DIALOG, picture);
    let first = asked.dialog();
    asked.types("wrong");
    asked.wait_for_other_dialog(&first);
    asked
        .desktop
        .screenshot(DIALOG, &format!("{picture}-wrong"));
    client.still_waits();
    asked.types("sesame");
    client.connected();
    client.talks();
    asked.desktop.wait_for_no_window(DIALOG);
    assert_eq!(prompts(&asked.host, ALICE), 1);
    assert_eq!(outcomes(&asked.host), ["wrong", "accepted"]);
    assert!(!asked.host.log().contains("sesame"));
}

#[test]
fn what_pam_asks_is_asked_in_the_dialog_and_what_it_says_is_told() {
    let Some(asked) = asked(1, "pinentry-qt", "KDE") else {
        return;
    };
    let Some(dunst) = Dunst::start(&asked.host, &asked.desktop) else {
        return;
    };
    answers_what_pam_asks(&asked, "dialog-pam");
    // dunst shows the same text once, however often it comes.
    assert_eq!(dunst.closed(), [("stile: db".to_owned(), TELLS.to_owned())]);
}

#[test]
fn gnomes_dialog_asks_what_pam_asks() {
    let Some(asked) = asked(2, "gcr-prompter", "GNOME") else {
        return;
    };
    answers_what_pam_asks(&asked, "dialog-pam-gnome");
}

#[test]
fn the_dialog_speaks_of_an_answer_and_says_when_one_was_wrong() {
    let flavour = "pinentry-qt";
    if let Some(program) = missing(&[flavour]) {
        return cannot_run(&format!("there is no {program}"));
    }
    let Some(host) = host(4) else { return };
    let Some(desktop) = Desktop::of(&host, ALICE) else {
        return;
    };
    let installed = Installed::new();
    let said = desktop.home().join("said");
    fs::write(&said, "").unwrap();
    chown(&said, Some(ALICE.uid), Some(ALICE.uid)).unwrap();
    installed.write_down(flavour, &said);
    let variables = desktop.variables(&[("XDG_CURRENT_DESKTOP", "KDE")]);
    let asked = Asked::with_installed(host, installed, desktop, &variables);
    answers_what_pam_asks(&asked, "dialog-pam-logged");
    let said = fs::read_to_string(said).unwrap();
    let lines: Vec<_> = said.lines().collect();
    let count = |line: &str| lines.iter().filter(|it| **it == line).count();
    assert_eq!(count("SETPROMPT Password:"), 2, "{said}");
    assert_eq!(count("SETERROR Wrong answer. 2 tries left."), 1, "{said}");
    assert!(
        said.contains("%0AAn answer gives: db for 15 minutes"),
        "{said}"
    );
    assert!(!said.contains("code"), "{said}");
}

#[test]
fn a_dialog_that_nobody_needs_any_more_ends_what_asks_pam() {
    let Some(asked) = asked(5, "pinentry-qt", "KDE") else {
        return;
    };
    let client = asked.host.connect(ALICE);
    asked.desktop.wait_for_window(DIALOG);
    assert!(is_asked("stile-people-5"));
    client.kill();
    asked.desktop.wait_for_no_window(DIALOG);
    until("stile-pam has ended", || {
        (!is_asked("stile-people-5")).then_some(())
    });
}

#[test]
fn escape_refuses_instead_of_answering_pam() {
    let Some(asked) = asked(3, "pinentry-qt", "KDE") else {
        return;
    };
    let client = asked.host.connect(ALICE);
    asked.desktop.wait_for_window(DIALOG);
    asked.desktop.presses("Escape");
    client.refused();
    asked.desktop.wait_for_no_window(DIALOG);
    assert!(outcomes(&asked.host).is_empty());
    let records = asked.host.audit().wait_for("challenge-ended", 1);
    assert_eq!(records.the("challenge-ended")["outcome"], "denied");
}
