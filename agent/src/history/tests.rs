// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::store::{Changes, Header};
use super::*;
use crate::clock::WallTime;
use crate::ledger::BootId;

const ALICE: Uid = Uid(1000);
const BOB: Uid = Uid(1001);
const DB: EndpointId = EndpointId(7);
const PSQL: &str = "/usr/bin/psql";
/// 2026-11-23, 12:00 UTC.
const NOON: u64 = 1_795_435_200;
const MINUTE: Duration = Duration::from_secs(60);
const A_DAY: Duration = Duration::from_secs(DAY);

/// So many seconds after a boot at noon.
fn at(seconds: u64) -> Now {
    Now {
        boot: BootTime(seconds * 1_000_000_000),
        wall: WallTime((NOON + seconds) * 1_000_000_000),
    }
}

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        Self(dir)
    }

    fn open_at(&self, boot: &str, now: Now) -> History {
        let boot = BootId::from(boot.to_owned());
        History::open_in(self.0.path(), &boot, now, TimeZone::UTC)
    }

    fn open(&self) -> History {
        let history = self.open_at("boot-1", at(100));
        assert_eq!(history.problem(), None);
        history
    }

    fn file(&self) -> PathBuf {
        self.0.path().join(FILE_NAME)
    }
}

fn passed(program: &str, address: &str) -> Passed {
    Passed {
        program: Some(PathBuf::from(program)),
        address: address.parse().ok(),
    }
}

#[test]
fn what_a_user_got_through_with_is_not_new_any_more() {
    let place = Place::new();
    let mut history = place.open();
    let news = |history: &History, uid| {
        [
            history.is_program_new(uid, Path::new(PSQL)),
            history.is_destination_new(uid, DB),
            history.is_address_new(uid, "192.0.2.7".parse().unwrap()),
        ]
        .map(Result::unwrap)
    };
    assert_eq!(news(&history, ALICE), [true; 3]);
    history.note_passed(ALICE, DB, &passed(PSQL, "192.0.2.7"), at(101));
    assert_eq!(news(&history, ALICE), [false; 3]);
    assert_eq!(news(&history, BOB), [true; 3]);
    let other = history.is_program_new(ALICE, Path::new("/usr/bin/psql2"));
    assert!(other.unwrap());
    assert!(history.is_destination_new(ALICE, EndpointId(8)).unwrap());

    history.save(at(102));
    assert_eq!(news(&history, ALICE), [false; 3]);
    drop(history);
    let history = place.open();
    assert_eq!(news(&history, ALICE), [false; 3]);
}

#[test]
fn a_program_in_doubt_and_a_session_without_address_leave_nothing() {
    let place = Place::new();
    let mut history = place.open();
    history.note_passed(ALICE, DB, &Passed::default(), at(101));
    assert!(history.is_program_new(ALICE, Path::new(PSQL)).unwrap());
    assert!(!history.is_destination_new(ALICE, DB).unwrap());
}

#[test]
fn the_addresses_of_one_ipv6_network_are_one() {
    let place = Place::new();
    let mut history = place.open();
    let is_new = |history: &History, address: &str| {
        let address = address.parse().unwrap();
        history.is_address_new(ALICE, address).unwrap()
    };
    history.note_passed(ALICE, DB, &passed(PSQL, "2001:db8::1"), at(101));
    assert!(!is_new(&history, "2001:db8::ffff:1"));
    assert!(is_new(&history, "2001:db8:0:1::1"));
    history.note_passed(ALICE, DB, &passed(PSQL, "192.0.2.7"), at(101));
    assert!(!is_new(&history, "::ffff:192.0.2.7"));
    assert!(is_new(&history, "192.0.2.8"));
}

#[test]
fn what_was_not_saved_is_new_once_more() {
    let place = Place::new();
    let mut history = place.open();
    history.note_passed(ALICE, DB, &passed(PSQL, ""), at(101));
    assert_eq!(history.save_due(), Some(at(161).boot));
    drop(history);
    let history = place.open();
    assert!(history.is_destination_new(ALICE, DB).unwrap());
    assert_eq!(history.save_due(), None);
}

#[test]
fn the_same_again_is_nothing_to_save() {
    let place = Place::new();
    let mut history = place.open();
    history.note_passed(ALICE, DB, &passed(PSQL, ""), at(101));
    history.save(at(102));
    history.note_passed(ALICE, DB, &passed(PSQL, ""), at(103));
    assert_eq!(history.save_due(), None);
    // The next hour is.
    history.note_passed(ALICE, DB, &passed(PSQL, ""), at(3700));
    assert!(history.save_due().is_some());
}

