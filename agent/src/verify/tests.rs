// SPDX-License-Identifier: Apache-2.0 OR MIT
mod enrolling;
mod owning;

use std::time::Duration;

use tempfile::TempDir;
use totp_rs::{Builder, Secret, Totp};

use super::*;
use crate::clock::{BootTime, Now, WallTime};
use crate::decide::Bound;
use crate::ids::Uid;
use crate::ledger::{
    BootId, FIRST_WAIT, LOCK_AFTER, Ledger, LedgerError, NewDevice, TotpParameters, TotpSecret,
    TotpStep,
};
use crate::policy::Factor;
use crate::service::Enrollment;

const ALICE: Uid = Uid(1000);
const BOB: Uid = Uid(1001);
/// The secret of RFC 6238 appendix B.
const RFC_SECRET: &[u8] = b"12345678901234567890";
const START: u64 = 1_700_000_010;

struct Fixture {
    _dir: TempDir,
    ledger: Ledger,
    enrollments: Enrollments,
}

impl Fixture {
    /// Alice has the RFC's secret and used step 0.
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let ledger = Ledger::open(&dir.path().join("state")).unwrap();
        ledger
            .enroll(ALICE, &phone(), Some(TotpStep(0)), WallTime(0), false)
            .unwrap();
        Self {
            _dir: dir,
            ledger,
            enrollments: Enrollments::default(),
        }
    }

    fn verify(&mut self, uid: Uid, code: &str, seconds: u64) -> Verification {
        verify_code(
            &mut self.ledger,
            uid,
            Purpose::new("prod", &Bound::User),
            code,
            at(seconds),
            &boot(),
        )
        .unwrap()
    }

    fn accepts(&mut self, code: &str, seconds: u64) -> bool {
        matches!(self.verify(ALICE, code, seconds), Verification::Verified(_))
    }

    fn begin(&mut self, uid: Uid, seconds: u64) -> Enrollment {
        self.enrollments
            .begin(uid, wanted(uid), at(seconds))
            .unwrap()
    }

    fn confirm(&mut self, uid: Uid, code: &str, seconds: u64) -> EnrollOutcome {
        self.confirm_if(uid, code, seconds, Ok(())).unwrap()
    }

    /// Confirms, where writing that down ends like this.
    fn confirm_if(
        &mut self,
        uid: Uid,
        code: &str,
        seconds: u64,
        recorded: Result<(), LedgerError>,
    ) -> Result<EnrollOutcome, LedgerError> {
        let record = |_, name: &str| {
            assert_eq!(name, "new phone");
            recorded
        };
        self.enrollments
            .confirm(&mut self.ledger, uid, code, at(seconds), &boot(), record)
    }
}

/// A device with the RFC's secret.
fn phone() -> NewDevice {
    NewDevice {
        name: "phone".to_owned(),
        secret: TotpSecret::new(RFC_SECRET),
        parameters: TotpParameters::default(),
    }
}

fn wanted(uid: Uid) -> Wanted<'static> {
    Wanted {
        account: "alice@web01",
        issuer: "stile web01",
        name: "new phone".to_owned(),
        alone: true,
        by: uid,
        proven: true,
    }
}

fn boot() -> BootId {
    BootId::from("this boot".to_owned())
}

/// The moment this long after 1970; the machine was booted at [`START`] minus 1000 s.
fn at(seconds: u64) -> Now {
    Now {
        boot: BootTime((seconds.saturating_sub(START) + 1000) * 1_000_000_000),
        wall: WallTime(seconds * 1_000_000_000),
    }
}

fn rfc() -> Totp {
    Builder::new().with_secret(RFC_SECRET).build().unwrap()
}

fn code(seconds: u64) -> String {
    rfc().generate(seconds).to_string()
}

/// A code that is right nowhere near this time.
fn wrong(seconds: u64) -> String {
    let near: Vec<String> = (0..5).map(|n| code(seconds - 60 + n * 30)).collect();
    (0..)
        .map(|n: u32| format!("{n:06}"))
        .find(|guess| !near.contains(guess))
        .unwrap()
}

fn app(enrollment: &Enrollment) -> Totp {
    let secret = Secret::try_from_base32(enrollment.secret.as_str()).unwrap();
    Builder::new().with_secret(secret).build().unwrap()
}

#[test]
fn the_vectors_of_rfc_6238_are_accepted() {
    // Appendix B, SHA1; the last six of its eight digits.
    let vectors = [
        (59, "287082"),
        (1_111_111_109, "081804"),
        (1_111_111_111, "050471"),
        (1_234_567_890, "005924"),
        (2_000_000_000, "279037"),
        (20_000_000_000_u64, "353130"),
    ];
    for (seconds, digits) in vectors {
        // 20,000,000,000 s don't fit into 64 bits of nanoseconds: that is the year 2603.
        let Some(nanos) = seconds.checked_mul(1_000_000_000) else {
            assert_eq!(code(seconds), digits);
            continue;
        };
        let mut fixture = Fixture::new();
        let now = Now {
            boot: BootTime(0),
            wall: WallTime(nanos),
        };
        let outcome = verify_code(
            &mut fixture.ledger,
            ALICE,
            Purpose::new("prod", &Bound::User),
            digits,
            now,
            &boot(),
        );
        assert!(
            matches!(outcome, Ok(Verification::Verified(_))),
            "{digits}: {outcome:?}"
        );
    }
}

