// SPDX-License-Identifier: Apache-2.0 OR MIT
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use nix::errno::Errno;
use stile_tests::{ALICE, Host};

use super::scene::{PORT, Zone, learned, told};

/// A host that knows the address of `db`, which ends with `.1`.
fn knowing(zone: &mut Zone) -> Host {
    zone.serve(&[("db", zone.address(1))]);
    let host = zone.builder(&[&zone.name("db")]).build();
    learned(&host, &zone.name("db"), zone.address(1));
    host
}

#[test]
fn a_connection_to_a_host_that_is_named_is_held() {
    let Some(mut zone) = Zone::new() else { return };
    let (server, _other) = (zone.echo(1), zone.echo(2));
    let host = knowing(&mut zone);
    host.connect_to(ALICE, zone.at(2)).connected();
    let authenticator = host.enroll(ALICE);
    let mut client = host.connect_to(ALICE, zone.at(1));
    host.wait_for_challenge(ALICE);
    client.still_waits();
    assert_eq!(server.accepted(), 0);
    host.approve(ALICE, &authenticator);
    client.connected();
    client.talks();
}

#[test]
fn an_address_that_a_name_gets_is_protected_and_what_is_connected_there_is_closed() {
    let Some(mut zone) = Zone::new() else { return };
    let _servers = (zone.echo(1), zone.echo(2));
    let host = knowing(&mut zone);
    let mut earlier = host.connect_to(ALICE, zone.at(2));
    earlier.connected();
    earlier.listen();
    zone.serve(&[("db", zone.address(2))]);
    assert_eq!(earlier.heard(), Err(Errno::ECONNABORTED));
    learned(&host, &zone.name("db"), zone.address(2));
    let records = host.audit().records();
    assert_eq!(
        records.the("connection-closed-by-stile")["reason"],
        "existing"
    );
    // Others may still have the old answer.
    for last in [1, 2] {
        let client = host.connect_to(ALICE, zone.at(last));
        host.wait_for_challenge(ALICE);
        client.still_waits();
    }
}

#[test]
fn what_was_known_is_protected_though_the_name_servers_are_gone_and_the_daemon_was_restarted() {
    let Some(mut zone) = Zone::new() else { return };
    let _server = zone.echo(1);
    let mut host = knowing(&mut zone);
    let file = host.state().join("hosts.json");
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    zone.fall_silent();
    told(&host, "the name servers failed");
    host.kill9();
    host.start();
    let client = host.connect_to(ALICE, zone.at(1));
    host.wait_for_challenge(ALICE);
    client.still_waits();
    told(&host, "1 known addresses stay protected");
}

#[test]
fn a_reload_keeps_what_is_known() {
    let Some(mut zone) = Zone::new() else { return };
    let _servers = (zone.echo(1), zone.echo(2));
    let mut host = knowing(&mut zone);
    zone.fall_silent();
    host.write_policy(&zone.policy(&[&zone.name("db"), "192.0.2.1"]));
    host.reload();
    let client = host.connect_to(ALICE, zone.at(1));
    host.wait_for_challenge(ALICE);
    client.still_waits();
}

#[test]
fn a_name_that_comes_with_a_reload_is_looked_up_and_one_that_goes_is_free() {
    let Some(mut zone) = Zone::new() else { return };
    let _servers = (zone.echo(1), zone.echo(2));
    let mut host = knowing(&mut zone);
    zone.serve(&[("db", zone.address(1)), ("db2", zone.address(2))]);
    host.write_policy(&zone.policy(&[&zone.name("db2")]));
    host.reload();
    learned(&host, &zone.name("db2"), zone.address(2));
    host.connect_to(ALICE, zone.at(1)).connected();
    let client = host.connect_to(ALICE, zone.at(2));
    host.wait_for_challenge(ALICE);
    client.still_waits();
}

#[test]
fn an_answer_of_loopback_is_refused_and_the_last_good_one_kept() {
    let Some(mut zone) = Zone::new() else { return };
    let loopback = [127, 0, 2, 1].into();
    let _servers = (
        zone.echo(1),
        stile_tests::Server::start(std::net::IpAddr::V4(loopback), PORT),
    );
    let host = knowing(&mut zone);
    zone.serve(&[("db", loopback)]);
    told(
        &host,
        "127.0.2.1 is this host's loopback: not taken from a name",
    );
    host.connect_to(ALICE, (loopback, PORT).into()).connected();
    let client = host.connect_to(ALICE, zone.at(1));
    host.wait_for_challenge(ALICE);
    client.still_waits();
}

#[test]
fn a_name_without_an_address_is_said_to_be_unprotected_until_it_has_one() {
    let Some(mut zone) = Zone::new() else { return };
    let _server = zone.echo(1);
    zone.serve(&[]);
    let host = zone.builder(&[&zone.name("db")]).build();
    let said = format!(
        "{} has never been resolved: it is NOT protected yet",
        zone.name("db")
    );
    told(&host, &said);
    zone.serve(&[("db", zone.address(1))]);
    learned(&host, &zone.name("db"), zone.address(1));
    let client = host.connect_to(ALICE, zone.at(1));
    host.wait_for_challenge(ALICE);
    client.still_waits();
}

#[test]
fn a_broken_file_of_known_addresses_is_reported_and_protection_goes_on() {
    let Some(mut zone) = Zone::new() else { return };
    let _server = zone.echo(1);
    let mut host = knowing(&mut zone);
    host.stop();
    fs::write(host.state().join("hosts.json"), "{}").unwrap();
    let before = host.audit().records().of("host-learned").len();
    host.start();
    told(&host, "hosts.json is not used");
    let _ = host.audit().wait_for("host-learned", before + 1);
    let client = host.connect_to(ALICE, zone.at(1));
    host.wait_for_challenge(ALICE);
    client.still_waits();
}

#[test]
fn names_that_come_back_with_a_reload_are_known_from_an_earlier_daemon() {
    let Some(mut zone) = Zone::new() else { return };
    let _server = zone.echo(1);
    let mut host = knowing(&mut zone);
    host.stop();
    zone.fall_silent();
    host.write_policy(&zone.policy(&["192.0.2.1"]));
    host.start();
    host.connect_to(ALICE, zone.at(1)).connected();
    host.write_policy(&zone.policy(&[&zone.name("db")]));
    host.reload();
    let client = host.connect_to(ALICE, zone.at(1));
    host.wait_for_challenge(ALICE);
    client.still_waits();
}
