// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use stile_common::{UID_UNKNOWN, record_kind};
use tempfile::TempDir;

use super::*;
use crate::clock::now;

/// An attempt by the process `pid`, just now.
fn attempt(pid: u32) -> Attempt {
    let mut address = [0; 16];
    address[10..].copy_from_slice(&[0xff, 0xff, 10, 0, 0, 5]);
    Attempt {
        kind: record_kind::ATTEMPT,
        protocol: protocol::TCP,
        disposition: disposition::HELD,
        port: 5432,
        cookie: 77,
        boot_ns: now().boot.0,
        cgroup: 1,
        netns: 1,
        grant: 0,
        pid,
        tid: pid,
        uid: nix::unistd::getuid().as_raw(),
        gid: 0,
        subject: 1000,
        endpoint: 9,
        address,
        comm: *b"ps\x1b[2J\0garbage!!",
    }
}

/// A tree like /proc, with one process that has the id of this one: its pidfd is real.
struct Fixture {
    dir: TempDir,
}

const PARENT: u32 = 1;

impl Fixture {
    fn new() -> Self {
        let fixture = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let uid = nix::unistd::getuid();
        fixture.write("stat", stat("psql", PARENT, 5));
        fixture.write(
            "status",
            format!("Name:\tpsql\nUid:\t{uid}\t7\t7\t7\nGid:\t1\t1\t1\t1\n"),
        );
        fixture.write("cgroup", "0::/user.slice/user-1000.slice/session-3.scope\n");
        fixture.write("loginuid", "1000");
        fixture.write("sessionid", "3");
        fixture.link("exe", "/bin/cat");
        fixture.link("ns/pid", "pid:[1]");
        fixture.link_at("self/ns/pid", "pid:[1]");
        fixture.write_at("1/stat", stat("bash", 0, 4));
        fixture.link_at("1/exe", "/bin/bash");
        fixture
    }

    fn write(&self, file: &str, content: impl AsRef<[u8]>) {
        self.write_at(&format!("{}/{file}", std::process::id()), content);
    }

    fn write_at(&self, file: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(file), content).unwrap();
    }

    fn link(&self, file: &str, target: &str) {
        self.link_at(&format!("{}/{file}", std::process::id()), target);
    }

    fn link_at(&self, file: &str, target: &str) {
        let path = self.path(file);
        let _ = fs::remove_file(&path);
        symlink(target, path).unwrap();
    }

    fn remove(&self, file: &str) {
        fs::remove_file(self.path(&format!("{}/{file}", std::process::id()))).unwrap();
    }

    fn path(&self, file: &str) -> PathBuf {
        let path = self.dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    fn classify(&self, attempt: &Attempt) -> Classified {
        Classifier::new(ProcFs::at(self.dir.path()), "/user.slice").classify(attempt, now().boot)
    }

    /// The facts, of an attempt at the tenth tick or so after boot.
    fn process(&self) -> Process {
        let classified = self.classify(&attempt(std::process::id()));
        match classified.process {
            ProcessState::Seen(process) => Process::clone(&process),
            ProcessState::Gone(gone) => panic!("{gone}"),
        }
    }

    fn gone(&self, attempt: &Attempt) -> Gone {
        match self.classify(attempt).process {
            ProcessState::Seen(process) => panic!("{process:?}"),
            ProcessState::Gone(gone) => gone,
        }
    }
}

/// A line of `stat` on pts/3, group 40 of which group 41 is in the foreground.
fn stat(comm: &str, parent: u32, started: u64) -> String {
    // From the page faults to the last field before the start.
    let between = "0 0 0 0 0 0 0 0 20 0 1 0";
    format!("17 ({comm}) S {parent} 40 40 34819 41 4194304 {between} {started} 1 1\n")
}

/// A process of which nothing matters but what a test says; its pidfd is real.
pub(super) fn a_process() -> Process {
    Fixture::new().process()
}

