// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the kernel does in a process's name.

use std::fs;

use stile_tests::cannot_run;

use crate::scene::{ALL, Scene};

/// Who may use io_uring (Documentation/admin-guide/sysctl/kernel.rst); older kernels, which
/// don't have the file, let everybody.
const DISABLED: &str = "/proc/sys/kernel/io_uring_disabled";

macro_rules! ways {
    ($($outcome:ident $scene:ident $way:literal: $name:ident)*) => {$(
        #[test]
        fn $name() {
            let disabled = fs::read_to_string(DISABLED).unwrap_or_default();
            if ["1", "2"].contains(&disabled.trim()) {
                return cannot_run("io_uring is switched off: kernel.io_uring_disabled");
            }
            Scene::$scene().$outcome(ALL, $way);
        }
    )*};
}

ways! {
    held v4 "uring-connect": a_connect_by_io_uring_is_held
    held v6 "uring-connect": a_connect_by_io_uring_over_ipv6_is_held
    held v4 "uring-sqpoll": a_connect_by_the_kernels_thread_is_held_as_its_process
    held v4 "uring-linked": a_send_linked_to_a_connect_waits_with_it
    held v4 "uring-sqpoll-linked": a_send_of_the_kernels_thread_linked_to_a_connect_waits_with_it
    held v4 "uring-registered": a_connect_of_a_registered_socket_is_held
    held v4 "uring-direct": a_connect_of_a_socket_made_in_the_ring_is_held
    held v4 "uring-send-on-held": a_send_by_io_uring_on_a_held_socket_does_not_arrive
    refused v4 "uring-udp-connect": a_udp_connect_by_io_uring_is_refused
    refused v4 "uring-udp-send": a_datagram_sent_by_io_uring_is_refused
    refused v6 "uring-udp-send": an_ipv6_datagram_sent_by_io_uring_is_refused
    refused v4 "uring-udp-sqpoll": a_datagram_sent_by_the_kernels_thread_is_refused
    refused v4 "uring-udp-send-zc": a_datagram_sent_by_io_uring_without_a_copy_is_refused
    refused v4 "uring-udp-sendmsg": a_message_sent_by_io_uring_is_refused
    refused v4 "uring-udp-sendmsg-zc": a_message_sent_by_io_uring_without_a_copy_is_refused
}
