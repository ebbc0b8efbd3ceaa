// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The gate looks for an address in another way where much is protected. Nobody may notice.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::errno::Errno;
use stile_tests::{ALICE, BOB, Fate, Host, Probe, Server, until};

/// The usual policy with so many more networks and single addresses of each family, numbered
/// from `from` on, and these besides.
fn policy(more: u32, from: u32, besides: &str) -> String {
    let mut hosts = String::new();
    for at in from..from + more {
        let v4 = Ipv4Addr::from_bits(0xc633_0000 + at * 4);
        let v6 = Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(at) << 64);
        let (v4_length, v6_length) = [(32, 128), (30, 64), (31, 48)][at as usize % 3];
        let v6 = match v6_length {
            48 => Ipv6Addr::from_bits(v6.to_bits() << 16 & !0 << 80 | 0x2001 << 112),
            _ => v6,
        };
        write!(hosts, "\"{v4}/{v4_length}\", \"{v6}/{v6_length}\", ").unwrap();
    }
    format!(
        r#"
[[endpoint]]
name = "db"
hosts = ["{{address}}", "::1"]
ports = [{{port}}, {{port6}}]

[[endpoint]]
name = "others"
hosts = [{hosts}{besides}]
ports = [5432]

[[rule]]
name = "step-up"
endpoints = ["db", "others"]
users = ["*"]
action = "step-up"
first = "reject"
"#
    )
}

/// In the network of 24 bits of the host's protected address.
fn neighbour(host: &Host) -> Server {
    let own = host.server().address().ip().to_string();
    let own: Ipv4Addr = own.parse().unwrap();
    Server::start(Ipv4Addr::from_bits(own.to_bits() ^ 1).into(), 0)
}

#[test]
fn a_large_policy_protects_what_it_says_and_nothing_else() {
    let host = Host::builder()
        .policy(&policy(900, 0, "\"192.0.2.1\""))
        .build();
    for server in [host.server(), host.server6()] {
        let refused = Probe::start(&mut host.probe(ALICE, "tcp", &[server.address()]));
        assert_eq!(refused.fate(), Fate::Error(Errno::EPERM));
        assert_eq!(server.accepted(), 0);
    }
    for server in [
        neighbour(&host),
        Server::start(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
    ] {
        let client = host.connect_to(ALICE, server.address());
        client.connected();
    }
}

/// From few addresses to many, to others, to none that a filter can hold, and back: what all of
/// these policies protect is never open, and what none of them protects never closed.
#[test]
fn reloads_from_small_to_large_policies_and_back_leave_no_gap() {
    let mut host = Host::builder().policy(&policy(1, 0, "")).build();
    let neighbour = neighbour(&host);
    let start = |who, to: &Server| Probe::start(&mut host.probe(who, "tcp-loop", &[to.address()]));
    let closed = [start(ALICE, host.server()), start(BOB, host.server6())];
    let open = start(ALICE, &neighbour);
    for probe in closed.iter().chain([&open]) {
        assert_eq!(probe.fate(), Fate::Sent);
    }
    let shapes = [
        (900, 0, ""),
        (900, 450, ""),
        (5, 100, ""),
        (900, 0, "\"fc00::/7\""),
        (1500, 200, ""),
        (0, 0, "\"192.0.2.1\""),
    ];
    for round in 0..2 {
        for (more, from, besides) in shapes {
            let before = neighbour.accepted();
            until("connects go on", || {
                (neighbour.accepted() > before).then_some(())
            });
            host.write_policy(&policy(more, from + round, besides));
            if (round + more) % 2 == 0 {
                host.reload();
            } else {
                host.kill9();
                host.start();
            }
        }
    }
    for probe in closed {
        let (through, refused) = probe.end_loop();
        assert_eq!(through, 0, "a leak");
        assert!(refused >= 12, "{refused}");
    }
    let (through, failed) = open.end_loop();
    assert_eq!(failed, 0, "wrongly refused");
    assert!(through >= 12, "{through}");
}
