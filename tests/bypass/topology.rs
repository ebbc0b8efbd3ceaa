// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Networks of a test's own, joined by virtual cables. They end with the test.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, setns, unshare};
use stile_tests::{Running, Server, until};

/// The host's end of the cable to the server, and the server.
const HOST_BY_SERVER: &str = "10.78.0.1/24";
const SERVER: &str = "10.78.0.2/24";
pub(crate) const SERVER_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 78, 0, 2));
/// The host's end of the cable to the user's network, and the other one.
const HOST_BY_USER: &str = "10.77.0.1/24";
const USER: &str = "10.77.0.2/24";
pub(crate) const HOST_FOR_USER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1));
pub(crate) const USERS_NETWORK: &str = "10.77.0.0/24";

/// Puts the test, and all that it starts from now on, into a new network namespace. Other
/// tests run in threads of their own.
pub(crate) fn enter_own_network() {
    unshare(CloneFlags::CLONE_NEWNET).expect("root may");
    ip(&["link", "set", "lo", "up"]);
}

/// Another network namespace, for as long as this lives or somebody is in it.
pub(crate) struct Network(Running);

impl Network {
    fn new() -> Self {
        let keeper = Running::start(Command::new("unshare").args(["--net", "sleep", "infinity"]));
        wait_for_namespace("net", keeper.pid());
        Self(keeper)
    }

    /// A server in a network that the host reaches, and that knows only the host.
    pub(crate) fn with_server() -> (Self, Server) {
        let network = Self::new();
        cable("server", HOST_BY_SERVER, network.0.pid(), SERVER);
        let path = format!("/proc/{}/ns/net", network.0.pid());
        let namespace = File::open(path).expect("procfs");
        let server = std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(&namespace, CloneFlags::CLONE_NEWNET).expect("root may");
                Server::start(SERVER_IP, 7001)
            });
            inside.join().expect("a server")
        });
        (network, server)
    }

    /// Lets the network send to the user's by way of the host.
    pub(crate) fn route_back(&self) {
        let host = HOST_BY_SERVER.trim_end_matches("/24");
        ip_inside(self.0.pid(), &["route", "add", USERS_NETWORK, "via", host]);
    }
}

/// Gives a process in a network of its own a cable to the host, which forwards for it.
pub(crate) fn connect_to_host(pid: u32) {
    cable("user", HOST_BY_USER, pid, USER);
    let host = HOST_FOR_USER.to_string();
    ip_inside(pid, &["route", "add", "default", "via", &host]);
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("a namespace of our own");
}

/// Whether the host has a cable to a user's network. One ends with the network it led to.
pub(crate) fn has_users_cable() -> bool {
    let devices = fs::read_to_string("/proc/thread-self/net/dev").expect("procfs");
    devices
        .lines()
        .any(|line| line.trim_start().starts_with("user:"))
}

/// Waits until a process has a namespace of its own.
pub(crate) fn wait_for_namespace(kind: &str, pid: u32) {
    let of = |process: &str| fs::read_link(format!("/proc/{process}/ns/{kind}"));
    let ours = of("thread-self").expect("procfs");
    until("a process has a namespace of its own", || {
        of(&pid.to_string())
            .is_ok_and(|theirs| theirs != ours)
            .then_some(())
    });
}

/// Runs a script of nft(8) on the host.
pub(crate) fn nft(rules: &str) {
    run(Command::new("nft").arg(rules));
}

/// Runs ip(8) on the host.
pub(crate) fn ip(arguments: &[&str]) {
    run(Command::new("ip").args(arguments));
}

fn ip_inside(pid: u32, arguments: &[&str]) {
    let target = format!("--target={pid}");
    run(Command::new("nsenter")
        .args([&target, "--net", "ip"])
        .args(arguments));
}

fn cable(name: &str, ours: &str, pid: u32, theirs: &str) {
    let netns = pid.to_string();
    ip(&[
        "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", &netns,
    ]);
    ip(&["address", "add", ours, "dev", name]);
    ip(&["link", "set", name, "up"]);
    ip_inside(pid, &["link", "set", "lo", "up"]);
    ip_inside(pid, &["address", "add", theirs, "dev", "eth0"]);
    ip_inside(pid, &["link", "set", "eth0", "up"]);
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.expect("iproute2 and util-linux are there");
    assert!(output.status.success(), "{command:?}: {output:?}");
}
