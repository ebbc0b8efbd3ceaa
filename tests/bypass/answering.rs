// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Connections that a protected server begins itself, with whoever is to be kept from it.

use std::io::{ErrorKind, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, ipproto};
use stile_tests::{ALICE, Fate, Host, Probe, probe_program, until, wait_for_retry};

use crate::scene::{SECRET, host};
use crate::ways::any_protocol;

/// Where the server listens or not, and what it calls from.
const PORT: u16 = 7003;

/// A host that will protect the port, and its server's address.
fn called_host() -> (Host, SocketAddr) {
    let host = host();
    host.write_policy(&any_protocol(r#""{address}""#, &PORT.to_string()));
    let server = SocketAddr::new(host.server().address().ip(), PORT);
    (host, server)
}

/// A connect from the protected address, by a process that isn't gated.
#[track_caller]
fn call(from: SocketAddr, to: SocketAddr, flags: SocketFlags) -> OwnedFd {
    let tcp = Some(ipproto::TCP);
    let socket = net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, tcp);
    let socket = socket.expect("a socket");
    net::sockopt::set_socket_reuseaddr(&socket, true).expect("an option");
    net::bind(&socket, &from).expect("its address");
    let called = net::connect(&socket, &to);
    let begun = matches!(called, Ok(()) | Err(Errno::INPROGRESS));
    assert!(begun, "{from} to {to}: {called:?}");
    socket
}

fn port(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 99, 0, 5], port))
}

/// What leaves is held, so what comes in must be too: the two SYNs would make a connection.
/// After the approval they do, which shows that the way leads to the server.
#[test]
fn a_server_that_connects_back_to_a_held_socket_gets_nothing() {
    let (mut host, to) = called_host();
    host.start();
    let authenticator = host.enroll(ALICE);
    let alice = port(21021);
    let attempt = Probe::start(&mut host.probe(ALICE, "tcp-from", &[to, alice]));
    host.wait_for_challenge(ALICE);
    let server = call(to, alice, SocketFlags::NONBLOCK);
    // Its SYN has not been answered.
    wait_for_retry(alice);
    attempt.still_waits();
    let mut server = TcpStream::from(server);
    assert_eq!(
        server.peer_addr().expect_err("no peer").kind(),
        ErrorKind::NotConnected
    );
    host.approve(ALICE, &authenticator);
    assert_eq!(attempt.fate(), Fate::Sent);
    let mut got = [0; 64];
    let length = until("the server gets the data", || server.read(&mut got).ok());
    assert_eq!(length, SECRET);
}

/// A program of alice's that listens, and does this with the first who connects.
fn listener(host: &Host, way: &str, at: SocketAddr) -> Probe {
    let mut command = host.as_user(ALICE, probe_program());
    command.args([way, &at.to_string()]);
    let probe = Probe::start(command.stdin(std::process::Stdio::piped()));
    assert_eq!(probe.fate(), Fate::Sent, "it listens");
    probe
}

/// Without the gate the server gets through to a listener; with it the listener's answer to
/// the SYN does not leave, and there is no connection.
#[track_caller]
fn is_not_connected(way: &str, ports: [u16; 2]) {
    let (mut host, from) = called_host();
    let [first, second] = ports.map(port);
    let open = listener(&host, way, first);
    let server = call(from, first, SocketFlags::empty());
    net::send(&server, b"secret", net::SendFlags::NOSIGNAL).expect("data");
    assert_eq!(open.fate(), Fate::Sent, "without the gate");
    drop((open, server));
    host.start();
    let closed = listener(&host, way, second);
    let server = call(from, second, SocketFlags::NONBLOCK);
    wait_for_retry(second);
    closed.still_waits();
    let server = TcpStream::from(server);
    assert_eq!(
        server.peer_addr().expect_err("no peer").kind(),
        ErrorKind::NotConnected
    );
}

#[test]
fn a_listener_sends_nothing_to_a_protected_server_that_connects_to_it() {
    is_not_connected("listen-then-send", [21022, 21023]);
}

#[test]
fn a_listener_hears_nothing_of_a_protected_server_that_connects_to_it() {
    is_not_connected("listen-then-hear", [21024, 21025]);
}
