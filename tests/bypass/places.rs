// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where processes are on a host with systemd, and who is asked for what they do.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use stile_tests::{Fate, Host, Probe, Server, User, probe_program, until};

use crate::ways::{any_protocol, arrived_nothing_since, leads_to};

/// Where logind puts alice's login.
pub(crate) const SESSION: &str = "user.slice/user-42001.slice/session-1.scope";
/// Where alice's own service manager keeps a service: a subtree that is delegated to her.
pub(crate) const APP: &str =
    "user.slice/user-42001.slice/user@42001.service/app.slice/run-1.service";
/// Where a system service is.
pub(crate) const SERVICE: &str = "system.slice/web.service";

/// A host without the gate, which will protect a server for every protocol.
pub(crate) fn protected_host() -> (Host, Server) {
    let host = Host::builder()
        .policy(&any_protocol(r#""{address}""#, "7001"))
        .cgroup(SESSION)
        .stopped()
        .build();
    let server = Server::start(host.server().address().ip(), 7001);
    (host, server)
}

/// The probe in a cgroup, started as this user and then by way of these programs.
pub(crate) fn through(
    host: &Host,
    (cgroup, user): (&str, User),
    programs: &[&str],
    way: &str,
    addresses: &[SocketAddr],
) -> Command {
    let probe = probe_program();
    let probe = probe.to_str().expect("a path of ours");
    let mut line = [programs, &[probe, way]].concat().into_iter();
    let program = line.next().expect("the probe, if nothing else");
    let mut command = host.in_cgroup(cgroup, user, program);
    command
        .args(line)
        .args(addresses.iter().map(SocketAddr::to_string))
        .stdin(Stdio::piped());
    command
}

/// Moves a process to another cgroup of this host.
pub(crate) fn move_to(host: &Host, cgroup: &str, pid: u32) {
    let path = host.cgroup().join(cgroup);
    fs::create_dir_all(&path).expect("root may");
    fs::write(path.join("cgroup.procs"), pid.to_string()).expect("root may");
}

/// What a server has got so far.
pub(crate) fn seen(server: &Server) -> (usize, usize) {
    (server.accepted(), server.bytes())
}

/// Tries a TCP connect: without the gate it leads to the server, with it the connect is held,
/// this user is asked, and nothing has arrived when they have said no.
#[track_caller]
pub(crate) fn is_held_as(
    asked: User,
    host: &mut Host,
    server: &Server,
    probe: impl Fn(&Host) -> Command,
) {
    leads_to(server, &mut probe(host));
    host.start();
    let before = seen(server);
    let attempt = Probe::start(&mut probe(host));
    ends_with_a_no(asked, host, server, before, &attempt);
}

/// The second half of [`is_held_as`], for an attempt that is under way.
#[track_caller]
pub(crate) fn ends_with_a_no(
    asked: User,
    host: &Host,
    server: &Server,
    before: (usize, usize),
    attempt: &Probe,
) {
    host.wait_for_challenge(asked);
    attempt.still_waits();
    assert_eq!(seen(server), before, "while held");
    say_no(asked, host);
    assert_eq!(attempt.fate(), Fate::Error(Errno::ECONNABORTED));
    assert_eq!(seen(server), before, "afterwards");
}

/// Says no to the only challenge of this user.
#[track_caller]
pub(crate) fn say_no(asked: User, host: &Host) {
    let id = host.wait_for_challenge(asked)["id"].to_string();
    host.stile(asked, &["deny", &id]).succeeded();
}

/// As [`is_held_as`], for a way of two steps; this is done between them when the gate is there.
#[track_caller]
pub(crate) fn second_step_is_held_as(
    asked: User,
    (host, server): (&mut Host, &Server),
    probe: impl Fn(&Host) -> Command,
    between: impl FnOnce(&mut Host, &Probe),
) {
    both_steps_lead_to(server, &mut probe(host));
    let mut attempt = Probe::start(&mut probe(host));
    assert_eq!(attempt.fate(), Fate::Sent);
    between(host, &attempt);
    let before = seen(server);
    attempt.go_on();
    ends_with_a_no(asked, host, server, before, &attempt);
}

/// As [`crate::ways::is_refused`], for a way of two steps.
#[track_caller]
pub(crate) fn second_step_is_refused(
    (host, server): (&mut Host, &Server),
    probe: impl Fn(&Host) -> Command,
    between: impl FnOnce(&mut Host, &Probe),
) {
    both_steps_lead_to(server, &mut probe(host));
    let mut attempt = Probe::start(&mut probe(host));
    assert_eq!(attempt.fate(), Fate::Sent);
    between(host, &attempt);
    let before = server.bytes();
    attempt.go_on();
    // EPERM, or what a socket says that the agent has disconnected.
    let fate = attempt.fate();
    let errors = [Errno::EPERM, Errno::EDESTADDRREQ, Errno::ECONNABORTED];
    assert!(errors.map(Fate::Error).contains(&fate), "{fate:?}");
    arrived_nothing_since(server, before);
}

#[track_caller]
pub(crate) fn both_steps_lead_to(server: &Server, command: &mut Command) {
    let mut probe = Probe::start(command);
    assert_eq!(probe.fate(), Fate::Sent, "without the gate");
    probe.go_on();
    assert_eq!(probe.fate(), Fate::Sent, "without the gate");
    until("the server gets the data without the gate", || {
        (server.bytes() > 0).then_some(())
    });
}
