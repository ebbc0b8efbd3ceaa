// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Fake pinentries stand in only for faults, and to see what is said to one. Real dialogs are
//! driven elsewhere.

use std::collections::HashMap;
use std::path::Path;

use super::super::children::tests::script;
use super::super::question::tests::question;
use super::*;
use crate::sys::pidfd::PidFd;

/// Long enough for any machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Answers OK to everything up to `GETPIN`, and writes down what it was told.
const POLITE: &str = "echo 'OK hello'; while read -r line; do echo \"$line\" >> \"$0.said\"; \
     case $line in GETPIN*) break;; *) echo OK;; esac; done";

fn session(variables: &[(&str, &str)]) -> Environment {
    Environment::new(variables.iter().copied())
}

fn fake(directory: &Path, name: &str, lines: &str) -> Pinentry {
    Pinentry {
        program: script(directory, name, lines),
        environment: session(&[("DISPLAY", ":0"), ("LANG", "de_DE.UTF-8")]),
    }
}

async fn deed_of(lines: &str) -> Deed {
    let dir = tempfile::tempdir().unwrap();
    fake(dir.path(), "pinentry-qt", lines)
        .ask(&question(PATIENCE))
        .await
}

async fn why_unable(lines: &str) -> String {
    match deed_of(lines).await {
        Deed::Unable(why) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_desktop_gets_the_flavour_of_its_toolkit() {
    let first = |variables: &[_]| candidates(&session(variables))[0];
    let x11 = ("DISPLAY", ":0");
    let bus = ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/x");
    let desktop = |name| ("XDG_CURRENT_DESKTOP", name);
    assert_eq!(first(&[x11, bus, desktop("KDE")]), "pinentry-qt");
    assert_eq!(first(&[x11, bus, desktop("LXQt")]), "pinentry-qt");
    assert_eq!(first(&[x11, bus, desktop("ubuntu:GNOME")]), GNOME3);
    assert_eq!(first(&[x11, desktop("GNOME")]), "pinentry-gtk-2");
    assert_eq!(first(&[x11, bus, desktop("XFCE")]), "pinentry-gtk-2");
    assert_eq!(first(&[x11]), "pinentry-gtk-2");
    assert_eq!(first(&[("WAYLAND_DISPLAY", "wayland-0")]), "pinentry-qt");
}

#[test]
fn without_a_display_there_is_no_pinentry() {
    assert!(Pinentry::find(&session(&[("XDG_CURRENT_DESKTOP", "KDE")])).is_none());
}

#[test]
fn no_terminal_is_taken() {
    for name in [
        "pinentry-curses",
        "pinentry-tty",
        "pinentry",
        "pinentry-mac",
    ] {
        assert!(!draws_windows(name), "{name}");
    }
    assert!(draws_windows("pinentry-gtk-2"));
    assert!(falls_back(b"gtk2:curses"));
    assert!(falls_back(b"curses"));
    assert!(!falls_back(b"gtk2"));
}

#[tokio::test]
async fn a_fallback_to_the_terminal_is_not_used() {
    let lines = "echo OK; read -r line; echo 'D gnome3:curses'; echo OK; cat > /dev/null";
    let why = why_unable(lines).await;
    assert_eq!(
        why,
        "pinentry-qt: it answered with a fallback to the terminal"
    );
}

#[tokio::test]
async fn a_code_is_passed_unchanged() {
    for code in ["492817", "492 817", "492-817", "100%25 äöü"] {
        let deed = deed_of(&format!("{POLITE}; echo 'D {code}'; echo OK")).await;
        let Deed::Code(typed) = deed else {
            panic!("{deed:?}")
        };
        assert_eq!(*typed, code.replace("%25", "%"));
    }
}

#[tokio::test]
async fn a_toolkit_may_complain() {
    let lines = format!("echo 'QStandardPaths: no' >&2 || exit; {POLITE}; echo D 1; echo OK");
    let deed = deed_of(&lines).await;
    assert!(matches!(deed, Deed::Code(_)), "{deed:?}");
}

#[tokio::test]
async fn an_empty_field_is_asked_for_again_but_not_for_ever() {
    let once = format!("{POLITE}; echo OK; read -r line; echo 'D 1'; echo OK");
    assert!(matches!(deed_of(&once).await, Deed::Code(_)));
    let ever = format!("{POLITE}; while echo OK; do read -r line || exit; done");
    assert_eq!(
        why_unable(&ever).await,
        "pinentry-qt: its field stays empty"
    );
}

#[tokio::test]
async fn cancel_is_a_refusal_and_a_timeout_is_silence() {
    for cancelled in [83_886_179, 83_886_194, 83_886_278] {
        let deed = deed_of(&format!("{POLITE}; echo 'ERR {cancelled} Operation'")).await;
        assert!(matches!(deed, Deed::Denied), "{cancelled}: {deed:?}");
    }
    let deed = deed_of(&format!("{POLITE}; echo 'ERR 83886142 Timeout'")).await;
    assert!(matches!(deed, Deed::Silent), "{deed:?}");
    let why = why_unable(&format!("{POLITE}; echo 'ERR 83886340 No display'")).await;
    assert_eq!(why, "pinentry-qt: No display");
}

#[tokio::test]
async fn a_pinentry_that_breaks_leads_to_the_next_place() {
    assert_eq!(
        why_unable("exit 1").await,
        "pinentry-qt: it ended without an answer"
    );
    assert_eq!(
        why_unable(POLITE).await,
        "pinentry-qt: it ended without an answer"
    );
    assert_eq!(
        why_unable("echo 'Segmentation fault'").await,
        "pinentry-qt: it answered with what is no answer"
    );
    assert_eq!(
        why_unable("head -c 10000000 /dev/zero; cat").await,
        "pinentry-qt: it answered with a line that is too long"
    );
    let dir = tempfile::tempdir().unwrap();
    let mut gone = fake(dir.path(), "pinentry-qt", "");
    gone.program = Program::unchecked(&dir.path().join("gone"));
    let deed = gone.ask(&question(PATIENCE)).await;
    assert!(matches!(deed, Deed::Unable(_)), "{deed:?}");
}

#[tokio::test]
async fn the_question_reaches_the_dialog_and_no_text_becomes_a_command() {
    let dir = tempfile::tempdir().unwrap();
    let pinentry = fake(dir.path(), "pinentry-qt", &format!("{POLITE}; echo OK"));
    let mut asked = question(PATIENCE);
    asked.heading = "100 %\nSETOK Deny".into();
    asked.error = Some("Wrong code.".into());
    asked.approve = "Ap_prove".into();
    let _ = pinentry.ask(&asked).await;
    let said = std::fs::read_to_string(dir.path().join("pinentry-qt.said")).unwrap();
    let lines: Vec<_> = said.lines().collect();
    for line in [
        "OPTION lc-ctype=de_DE.UTF-8",
        "SETTITLE stile",
        "SETDESC 100 %25 SETOK Deny%0A%0AOthers can change this program.%0A%0A\
         Program: /usr/bin/psql (pid 4711)%0AFrom: bash on pts/3",
        "SETPROMPT 6-digit code:",
        "SETOK Ap__prove",
        "SETCANCEL Deny",
        "SETTIMEOUT 60",
        "SETERROR Wrong code.",
    ] {
        assert!(lines.contains(&line), "{line} is not in {said}");
    }
    assert_eq!(lines.iter().filter(|l| l.starts_with("SETOK")).count(), 1);
}

#[tokio::test]
async fn gnomes_flavour_gets_the_question_as_its_headline() {
    let dir = tempfile::tempdir().unwrap();
    let pinentry = fake(dir.path(), GNOME3, POLITE);
    let settings = pinentry.settings(&question(PATIENCE));
    assert!(settings.contains(&("SETPROMPT", "psql wants to reach prod-db".into())));
}

#[tokio::test]
async fn a_question_that_is_too_long_for_a_label_stands_above_its_field() {
    let dir = tempfile::tempdir().unwrap();
    let pinentry = fake(dir.path(), "pinentry-qt", POLITE);
    let mut asked = question(PATIENCE);
    asked.prompt =
        "Enter the code of eight digits that was sent to the phone whose number ends with 42"
            .into();
    let settings: HashMap<_, _> = pinentry.settings(&asked.bounded()).into_iter().collect();
    let said = &settings["SETDESC"];
    let end = "\n\nEnter the code of eight digits that was sent to the phone whose number\n    ends with 42";
    assert!(said.ends_with(end), "{said}");
    assert_eq!(settings["SETPROMPT"], BELOW);
}

#[tokio::test]
async fn at_the_deadline_the_dialog_goes() {
    let dir = tempfile::tempdir().unwrap();
    let pinentry = fake(dir.path(), "pinentry-qt", "exec tail -f /dev/null");
    let deed = pinentry.ask(&question(Duration::from_millis(50))).await;
    assert!(matches!(deed, Deed::Silent), "{deed:?}");
}

#[tokio::test]
async fn a_dropped_question_leaves_no_process_behind() {
    let dir = tempfile::tempdir().unwrap();
    let up = dir.path().join("up");
    let made = std::process::Command::new("mkfifo").arg(&up).status();
    assert!(made.unwrap().success());
    let lines = format!(
        "{POLITE}; echo $$ > {}; exec tail -f /dev/null",
        up.display()
    );
    let pinentry = fake(dir.path(), "pinentry-qt", &lines);
    let asking = tokio::spawn(async move { pinentry.ask(&question(PATIENCE)).await });
    // Opening a FIFO waits for its other end: the dialog that is up.
    let pid = tokio::task::spawn_blocking(move || std::fs::read_to_string(up).unwrap());
    let process = PidFd::open(pid.await.unwrap().trim().parse().unwrap()).unwrap();
    assert!(process.is_alive());
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    process.exited().await.unwrap();
}
