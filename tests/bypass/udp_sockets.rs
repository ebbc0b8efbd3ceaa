// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Datagrams by every call that sends one, and of sockets with options.

use std::net::UdpSocket;

use nix::errno::Errno;
use stile_tests::{ALICE, Client, Fate, Probe, Server, until};

use crate::scene::{ALL, SECRET, Scene, Who, host, ways};
use crate::ways::{LOCALHOST, any_protocol, arrived_nothing_since};

ways! {
    refused v4 SUDO "udp-connected": a_connected_udp_socket_of_root_in_a_session_is_refused
    refused v4 SUDO "udp-unconnected": a_datagram_of_root_in_a_session_is_refused
    refused v4 SUDO "udp-unconnected-v4-on-v6": a_datagram_of_root_in_a_session_to_an_ipv4_address_on_an_ipv6_socket_is_refused
    refused v6 ALL "udp-connected": a_connected_ipv6_udp_socket_is_refused
    refused v6 ALL "udp-unconnected": a_datagram_of_an_unconnected_ipv6_socket_is_refused
    refused v4 ALL "udp-sendmsg": a_message_is_refused
    refused v4 ALL "udp-pktinfo": a_message_that_names_its_interface_and_source_is_refused
    refused v6 ALL "udp-pktinfo": an_ipv6_message_that_names_its_interface_and_source_is_refused
    refused v4 ALL "udp-gso": a_message_in_segments_is_refused
    refused v6 ALL "udp-gso": an_ipv6_message_in_segments_is_refused
    refused v4 ALL "udp-gso-option": datagrams_of_a_socket_that_segments_are_refused
    dropped v4 ALL "udp-cork": a_corked_datagram_is_refused
    dropped v6 ALL "udp-cork": a_corked_ipv6_datagram_is_refused
    dropped v4 ALL "udp-cork-v4-on-v6": a_corked_datagram_of_an_ipv6_socket_to_an_ipv4_address_is_refused
    refused v4 ALL "udp-more": a_datagram_in_pieces_is_refused
    refused v6 ALL "udp-more": an_ipv6_datagram_in_pieces_is_refused
    refused v4 ALL "udp-more-v4-on-v6": a_datagram_in_pieces_of_an_ipv6_socket_to_an_ipv4_address_is_refused
    refused v4 ALL "udp-zerocopy": a_datagram_without_a_copy_is_refused
    refused v6 ALL "udp-zerocopy": an_ipv6_datagram_without_a_copy_is_refused
    refused v4 ALL "udp-unspec": a_datagram_to_an_address_of_no_family_is_refused
    refused v4 ALL "udp-freebind": a_datagram_of_a_freely_bound_socket_is_refused
    refused v4 PRIVILEGED "udp-transparent": a_datagram_from_a_foreign_address_is_refused
    refused v4 PRIVILEGED "udp-mark": a_datagram_with_a_mark_is_refused
    refused v4 ALL "udp-device": a_datagram_of_a_socket_bound_to_the_loopback_device_is_refused
    refused v4 ALL "udp-write": a_write_on_a_connected_udp_socket_is_refused
    refused v4 ALL "udp-sendfile": a_file_sent_on_a_connected_udp_socket_is_refused
}

/// The other two datagrams of the same call arrive.
#[test]
fn of_several_datagrams_in_one_call_the_one_to_a_protected_address_is_refused() {
    let mut scene = Scene::v4();
    let other = Server::start(LOCALHOST, 0);
    scene = scene.with(other.address());
    for who in ALL {
        assert!(scene.leads(*who, "udp-sendmmsg"));
    }
    scene.host.start();
    for who in ALL {
        arrived_nothing_since(&other, other.bytes());
        let (before, others) = (scene.settled(), other.datagrams());
        let attempt = Probe::start(&mut scene.probe(*who, "udp-sendmmsg"));
        assert_eq!(attempt.fate(), Fate::Error(Errno::EPERM), "{who:?}");
        arrived_nothing_since(&scene.server, before);
        until("the others get theirs", || {
            (other.datagrams() == others + 2).then_some(())
        });
    }
}

/// The first datagram is lost, as any may be; the second one of the same program arrives.
#[test]
fn a_datagram_of_an_unconnected_socket_raises_a_challenge_and_passes_after_it() {
    let mut scene = Scene::v4();
    scene.host.start();
    let authenticator = scene.host.enroll(ALICE);
    let before = scene.settled();
    let first = Probe::start(&mut scene.probe(Who::Alice, "udp-unconnected"));
    assert_eq!(first.fate(), Fate::Error(Errno::EPERM));
    scene.host.wait_for_challenge(ALICE);
    arrived_nothing_since(&scene.server, before);
    scene.host.approve(ALICE, &authenticator);
    let before = scene.settled();
    let second = Probe::start(&mut scene.probe(Who::Alice, "udp-unconnected"));
    assert_eq!(second.fate(), Fate::Sent);
    until("the server gets the data", || {
        (scene.server.bytes() == before + SECRET).then_some(())
    });
}

/// S1, S3: after the end of the grant nothing comes back either, on a socket that is still
/// connected to the server.
#[test]
fn datagrams_of_the_server_do_not_arrive_after_the_end_of_the_grant() {
    let mut host = host();
    let policy = any_protocol(r#""{address}""#, "7001") + "ttl = \"2s\"\n";
    host.write_policy(&policy);
    // A server that sends when it likes.
    let server = UdpSocket::bind((host.server().address().ip(), 7001)).expect("a port");
    host.start();
    let authenticator = host.enroll(ALICE);
    let to = server.local_addr().expect("bound");
    let client = || Client::start(&mut host.client(ALICE, "udp", to));
    assert_eq!(client().outcome().result, Err(Errno::EPERM));
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    let mut client = client();
    client.connected();
    client.write("hello");
    let mut buffer = [0; 64];
    let (length, peer) = server.recv_from(&mut buffer).expect("a datagram");
    server.send_to(&buffer[..length], peer).expect("root may");
    assert_eq!(client.heard(), Ok(Some("hello".to_owned())));
    until("new connections are refused", || {
        let another = Client::start(&mut host.client(ALICE, "udp", to));
        (another.outcome().result == Err(Errno::EPERM)).then_some(())
    });
    server.send_to(b"secret", peer).expect("root may");
    client.hears_nothing();
}
