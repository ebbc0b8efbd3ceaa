// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Wildcards, with a monitor that speaks as that of systemd-resolved does.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::net::{UnixListener, UnixStream};

use nix::errno::Errno;
use stile_tests::ALICE;

use super::resolved::{MONITOR, alone};
use super::scene::{Zone, learned, told};

/// Waits for the daemon, and says that it will hear of answers.
fn accept(listener: &UnixListener) -> UnixStream {
    let (mut stream, _) = listener.accept().unwrap();
    let mut call = Vec::new();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    reader.read_until(0, &mut call).unwrap();
    stream
        .write_all(b"{\"parameters\":{\"ready\":true},\"continues\":true}\0")
        .unwrap();
    stream
}

fn answer(stream: &mut UnixStream, name: &str, address: Ipv4Addr) {
    let octets = address.octets();
    let message = format!(
        r#"{{"parameters":{{"state":"success","question":[{{"class":1,"type":1,"name":"{name}"}}],"answer":[{{"rr":{{"key":{{"class":1,"type":1,"name":"{name}"}},"address":{octets:?}}}}}]}},"continues":true}}"#
    );
    stream.write_all(message.as_bytes()).unwrap();
    stream.write_all(&[0]).unwrap();
}

#[test]
fn without_systemd_resolved_wildcards_are_said_to_catch_nothing() {
    let Some(zone) = Zone::new() else { return };
    let _alone = alone();
    let wild = format!("*{}", zone.name(""));
    let host = zone.builder(&[&wild]).build();
    told(
        &host,
        &format!("{wild}: wildcards catch nothing on this host, they are NOT protected"),
    );
}

#[test]
fn what_a_program_has_looked_up_below_a_wildcard_is_held_also_after_a_restart() {
    let Some(zone) = Zone::new() else { return };
    let _alone = alone();
    let _servers = (zone.echo(1), zone.echo(2));
    let _ = fs::remove_file(MONITOR);
    let listener = UnixListener::bind(MONITOR).unwrap();
    let wild = format!("*{}", zone.name(""));
    let mut host = zone.builder(&[&wild]).build();
    let mut monitor = accept(&listener);
    let mut earlier = host.connect_to(ALICE, zone.at(1));
    earlier.connected();
    earlier.listen();
    answer(&mut monitor, "db.elsewhere.example", zone.address(2));
    answer(&mut monitor, &zone.name("db"), zone.address(1));
    learned(&host, &wild, zone.address(1));
    assert_eq!(earlier.heard(), Err(Errno::ECONNABORTED));
    host.connect_to(ALICE, zone.at(2)).connected();
    let client = host.connect_to(ALICE, zone.at(1));
    host.wait_for_challenge(ALICE);
    client.still_waits();
    drop((monitor, listener));
    let _ = fs::remove_file(MONITOR);
    told(&host, "wildcards catch nothing");
    host.restart();
    let client = host.connect_to(ALICE, zone.at(1));
    host.wait_for_challenge(ALICE);
    client.still_waits();
}
