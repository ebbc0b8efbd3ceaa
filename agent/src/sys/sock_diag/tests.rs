// SPDX-License-Identifier: Apache-2.0 OR MIT
//! These need root. What they destroy are connections of their own, on loopback.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, connect, listen, socket,
};
use proptest::prelude::*;

use super::wire::next_message;
use super::*;
use crate::sys::socket::cookie_of;

/// A client and a server that are connected through `address`.
fn pair(address: &str) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    (client, server)
}

fn established() -> TcpStates {
    TcpStates::of(&[TcpState::Established])
}

fn find(family: Family, states: TcpStates, wanted: SocketCookie) -> Option<TcpSocket> {
    let listing = Listing {
        states,
        ..Listing::live_tcp(family)
    };
    let sockets = list(listing).unwrap();
    sockets.into_iter().find(|socket| socket.cookie == wanted)
}

fn assert_aborted(stream: &mut TcpStream) {
    let error = stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
}

#[test]
fn a_connection_is_listed_with_both_ends_owner_and_cookie() {
    for (address, family) in [("127.0.0.1", Family::V4), ("::1", Family::V6)] {
        let (client, _server) = pair(address);
        let found = find(family, established(), cookie_of(&client).unwrap()).unwrap();
        assert_eq!(found.local, client.local_addr().unwrap());
        assert_eq!(found.remote, client.peer_addr().unwrap());
        assert_eq!(found.state, TcpState::Established);
        assert_eq!(found.uid, Uid(nix::unistd::getuid().as_raw()));
        assert_ne!(found.inode, 0);
    }
}

#[test]
fn a_socket_is_listed_with_the_cgroup_in_which_it_was_made() {
    let (client, _server) = pair("127.0.0.1");
    let found = find(Family::V4, established(), cookie_of(&client).unwrap()).unwrap();
    // This process's own, by its path in the hierarchy of version 2.
    let text = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let path = text.lines().find_map(|line| line.strip_prefix("0::"));
    let hierarchy = crate::sys::cgroup::Cgroup2::find().unwrap();
    let own = hierarchy.id_of(path.unwrap().as_ref()).unwrap();
    assert_eq!(found.cgroup, Some(own));
    assert_eq!(found.storage, None);
}

#[test]
fn a_connected_udp_socket_is_listed_and_destroyed() {
    for (address, family) in [("127.0.0.1", Family::V4), ("::1", Family::V6)] {
        let server = UdpSocket::bind((address, 0)).unwrap();
        let client = UdpSocket::bind((address, 0)).unwrap();
        client.connect(server.local_addr().unwrap()).unwrap();
        let listing = Listing {
            transport: Transport::Udp,
            states: established(),
            ..Listing::live_tcp(family)
        };
        let cookie = cookie_of(&client).unwrap();
        let sockets = list(listing).unwrap();
        let found = sockets.into_iter().find(|socket| socket.cookie == cookie);
        let found = found.unwrap();
        assert_eq!(found.remote, server.local_addr().unwrap());
        assert_eq!(found.transport, Transport::Udp);
        assert_eq!(destroy(&found).unwrap(), Destroyed::Yes);
        let error = client.recv(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    }
}

#[test]
fn only_the_states_that_were_asked_for_are_listed() {
    let (client, _server) = pair("127.0.0.1");
    let cookie = cookie_of(&client).unwrap();
    assert_eq!(
        find(Family::V4, TcpStates::of(&[TcpState::Listen]), cookie),
        None
    );
    assert_eq!(find(Family::V6, established(), cookie), None);
}

#[test]
fn a_destroyed_client_sees_its_connection_aborted_and_its_server_a_reset() {
    for (address, family) in [("127.0.0.1", Family::V4), ("::1", Family::V6)] {
        let (mut client, mut server) = pair(address);
        let found = find(family, established(), cookie_of(&client).unwrap()).unwrap();
        assert_eq!(destroy(&found).unwrap(), Destroyed::Yes);
        assert_aborted(&mut client);
        let error = server.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(destroy(&found).unwrap(), Destroyed::Gone);
    }
}

#[test]
fn a_socket_with_the_same_addresses_but_another_cookie_is_left_alone() {
    let (mut client, mut server) = pair("127.0.0.1");
    let mut found = find(Family::V4, established(), cookie_of(&client).unwrap()).unwrap();
    found.cookie = SocketCookie(found.cookie.0 ^ 1 << 40);
    assert_eq!(destroy(&found).unwrap(), Destroyed::Gone);
    client.write_all(b"x").unwrap();
    server.read_exact(&mut [0]).unwrap();
}

#[test]
fn sockets_are_destroyed_by_cookie_in_both_families_and_no_others() {
    let (mut first, _a) = pair("127.0.0.1");
    let (mut second, _b) = pair("::1");
    let (mut other, mut peer) = pair("127.0.0.1");
    let mut cookies = [cookie_of(&first).unwrap(), cookie_of(&second).unwrap()];
    let unknown = SocketCookie(u64::MAX);
    let mut destroyed = SockDiag::open()
        .unwrap()
        .destroy_by_cookies(&[cookies[0], unknown, cookies[1]])
        .unwrap();
    cookies.sort();
    destroyed.sort();
    assert_eq!(destroyed, cookies);
    assert_aborted(&mut first);
    assert_aborted(&mut second);
    other.write_all(b"x").unwrap();
    peer.read_exact(&mut [0]).unwrap();
    assert_eq!(
        SockDiag::open()
            .unwrap()
            .destroy_by_cookies(&cookies)
            .unwrap(),
        []
    );
    assert_eq!(
        SockDiag::open().unwrap().destroy_by_cookies(&[]).unwrap(),
        []
    );
}

#[test]
fn a_connection_to_a_mapped_address_is_destroyed_too() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mapped: SocketAddr = format!("[::ffff:127.0.0.1]:{port}").parse().unwrap();
    let mut client = TcpStream::connect(mapped).unwrap();
    let cookie = cookie_of(&client).unwrap();
    assert_eq!(
        SockDiag::open()
            .unwrap()
            .destroy_by_cookies(&[cookie])
            .unwrap(),
        [cookie]
    );
    assert_aborted(&mut client);
}

