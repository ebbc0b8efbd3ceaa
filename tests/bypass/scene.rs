// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A protected server, and those who try a way to it: alice, alice with rights of the
//! administrator's, and root in her session.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use stile_tests::{ALICE, Fate, Host, Probe, ROOT, Server, cannot_run, probe_program, until};

use crate::ways::{any_protocol, arrived_nothing_since};

const ALICES_SESSION: &str = "user.slice/user-42001.slice/session-1.scope";

/// What a kernel says of a protocol, an option or a call that it doesn't have.
const UNKNOWN: [Errno; 6] = [
    Errno::ENOSYS,
    Errno::EPROTONOSUPPORT,
    Errno::ESOCKTNOSUPPORT,
    Errno::EAFNOSUPPORT,
    Errno::ENOPROTOOPT,
    // MPTCP before 6.2 has no TCP Fast Open for clients.
    Errno::EOPNOTSUPP,
];

/// Who tries.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Who {
    /// Alice.
    Alice,
    /// Alice, whose program may use raw sockets and set up the network.
    Able,
    /// Root in alice's session, as with sudo.
    Root,
}

/// What every user can do.
pub(crate) const ALL: &[Who] = &[Who::Alice, Who::Root];
/// What is tried as alice elsewhere.
pub(crate) const SUDO: &[Who] = &[Who::Root];
/// What takes `CAP_NET_RAW` or `CAP_NET_ADMIN`.
pub(crate) const PRIVILEGED: &[Who] = &[Who::Able, Who::Root];

/// A server, and a host that will protect it.
pub(crate) struct Scene {
    pub(crate) host: Host,
    pub(crate) server: Server,
    /// What the ways are told besides the server's address.
    others: Vec<SocketAddr>,
}

