// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Network namespaces of a user's, which the host or a program of theirs connects to others.

use std::net::SocketAddr;
use std::process::Command;

use stile_tests::{
    ALICE, Fate, Host, Probe, ROOT, Running, Server, cannot_run, until, wait_for_no_connect,
};

use crate::namespaces::{FORBIDDEN, users_may_make};
use crate::places::{SESSION, ends_with_a_no, say_no, seen, through};
use crate::relays::is_there;
use crate::topology::{
    HOST_FOR_USER, Network, SERVER_IP, USERS_NETWORK, connect_to_host, enter_own_network,
    has_users_cable, ip, nft, wait_for_namespace,
};
use crate::ways::{LOCALHOST, any_protocol};

/// What alice needs to have a network of her own.
const NETWORK: &[&str] = &["--user", "--map-root-user", "--net"];

/// Becomes what it is told as soon as somebody says so.
const WAIT: &str = r#"read -r go && exec "$0" "$@""#;

/// A process of alice's in a user and a network namespace of its own, which will run the probe.
fn in_a_network_of_alices(host: &Host, way: &str, to: SocketAddr) -> Command {
    let programs = [
        "unshare",
        "--user",
        "--map-root-user",
        "--net",
        "/bin/sh",
        "-c",
        WAIT,
    ];
    through(host, (SESSION, ALICE), &programs, way, &[to])
}

/// Starts it with a cable to the host.
fn start_with_cable(command: &mut Command) -> Probe {
    let mut probe = Probe::start(command);
    wait_for_namespace("net", probe.pid());
    connect_to_host(probe.pid());
    probe.go_on();
    probe
}

fn host_that_protects(hosts: &str) -> Host {
    Host::builder()
        .policy(&any_protocol(hosts, "7001"))
        .cgroup(SESSION)
        .stopped()
        .build()
}

/// From a network of alice's through the host to a server that the policy protects.
#[track_caller]
fn is_held_on_its_way_through_the_host(set_up: impl FnOnce(&Network)) {
    if !users_may_make(NETWORK) {
        return cannot_run(FORBIDDEN);
    }
    enter_own_network();
    let (network, server) = Network::with_server();
    set_up(&network);
    let mut host = host_that_protects(&format!("\"{SERVER_IP}\""));
    let command = &mut in_a_network_of_alices(&host, "tcp", server.address());
    let control = start_with_cable(command);
    assert_eq!(control.fate(), Fate::Sent, "without the gate");
    until("the server gets the data without the gate", || {
        (server.bytes() > 0).then_some(())
    });
    drop(control);
    until("the cable is gone", || (!has_users_cable()).then_some(()));

    host.start();
    let before = seen(&server);
    let attempt = start_with_cable(command);
    ends_with_a_no(ALICE, &host, &server, before, &attempt);
}

#[test]
fn a_connect_from_a_network_of_alices_that_the_host_routes_is_held() {
    is_held_on_its_way_through_the_host(Network::route_back);
}

#[test]
fn a_connect_from_a_network_of_alices_that_the_host_masquerades_is_held() {
    if !is_there("nft") {
        return cannot_run("nftables is not installed");
    }
    is_held_on_its_way_through_the_host(|_| {
        nft(&format!(
            "table ip nat {{ chain out {{ type nat hook postrouting priority srcnat; \
             ip saddr {USERS_NETWORK} masquerade; }}; }}"
        ));
    });
}

#[test]
fn a_connect_from_a_network_of_alices_goes_on_there_when_she_says_yes() {
    if !users_may_make(NETWORK) {
        return cannot_run(FORBIDDEN);
    }
    enter_own_network();
    let (network, server) = Network::with_server();
    network.route_back();
    let mut host = host_that_protects(&format!("\"{SERVER_IP}\""));
    host.start();
    let authenticator = host.enroll(ALICE);
    let attempt = start_with_cable(&mut in_a_network_of_alices(&host, "tcp", server.address()));
    host.wait_for_challenge(ALICE);
    attempt.still_waits();
    assert_eq!(seen(&server), (0, 0));
    host.approve(ALICE, &authenticator);
    assert_eq!(attempt.fate(), Fate::Sent);
    until("the server gets the data", || {
        (server.bytes() > 0).then_some(())
    });
}