#[test]
fn wrong_answers_and_attempts_are_counted_for_each_user_and_endpoint() {
    let place = Place::new();
    let mut history = place.open();
    for second in [200, 230, 300] {
        history.note_failure(ALICE, at(second));
        history.note_attempt(ALICE, DB, at(second));
    }
    let failures = |history: &History, uid| history.failures_within(uid, MINUTE, at(290));
    assert_eq!(failures(&history, ALICE), Ok(2));
    assert_eq!(failures(&history, BOB), Ok(0));
    let tried = |endpoint| history.connections_within(ALICE, endpoint, A_DAY, at(300));
    assert_eq!(tried(DB), Ok(3));
    assert_eq!(tried(EndpointId(8)), Ok(0));
}

#[test]
fn counts_outlive_a_daemon_that_is_stopped() {
    let place = Place::new();
    let mut history = place.open();
    history.note_failure(ALICE, at(200));
    history.close(at(210));
    drop(history);
    let history = place.open_at("boot-1", at(220));
    assert_eq!(history.failures_within(ALICE, MINUTE, at(230)), Ok(1));
    assert_eq!(history.failures_within(ALICE, MINUTE, at(300)), Ok(0));
    assert_eq!(history.failures_within(ALICE, A_DAY, at(300)), Ok(1));
}

#[test]
fn of_a_daemon_that_was_killed_not_all_is_known() {
    let place = Place::new();
    let mut history = place.open();
    history.note_failure(ALICE, at(200));
    history.save(at(210));
    drop(history);
    let history = place.open_at("boot-1", at(220));
    let within = |time, now| history.failures_within(ALICE, time, at(now));
    assert_eq!(within(MINUTE, 230), Err(Unanswered::NotAll));
    assert_eq!(within(MINUTE, 281), Ok(0));
    assert_eq!(within(A_DAY, 281), Err(Unanswered::NotAll));
}

#[test]
fn counts_outlive_a_reboot_also_if_the_clock_lies() {
    let place = Place::new();
    let mut history = place.open();
    history.note_failure(ALICE, at(5000));
    history.close(at(5010));
    drop(history);
    // Up again for 20 seconds, 100 seconds after the wrong answer.
    let now = Now {
        boot: BootTime(20_000_000_000),
        wall: at(5100).wall,
    };
    let history = place.open_at("boot-2", now);
    let within = |seconds| history.failures_within(ALICE, Duration::from_secs(seconds), now);
    assert_eq!(within(99), Ok(0));
    assert_eq!(within(100), Ok(1));
    drop(history);

    let place = Place::new();
    let mut history = place.open();
    history.note_failure(ALICE, at(5000));
    history.close(at(5010));
    drop(history);
    let past = Now {
        boot: BootTime(20_000_000_000),
        wall: WallTime(0),
    };
    let history = place.open_at("boot-2", past);
    let within = |seconds| history.failures_within(ALICE, Duration::from_secs(seconds), past);
    assert_eq!((within(29), within(30)), (Ok(0), Ok(1)));
}

#[test]
fn the_hours_of_a_user_are_remembered() {
    let place = Place::new();
    let mut history = place.open();
    let too_little = history.is_hour_unusual(ALICE, at(100)).unwrap_err();
    assert_eq!(
        too_little.to_string(),
        "the user's habits are not known yet: 0 hours on 0 days"
    );
    for day in 0..6 {
        for hour in 0..4 {
            let now = at(day * DAY + hour * 3600);
            history.note_passed(ALICE, DB, &Passed::default(), now);
        }
    }
    let night = at(10 * DAY + 12 * 3600);
    assert_eq!(history.is_hour_unusual(ALICE, at(10 * DAY)), Ok(false));
    assert_eq!(history.is_hour_unusual(ALICE, night), Ok(true));
    history.save(at(11 * DAY));
    drop(history);
    let history = place.open();
    assert_eq!(history.is_hour_unusual(ALICE, night), Ok(true));
    assert!(history.is_hour_unusual(BOB, night).is_err());
}

#[test]
fn the_oldest_of_a_user_is_forgotten_when_it_is_too_much() {
    let place = Place::new();
    let mut history = place.open();
    let most = u32::try_from(store::MAX_EACH).unwrap();
    for number in 1..=most + 1 {
        let now = at(u64::from(number));
        history.note_passed(ALICE, EndpointId(number), &Passed::default(), now);
    }
    history.note_passed(BOB, DB, &Passed::default(), at(1));
    history.save(at(1000));
    let is_new = |endpoint| history.is_destination_new(ALICE, EndpointId(endpoint));
    assert_eq!(is_new(1), Ok(true));
    assert_eq!((is_new(2), is_new(most + 1)), (Ok(false), Ok(false)));
    assert_eq!(history.is_destination_new(BOB, DB), Ok(false));
}

#[test]
fn the_user_who_was_away_longest_is_forgotten_when_there_are_too_many() {
    let place = Place::new();
    let mut history = place.open();
    let most = u32::try_from(store::MAX_USERS).unwrap();
    for uid in 0..=most {
        let now = at(u64::from(uid) * 3600);
        history.note_passed(Uid(uid), DB, &Passed::default(), now);
    }
    history.save(at(u64::from(most) * 3600));
    assert_eq!(history.problem(), None);
    assert_eq!(history.is_destination_new(Uid(0), DB), Ok(true));
    assert_eq!(history.is_destination_new(Uid(1), DB), Ok(false));
    assert_eq!(history.is_destination_new(Uid(most), DB), Ok(false));
}

