// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Promises S1 and S8: whatever API a gated process uses, no byte of it reaches a protected
//! endpoint without a grant; and what isn't protected is none of the gate's business.
//!
//! Each way is tried twice: first without the gate, which shows that the way leads to the
//! server at all, then with it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;

use nix::errno::Errno;
use stile_tests::{
    ALICE, Fate, Host, Probe, ROOT, Server, User, probe_program, until, wait_for_stuck_data,
};

/// What loopback servers of this binary let everybody do: TCP Fast Open on both sides,
/// without a cookie and without a socket option (`tcp_fastopen` of ip-sysctl.rst).
const FAST_OPEN: &str = "1543";

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn any_protocol(hosts: &str, ports: &str) -> String {
    format!(
        r#"
[[endpoint]]
name = "db"
hosts = [{hosts}]
ports = [{ports}]
protocol = "any"

[[rule]]
name = "step-up"
endpoints = ["db"]
users = ["*"]
action = "step-up"
"#
    )
}

/// A host without the gate, which will protect its servers for every protocol.
fn open_host() -> Host {
    let hosts = r#""{address}", "::1""#;
    Host::builder()
        .policy(&any_protocol(hosts, "{port}, {port6}"))
        .stopped()
        .build()
}

/// Shows that a way leads to the server while nothing is in it.
#[track_caller]
fn leads_to(server: &Server, command: &mut Command) {
    let probe = Probe::start(command);
    assert_eq!(probe.fate(), Fate::Sent, "without the gate");
    until("the server gets the data without the gate", || {
        (server.bytes() > 0).then_some(())
    });
}

/// Tries a way that is a TCP connect: without the gate it leads to the server, with it the
/// connect is held, and nothing has arrived when its user has said no to it.
#[track_caller]
fn is_held(host: &mut Host, server: &Server, probe: impl Fn(&Host) -> Command) {
    leads_to(server, &mut probe(host));
    host.start();
    let before = (server.accepted(), server.bytes());
    let attempt = Probe::start(&mut probe(host));
    let challenge = host.wait_for_challenge(ALICE);
    attempt.still_waits();
    assert_eq!((server.accepted(), server.bytes()), before, "while held");
    let id = challenge["id"].to_string();
    host.stile(ALICE, &["deny", &id]).succeeded();
    assert_eq!(attempt.fate(), Fate::Error(Errno::ECONNABORTED));
    assert_eq!((server.accepted(), server.bytes()), before, "afterwards");
}

/// Tries a way that no packet may take: without the gate it leads to the server, with it the
/// kernel says EPERM and nothing has arrived.
#[track_caller]
fn is_refused(host: &mut Host, server: &Server, probe: impl Fn(&Host) -> Command) {
    leads_to(server, &mut probe(host));
    host.start();
    let before = server.bytes();
    let attempt = Probe::start(&mut probe(host));
    assert_eq!(attempt.fate(), Fate::Error(Errno::EPERM));
    arrived_nothing_since(server, before);
}

/// The kernel delivers over loopback before the sender's call returns; a datagram of root's,
/// which comes after all others, shows that the server has read what there was.
#[track_caller]
fn arrived_nothing_since(server: &Server, before: usize) {
    let local = if server.address().is_ipv4() {
        "127.0.0.1:0"
    } else {
        "[::1]:0"
    };
    // Longer than all that the probe could have sent.
    let marker = [0; 1000];
    let socket = std::net::UdpSocket::bind(local).expect("a socket");
    socket.send_to(&marker, server.address()).expect("root may");
    until("the server reads the marker", || {
        (server.bytes() >= before + marker.len()).then_some(())
    });
    assert_eq!(server.bytes(), before + marker.len(), "it got data");
}

fn alice(way: &'static str, to: SocketAddr) -> impl Fn(&Host) -> Command {
    move |host| host.probe(ALICE, way, &[to])
}

