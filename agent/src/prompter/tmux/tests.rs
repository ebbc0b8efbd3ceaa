// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is read of tmux, and a fake one for what must be said to it in the end. A real one is
//! driven elsewhere.

use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;

use super::super::children::tests::script;
use super::super::question::tests::question;
use super::*;
use crate::sys::pidfd::PidFd;

/// Long enough for any machine.
const PATIENCE_OF_TESTS: Duration = Duration::from_secs(60);

fn output(code: i32, err: &str) -> Output {
    Output {
        code: Some(code),
        out: Vec::new(),
        err: err.into(),
    }
}

/// A tmux of ours with a directory for sockets that only we may enter, and one server.
fn fake(directory: &Path, lines: &str) -> (Tmux, UnixListener) {
    let uid = Uid(nix::unistd::getuid().as_raw());
    let sockets = directory.join(format!("tmux-{uid}"));
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(&sockets)
        .unwrap();
    let server = UnixListener::bind(sockets.join("default")).unwrap();
    let tmux = Tmux {
        program: script(directory, "tmux", lines),
        stile: Program::unchecked(Path::new("/usr/bin/stile")),
        environment: Environment::new([("TMUX_TMPDIR", directory)]),
        uid,
        terminal: String::new(),
        anywhere: true,
    };
    (tmux, server)
}

#[test]
fn a_version_is_read_in_all_its_forms() {
    assert_eq!(Version::parse("3.3a"), Some(Version(3, 3)));
    assert_eq!(Version::parse("next-3.10"), Some(Version(3, 10)));
    assert_eq!(Version::parse("3.2-rc4"), Some(Version(3, 2)));
    assert_eq!(Version::parse("master"), None);
    assert!(Version(3, 10) > Version(3, 3));
}

#[test]
fn the_client_that_shows_the_terminal_is_found() {
    let panes = b"/dev/pts/3 $1\n/dev/pts/30 $2\n/dev/pts/4 $3\ngarbage\n/dev/pts/3 $4\n";
    let sessions = sessions_of(panes, "pts/3");
    assert_eq!(sessions, ["$1", "$4"]);
    assert!(sessions_of(panes, "").is_empty());
    let client = |said| Client::parse(said, Path::new("/s"), &sessions);
    let found = client("3.3a 0 1795427620 $4 /dev/pts/9").unwrap();
    assert!(found.shows);
    assert_eq!(found.name, "/dev/pts/9");
    assert!(!client("3.3a 0 1 $2 x").unwrap().shows);
    // A program that draws for itself has no room for a popup.
    assert_eq!(client("3.3a 1 1 $4 x"), None);
    assert_eq!(client("garbage"), None);
}

#[test]
fn a_popup_that_was_not_shown_leads_to_the_next_place() {
    let new = Version(3, 3);
    assert!(matches!(judge(new, &output(SHOWN, "")), Deed::Silent));
    assert!(matches!(judge(new, &output(130, "")), Deed::Silent));
    assert!(matches!(judge(Version(3, 2), &output(0, "")), Deed::Silent));
    for (code, err) in [(0, ""), (127, ""), (1, "can't find client: /dev/pts/9\n")] {
        let deed = judge(new, &output(code, err));
        assert!(matches!(deed, Deed::Unable(_)), "{code}: {deed:?}");
    }
}

#[test]
fn a_directory_that_others_may_enter_has_no_sockets() {
    let dir = tempfile::tempdir().unwrap();
    let (mut tmux, _server) = fake(dir.path(), "");
    assert_eq!(tmux.sockets().unwrap().len(), 1);
    let sockets = dir.path().join(format!("tmux-{}", tmux.uid));
    // What isn't a socket isn't one.
    std::fs::write(sockets.join("file"), "").unwrap();
    assert_eq!(tmux.sockets().unwrap().len(), 1);
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o750);
    std::fs::set_permissions(&sockets, open).unwrap();
    assert!(tmux.sockets().unwrap().is_empty());
    // Nor has one of another user's.
    let others = dir.path().join("tmux-3999999999");
    std::fs::rename(&sockets, others).unwrap();
    tmux.uid = Uid(3_999_999_999);
    assert!(tmux.sockets().unwrap().is_empty());
}

#[tokio::test]
async fn an_old_tmux_and_one_that_nobody_looks_at_are_no_places() {
    for (said, why) in [
        ("3.1c 0 1 \\$1 /dev/pts/9", "older than 3.2"),
        ("", "nobody is attached"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let lines = format!("case $* in *list-clients*) printf \"{said}\";; esac");
        let (tmux, _server) = fake(dir.path(), &lines);
        match tmux.ask(&question(PATIENCE_OF_TESTS)).await {
            Deed::Unable(said) => assert!(said.contains(why), "{said}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_dropped_question_closes_its_popup_and_leaves_no_process_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (up, closed) = (dir.path().join("up"), dir.path().join("closed"));
    for fifo in [&up, &closed] {
        let made = std::process::Command::new("mkfifo").arg(fifo).status();
        assert!(made.unwrap().success());
    }
    let lines = format!(
        "case $* in *list-clients*) printf '3.3a 0 1 $1 /dev/pts/9\\n';;\n\
         *-C*) echo \"$*\" > {};;\n\
         *display-popup*) echo $$ > {}; exec tail -f /dev/null;; esac",
        closed.display(),
        up.display()
    );
    let (tmux, _server) = fake(dir.path(), &lines);
    let asking = tokio::spawn(async move { tmux.ask(&question(PATIENCE_OF_TESTS)).await });
    // Opening a FIFO waits for its other end.
    let read = |fifo| tokio::task::spawn_blocking(|| std::fs::read_to_string(fifo).unwrap());
    let pid = read(up).await.unwrap();
    let process = PidFd::open(pid.trim().parse().unwrap()).unwrap();
    assert!(process.is_alive());
    asking.abort();
    let said = read(closed).await.unwrap();
    assert!(
        said.trim().ends_with("display-popup -C -c /dev/pts/9"),
        "{said}"
    );
    process.exited().await.unwrap();
}