/// Everything is "not known", and nothing panics.
#[track_caller]
fn assert_broken(history: &mut History) {
    assert!(history.problem().is_some());
    history.note_passed(ALICE, DB, &passed(PSQL, "192.0.2.7"), at(101));
    history.note_failure(ALICE, at(101));
    history.note_attempt(ALICE, DB, at(101));
    history.save(at(102));
    let broken = |answer: Result<bool, Unanswered>| matches!(answer, Err(Unanswered::Broken(_)));
    assert!(broken(history.is_program_new(ALICE, Path::new(PSQL))));
    assert!(broken(history.is_destination_new(ALICE, DB)));
    assert!(broken(history.is_address_new(ALICE, [192, 0, 2, 7].into())));
    assert!(broken(history.is_hour_unusual(ALICE, at(101))));
    let counts = [
        history.failures_within(ALICE, MINUTE, at(101)),
        history.connections_within(ALICE, DB, MINUTE, at(101)),
    ];
    assert!(
        counts
            .iter()
            .all(|count| matches!(count, Err(Unanswered::Broken(_))))
    );
    assert_eq!(history.save_due(), None);
    history.close(at(103));
}

#[test]
fn a_file_that_is_none_of_ours_is_a_problem_and_knows_nothing() {
    for content in [&b"garbage"[..], &[0; 8192], &[0xff; 70_000]] {
        let place = Place::new();
        fs::write(place.file(), content).unwrap();
        fs::set_permissions(place.file(), fs::Permissions::from_mode(0o600)).unwrap();
        let mut history = place.open_at("boot-1", at(100));
        assert!(history.problem().unwrap().contains("start afresh"));
        assert_broken(&mut history);
    }
}

/// The engine checks what it reads; whatever it finds must not take the daemon along.
#[test]
fn a_file_that_was_cut_or_changed_anywhere_never_ends_the_daemon() {
    let place = Place::new();
    let mut history = place.open();
    for number in 1..200 {
        let program = passed(&format!("/usr/bin/{number}"), "192.0.2.7");
        history.note_passed(ALICE, EndpointId(number), &program, at(101));
        history.note_attempt(ALICE, EndpointId(number), at(101));
    }
    history.close(at(102));
    drop(history);
    let whole = fs::read(place.file()).unwrap();
    let use_it = |content: &[u8]| {
        fs::write(place.file(), content).unwrap();
        let mut history = place.open_at("boot-1", at(103));
        for number in 1..200 {
            let _ = history.is_destination_new(ALICE, EndpointId(number));
        }
        let _ = history.is_hour_unusual(ALICE, at(104));
        history.note_passed(BOB, DB, &passed(PSQL, "192.0.2.7"), at(104));
        history.close(at(105));
    };
    for part in 0..64 {
        use_it(&whole[..whole.len() / 64 * part]);
    }
    for part in 0..300 {
        let mut changed = whole.clone();
        let place = part * 7919 % changed.len();
        for byte in changed.iter_mut().skip(place).take(part % 40 + 1) {
            *byte ^= 0x5a;
        }
        use_it(&changed);
    }
}

#[test]
fn a_file_that_others_may_read_is_a_problem() {
    let place = Place::new();
    drop(place.open());
    fs::set_permissions(place.file(), fs::Permissions::from_mode(0o644)).unwrap();
    assert_broken(&mut place.open_at("boot-1", at(100)));
}

#[test]
fn a_directory_that_cannot_be_had_is_a_problem() {
    let place = Place::new();
    fs::write(place.0.path().join("file"), "").unwrap();
    let dir = place.0.path().join("file/state");
    let boot = BootId::from("boot-1".to_owned());
    let mut history = History::open_in(&dir, &boot, at(100), TimeZone::UTC);
    assert_broken(&mut history);
}

#[test]
fn a_newer_file_is_a_problem() {
    let place = Place::new();
    let history = place.open();
    let mut header = Header::new("boot-1", 0, 0);
    header.schema = 2;
    let store = history.store.as_ref().unwrap();
    store
        .save(&Changes {
            header,
            seen: &[],
            users: &[],
            recent: &Recent::default(),
            rewrite: false,
        })
        .unwrap();
    drop(history);
    let mut history = place.open_at("boot-1", at(100));
    assert!(history.problem().unwrap().contains("has schema 2"));
    assert_broken(&mut history);
}

#[test]
fn a_start_that_was_cut_short_leaves_nothing_in_the_way() {
    let place = Place::new();
    fs::write(place.0.path().join("history.redb.new"), "half").unwrap();
    drop(place.open());
    assert!(!place.0.path().join("history.redb.new").exists());
}
