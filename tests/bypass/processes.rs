// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a process does to itself and its children between making a socket and using it, and
//! with which user's rights it does so.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::Stdio;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use stile_tests::{
    ALICE, BOB, Fate, Host, POSTGRES, Probe, ROOT, Server, User, cannot_run, probe_program, until,
};

use crate::places::{SERVICE, SESSION, is_held_as, protected_host, say_no, seen, through};
use crate::ways::{is_refused, leads_to};

/// Alice's uid in a cgroup that tells nothing.
const ALICE_ANYWHERE: (&str, User) = ("session", ALICE);
/// Root in alice's session, as with sudo.
const ROOT_OF_ALICE: (&str, User) = (SESSION, ROOT);

#[track_caller]
fn is_held_from((cgroup, user): (&str, User), programs: &[&str], way: &str) {
    let (mut host, server) = protected_host();
    is_held_as(ALICE, &mut host, &server, |host| {
        through(host, (cgroup, user), programs, way, &[server.address()])
    });
}

#[track_caller]
fn is_refused_from(place: (&str, User), programs: &[&str], way: &str) {
    let (mut host, server) = protected_host();
    is_refused(&mut host, &server, |host| {
        through(host, place, programs, way, &[server.address()])
    });
}

#[test]
fn a_socket_whose_child_connects_it_is_held() {
    is_held_from(ALICE_ANYWHERE, &[], "tcp-forked");
    is_held_from(ROOT_OF_ALICE, &[], "tcp-forked");
}

#[test]
fn a_socket_that_another_program_connects_after_an_exec_is_held() {
    is_held_from(ALICE_ANYWHERE, &[], "tcp-executed");
    is_held_from(ROOT_OF_ALICE, &[], "tcp-executed");
}

