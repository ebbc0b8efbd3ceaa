// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A daemon that is short of descriptors, threads or memory.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use stile_tests::{ALICE, BOB, Client, CrowdServer, Host, Server, cannot_run, until};

/// Sets a limit of the running daemon (prlimit(1)).
#[track_caller]
fn limit(host: &Host, limit: &str) {
    let mut prlimit = Command::new("prlimit");
    let status = prlimit
        .args(["--pid", &host.pid().to_string(), limit])
        .status();
    assert!(status.unwrap().success(), "prlimit {limit}");
}

#[test]
fn without_a_descriptor_to_look_at_its_process_a_connect_is_refused_and_counted() {
    let host = Host::start_usual();
    let authenticator = host.enroll(ALICE);
    limit(&host, "--nofile=1:20000");
    let refused = host.connect(ALICE);
    assert_eq!(refused.refused().0, Errno::ECONNABORTED);
    assert_eq!(host.faults(&["process-not-seen"]), 1);
    until("the log has counted it", || {
        (host.audit().records().lost(&["process-not-seen"]) == 1).then_some(())
    });
    let records = host.audit().records();
    let decision = records.of("decision")[0];
    assert_eq!(decision["outcome"], "deny");
    assert!(
        decision["reason"].as_str().unwrap().contains("pidfd"),
        "{decision}"
    );
    assert_eq!(host.server().accepted(), 0);

    limit(&host, "--nofile=20000:20000");
    let mut client = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    client.connected();
    client.talks();
}

#[test]
fn without_memory_the_daemon_ends_and_everything_is_refused_until_it_is_back() {
    let mut host = Host::builder().max_hold("5m").build();
    let server = CrowdServer::start(host.server().address().ip(), 5432);
    let authenticator = host.enroll(ALICE);
    let mut crowd = host.crowd(BOB, server.address());
    // The heap doesn't grow any more: what is free of it lasts for some hundred connections.
    limit(&host, "--data=1");
    let mut begun = 0;
    while host.is_running() {
        begun += crowd.begin(100);
    }
    assert_eq!(host.connect(ALICE).refused().0, Errno::EPERM);
    assert_eq!(crowd.begin(100), 0);
    assert_eq!((server.accepted(), host.server().accepted()), (0, 0));

    host.start();
    assert!(host.faults(&["daemon-gone"]) >= 101);
    host.wait_for_waiting(BOB, begun);
    let mut client = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    client.connected();
    client.talks();
    assert_eq!(server.accepted(), 0);
}

/// A cgroup of the pids controller, version 1.
struct Pids(PathBuf);

impl Pids {
    /// Puts the daemon into one. None where the controller isn't there, or is of version 2.
    fn around(host: &Host) -> Option<Self> {
        let root = PathBuf::from("/sys/fs/cgroup/pids");
        let path = root.join(format!("stile-test-{}", host.pid()));
        fs::create_dir(&path).ok()?;
        let pids = Self(path);
        fs::write(pids.0.join("cgroup.procs"), host.pid().to_string()).ok()?;
        Some(pids)
    }

    fn limit(&self, limit: &str) {
        fs::write(self.0.join("pids.max"), limit).unwrap();
    }
}

impl Drop for Pids {
    fn drop(&mut self) {
        // Back where it was, or it would keep the cgroup.
        if let Ok(pids) = fs::read_to_string(self.0.join("cgroup.procs")) {
            for pid in pids.lines() {
                let _ = fs::write(self.0.with_file_name("cgroup.procs"), pid);
            }
        }
        let _ = fs::remove_dir(&self.0);
    }
}

/// A client of alice's, and a server on the host's address, in a network namespace of their own:
/// the daemon needs a thread to get there.
fn in_another_network(host: &Host) -> (Server, Client) {
    let there = std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let up = Command::new("ip")
                .args(["link", "set", "lo", "up"])
                .status();
            assert!(up.unwrap().success());
            let address = host.server().address();
            let server = Server::start(address.ip(), address.port());
            (server, host.connect(ALICE))
        });
        inside.join()
    });
    there.unwrap()
}

#[test]
fn without_a_thread_to_end_it_a_refused_connection_stays_parked_until_there_is_one() {
    let host = Host::start_usual();
    let Some(pids) = Pids::around(&host) else {
        return cannot_run("there is no pids controller of cgroup version 1");
    };
    let (server, client) = in_another_network(&host);
    let id = host.wait_for_challenge(ALICE)["id"].to_string();
    pids.limit("1");
    host.stile(ALICE, &["deny", &id]).succeeded();
    client.still_waits();
    assert_eq!(host.faults(&["socket-not-ended"]), 1);
    until("the log has counted it", || {
        (host.audit().records().lost(&["socket-not-ended"]) == 1).then_some(())
    });
    assert_eq!(server.accepted(), 0);

    pids.limit("max");
    assert_eq!(client.refused().0, Errno::ECONNABORTED);
    assert_eq!(server.accepted(), 0);
}
