// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::*;
use crate::classify::ProcFs;
use crate::clock;
use crate::ids::{EndpointId, Uid};
use crate::ledger::BootId;
use crate::policy::SessionType;

const QUESTION: Question = Question {
    subject: Uid(1000),
    endpoint: EndpointId(7),
};
const SESSION: &str = "/user.slice/user-1000.slice/session-3.scope";
const SSH: &str = "UID=1000\nREMOTE=1\nREMOTE_HOST=192.0.2.7\nTYPE=tty\nCLASS=user\nSTATE=active\n";

/// This test's own process, in a session that a test chooses.
struct World {
    process: Process,
    run: TempDir,
    history: History,
    logins: Logins,
    programs: Programs,
    now: Now,
}

impl World {
    fn new(cgroup: &str, session: &str) -> Self {
        let run = tempfile::tempdir().unwrap();
        let sessions = run.path().join("systemd/sessions");
        fs::create_dir_all(&sessions).unwrap();
        fs::write(sessions.join("3"), session).unwrap();
        let now = clock::now();
        let state = run.path().join("state");
        let mut process = Process::holding(&ProcFs::new(), std::process::id()).unwrap();
        process.cgroup = Some(PathBuf::from(cgroup));
        Self {
            process,
            history: History::open(&state, &BootId::from("boot".to_owned()), now),
            logins: Logins::at(run.path(), "/user.slice"),
            programs: Programs::new(ProcFs::new()),
            run,
            now,
        }
    }

    fn sources(&self) -> Sources<'_> {
        Sources {
            history: &self.history,
            logins: &self.logins,
            programs: &self.programs,
        }
    }

    fn facts(&self) -> ConnectionFacts<'_> {
        ConnectionFacts::new(QUESTION, Some(&self.process), self.sources(), self.now)
    }
}

#[test]
fn a_session_is_told_and_looked_up_once() {
    let world = World::new(SESSION, SSH);
    let facts = world.facts();
    let session = facts.session().unwrap();
    assert!(session.remote);
    assert_eq!(session.kind, SessionType::Tty);
    assert_eq!(facts.unit().unwrap(), "session-3.scope");
    fs::remove_dir_all(world.run.path().join("systemd")).unwrap();
    assert_eq!(facts.session(), Ok(session));
    assert!(world.facts().session().is_err());
}

/// A program that waits for the end of its input, and the world that it is in.
fn running(program: &Path) -> (World, Child) {
    let child = Command::new(program).stdin(Stdio::piped()).spawn().unwrap();
    let mut world = World::new(SESSION, SSH);
    let runs = |process: &Process| {
        let runs = process.program.as_ref();
        runs.is_some_and(|runs| runs.path.file_name() == program.file_name())
    };
    // Between fork and exec it is still this test.
    while !runs(&world.process) {
        world.process = Process::holding(&ProcFs::new(), child.id()).unwrap();
        world.process.cgroup = Some(PathBuf::from(SESSION));
        std::thread::yield_now();
    }
    (world, child)
}

fn end(mut child: Child) {
    drop(child.stdin.take());
    child.wait().unwrap();
}

#[test]
fn a_program_in_doubt_is_neither_hashed_nor_known() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let path = dir.path().join("cat");
    fs::copy("/bin/cat", &path).unwrap();
    let (mut world, child) = running(&path);
    let facts = world.facts();
    let program = facts.program().unwrap();
    assert_eq!(program.path, path);
    let doubt = Unknown::Fact(program.doubt.unwrap());
    assert!(doubt.to_string().contains("can be written by others"));
    assert_eq!(facts.digest(), Err(doubt.clone()));
    assert_eq!(facts.is_program_new(), Err(doubt.clone()));
    let (passed, now) = (facts.passed(), world.now);
    assert_eq!(passed.program, None);
    let Question { subject, endpoint } = QUESTION;
    world.history.note_passed(subject, endpoint, &passed, now);
    assert_eq!(world.facts().is_program_new(), Err(doubt));
    end(child);
}

#[test]
fn a_program_of_roots_is_hashed_and_becomes_known() {
    let (mut world, child) = running(Path::new("/bin/cat"));
    let facts = world.facts();
    assert_eq!(facts.program().unwrap().doubt, None);
    let digest = hex::encode(facts.digest().unwrap());
    let said = Command::new("sha256sum").arg("/bin/cat").output().unwrap();
    assert!(String::from_utf8_lossy(&said.stdout).starts_with(&digest));

    let news = |world: &World| {
        let facts = world.facts();
        [
            facts.is_program_new(),
            facts.is_destination_new(),
            facts.is_address_new(),
        ]
        .map(Result::unwrap)
    };
    assert_eq!(news(&world), [true; 3]);
    let (passed, now) = (facts.passed(), world.now);
    let Question { subject, endpoint } = QUESTION;
    world.history.note_passed(subject, endpoint, &passed, now);
    assert_eq!(news(&world), [false; 3]);
    end(child);
    let said = world.facts().program().unwrap_err().to_string();
    assert!(said.ends_with("has exited"), "{said}");
}

#[test]
fn an_address_that_is_not_known_is_neither_new_nor_old() {
    let desk = "UID=1000\nREMOTE=0\nSEAT=seat0\nTYPE=x11\nCLASS=user\n";
    let world = World::new(SESSION, desk);
    assert_eq!(world.facts().is_address_new(), Ok(false));
    let world = World::new(SESSION, &SSH.replace("192.0.2.7", "a-name"));
    assert!(world.facts().is_address_new().is_err());
    let world = World::new("/user.slice/user-1000.slice/user@1000.service/a.scope", SSH);
    assert!(world.facts().is_address_new().is_err());
    assert_eq!(world.facts().unit().unwrap(), "user@1000.service");
}

#[test]
fn this_connection_counts_itself_and_wrong_answers_count() {
    let mut world = World::new(SESSION, SSH);
    let Question { subject, endpoint } = QUESTION;
    world.history.note_attempt(subject, endpoint, world.now);
    world.history.note_failure(subject, world.now);
    let minute = Duration::from_secs(60);
    assert_eq!(world.facts().connections_within(minute), Ok(1));
    assert_eq!(world.facts().failures_within(minute), Ok(1));
    assert!(world.facts().is_hour_unusual().is_err());
}

#[test]
fn of_a_process_that_is_gone_only_what_the_user_did_is_known() {
    let world = World::new(SESSION, SSH);
    let facts = ConnectionFacts::new(QUESTION, None, world.sources(), world.now);
    assert!(facts.program().is_err());
    assert!(facts.digest().is_err());
    assert!(facts.session().is_err());
    assert!(facts.has_terminal().is_err());
    assert!(facts.unit().is_err());
    assert!(facts.is_program_new().is_err());
    assert!(facts.is_address_new().is_err());
    assert_eq!(facts.is_destination_new(), Ok(true));
    assert_eq!(facts.connections_within(Duration::from_secs(60)), Ok(0));
}
