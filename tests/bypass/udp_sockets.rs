// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Datagrams by every call that sends one, and of sockets with options.

use crate::scene::ways;

ways! {
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