#[test]
fn a_daemon_that_left_its_terminal_and_parents_is_held() {
    let programs = ["setsid", "--fork", "/bin/sh", "-c", r#""$0" "$@" & exit"#];
    is_held_from(ALICE_ANYWHERE, &programs, "tcp");
    is_held_from(ROOT_OF_ALICE, &programs, "tcp");
}

/// The child of a process that has ended can't be told from anybody else's: nobody is asked on
/// its behalf.
#[test]
fn a_held_connect_ends_with_its_process_though_a_child_has_the_socket() {
    for place in [ALICE_ANYWHERE, ROOT_OF_ALICE] {
        let (mut host, server) = protected_host();
        let to = [server.address()];
        let probe = |host: &Host| through(host, place, &[], "tcp-abandoned", &to);
        leads_to(&server, &mut probe(&host));
        host.start();
        let before = seen(&server);
        let mut attempt = Probe::start(&mut probe(&host));
        host.wait_for_challenge(ALICE);
        attempt.still_waits();
        attempt.go_on();
        assert_eq!(attempt.fate(), Fate::Error(Errno::ECONNABORTED));
        assert!(host.pending(ALICE).is_empty());
        assert_eq!(seen(&server), before);
    }
}

#[test]
fn a_held_connect_that_another_user_inherits_is_still_alices() {
    is_held_from(ROOT_OF_ALICE, &[], &inherited_by(BOB));
}

#[test]
fn a_held_connect_that_a_user_who_is_not_gated_inherits_is_still_alices() {
    is_held_from(ROOT_OF_ALICE, &[], &inherited_by(POSTGRES));
}

fn inherited_by(user: User) -> String {
    format!("tcp-inherited-by:{}", user.uid)
}

fn thread_of(user: User) -> String {
    format!("tcp-thread-of:{}", user.uid)
}

/// A server of root's that acts as its users.
#[test]
fn a_thread_of_a_service_that_is_alice_is_held() {
    is_held_from((SERVICE, ROOT), &[], &thread_of(ALICE));
}

#[test]
fn a_thread_in_alices_session_that_is_somebody_else_is_hers() {
    is_held_from(ROOT_OF_ALICE, &[], &thread_of(BOB));
    is_held_from(ROOT_OF_ALICE, &[], &thread_of(POSTGRES));
}

#[test]
fn a_process_without_new_privileges_is_held() {
    is_held_from(ALICE_ANYWHERE, &["setpriv", "--no-new-privs"], "tcp");
}

#[test]
fn su_and_runuser_in_alices_session_stay_hers() {
    if !std::path::Path::new("/etc/pam.d/su").exists() {
        return cannot_run("su has no PAM configuration here");
    }
    for program in ["su", "runuser"] {
        for user in ["bob", "postgres"] {
            let programs = [
                program,
                user,
                "--shell",
                "/bin/sh",
                "--command",
                r#"exec "$0" "$@""#,
            ];
            is_held_from(ROOT_OF_ALICE, &[&programs[..], &["--"]].concat(), "tcp");
        }
    }
}

/// Some of what a program can be given that makes it powerful, but not root.
#[test]
fn capabilities_open_nothing() {
    const ALL: &str = "+net_admin,+net_raw,+net_bind_service,+sys_admin,+sys_ptrace,+setuid";
    let (inherited, ambient) = (format!("--inh-caps={ALL}"), format!("--ambient-caps={ALL}"));
    let uid = ["--reuid=42001", "--regid=42001", "--clear-groups"];
    let programs = [&["setpriv"], &uid[..], &[&inherited, &ambient]].concat();
    is_held_from(("session", ROOT), &programs, "tcp");
    is_refused_from(("session", ROOT), &programs, "udp-connected");
    is_refused_from(("session", ROOT), &programs, "udp-unconnected");
}

/// A disk whose programs may be setuid: the sandbox's own may not.
struct Programs(PathBuf);

impl Programs {
    fn mount() -> Self {
        let folder = tempfile::tempdir().expect("a folder").keep();
        let tmpfs = Some("tmpfs");
        mount(tmpfs, &folder, tmpfs, MsFlags::empty(), Some("mode=0755")).expect("root may");
        Self(folder)
    }

    /// A copy of the probe that runs with the rights of this user.
    fn setuid_probe(&self, user: User) -> String {
        let path = self.0.join(user.name);
        fs::copy(probe_program(), &path).expect("a copy");
        chown(&path, Some(user.uid), Some(user.uid)).expect("root may");
        fs::set_permissions(&path, PermissionsExt::from_mode(0o4755)).expect("root may");
        path.to_str().expect("a path of ours").to_owned()
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
        let _ = fs::remove_dir(&self.0);
    }
}

/// Has alice run a setuid program of this user's, in each place where she may be.
#[track_caller]
fn setuid_stays_alices(owner: User) {
    let programs = Programs::mount();
    let probe = programs.setuid_probe(owner);
    for cgroup in ["session", SESSION, "system.slice/cron.service"] {
        let run = |host: &Host, way: &str, server: &Server| {
            let mut command = host.in_cgroup(cgroup, ALICE, &probe);
            command.args([way, &server.address().to_string()]);
            command.stdin(Stdio::piped());
            command
        };
        let (mut host, server) = protected_host();
        is_held_as(ALICE, &mut host, &server, |host| run(host, "tcp", &server));
        for way in ["udp-connected", "udp-unconnected"] {
            let (mut host, server) = protected_host();
            is_refused(&mut host, &server, |host| run(host, way, &server));
        }
    }
}

#[test]
fn a_setuid_program_of_bobs_that_alice_runs_is_hers() {
    setuid_stays_alices(BOB);
}

#[test]
fn a_setuid_program_of_roots_that_alice_runs_is_hers() {
    setuid_stays_alices(ROOT);
}

/// Whoever is asked, one grant is one user's: a child of another user's gets through with the
/// connection that it inherited, and with no other one.
#[test]
fn a_connection_inherited_by_bob_goes_on_when_alice_says_yes_and_opens_nothing_else_to_bob() {
    let (mut host, server) = protected_host();
    let way = inherited_by(BOB);
    let to = [server.address()];
    leads_to(&server, &mut through(&host, ROOT_OF_ALICE, &[], &way, &to));
    host.start();
    let authenticator = host.enroll(ALICE);
    let before = server.bytes();
    let attempt = Probe::start(&mut through(&host, ROOT_OF_ALICE, &[], &way, &to));
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    assert_eq!(attempt.fate(), Fate::Sent);
    until("the server gets the data", || {
        (server.bytes() > before).then_some(())
    });
    let before = seen(&server);
    let other = Probe::start(&mut host.probe(BOB, "tcp", &to));
    host.wait_for_challenge(BOB);
    other.still_waits();
    say_no(BOB, &host);
    assert!(matches!(other.fate(), Fate::Error(_)));
    assert_eq!(seen(&server), before);
}
