// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Full maps: the tests fill them with what nobody uses, as far as they go. (That the kernel has
//! no memory for the state of one socket can't be brought about from here.)

use aya::maps::{HashMap, Map, MapData, MapError};
use nix::errno::Errno;
use stile_tests::{ALICE, BOB, Host, ROOT, until};

/// A hash map of the gate, as bytes.
struct Bytes<const K: usize, const V: usize>(HashMap<MapData, [u8; K], [u8; V]>);

impl<const K: usize, const V: usize> Bytes<K, V> {
    fn open(host: &Host, name: &str) -> Self {
        let pin = host
            .pins()
            .join(format!("v{}", stile_common::ABI_VERSION))
            .join(name);
        let map = Map::from_map_data(MapData::from_pin(pin).unwrap()).unwrap();
        Self(HashMap::try_from(map).unwrap())
    }

    /// Adds entries until there is no room. Returns how many.
    fn fill(&mut self) -> u64 {
        for number in 0.. {
            match self.0.insert(Self::key(number), [0; V], 0) {
                Ok(()) => {}
                Err(MapError::SyscallError(error))
                    if error.io_error.raw_os_error() == Some(Errno::E2BIG as i32) =>
                {
                    return number;
                }
                Err(error) => unreachable!("{error}"),
            }
        }
        unreachable!("no map is that large")
    }

    /// Takes out what was added.
    fn empty(&mut self, entries: u64) {
        for number in 0..entries {
            self.0.remove(&Self::key(number)).unwrap();
        }
    }

    /// A key that nobody has: no socket, user or cgroup has so high a number.
    fn key(number: u64) -> [u8; K] {
        let mut key = [0xee; K];
        key[..8].copy_from_slice(&(0xeeee_eeee_0000_0000 | number).to_ne_bytes());
        key
    }
}

/// How many sockets the gate holds.
pub(crate) fn held(host: &Host) -> usize {
    Bytes::<8, 104>::open(host, "HELD").0.keys().count()
}

/// How many grants the gate has.
pub(crate) fn granted(host: &Host) -> usize {
    Bytes::<16, 24>::open(host, "GRANTS").0.keys().count()
}

/// Waits until the audit log has counted this fault.
#[track_caller]
fn wait_for_lost(host: &Host, kind: &str) {
    until("the log has counted the fault", || {
        (host.audit().records().lost(&[kind]) > 0).then_some(())
    });
}

#[test]
fn a_connect_that_the_gate_cannot_note_as_held_is_refused_and_counted() {
    let host = Host::start_usual();
    let authenticator = host.enroll(ALICE);
    let mut map = Bytes::<8, 104>::open(&host, "HELD");
    let entries = map.fill();
    assert_eq!(entries, 1 << 15);
    assert_eq!(host.connect(ALICE).refused().0, Errno::EPERM);
    assert_eq!(host.faults(&["held-map-full"]), 1);
    wait_for_lost(&host, "held-map-full");

    map.empty(entries);
    let mut client = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    assert_eq!(host.server().accepted(), 0);
    host.approve(ALICE, &authenticator);
    client.connected();
    client.talks();
}

#[test]
fn a_grant_that_the_gate_has_no_room_for_opens_nothing_and_says_why() {
    let host = Host::start_usual();
    let authenticator = host.enroll(ALICE);
    let mut map = Bytes::<16, 24>::open(&host, "GRANTS");
    let entries = map.fill();
    assert_eq!(entries, 1 << 16);
    let held = host.connect(ALICE);
    let id = host.wait_for_challenge(ALICE)["id"].as_u64();
    let said = host.answer(ALICE, id, &authenticator.fresh_code());
    said.failed(1, "GRANTS");
    assert_eq!(held.refused().0, Errno::ECONNABORTED);
    assert!(host.grants(ALICE).is_empty());
    assert_eq!(host.faults(&["grant-not-written"]), 1);
    wait_for_lost(&host, "grant-not-written");
    let records = host.audit().records();
    let given = records.the("grant")["grant"].clone();
    assert_eq!(records.the("grant-revoked")["grant"], given);
    let status = host.stile(ROOT, &["status", "--json"]);
    assert_eq!(status.code, 1, "{status:?}");

    // Neither does the proof let anybody through later.
    map.empty(entries);
    let mut client = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    assert_eq!(host.server().accepted(), 0);
    host.approve(ALICE, &authenticator);
    client.connected();
    client.talks();
    host.stile(ROOT, &["status"]).succeeded();
}

#[test]
fn a_session_that_the_gate_cannot_be_told_of_is_refused_and_counted() {
    const SESSION: &str = "user.slice/user-42001.slice/session-1.scope";
    let host = Host::builder().cgroup("user.slice").build();
    let authenticator = host.enroll(ALICE);
    let mut map = Bytes::<8, 4>::open(&host, "SLICES");
    let entries = map.fill();
    assert!(entries >= (1 << 16) - 1, "{entries}");
    let refused = host.connect_in(SESSION, ROOT);
    assert_eq!(refused.refused().0, Errno::ECONNABORTED);
    assert_eq!(host.faults(&["session-not-told"]), 1);
    wait_for_lost(&host, "session-not-told");

    map.empty(entries);
    let mut client = host.connect_in(SESSION, ROOT);
    host.wait_for_challenge(ALICE);
    assert_eq!(host.server().accepted(), 0);
    host.approve(ALICE, &authenticator);
    client.connected();
    client.talks();
}

/// Asserts that the last reload was refused for this reason, and that the policy before it
/// holds.
#[track_caller]
fn old_policy_stays(host: &Host, reason: &str) {
    let status = host.stile(ROOT, &["status"]);
    assert_eq!(status.code, 1, "{status:?}");
    assert!(status.stdout.contains(reason), "{}", status.stdout);
    let _ = host.audit().wait_for("policy-refused", 1);
    let held = host.connect(BOB);
    host.wait_for_challenge(BOB);
    held.still_waits();
    drop(held);
    host.wait_for_challenges(BOB, 0);
    assert_eq!(host.server().accepted(), 0);
}

/// The usual policy, with so many endpoints more, each on an address of its own.
fn policy(more: u32) -> String {
    let mut text = r#"
[[rule]]
name = "step-up"
endpoints = ["*"]
users = ["*"]
action = "step-up"

[[endpoint]]
name = "db"
hosts = ["{address}"]
ports = ["{port}"]
"#
    .replace("\"{port}\"", "{port}");
    for number in 0..more {
        let [_, high, middle, low] = number.to_be_bytes();
        text += &format!(
            "[[endpoint]]\nname = \"other-{number}\"\nhosts = [\"10.{high}.{middle}.{low}\"]\nports = [5432]\n"
        );
    }
    text
}

#[test]
fn a_policy_that_the_gate_has_no_room_for_is_refused_and_the_old_one_stays() {
    let mut host = Host::builder().policy(&policy(0)).build();
    host.write_policy(&policy(4096));
    host.reload();
    old_policy_stays(&host, "port classes");

    let mut first = Bytes::<8, 4>::open(&host, "FIRST");
    let entries = first.fill();
    host.write_policy(&policy(1));
    host.reload();
    old_policy_stays(&host, "FIRST");

    first.empty(entries);
    host.reload();
    host.stile(ROOT, &["status"]).succeeded();
    let held = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    held.still_waits();
}
