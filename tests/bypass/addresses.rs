// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Other names of a protected address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use stile_tests::Server;

use crate::ways::{LOCALHOST, alice, any_protocol, is_held, is_refused, open_host};

#[test]
fn an_ipv4_address_in_ipv6_clothes_is_held() {
    let mut host = open_host();
    let server = Server::start(host.server().address().ip(), 7001);
    host.write_policy(&any_protocol(r#""{address}""#, "7001"));
    is_held(&mut host, &server, alice("tcp", mapped(server.address())));
}

#[test]
fn datagrams_to_an_ipv4_address_in_ipv6_clothes_are_refused() {
    for way in ["udp-connected", "udp-unconnected"] {
        let mut host = open_host();
        let server = Server::start(host.server().address().ip(), 7001);
        host.write_policy(&any_protocol(r#""{address}""#, "7001"));
        is_refused(&mut host, &server, alice(way, mapped(server.address())));
    }
}

fn mapped(address: SocketAddr) -> SocketAddr {
    let IpAddr::V4(v4) = address.ip() else {
        return address;
    };
    SocketAddr::new(IpAddr::V6(v4.to_ipv6_mapped()), address.port())
}

#[test]
fn the_address_zero_means_this_host_and_is_held() {
    let mut host = open_host();
    let server = Server::start(LOCALHOST, 0);
    let to = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), server.address().port());
    host.write_policy(&any_protocol(r#""127.0.0.1""#, &to.port().to_string()));
    is_held(&mut host, &server, alice("tcp", to));
}

#[test]
fn datagrams_to_the_address_zero_are_refused() {
    for way in ["udp-connected", "udp-unconnected"] {
        let mut host = open_host();
        let server = Server::start(LOCALHOST, 0);
        let to = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), server.address().port());
        host.write_policy(&any_protocol(r#""127.0.0.1""#, &to.port().to_string()));
        is_refused(&mut host, &server, alice(way, to));
    }
}

#[test]
fn the_ipv6_address_zero_means_this_host_and_is_held() {
    let mut host = open_host();
    let server = Server::start(IpAddr::V6(Ipv6Addr::LOCALHOST), 0);
    let to = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), server.address().port());
    host.write_policy(&any_protocol(r#""::1""#, &to.port().to_string()));
    is_held(&mut host, &server, alice("tcp", to));
}

#[test]
fn datagrams_to_the_ipv6_address_zero_are_refused() {
    for way in ["udp-connected", "udp-unconnected"] {
        let mut host = open_host();
        let server = Server::start(IpAddr::V6(Ipv6Addr::LOCALHOST), 0);
        let to = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), server.address().port());
        host.write_policy(&any_protocol(r#""::1""#, &to.port().to_string()));
        is_refused(&mut host, &server, alice(way, to));
    }
}