#[test]
fn a_right_code_is_a_proof_of_who_when_and_what_for() {
    let mut fixture = Fixture::new();
    let Verification::Verified(proof) = fixture.verify(ALICE, &code(START), START) else {
        panic!("refused");
    };
    assert_eq!(proof.uid(), ALICE);
    assert_eq!(proof.realm(), "prod");
    assert_eq!(*proof.factor(), Factor::Totp);
    assert_eq!(proof.proven(), at(START));
    let stored = fixture.ledger.elevations(ALICE, &boot()).unwrap();
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].id(), proof.elevation());
    assert_eq!(stored[0].proven(), proof.proven());
}

#[test]
fn a_code_is_accepted_once_and_an_older_one_never_again() {
    let mut fixture = Fixture::new();
    assert!(fixture.accepts(&code(START), START));
    let again = fixture.verify(ALICE, &code(START), START + 1);
    assert_eq!(
        again,
        Verification::Wrong {
            tries_left: 2,
            replayed: true
        }
    );
    assert!(!fixture.accepts(&code(START - 30), START + 1));
    assert!(fixture.accepts(&code(START + 30), START + 30));
}

#[test]
fn a_clock_that_jumps_back_reopens_no_code() {
    let mut fixture = Fixture::new();
    assert!(fixture.accepts(&code(START), START));
    assert!(fixture.accepts(&code(START + 300), START + 300));
    assert!(!fixture.accepts(&code(START), START));
    assert!(!fixture.accepts(&code(START + 30), START + 30));
}

#[test]
fn one_step_of_skew_is_forgiven_and_no_more() {
    for (offset, accepted) in [
        (-60, false),
        (-30, true),
        (0, true),
        (30, true),
        (60, false),
    ] {
        let mut fixture = Fixture::new();
        let code = code(START.checked_add_signed(offset).unwrap());
        assert_eq!(fixture.accepts(&code, START), accepted, "{offset} s");
    }
}

#[test]
fn spaces_and_dashes_in_a_code_are_passed_over_and_nothing_else_is() {
    let digits = code(START);
    let (left, right) = digits.split_at(3);
    for text in [
        format!("{left} {right}"),
        format!(" {left}-{right} "),
        format!("{left}\u{a0}{right}\n"),
        digits.chars().flat_map(|c| [c, ' ']).collect(),
    ] {
        assert!(Fixture::new().accepts(&text, START), "{text:?}");
    }
    for text in [
        String::new(),
        format!("+{digits}"),
        format!("{digits}0"),
        format!("{left}.{right}"),
        format!("{digits}{}", " ".repeat(100)),
        digits
            .chars()
            .map(|c| char::from_u32(u32::from(c) - 0x30 + 0xff10).unwrap())
            .collect(),
    ] {
        assert!(!Fixture::new().accepts(&text, START), "{text:?}");
    }
}

#[test]
fn after_three_wrong_codes_even_the_right_one_has_to_wait() {
    let mut fixture = Fixture::new();
    for tries_left in [2, 1, 0] {
        let outcome = fixture.verify(ALICE, &wrong(START), START);
        assert_eq!(
            outcome,
            Verification::Wrong {
                tries_left,
                replayed: false
            }
        );
    }
    // Not looked at and not counted, so the wait doesn't grow.
    for _ in 0..10 {
        let outcome = fixture.verify(ALICE, &code(START + 10), START + 10);
        let retry = FIRST_WAIT - Duration::from_secs(10);
        assert_eq!(outcome, Verification::Throttled { retry });
    }
    assert!(fixture.accepts(&code(START + 30), START + 30));
    assert_eq!(
        fixture.verify(ALICE, &wrong(START + 30), START + 30),
        Verification::Wrong {
            tries_left: 2,
            replayed: false
        }
    );
}

#[test]
fn a_locked_user_stays_out_with_the_right_code() {
    let mut fixture = Fixture::new();
    for _ in 0..LOCK_AFTER {
        fixture
            .ledger
            .record_failure(ALICE, &Factor::Totp, at(START).boot, &boot())
            .unwrap();
    }
    let later = START + 100_000;
    assert_eq!(
        fixture.verify(ALICE, &code(later), later),
        Verification::Locked
    );
    assert_eq!(
        {
            fixture.begin(ALICE, later);
            fixture.confirm(ALICE, "000000", later)
        },
        EnrollOutcome::Locked
    );
    fixture.ledger.unlock(ALICE).unwrap();
    assert!(fixture.accepts(&code(later), later));
}

#[test]
fn of_100_000_guesses_no_more_are_looked_at_than_lock_a_user_out() {
    let mut fixture = Fixture::new();
    let allowed = 7;
    fixture.ledger.lock_after(allowed);
    let mut looked_at = 0;
    let mut now = START;
    for _ in 0..100_000 {
        match fixture.verify(ALICE, &wrong(now), now) {
            Verification::Wrong { .. } => looked_at += 1,
            Verification::Throttled { .. } | Verification::Locked => {}
            other => panic!("{other:?}"),
        }
        // Five minutes: some wait, and some don't have to.
        now += 300;
    }
    assert_eq!(looked_at, allowed);
    assert_eq!(fixture.verify(ALICE, &code(now), now), Verification::Locked);
}

#[test]
fn a_user_without_a_secret_is_told_so() {
    let mut fixture = Fixture::new();
    assert_eq!(
        fixture.verify(BOB, &code(START), START),
        Verification::NotEnrolled
    );
}

#[test]
fn a_stored_secret_that_is_too_short_is_an_error() {
    let mut fixture = Fixture::new();
    let short = NewDevice {
        secret: TotpSecret::new(b"short"),
        ..phone()
    };
    fixture
        .ledger
        .enroll(BOB, &short, None, WallTime(0), false)
        .unwrap();
    let error = verify_code(
        &mut fixture.ledger,
        BOB,
        Purpose::new("prod", &Bound::User),
        "1",
        at(START),
        &boot(),
    );
    assert!(matches!(error, Err(LedgerError::Record { .. })));
}