/// She is root there, and gives the protected address another name (`dnat` of nft(8)). The
/// connect hook sees the name, the packet hook where the packet goes.
#[test]
fn an_address_that_alice_translates_in_a_network_of_hers_leads_nowhere() {
    if !is_there("nft") {
        return cannot_run("nftables is not installed");
    }
    const RULES: &str = "table ip nat { chain out { type nat hook output priority -100; \
        ip daddr 192.0.2.1 dnat to 10.78.0.2; }; }";
    const TRANSLATE: &str = r#"read -r go && nft "$0" && exec "$@""#;
    if !users_may_make(NETWORK) {
        return cannot_run(FORBIDDEN);
    }
    enter_own_network();
    let (network, server) = Network::with_server();
    network.route_back();
    let mut host = host_that_protects(&format!("\"{SERVER_IP}\""));
    let name = SocketAddr::new([192, 0, 2, 1].into(), 7001);
    let programs = [
        "unshare",
        "--user",
        "--map-root-user",
        "--net",
        "/bin/sh",
        "-c",
        TRANSLATE,
        RULES,
    ];
    let command = &mut through(&host, (SESSION, ALICE), &programs, "tcp", &[name]);
    let control = start_with_cable(command);
    assert_eq!(control.fate(), Fate::Sent, "without the gate");
    drop(control);
    until("the cable is gone", || (!has_users_cable()).then_some(()));

    host.start();
    let before = seen(&server);
    let attempt = start_with_cable(command);
    until("its SYN is dropped", || {
        let status = host.stile(ROOT, &["status", "--json"]).json();
        let faults = status["faults"].as_array()?;
        faults.iter().find(|fault| fault[0] == "unseen-socket")?;
        Some(())
    });
    attempt.still_waits();
    assert_eq!(seen(&server), before);
}

/// Has a program of alice's connect for a network of hers: to the host's loopback, which is
/// protected, under a name that isn't.
#[track_caller]
fn a_relay_for_a_network_is_alices(
    name: SocketAddr,
    start: impl Fn(&Host) -> (Vec<Running>, Probe),
) {
    if !users_may_make(NETWORK) {
        return cannot_run(FORBIDDEN);
    }
    enter_own_network();
    let mut host = host_that_protects("\"127.0.0.1\"");
    let server = Server::start(LOCALHOST, 7001);
    let (relay, control) = start(&host);
    assert_eq!(control.fate(), Fate::Sent, "without the gate, to {name}");
    until("the server gets the data without the gate", || {
        (server.bytes() > 0).then_some(())
    });
    drop((relay, control));

    host.start();
    let before = seen(&server);
    let (_relay, _attempt) = start(&host);
    host.wait_for_challenge(ALICE);
    assert_eq!(seen(&server), before, "while held");
    say_no(ALICE, &host);
    wait_for_no_connect(server.address());
    assert_eq!(seen(&server), before, "afterwards");
}

/// What relays make the inside's interface of.
fn has_tun() -> bool {
    std::path::Path::new("/dev/net/tun").exists()
}

#[test]
fn what_pasta_connects_for_a_network_of_alices_is_hers() {
    if !has_tun() {
        return cannot_run("there is no /dev/net/tun");
    }
    if !is_there("pasta") {
        return cannot_run("passt is not installed");
    }
    // The gateway's address inside is the host's loopback outside (`--no-map-gw` of pasta(1)).
    let gateway = SocketAddr::new(HOST_FOR_USER, 7001);
    let start = |host: &Host| {
        let programs = [
            "pasta",
            "--config-net",
            "--tcp-ports",
            "none",
            "--udp-ports",
            "none",
            "--tcp-ns",
            "none",
            "--udp-ns",
            "none",
            "--",
        ];
        let mut command = through(host, (SESSION, ALICE), &programs, "tcp", &[gateway]);
        (Vec::new(), Probe::start(&mut command))
    };
    a_relay_for_a_network_is_alices(gateway, |host| {
        if !has_users_cable() {
            // What pasta copies its inside from.
            ip(&[
                "link", "add", "user", "type", "veth", "peer", "name", "nobody",
            ]);
            ip(&["address", "add", "10.77.0.2/24", "dev", "user"]);
            ip(&["link", "set", "user", "up"]);
            ip(&["link", "set", "nobody", "up"]);
            ip(&["route", "add", "default", "via", "10.77.0.1"]);
        }
        start(host)
    });
}

#[test]
fn what_slirp4netns_connects_for_a_network_of_alices_is_hers() {
    if !has_tun() {
        return cannot_run("there is no /dev/net/tun");
    }
    if !is_there("slirp4netns") {
        return cannot_run("slirp4netns is not installed");
    }
    // Its gateway is the host's loopback (slirp4netns(1)).
    let gateway = SocketAddr::new([10, 0, 2, 2].into(), 7001);
    a_relay_for_a_network_is_alices(gateway, |host| {
        let mut probe = Probe::start(&mut in_a_network_of_alices(host, "tcp", gateway));
        wait_for_namespace("net", probe.pid());
        let mut relay = host.in_cgroup(SESSION, ALICE, "slirp4netns");
        relay.args(["--configure", &probe.pid().to_string(), "tap0"]);
        let relay = Running::start(&mut relay);
        let routes = format!("/proc/{}/net/route", probe.pid());
        until("the network has a gateway", || {
            let table = std::fs::read_to_string(&routes).ok()?;
            table.contains("tap0\t00000000\t0202000A").then_some(())
        });
        probe.go_on();
        (vec![relay], probe)
    });
}
