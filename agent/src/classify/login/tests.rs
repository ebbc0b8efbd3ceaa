// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;
use tempfile::TempDir;

use super::super::tests::a_process;
use super::*;
use crate::policy::SessionType;

const SLICE: &str = "/user.slice/user-1000.slice";
const SSH: &str = "# This is private data. Do not parse.\nUID=1000\nUSER=alice\nACTIVE=1\nIS_DISPLAY=1\n\
    STATE=active\nREMOTE=1\nTYPE=tty\nORIGINAL_TYPE=tty\nCLASS=user\nSCOPE=session-3.scope\n\
    FIFO=/run/systemd/sessions/3.ref\nTTY=pts/1\nTTY_VALIDITY=from-pam\nREMOTE_HOST=192.0.2.7\n\
    SERVICE=sshd\nPOSITION=0\nLEADER=1234\nAUDIT=3\nREALTIME=1\nMONOTONIC=1\n";
const DESKTOP: &str = "UID=1000\nSTATE=active\nREMOTE=0\nTYPE=wayland\nORIGINAL_TYPE=wayland\nCLASS=user\n\
    SEAT=seat0\nVTNR=2\nTTY=tty2\nAUDIT=3\n";

/// A /run with one session, 3.
struct Run(TempDir);

impl Run {
    fn with(content: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("systemd/sessions")).unwrap();
        let run = Self(dir);
        fs::write(run.file(), content).unwrap();
        run
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("systemd/sessions/3")
    }

    fn logins(&self) -> Logins {
        Logins {
            is_own: |address| address == IpAddr::from([198, 51, 100, 1]) || address.is_loopback(),
            ..Logins::at(self.0.path(), "/user.slice")
        }
    }

    /// The session of a process of uid 1000 in this cgroup.
    fn seen_from(&self, cgroup: &str) -> Result<SessionFacts, NoLogin> {
        let process = Process {
            cgroup: Some(PathBuf::from(cgroup)),
            loginuid: Some(Uid(1000)),
            audit_session: Some(3),
            ..a_process()
        };
        self.logins().of(&process, Uid(1000))
    }

    fn seen(&self) -> Result<SessionFacts, NoLogin> {
        self.seen_from(&format!("{SLICE}/session-3.scope"))
    }
}

/// The session that this file tells.
#[track_caller]
fn session(content: &str) -> SessionFacts {
    Run::with(content).seen().unwrap()
}

/// Why this file tells none.
#[track_caller]
fn refused(content: &str) -> String {
    Run::with(content).seen().unwrap_err().to_string()
}

#[test]
fn a_session_over_ssh_is_remote_and_a_desktop_is_at_its_seat() {
    assert_eq!(
        session(SSH),
        SessionFacts {
            remote: true,
            remote_address: Some(IpAddr::from([192, 0, 2, 7])),
            kind: SessionType::Tty,
            seat: None,
        }
    );
    assert_eq!(
        session(DESKTOP),
        SessionFacts {
            remote: false,
            remote_address: None,
            kind: SessionType::Wayland,
            seat: Some("seat0".to_owned()),
        }
    );
}

#[test]
fn a_host_may_be_a_name_a_mapped_address_or_have_a_zone() {
    for (host, address) in [
        ("db.example.com", None),
        ("UNKNOWN", None),
        ("::ffff:192.0.2.7", Some("192.0.2.7")),
        ("fe80::1%eth0", Some("fe80::1")),
        ("\"2001:db8::7\"", Some("2001:db8::7")),
    ] {
        let found = session(&SSH.replace("192.0.2.7", host));
        assert!(found.remote, "{host}");
        let address = address.map(|address| address.parse::<IpAddr>().unwrap());
        assert_eq!(found.remote_address, address, "{host}");
    }
}

/// PAM calls a session local that came from `localhost`: one more ssh would make anyone local.
#[test]
fn who_comes_from_this_host_is_remote_and_from_nobody_knows_where() {
    let hop = SSH.replace("REMOTE=1", "REMOTE=0");
    for host in ["localhost", "127.0.0.1", "::1", "198.51.100.1"] {
        let found = session(&hop.replace("192.0.2.7", host));
        assert!(found.remote, "{host}");
        assert_eq!(found.remote_address, None, "{host}");
    }
}