#[test]
fn the_record_says_where_to_how_and_what_became_of_it() {
    let mut attempt = attempt(std::process::id());
    let fixture = Fixture::new();
    let classified = fixture.classify(&attempt);
    assert_eq!(classified.destination.to_string(), "10.0.0.5:5432");
    assert_eq!(classified.protocol, Protocol::Tcp);
    assert_eq!(classified.disposition, Disposition::Held);
    assert_eq!(classified.cookie, SocketCookie(77));
    assert_eq!(classified.endpoint, EndpointId(9));
    assert_eq!(classified.at, BootTime(attempt.boot_ns));
    assert_eq!(classified.subject, Subject::Known(Uid(1000)));
    assert_eq!(classified.comm(), r"ps\x1b[2J");

    attempt.address = Ipv6Addr::LOCALHOST.octets();
    (attempt.disposition, attempt.grant) = (disposition::GRANTED, 4);
    let classified = fixture.classify(&attempt);
    assert_eq!(classified.destination.to_string(), "[::1]:5432");
    assert_eq!(classified.disposition, Disposition::Granted(GrantId(4)));
}

#[test]
fn a_disposition_that_is_not_known_counts_as_denied() {
    let mut attempt = attempt(std::process::id());
    attempt.disposition = 99;
    let classified = Fixture::new().classify(&attempt);
    assert_eq!(classified.disposition, Disposition::Denied);
}

#[test]
fn every_fact_is_read_from_its_place() {
    let process = Fixture::new().process();
    assert_eq!(process.comm, "psql");
    assert_eq!(process.started, 5);
    assert_eq!(process.euid, Uid(7));
    assert_eq!(process.loginuid, Some(Uid(1000)));
    assert_eq!(process.audit_session, Some(3));
    assert_eq!(process.unit.as_deref(), Some("session-3.scope"));
    assert_eq!(
        process.terminal,
        Some(Terminal {
            tty: TtyName::Pts(3),
            group: 40,
            foreground: Some(41)
        })
    );
    assert!(process.program.as_ref().unwrap().is(Path::new("/bin/cat")));
    assert_eq!(process.parent.as_ref().unwrap().pid, PARENT);
    assert_eq!(process.origin(), "bash on pts/3");
    assert_eq!(process.shown(), "/bin/cat");
}

#[test]
fn a_name_with_brackets_escapes_and_newlines_does_not_shift_the_fields() {
    let fixture = Fixture::new();
    fixture.write("stat", stat(") S 1 1 (\x1b]0;x\x07\n", PARENT, 5));
    let process = fixture.process();
    assert_eq!(process.comm, r") S 1 1 (\x1b]0;x\x07\x0a");
    assert_eq!(process.started, 5);
    assert_eq!(process.parent.unwrap().pid, PARENT);
}

#[test]
fn a_process_that_started_after_the_attempt_is_another_one() {
    let fixture = Fixture::new();
    let mut attempt = attempt(std::process::id());
    attempt.boot_ns = 49_999_999; // just before its fifth tick
    assert!(matches!(fixture.gone(&attempt), Gone::Reused(_)));
    attempt.boot_ns = 50_000_000;
    assert!(fixture.classify(&attempt).process().is_some());
}

#[test]
fn a_process_that_changed_its_uid_is_not_taken_for_the_one_that_connected() {
    let mut attempt = attempt(std::process::id());
    attempt.uid += 1;
    let gone = Fixture::new().gone(&attempt);
    assert!(matches!(gone, Gone::OtherUser { .. }));
}

#[test]
fn a_process_that_has_exited_leaves_only_what_the_kernel_said() {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    let mut attempt = attempt(child.id());
    attempt.subject = UID_UNKNOWN;
    let classified = Classifier::new(ProcFs::new(), "/user.slice").classify(&attempt, now().boot);
    assert!(matches!(
        classified.process,
        ProcessState::Gone(Gone::Exited(_))
    ));
    assert_eq!(classified.subject, Subject::Unknown);
    assert_eq!(classified.program_shown(), r"[ps\x1b[2J]");
}

#[test]
fn without_its_uid_or_start_nothing_of_a_process_is_believed() {
    for file in ["stat", "status"] {
        let fixture = Fixture::new();
        fixture.remove(file);
        let gone = fixture.gone(&attempt(std::process::id()));
        assert!(matches!(gone, Gone::Unreadable(_)), "{file}");
        for broken in ["", "17 (x S 1", "17 (x) S 1 2", "Uid:\tx\n", ")("] {
            fixture.write(file, broken);
            let gone = fixture.gone(&attempt(std::process::id()));
            assert!(matches!(gone, Gone::Unreadable(_)), "{file}: {broken}");
        }
    }
}

