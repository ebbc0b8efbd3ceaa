// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Promises S1 and S3: connections that are older than the agent, or than the protection of
//! their endpoint, are closed or kept, as the policy says; and what a protected server sends
//! unasked doesn't arrive.

use std::net::SocketAddr;

use nix::errno::Errno;
use stile_tests::{ALICE, BOB, Client, Host, ROOT, Server, Terminal, User};

/// A policy that protects these ports of the host's address, for every protocol.
fn policy(ports: &str, existing: &str) -> String {
    format!(
        r#"
[[endpoint]]
name = "db"
hosts = ["{{address}}"]
ports = [{ports}]
protocol = "any"
existing = "{existing}"

[[rule]]
name = "step-up"
endpoints = ["db"]
users = ["*"]
action = "step-up"
"#
    )
}

fn host(existing: &str) -> Host {
    Host::builder()
        .policy(&policy("{port}", existing))
        .stopped()
        .build()
}

fn connected(host: &Host, user: User) -> Client {
    let mut client = host.connect(user);
    client.connected();
    client.talks();
    client
}

#[test]
fn a_connection_older_than_the_agent_is_closed_with_an_error_and_recorded() {
    let mut host = host("close");
    let mut client = connected(&host, ALICE);
    client.listen();
    host.start();
    assert_eq!(client.heard(), Err(Errno::ECONNABORTED));
    let records = host.audit().records();
    let closed = records.the("connection-closed-by-stile");
    assert_eq!(closed["reason"], "existing");
    assert_eq!(closed["subject"]["user"], "alice");
    assert_eq!(closed["destination"]["endpoint"], "db");
}

#[test]
fn a_connection_older_than_the_agent_is_kept_where_the_policy_says_so_and_opens_nothing() {
    let mut host = host("keep");
    let mut client = connected(&host, ALICE);
    host.start();
    client.talks();
    let records = host.audit().records();
    assert_eq!(records.the("connection-kept")["subject"]["user"], "alice");
    let held = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    held.still_waits();

    host.restart();
    client.talks();
    host.write_policy(&policy("{port}", "close"));
    host.reload();
    assert_eq!(client.say("hello"), Err(Errno::ECONNABORTED));
}

#[test]
fn a_connection_older_than_its_protection_is_closed_by_the_reload() {
    let mut host = Host::builder().policy(&policy("7001", "close")).build();
    let mut client = connected(&host, ALICE);
    client.listen();
    host.write_policy(&policy("{port}", "close"));
    host.reload();
    assert_eq!(client.heard(), Err(Errno::ECONNABORTED));
}

#[test]
fn a_connection_older_than_its_protection_is_kept_by_the_reload_where_the_policy_says_so() {
    let mut host = Host::builder().policy(&policy("7001", "keep")).build();
    let mut client = connected(&host, ALICE);
    host.write_policy(&policy("{port}", "keep"));
    host.reload();
    client.talks();
}

#[test]
fn a_connection_whose_grant_was_revoked_is_never_kept() {
    let mut host = host("keep");
    host.start();
    let authenticator = host.enroll(ALICE);
    let mut client = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    client.connected();
    client.listen();
    // The rule has another name now: its grants are over.
    host.write_policy(&policy("{port}", "keep").replace("step-up\"\nend", "other\"\nend"));
    host.reload();
    assert_eq!(client.heard(), Err(Errno::ECONNABORTED));
}

#[test]
fn what_is_not_gated_keeps_its_connections() {
    let mut host = host("close");
    let mut client = connected(&host, ROOT);
    host.start();
    client.talks();
    host.restart();
    client.talks();
    host.reload();
    client.talks();
}

#[test]
fn a_connection_of_root_that_is_older_than_the_agent_is_closed_in_a_session() {
    let mut host = Host::builder()
        .policy(&policy("{port}", "close"))
        .cgroup("user.slice/user-42001.slice/session-1.scope")
        .stopped()
        .build();
    let mut client = host.connect_in("user.slice/user-42001.slice/session-1.scope", ROOT);
    client.connected();
    client.listen();
    host.start();
    assert_eq!(client.heard(), Err(Errno::ECONNABORTED));
    let records = host.audit().records();
    let closed = records.the("connection-closed-by-stile");
    assert_eq!(closed["subject"]["user"], "alice");
}

#[test]
fn a_user_who_is_gated_from_now_on_loses_connections_without_a_grant() {
    let mut host = Host::builder()
        .policy(&policy("{port}", "close"))
        .settings(&format!("gated_uids = [{}]", BOB.uid))
        .build();
    let mut client = connected(&host, ALICE);
    client.listen();
    std::fs::write(host.settings(), "").expect("the settings");
    host.reload();
    assert_eq!(client.heard(), Err(Errno::ECONNABORTED));
    let held = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    held.still_waits();
}

#[test]
fn a_connected_udp_socket_older_than_the_agent_is_closed() {
    let mut host = host("close");
    let to = host.server().address();
    let mut client = Client::start(&mut host.client(ALICE, "udp", to));
    client.connected();
    client.talks();
    client.listen();
    host.start();
    assert_eq!(client.heard(), Err(Errno::ECONNABORTED));
}

#[test]
fn what_a_protected_server_sends_unasked_does_not_arrive() {
    let mut host = host("close");
    let server = Server::start(host.server().address().ip(), 7001);
    host.write_policy(&policy("7001", "close"));
    let own: SocketAddr = "127.0.0.1:7002".parse().expect("an address");
    let mut client = Client::start(&mut host.client(ALICE, "udp-bound", own));
    client.connected();
    client.listen();
    server.send_to(own, "hello");
    assert_eq!(client.heard(), Ok(Some("hello".to_owned())));
    host.start();
    server.send_to(own, "hello");
    client.hears_nothing();
    // Another port of the same server is not protected.
    host.server().send_to(own, "from elsewhere");
    client.listen();
    assert_eq!(client.heard(), Ok(Some("from elsewhere".to_owned())));
}

#[test]
fn the_terminal_of_a_connection_hears_before_its_grant_ends() {
    let policy = policy("{port}", "close") + "ttl = \"6s\"\nwarn = \"4s\"\n";
    let host = Host::builder().policy(&policy).build();
    let authenticator = host.enroll(ALICE);
    let mut terminal = Terminal::of(ALICE);
    let mut client = Client::start(&mut host.client_on(&terminal, ALICE));
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    client.connected();
    terminal.shows("access ends in 4 s: the connection is then closed");
    client.talks();
    client.listen();
    assert_eq!(client.heard(), Err(Errno::ECONNABORTED));
}