/// Where PAM reads the user's environment, XDG_SEAT and XDG_VTNR give a seat to anybody.
#[test]
fn a_remote_session_has_no_seat_whatever_it_says() {
    let found = session(&format!("{SSH}SEAT=seat0\nVTNR=1\n"));
    assert!(found.remote);
    assert_eq!(found.seat, None);
}

#[test]
fn the_type_is_the_one_it_was_made_as() {
    // org.freedesktop.login1.Session.SetType is the user's.
    let changed = SSH.replace("\nTYPE=tty", "\nTYPE=wayland");
    assert_eq!(session(&changed).kind, SessionType::Tty);
    let old = SSH.replace("ORIGINAL_TYPE=tty\n", "");
    assert_eq!(session(&old).kind, SessionType::Tty);
    let unheard = SSH.replace("ORIGINAL_TYPE=tty", "ORIGINAL_TYPE=hologram");
    assert_eq!(session(&unheard).kind, SessionType::Unspecified);
}

#[test]
fn a_session_without_seat_and_host_is_not_taken_for_local() {
    let desktop = DESKTOP.replace("SEAT=seat0\n", "");
    assert_eq!(
        refused(&desktop),
        "session 3 has neither a seat nor a host that it came from"
    );
}

#[test]
fn nobody_sits_at_a_session_of_cron_or_of_a_manager() {
    for class in ["background", "manager", "greeter", "user-incomplete"] {
        let said = refused(&DESKTOP.replace("CLASS=user", &format!("CLASS={class}")));
        assert_eq!(
            said,
            format!("session 3 is of class {class}: nobody sits at it")
        );
    }
}

/// A tmux that outlives the logout may be attached to from anywhere.
#[test]
fn a_session_that_was_left_is_nobodys() {
    let said = refused(&DESKTOP.replace("STATE=active", "STATE=closing"));
    assert!(said.starts_with("session 3 has ended"), "{said}");
}

#[test]
fn the_owner_of_slice_file_and_connection_must_be_one() {
    let other = DESKTOP.replace("UID=1000", "UID=1001");
    assert_eq!(refused(&other), "session 3 is that of uid 1001");
    let process = Process {
        cgroup: Some(PathBuf::from(format!("{SLICE}/session-3.scope"))),
        ..a_process()
    };
    let run = Run::with(DESKTOP);
    let said = run.logins().of(&process, Uid(1001)).unwrap_err();
    assert_eq!(said.to_string(), "session 3 is that of uid 1000");
    // Another one's slice tells nothing about this session.
    let said = run.seen_from("/user.slice/user-1001.slice/session-3.scope");
    assert_eq!(
        said.unwrap_err().to_string(),
        "session 3 is that of uid 1000"
    );
}

#[test]
fn what_a_user_manager_starts_has_no_session_whatever_it_is_called() {
    let run = Run::with(DESKTOP);
    for cgroup in [
        "user@1000.service/app.slice/psql.scope",
        "user@1000.service/session-3.scope",
        "user@1000.service/user.slice/user-1000.slice/session-3.scope",
    ] {
        let said = run.seen_from(&format!("{SLICE}/{cgroup}")).unwrap_err();
        assert_eq!(
            said.to_string(),
            "it runs in the user's service manager, not in a login session"
        );
    }
}

#[test]
fn services_containers_and_odd_scopes_have_no_session() {
    let run = Run::with(DESKTOP);
    for cgroup in [
        "/system.slice/cron.service",
        "/system.slice/session-3.scope",
        "/machine.slice/libpod-1.scope/user.slice/user-1000.slice/session-3.scope",
        "/docker/1/user.slice/user-1000.slice/session-3.scope",
        "/user.slice/session-3.scope",
        "/user.slice/user-1000.slice/a.slice/session-3.scope",
        "/user.slice/user-1000.slice/session-.scope",
        "/user.slice/user-1000.slice/session-..scope",
        "/user.slice/user-1000.slice/session-3.service",
        "/user.slice/user-1000.slice/session-3.scope/../session-4.scope",
        "/user.slice/user-1000.slice",
    ] {
        let said = run.seen_from(cgroup).unwrap_err();
        assert_eq!(
            said.to_string(),
            format!("it runs in {cgroup}, not in a login session")
        );
    }
}