#[test]
fn a_file_without_end_is_refused() {
    let fixture = Fixture::new();
    fixture.write("stat", stat(&"x".repeat(5000), PARENT, 5));
    let gone = fixture.gone(&attempt(std::process::id()));
    assert!(matches!(gone, Gone::Unreadable(_)));
}

#[test]
fn facts_that_the_kernel_does_not_keep_are_missing_and_not_guessed() {
    let fixture = Fixture::new();
    for file in ["loginuid", "sessionid", "cgroup", "exe"] {
        fixture.remove(file);
    }
    let process = fixture.process();
    assert_eq!(process.loginuid, None);
    assert_eq!(process.audit_session, None);
    assert_eq!(process.cgroup, None);
    assert_eq!(process.unit, None);
    assert_eq!(process.program, None);
    assert_eq!(process.shown(), "[psql]");

    fixture.write("loginuid", "4294967295");
    fixture.write("sessionid", "4294967295");
    let process = fixture.process();
    assert_eq!((process.loginuid, process.audit_session), (None, None));
}

#[test]
fn a_name_cannot_pass_itself_off_as_a_uid() {
    let fixture = Fixture::new();
    let uid = nix::unistd::getuid();
    // As the kernel writes it: with the newline escaped.
    let status = format!("Name:\tx\\nUid:\t0 0\nUid:\t{uid}\t8\t8\t8\n");
    fixture.write("status", status);
    assert_eq!(fixture.process().euid, Uid(8));
}

#[test]
fn a_program_that_was_removed_or_lies_elsewhere_is_no_rules_program() {
    let fixture = Fixture::new();
    fixture.link("exe", "/usr/bin/psql-gone (deleted)");
    let program = fixture.process().program.unwrap();
    assert!(program.exe_deleted);
    assert_eq!(program.path, Path::new("/usr/bin/psql-gone"));
    assert!(!program.is(Path::new("/usr/bin/psql-gone")));
    assert_eq!(fixture.process().shown(), "/usr/bin/psql-gone (deleted)");

    fixture.link("exe", "/only/in/a/container");
    let program = fixture.process().program.unwrap();
    assert!(!program.here && !program.exe_deleted);
    assert!(!program.is(Path::new("/only/in/a/container")));
}

#[test]
fn a_file_that_is_called_deleted_is_not_deleted() {
    let fixture = Fixture::new();
    let path = fixture.path("odd (deleted)");
    fs::write(&path, "").unwrap();
    fixture.link("exe", path.to_str().unwrap());
    let program = fixture.process().program.unwrap();
    assert!(program.is(&path));
}

#[test]
fn a_parent_that_is_younger_than_its_child_is_not_believed() {
    let fixture = Fixture::new();
    fixture.write_at("1/stat", stat("bash", 0, 6));
    let process = fixture.process();
    assert_eq!(process.parent, None);
    assert_eq!(process.origin(), "an unknown program on pts/3");
}

#[test]
fn a_terminal_of_another_pid_namespace_is_not_ours() {
    let fixture = Fixture::new();
    fixture.link("ns/pid", "pid:[2]");
    assert_eq!(fixture.process().terminal, None);
    fixture.remove("ns/pid");
    assert_eq!(fixture.process().terminal, None);
}

#[test]
fn a_session_that_the_kernel_does_not_know_is_learned_from_the_cgroup() {
    let mut attempt = attempt(std::process::id());
    attempt.subject = UID_UNKNOWN;
    let fixture = Fixture::new();
    let slice = PathBuf::from("/user.slice/user-1000.slice");
    assert_eq!(
        fixture.classify(&attempt).subject,
        Subject::Learned {
            uid: Uid(1000),
            slice
        }
    );
    fixture.write("cgroup", "0::/system.slice/cron.service\n");
    assert_eq!(fixture.classify(&attempt).subject, Subject::Unknown);
    fixture.remove("cgroup");
    assert_eq!(fixture.classify(&attempt).subject, Subject::Unknown);
}

