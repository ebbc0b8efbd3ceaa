// SPDX-License-Identifier: Apache-2.0 OR MIT
use super::*;

const HOUR: u64 = 60 * 60;

/// A proof in an emergency of an hour, at this second of both clocks.
fn proof(endpoint: &str, boot: BootId, seconds: u64) -> NewElevation {
    NewElevation {
        realm: "break glass".to_owned(),
        bound: Bound::Emergency(endpoint.to_owned()),
        proven: at(seconds),
        boot,
        until: Some(boot_time(seconds + HOUR)),
        ..new(ALICE, 0)
    }
}

fn at(seconds: u64) -> Now {
    Now {
        boot: boot_time(seconds),
        wall: WallTime(boot_time(seconds).0),
    }
}

fn counted(ledger: &Ledger, now: Now, boot: &BootId) -> usize {
    let own = ledger.emergencies(ALICE).unwrap();
    own.iter()
        .filter(|it| it.counts_for(now, boot).is_some())
        .count()
}

#[test]
fn proofs_within_an_emergency_belong_to_it() {
    let fixture = Fixture::new();
    for seconds in [100, 200, 100 + HOUR - 1] {
        let given = proof("db", boot(), seconds);
        fixture.ledger().record_proof(&given, &[]).unwrap();
        assert_eq!(counted(fixture.ledger(), at(seconds), &boot()), 1);
    }
    let own = fixture.ledger().emergencies(ALICE).unwrap();
    assert_eq!(
        own[0].ends(boot_time(100), &boot()),
        Some(boot_time(100 + HOUR))
    );
    assert_eq!(own[0].ends(boot_time(100 + HOUR), &boot()), None);
    assert_eq!(own[0].ends(boot_time(100), &next_boot()), None);
    // After its end, or for another endpoint, it is another one.
    for (endpoint, seconds, all) in [("db", 100 + HOUR, 2), ("vault", 101 + HOUR, 3)] {
        let given = proof(endpoint, boot(), seconds);
        fixture.ledger().record_proof(&given, &[]).unwrap();
        assert_eq!(counted(fixture.ledger(), at(seconds), &boot()), all);
    }
}

#[test]
fn an_emergency_counts_for_a_day_also_over_restarts_and_no_clock_shortens_that() {
    let mut fixture = Fixture::new();
    fixture
        .ledger()
        .record_proof(&proof("db", boot(), 100), &[])
        .unwrap();
    fixture.reopen();
    let day = 24 * HOUR;
    let ledger = fixture.ledger();
    assert_eq!(counted(ledger, at(100 + day - 1), &boot()), 1);
    assert_eq!(counted(ledger, at(100 + day), &boot()), 0);
    // Set forward within the boot, or back in the next one.
    let set = |boot_seconds, wall| Now {
        boot: boot_time(boot_seconds),
        wall: WallTime(boot_time(wall).0),
    };
    assert_eq!(counted(ledger, set(200, 100 + 2 * day), &boot()), 1);
    assert_eq!(counted(ledger, set(1, 50), &next_boot()), 1);
    assert_eq!(counted(ledger, set(1, 100 + day), &next_boot()), 0);
}

#[test]
fn an_emergency_that_no_longer_counts_is_forgotten() {
    let fixture = Fixture::new();
    let day = 24 * HOUR;
    for seconds in [100, 100 + day] {
        let given = proof("db", boot(), seconds);
        fixture.ledger().record_proof(&given, &[]).unwrap();
    }
    assert_eq!(fixture.ledger().emergencies(ALICE).unwrap().len(), 1);
    assert!(fixture.ledger().emergencies(BOB).unwrap().is_empty());
}

#[test]
fn a_proof_for_rules_is_no_emergency() {
    let fixture = Fixture::new();
    assert!(fixture.consume(ALICE, 10).is_some());
    assert!(fixture.ledger().emergencies(ALICE).unwrap().is_empty());
}