impl Scene {
    /// On the host's own IPv4 address.
    pub(crate) fn v4() -> Self {
        let host = host();
        let server = Server::start(host.server().address().ip(), 7001);
        host.write_policy(&any_protocol(r#""{address}""#, "7001"));
        Self::of(host, server)
    }

    /// On `::1`.
    pub(crate) fn v6() -> Self {
        let host = host();
        let server = Server::start(IpAddr::V6(std::net::Ipv6Addr::LOCALHOST), 0);
        let port = server.address().port().to_string();
        host.write_policy(&any_protocol(r#""::1""#, &port));
        Self::of(host, server)
    }

    pub(crate) fn of(host: Host, server: Server) -> Self {
        let others = Vec::new();
        Self {
            host,
            server,
            others,
        }
    }

    /// One more address that the ways are told.
    pub(crate) fn with(mut self, other: SocketAddr) -> Self {
        self.others.push(other);
        self
    }

    /// Another address instead of those that the ways are told.
    pub(crate) fn with_only(mut self, other: SocketAddr) -> Self {
        self.others = vec![other];
        self
    }

    /// A probe that is about to try.
    pub(crate) fn probe(&self, who: Who, way: &str) -> Command {
        let mut command = program(&self.host, who);
        command
            .arg(way)
            .arg(self.server.address().to_string())
            .args(self.others.iter().map(SocketAddr::to_string))
            .stdin(Stdio::piped());
        command
    }

    /// Shows that a way leads to the server without the gate. False if this kernel doesn't
    /// have it, which is then said.
    #[track_caller]
    pub(crate) fn leads(&self, who: Who, way: &str) -> bool {
        let before = self.server.bytes();
        let probe = Probe::start(&mut self.probe(who, way));
        let fate = probe.fate();
        if let Fate::Error(error) = fate
            && UNKNOWN.contains(&error)
        {
            cannot_run(&format!("the kernel has no way {way}: {error}"));
            return false;
        }
        assert_eq!(fate, Fate::Sent, "{way} without the gate");
        until("the server gets the data without the gate", || {
            (self.server.bytes() >= before + SECRET).then_some(())
        });
        true
    }

    /// Every one of these is held in a connect, and nothing arrives. False if this kernel doesn't
    /// have the way.
    #[track_caller]
    pub(crate) fn held(mut self, who: &[Who], way: &str) -> bool {
        if !who.iter().all(|who| self.leads(*who, way)) {
            return false;
        }
        self.host.start();
        let before = (self.server.accepted(), self.settled());
        // At once: a user who has said no is not asked again for a while.
        let start = |who: &Who| Probe::start(&mut self.probe(*who, way));
        let attempts: Vec<Probe> = who.iter().map(start).collect();
        self.host.wait_for_waiting(ALICE, who.len() as u64);
        for attempt in &attempts {
            attempt.still_waits();
        }
        let now = (self.server.accepted(), self.server.bytes());
        assert_eq!(now, before, "while they are held");
        self.deny();
        for (attempt, who) in attempts.iter().zip(who) {
            let fate = attempt.fate();
            assert_eq!(fate, Fate::Error(Errno::ECONNABORTED), "{who:?}");
        }
        arrived_nothing_since(&self.server, before.1);
        assert_eq!(self.server.accepted(), before.0, "afterwards");
        true
    }

    /// Alice says no to her only challenge.
    #[track_caller]
    pub(crate) fn deny(&self) {
        let challenge = self.host.wait_for_challenge(ALICE);
        let id = challenge["id"].to_string();
        self.host.stile(ALICE, &["deny", &id]).succeeded();
    }

    /// Every one of these is told EPERM, and nothing arrives.
    #[track_caller]
    pub(crate) fn refused(self, who: &[Who], way: &str) {
        self.tried(who, way, |fate, who| {
            assert_eq!(fate, Fate::Error(Errno::EPERM), "{who:?}");
        });
    }

    /// Nothing arrives, whatever they are told: some calls lose the error.
    #[track_caller]
    pub(crate) fn dropped(self, who: &[Who], way: &str) {
        self.tried(who, way, |_, _| {});
    }

    #[track_caller]
    fn tried(mut self, who: &[Who], way: &str, check: impl Fn(Fate, &Who)) {
        if !who.iter().all(|who| self.leads(*who, way)) {
            return;
        }
        self.host.start();
        for who in who {
            let before = self.settled();
            let attempt = Probe::start(&mut self.probe(*who, way));
            let fate = attempt.fate();
            arrived_nothing_since(&self.server, before);
            check(fate, who);
        }
    }

    /// How many bytes have arrived, once the server has read all datagrams.
    #[track_caller]
    pub(crate) fn settled(&self) -> usize {
        arrived_nothing_since(&self.server, self.server.bytes());
        self.server.bytes()
    }
}

/// How long the probe's payload is.
pub(crate) const SECRET: usize = b"secret".len();

/// A host without the gate, where alice has a session.
pub(crate) fn host() -> Host {
    Host::builder().cgroup(ALICES_SESSION).stopped().build()
}

/// The probe's program, about to be run.
pub(crate) fn program(host: &Host, who: Who) -> Command {
    match who {
        Who::Alice => host.as_user(ALICE, probe_program()),
        Who::Root => host.in_cgroup(ALICES_SESSION, ROOT, probe_program()),
        Who::Able => {
            let mut command = host.in_cgroup("session", ROOT, Path::new("/usr/bin/setpriv"));
            command
                .arg(format!("--reuid={}", ALICE.uid))
                .arg(format!("--regid={}", ALICE.uid))
                .args(["--clear-groups", "--inh-caps=+net_raw,+net_admin"])
                .args(["--ambient-caps=+net_raw,+net_admin", "--"])
                .arg(probe_program());
            command
        }
    }
}

/// One test for each way: what comes of it, where the server is, who tries, the way.
macro_rules! ways {
    ($($outcome:ident $scene:ident $who:ident $way:literal: $name:ident)*) => {$(
        #[test]
        fn $name() {
            $crate::scene::Scene::$scene().$outcome($crate::scene::$who, $way);
        }
    )*};
}
pub(crate) use ways;
