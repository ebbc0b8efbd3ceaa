// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Packets that are made by hand.

use std::net::SocketAddr;
use std::process::Command;

use stile_tests::{ALICE, Host, ROOT, Server, User, probe_program};

use crate::ways::{any_protocol, is_refused, open_host};

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
