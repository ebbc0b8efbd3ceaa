// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the gate lets alone (promise S8).

use stile_tests::{ALICE, Fate, Host, Probe, ROOT, Server, has_mptcp, until};

use crate::ways::LOCALHOST;

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
            if way == "mptcp" && !has_mptcp() {
                continue;
            }
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