#[test]
fn a_connect_that_waits_for_its_answer_is_destroyed() {
    // A listener whose queue is full answers no SYN: one connection fills a queue of 0.
    let listener = socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::empty(),
        None,
    )
    .unwrap();
    let any: SockaddrStorage = SocketAddr::from(([127, 0, 0, 1], 0)).into();
    bind(listener.as_raw_fd(), &any).unwrap();
    listen(&listener, Backlog::new(0).unwrap()).unwrap();
    let listener = TcpListener::from(listener);
    let address = listener.local_addr().unwrap();
    let _fills_the_queue = TcpStream::connect(address).unwrap();

    let waiting = socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::SOCK_NONBLOCK,
        None,
    )
    .unwrap();
    let storage: SockaddrStorage = address.into();
    assert_eq!(
        connect(waiting.as_raw_fd(), &storage),
        Err(Errno::EINPROGRESS)
    );
    let cookie = cookie_of(&waiting).unwrap();
    let syn_sent = TcpStates::of(&[TcpState::SynSent]);
    assert!(find(Family::V4, syn_sent, cookie).is_some());
    assert_eq!(
        SockDiag::open()
            .unwrap()
            .destroy_by_cookies(&[cookie])
            .unwrap(),
        [cookie]
    );
    let waiting = TcpStream::from(waiting);
    let error = waiting.take_error().unwrap().unwrap();
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
}

#[test]
fn this_kernel_can_destroy_sockets() {
    for transport in [Transport::Tcp, Transport::Udp] {
        probe_destroy(transport).unwrap();
    }
}

#[test]
fn each_missing_thing_has_a_remedy_of_its_own() {
    assert!(matches!(refusal(Errno::EOPNOTSUPP), DiagError::NoDestroy));
    assert!(matches!(refusal(Errno::EPERM), DiagError::NotPermitted));
}

#[test]
fn a_listing_that_outgrows_its_bound_is_an_error_and_not_a_part() {
    let (_client, _server) = pair("127.0.0.1");
    let cut = Connection::open()
        .unwrap()
        .dump(Listing::live_tcp(Family::V4), 1, |_| true);
    assert!(matches!(cut, Err(DiagError::TooMany(1))));
}

proptest! {
    #[test]
    fn no_answer_makes_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = next_message(&bytes);
    }

    #[test]
    fn no_socket_description_makes_the_reader_panic_or_stand_still(
        length in 0_u32..120,
        body in prop::collection::vec(any::<u8>(), 100),
    ) {
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(wire::SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        bytes.extend(&body);
        if let Ok((_, rest)) = next_message(&bytes) {
            prop_assert!(rest.len() < bytes.len());
        }
    }
}