/// Every TCP way to the host's own server.
#[track_caller]
fn tcp_way_is_held(way: &'static str) {
    let mut host = open_host();
    let server = Server::start(host.server().address().ip(), 7001);
    host.write_policy(&any_protocol(r#""{address}""#, "7001"));
    let to = server.address();
    is_held(&mut host, &server, alice(way, to));
}

/// Every UDP way to an address that is given.
#[track_caller]
fn udp_way_is_refused(way: &'static str) {
    let mut host = open_host();
    let server = Server::start(host.server().address().ip(), 7001);
    host.write_policy(&any_protocol(r#""{address}""#, "7001"));
    let to = server.address();
    is_refused(&mut host, &server, alice(way, to));
}

#[test]
fn a_blocking_connect_is_held() {
    tcp_way_is_held("tcp");
}

#[test]
fn a_nonblocking_connect_is_held() {
    tcp_way_is_held("tcp-nonblocking");
}

#[test]
fn what_is_written_on_a_copy_of_a_held_socket_does_not_arrive() {
    tcp_way_is_held("tcp-dup");
}

#[test]
fn a_connect_over_mptcp_is_held() {
    tcp_way_is_held("mptcp");
}

/// How many SYNs with data were accepted in this network (`TCPFastOpenPassive`).
fn fast_opens() -> u64 {
    let text = fs::read_to_string("/proc/net/netstat").expect("procfs");
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, numbers) = (lines.next().expect("names"), lines.next().expect("numbers"));
    let mut counters = names.split(' ').zip(numbers.split(' '));
    let found = counters.find(|(name, _)| *name == "TCPFastOpenPassive");
    found.expect("the counter").1.parse().expect("a number")
}

#[test]
fn fast_open_by_sendto_is_held_with_its_data() {
    fs::write("/proc/sys/net/ipv4/tcp_fastopen", FAST_OPEN).expect("a namespace of our own");
    let before = fast_opens();
    tcp_way_is_held("fastopen-sendto");
    assert!(fast_opens() > before, "no SYN carried data");
}

#[test]
fn fast_open_by_connect_is_held_with_its_data() {
    fs::write("/proc/sys/net/ipv4/tcp_fastopen", FAST_OPEN).expect("a namespace of our own");
    let before = fast_opens();
    tcp_way_is_held("fastopen-connect");
    assert!(fast_opens() > before, "no SYN carried data");
}

#[test]
fn a_connected_udp_socket_is_refused() {
    udp_way_is_refused("udp-connected");
}

#[test]
fn a_datagram_of_an_unconnected_socket_is_refused() {
    udp_way_is_refused("udp-unconnected");
}

#[test]
fn an_ipv4_address_on_a_connected_ipv6_socket_is_refused() {
    udp_way_is_refused("udp-connected-v4-on-v6");
}

#[test]
fn an_ipv4_address_on_an_unconnected_ipv6_socket_is_refused() {
    udp_way_is_refused("udp-unconnected-v4-on-v6");
}

#[test]
fn an_ipv4_address_in_ipv6_clothes_is_held() {
    let mut host = open_host();
    let server = Server::start(host.server().address().ip(), 7001);
    host.write_policy(&any_protocol(r#""{address}""#, "7001"));
    is_held(&mut host, &server, alice("tcp", mapped(server.address())));
}

#[test]
fn datagrams_to_an_ipv4_address_in_ipv6_clothes_are_refused() {
    for way in ["udp-connected", "udp-unconnected"] {
        let mut host = open_host();
        let server = Server::start(host.server().address().ip(), 7001);
        host.write_policy(&any_protocol(r#""{address}""#, "7001"));
        is_refused(&mut host, &server, alice(way, mapped(server.address())));
    }
}

fn mapped(address: SocketAddr) -> SocketAddr {
    let IpAddr::V4(v4) = address.ip() else {
        return address;
    };
    SocketAddr::new(IpAddr::V6(v4.to_ipv6_mapped()), address.port())
}

#[test]
fn the_address_zero_means_this_host_and_is_held() {
    let mut host = open_host();
    let server = Server::start(LOCALHOST, 0);
    let to = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), server.address().port());
    host.write_policy(&any_protocol(r#""127.0.0.1""#, &to.port().to_string()));
    is_held(&mut host, &server, alice("tcp", to));
}

#[test]
fn datagrams_to_the_address_zero_are_refused() {
    for way in ["udp-connected", "udp-unconnected"] {
        let mut host = open_host();
        let server = Server::start(LOCALHOST, 0);
        let to = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), server.address().port());
        host.write_policy(&any_protocol(r#""127.0.0.1""#, &to.port().to_string()));
        is_refused(&mut host, &server, alice(way, to));
    }
}

#[test]
fn the_ipv6_address_zero_means_this_host_and_is_held() {
    let mut host = open_host();
    let server = Server::start(IpAddr::V6(Ipv6Addr::LOCALHOST), 0);
    let to = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), server.address().port());
    host.write_policy(&any_protocol(r#""::1""#, &to.port().to_string()));
    is_held(&mut host, &server, alice("tcp", to));
}

#[test]
fn datagrams_to_the_ipv6_address_zero_are_refused() {
    for way in ["udp-connected", "udp-unconnected"] {
        let mut host = open_host();
        let server = Server::start(IpAddr::V6(Ipv6Addr::LOCALHOST), 0);
        let to = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), server.address().port());
        host.write_policy(&any_protocol(r#""::1""#, &to.port().to_string()));
        is_refused(&mut host, &server, alice(way, to));
    }
}

#[test]
fn a_socket_that_was_connected_elsewhere_is_held_when_it_connects_again() {
    let mut host = open_host();
    let server = Server::start(host.server().address().ip(), 7001);
    let elsewhere = Server::start(LOCALHOST, 0);
    host.write_policy(&any_protocol(r#""{address}""#, "7001"));
    let addresses = [server.address(), elsewhere.address()];
    is_held(&mut host, &server, |host| {
        host.probe(ALICE, "tcp-reconnect", &addresses)
    });
    // Each of the two reached it: its address isn't protected (promise S8).
    assert_eq!(elsewhere.accepted(), 2);
}

/// A host where everybody may reach one port, and needs a step-up for another.
fn host_with_an_allowed_port(allowed: u16, asked: u16) -> Host {
    let policy = format!(
        r#"
[[endpoint]]
name = "free"
hosts = ["{{address}}"]
ports = [{allowed}]
protocol = "any"

[[endpoint]]
name = "db"
hosts = ["{{address}}"]
ports = [{asked}]
protocol = "any"

[[rule]]
name = "free for all"
endpoints = ["free"]
users = ["*"]
action = "allow"
ttl = "15m"

[[rule]]
name = "step-up"
endpoints = ["db"]
users = ["*"]
action = "step-up"
"#
    );
    Host::builder().policy(&policy).stopped().build()
}

/// Has a UDP socket that is allowed to reach one port try another.
#[track_caller]
fn an_allowed_socket_does_not_get_elsewhere(way: &'static str) {
    let mut host = host_with_an_allowed_port(7001, 7002);
    let ip = host.server().address().ip();
    let (allowed, asked) = (Server::start(ip, 7001), Server::start(ip, 7002));
    let addresses = [asked.address(), allowed.address()];
    leads_to(&asked, &mut host.probe(ALICE, way, &addresses));
    host.start();
    // The first datagram is refused while the daemon grants it: it needs a rule's grant.
    until("the allowed port is granted", || {
        let command = &mut host.probe(ALICE, "udp-connected", &[allowed.address()]);
        (Probe::start(command).fate() == Fate::Sent).then_some(())
    });
    let (before, allowed_before) = (asked.bytes(), allowed.bytes());
    let attempt = Probe::start(&mut host.probe(ALICE, way, &addresses));
    assert_eq!(attempt.fate(), Fate::Error(Errno::EPERM));
    until("the allowed port gets its datagram", || {
        (allowed.bytes() > allowed_before).then_some(())
    });
    arrived_nothing_since(&asked, before);
}

#[test]
fn an_allowed_udp_socket_does_not_reach_another_port_by_a_second_connect() {
    an_allowed_socket_does_not_get_elsewhere("udp-reconnect");
}

#[test]
fn an_allowed_udp_socket_does_not_reach_another_port_by_sendto() {
    an_allowed_socket_does_not_get_elsewhere("udp-connected-elsewhere");
}

/// A probe of alice that connects with a socket which a service of root's has made.
fn with_a_socket_of_roots(host: &Host, to: SocketAddr) -> Command {
    let (ours, theirs) = UnixStream::pair().expect("two ends");
    let mut root = host.in_cgroup("service", ROOT, probe_program());
    root.arg("pass-a-socket").stdin(OwnedFd::from(theirs));
    let giver = Probe::start(&mut root);
    assert_eq!(giver.fate(), Fate::Sent);
    let mut command = host.probe(ALICE, "received-socket", &[to]);
    command.stdin(OwnedFd::from(ours));
    command
}

#[test]
fn a_socket_that_root_made_and_passed_on_is_held() {
    let mut host = open_host();
    let server = Server::start(host.server().address().ip(), 7001);
    host.write_policy(&any_protocol(r#""{address}""#, "7001"));
    let to = server.address();
    is_held(&mut host, &server, |host| with_a_socket_of_roots(host, to));
}

/// A probe of a user that may open raw sockets.
fn with_raw_sockets(host: &Host, user: User, to: SocketAddr) -> Command {
    let mut command = host.in_cgroup(
        "session",
        ROOT,
        "/usr/bin/setpriv".as_ref() as &std::path::Path,
    );
    command
        .arg(format!("--reuid={}", user.uid))
        .arg(format!("--regid={}", user.uid))
        .args(["--clear-groups", "--inh-caps=+net_raw"])
        .args(["--ambient-caps=+net_raw", "--"])
        .arg(probe_program())
        .args(["raw-udp", &to.to_string()])
        .stdin(std::process::Stdio::piped());
    command
}

#[test]
fn a_packet_of_a_raw_socket_is_refused() {
    let mut host = open_host();
    let server = Server::start(host.server().address().ip(), 7001);
    host.write_policy(&any_protocol(r#""{address}""#, "7001"));
    let to = server.address();
    is_refused(&mut host, &server, |host| with_raw_sockets(host, ALICE, to));
    let status = host.stile(ROOT, &["status", "--json"]).json();
    assert_eq!(status["faults"], serde_json::json!([["unseen-socket", 1]]));
}

#[test]
fn a_connection_older_than_the_agent_carries_nothing_more() {
    let mut host = open_host();
    let mut client = host.connect(ALICE);
    client.connected();
    client.talks();
    let before = host.server().bytes();
    host.start();
    client.write("hello");
    until("the gate drops what it writes", || {
        let status = host.stile(ROOT, &["status", "--json"]).json();
        let faults = status["faults"].as_array()?;
        faults.iter().find(|fault| fault[0] == "unseen-socket")?;
        Some(())
    });
    wait_for_stuck_data(host.server().address());
    arrived_nothing_since(host.server(), before);
}

#[test]
fn a_process_that_is_not_gated_passes() {
    let host = Host::start_usual();
    let mut client = host.connect(ROOT);
    client.connected();
    client.talks();
    assert!(host.audit().records().of("attempt").is_empty());
}

#[test]
fn what_is_not_protected_is_none_of_the_gates_business() {
    let host = Host::start_usual();
    let server = Server::start(LOCALHOST, 0);
    let protected = host.server().address();
    let other_port = Server::start(protected.ip(), 7001);
    for server in [&server, &other_port] {
        for way in ["tcp", "mptcp", "udp-connected", "udp-unconnected"] {
            let before = server.bytes();
            let command = &mut host.probe(ALICE, way, &[server.address()]);
            let probe = Probe::start(command);
            assert_eq!(probe.fate(), Fate::Sent, "{way}");
            until("the server gets the data", || {
                (server.bytes() > before).then_some(())
            });
        }
    }
    assert!(host.audit().records().of("attempt").is_empty());
}