/// A copy of `cat` under another name; it lives until its input is closed.
struct OddlyNamed {
    child: Child,
    path: PathBuf,
    _dir: TempDir,
}

impl OddlyNamed {
    fn spawn(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        fs::copy("/bin/cat", &path).unwrap();
        let mut child = Command::new(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // An echo means that the new program runs.
        child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
        let echo = child.stdout.as_mut().unwrap();
        std::io::Read::read_exact(echo, &mut [0]).unwrap();
        Self {
            child,
            path,
            _dir: dir,
        }
    }

    fn end(mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

#[test]
fn a_real_process_with_a_hostile_name_is_read_right() {
    let odd = OddlyNamed::spawn("a) S 9 (\x1b[H\n");
    let mut classifier = Classifier::new(ProcFs::new(), "/user.slice");
    let classified = classifier.classify(&attempt(odd.child.id()), now().boot);
    let process = classified.process().unwrap();
    assert_eq!(process.comm, r"a) S 9 (\x1b[H\x0a");
    assert!(process.program.as_ref().unwrap().is(&odd.path));
    assert!(classified.program_shown().ends_with(r"a) S 9 (\x1b[H\x0a"));
    let parent = process.parent.as_ref().unwrap();
    assert_eq!(parent.pid, std::process::id());
    assert_eq!(
        parent.program.as_ref().unwrap().path,
        std::env::current_exe().unwrap()
    );
    assert!(process.cgroup.is_some());
    let ours = crate::sys::netns::NetNs::own().unwrap();
    assert!(process.netns.as_ref().unwrap().same_as(&ours));

    fs::remove_file(&odd.path).unwrap();
    let again = classifier.classify(&attempt(odd.child.id()), now().boot);
    let program = again.process().unwrap().program.clone().unwrap();
    assert!(program.exe_deleted);
    assert_eq!(program.path, odd.path);
    odd.end();
    assert!(!process.pidfd.is_alive());
}

#[test]
fn a_program_that_was_mounted_over_in_a_namespace_is_not_the_hosts() {
    // In a mount namespace of its own, /bin/true is another file: its path reads the same.
    let mut child = Command::new("unshare")
        .args(["-m", "sh", "-c"])
        .arg("mount --bind /bin/cat /bin/true && exec /bin/true")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
    let mut classifier = Classifier::new(ProcFs::new(), "/user.slice");
    let classified = classifier.classify(&attempt(child.id()), now().boot);
    let program = classified.process().unwrap().program.clone().unwrap();
    drop(child.stdin.take());
    child.wait().unwrap();
    assert!(program.path.ends_with("bin/true"));
    assert!(!program.here);
    assert!(!program.is(&program.path));
}

#[test]
fn attempts_that_were_made_before_a_look_share_it_and_later_ones_do_not() {
    let fixture = Fixture::new();
    let mut classifier = Classifier::new(ProcFs::at(fixture.dir.path()), "/user.slice");
    let comm = |classified: Classified| classified.process().unwrap().comm.clone();
    let early = attempt(std::process::id());
    let looked = now().boot;
    let first = classifier.classify(&early, looked);
    fixture.write("stat", stat("another", PARENT, 5));

    let again = classifier.classify(&early, now().boot);
    let shared = [&first, &again].map(|classified| classified.process().unwrap().pidfd.clone());
    assert!(Arc::ptr_eq(&shared[0], &shared[1]));
    assert_eq!(comm(again), "psql");
    let late = Attempt {
        boot_ns: looked.0,
        ..early
    };
    let anew = classifier.classify(&late, now().boot);
    let descriptor = &anew.process().unwrap().pidfd;
    assert!(
        Arc::ptr_eq(descriptor, &shared[0]),
        "one descriptor will do"
    );
    assert_eq!(comm(anew), "another");

    // Somebody else's attempt is not this process's, however early it was.
    let other = Attempt { uid: 4711, ..early };
    assert!(classifier.classify(&other, now().boot).process().is_none());
    fixture.write("stat", stat("third", PARENT, 5));
    classifier.forget();
    assert_eq!(comm(classifier.classify(&early, now().boot)), "third");
}