#[test]
fn without_cgroups_audits_number_counts_if_everything_agrees() {
    let run = Run::with(SSH);
    assert!(run.seen_from("/").unwrap().remote);
    let process = || Process {
        cgroup: Some(PathBuf::from("/")),
        loginuid: Some(Uid(1000)),
        audit_session: Some(3),
        ..a_process()
    };
    let logins = run.logins();
    let said = |process: Process| {
        let refused = logins.of(&process, Uid(1000)).unwrap_err();
        refused.to_string()
    };
    let none = "neither its cgroup nor audit tells its login session";
    let audit_session = None;
    assert_eq!(
        said(Process {
            audit_session,
            ..process()
        }),
        none
    );
    for loginuid in [None, Some(Uid(1001))] {
        assert_eq!(
            said(Process {
                loginuid,
                ..process()
            }),
            none
        );
    }
    fs::write(run.file(), SSH.replace("AUDIT=3", "AUDIT=4")).unwrap();
    assert_eq!(said(process()), none);
    let cgroup = None;
    assert_eq!(
        said(Process {
            cgroup,
            ..process()
        }),
        "its cgroup can't be told, and so its login session can't"
    );
}

#[test]
fn a_file_that_others_may_write_or_that_is_a_link_counts_for_nothing() {
    let run = Run::with(DESKTOP);
    fs::set_permissions(run.file(), fs::Permissions::from_mode(0o664)).unwrap();
    let said = run.seen().unwrap_err().to_string();
    assert!(said.ends_with("others than root may write it"), "{said}");
    let real = run.0.path().join("real");
    fs::write(&real, DESKTOP).unwrap();
    fs::remove_file(run.file()).unwrap();
    std::os::unix::fs::symlink(&real, run.file()).unwrap();
    assert!(matches!(run.seen(), Err(NoLogin::Unreadable { .. })));
    fs::remove_file(run.file()).unwrap();
    let said = run.seen().unwrap_err().to_string();
    assert_eq!(said, "logind knows of no session 3");
}

#[test]
fn a_file_that_is_odd_in_any_way_is_not_believed() {
    for (from, to, why) in [
        ("UID=1000\n", "", "it has no UID"),
        ("UID=1000", "UID=+1000", "its UID is no number"),
        ("UID=1000", "UID=4294967295", "its UID is no number"),
        ("REMOTE=1\n", "", "it has no REMOTE"),
        ("REMOTE=1", "REMOTE=yes", "its REMOTE is neither 0 nor 1"),
        ("REMOTE=1", "REMOTE=1\nREMOTE=0", "a key comes twice"),
        ("CLASS=user\n", "", "it has no CLASS"),
        ("CLASS=user", "CLASS=us er", "its SEAT or CLASS is no name"),
        ("AUDIT=3", "AUDIT=x", "its AUDIT is no number"),
        ("AUDIT=3", "AUDIT=3\nnoise", "a line has no '='"),
        ("CLASS=user", "CLASS=\"user", "a quote doesn't end"),
        (
            "SERVICE=sshd",
            "DESKTOP=\"a\nSEAT=seat0\"",
            "a quote doesn't end",
        ),
        (
            "SERVICE=sshd",
            "DESKTOP=\"a\\\"\nSEAT=seat0\nB=\"",
            "a quote doesn't end",
        ),
        ("SERVICE=sshd", "DESKTOP=\"a\"b\"", "a quote doesn't end"),
    ] {
        let said = refused(&SSH.replacen(from, to, 1));
        let whole = format!("what logind knows of session 3 can't be understood: {why}");
        assert_eq!(said, whole, "{to}");
    }
    assert!(matches!(
        Run::with(&format!("{SSH}#{}", "x".repeat(70_000))).seen(),
        Err(NoLogin::Unreadable { .. })
    ));
}

#[test]
fn this_hosts_addresses_are_its_own() {
    assert!(is_own_address(IpAddr::from([127, 0, 0, 9])));
    assert!(is_own_address("::1".parse().unwrap()));
    assert!(!is_own_address(IpAddr::from([192, 0, 2, 7])));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz(&bytes);
    }

    #[test]
    fn any_lines_are_read_without_harm(
        lines in prop::collection::vec("(UID|REMOTE|REMOTE_HOST|CLASS|SEAT|STATE|TYPE|AUDIT)=[a-z0-9:.\"-]{0,8}", 0..12),
    ) {
        fuzz(lines.join("\n").as_bytes());
    }

    #[test]
    fn any_cgroup_lies_somewhere(path in "(/[a-z0-9@.-]{0,12}){0,5}") {
        if let Place::Session { id, .. } = place(Path::new(&path), Path::new("/user.slice")) {
            prop_assert!(is_id(&id));
        }
    }
}
