// SPDX-License-Identifier: Apache-2.0 OR MIT
use super::super::answer::Reason;
use super::*;

fn at(seconds: u64) -> BootTime {
    BootTime(0).after(Duration::from_secs(seconds))
}

fn set(addresses: &[&str]) -> BTreeSet<IpAddr> {
    addresses.iter().map(|text| text.parse().unwrap()).collect()
}

fn answer(addresses: &[&str], ttl: u64) -> Answer {
    Answer {
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        ttl: Duration::from_secs(ttl),
    }
}

/// An answer with these IPv4 addresses, and no IPv6 one.
fn v4(addresses: &[&str], ttl: u64) -> Lookup {
    Lookup {
        v4: Ok(answer(addresses, ttl)),
        v6: Ok(Answer::default()),
    }
}

fn timeout() -> Failed {
    Failed::Servers("request timed out".to_owned())
}

fn fresh() -> Known {
    Known::remembered(&BTreeSet::new(), at(0))
}

#[test]
fn a_name_is_due_when_its_ttl_is_over() {
    for (ttl, due) in [(60, 60), (0, 5), (4, 5), (3600, 3600), (86_400, 3600)] {
        let mut known = fresh();
        known.learn(v4(&["10.0.0.1"], ttl), at(0));
        assert_eq!(known.due(), at(due), "a TTL of {ttl} s");
        assert_eq!(known.problem("db"), None);
    }
}

#[test]
fn the_shorter_ttl_of_both_families_counts() {
    let mut known = fresh();
    let lookup = Lookup {
        v4: Ok(answer(&["10.0.0.1"], 600)),
        v6: Ok(answer(&["fd00::1"], 30)),
    };
    known.learn(lookup, at(0));
    assert_eq!(known.addresses(), set(&["10.0.0.1", "fd00::1"]));
    assert_eq!(known.due(), at(30));
}

#[test]
fn an_address_that_is_gone_stays_for_its_ttl_and_for_five_minutes_at_least() {
    for (ttl, gone) in [(10, 300), (300, 300), (1800, 1800), (200_000, 86_400)] {
        let mut known = fresh();
        known.learn(v4(&["10.0.0.1"], ttl), at(0));
        known.learn(v4(&["10.0.0.2"], 10), at(1000));
        known.expire(at(1000 + gone - 1));
        assert_eq!(known.addresses(), set(&["10.0.0.1", "10.0.0.2"]), "{ttl}");
        assert_eq!(known.next_leave(), Some(at(1000 + gone)));
        known.expire(at(1000 + gone));
        assert_eq!(known.addresses(), set(&["10.0.0.2"]), "{ttl}");
    }
}

#[test]
fn what_a_cache_still_remembers_does_not_shorten_what_others_may() {
    let mut known = fresh();
    known.learn(v4(&["10.0.0.1"], 3000), at(0));
    known.learn(v4(&["10.0.0.1"], 2), at(2998));
    known.learn(v4(&["10.0.0.2"], 3000), at(3003));
    assert_eq!(known.next_leave(), Some(at(6003)));
}

#[test]
fn an_address_that_comes_back_stays() {
    let mut known = fresh();
    known.learn(v4(&["10.0.0.1"], 10), at(0));
    known.learn(v4(&["10.0.0.2"], 10), at(10));
    known.learn(v4(&["10.0.0.1", "10.0.0.2"], 10), at(20));
    assert_eq!(known.next_leave(), None);
}

#[test]
fn a_failed_lookup_takes_nothing_away_and_is_tried_again_ever_more_slowly() {
    let mut known = fresh();
    known.learn(v4(&["10.0.0.1"], 60), at(0));
    let mut time = 60;
    for pause in [5, 10, 20, 40, 80, 160, 300, 300] {
        known.learn(Lookup::failed(timeout()), at(time));
        assert_eq!(known.due(), at(time + pause));
        time += pause;
        known.expire(at(time));
    }
    assert_eq!(known.addresses(), set(&["10.0.0.1"]));
    let problem = known.problem("db1").unwrap();
    assert!(
        problem.contains("db1: the name servers failed"),
        "{problem}"
    );
    assert!(problem.contains("1 known addresses stay"), "{problem}");
    // One good answer ends the trouble.
    known.learn(v4(&["10.0.0.1"], 60), at(time));
    assert_eq!((known.problem("db1"), known.due()), (None, at(time + 60)));
    known.learn(Lookup::failed(timeout()), at(time + 60));
    assert_eq!(known.due(), at(time + 65));
}

#[test]
fn a_name_that_is_no_more_keeps_its_addresses() {
    let mut known = fresh();
    known.learn(v4(&["10.0.0.1"], 60), at(0));
    known.learn(v4(&[], 0), at(60));
    known.expire(at(1_000_000));
    assert_eq!(known.addresses(), set(&["10.0.0.1"]));
    assert!(known.problem("db1").unwrap().contains("no such host"));
}

#[test]
fn a_family_that_is_no_more_leaves_after_the_grace_time() {
    let mut known = fresh();
    let both = Lookup {
        v4: Ok(answer(&["10.0.0.1"], 60)),
        v6: Ok(answer(&["fd00::1"], 60)),
    };
    known.learn(both, at(0));
    known.learn(v4(&["10.0.0.1"], 60), at(60));
    known.expire(at(360));
    assert_eq!(known.addresses(), set(&["10.0.0.1"]));
}

#[test]
fn a_family_that_could_not_be_asked_for_stays_and_is_reported() {
    let mut known = fresh();
    let both = Lookup {
        v4: Ok(answer(&["10.0.0.1"], 600)),
        v6: Ok(answer(&["fd00::1"], 600)),
    };
    known.learn(both, at(0));
    let half = Lookup {
        v4: Ok(answer(&["10.0.0.2"], 600)),
        v6: Err(timeout()),
    };
    known.learn(half, at(600));
    known.expire(at(5000));
    assert_eq!(known.addresses(), set(&["10.0.0.2", "fd00::1"]));
    assert!(known.problem("db1").is_some());
    assert_eq!(known.due(), at(605));
}

#[test]
fn an_answer_with_a_refused_address_only_adds() {
    let mut known = fresh();
    known.learn(v4(&["10.0.0.1"], 60), at(0));
    known.learn(v4(&["127.0.0.1", "10.0.0.2"], 60), at(60));
    known.expire(at(1_000_000));
    assert_eq!(known.addresses(), set(&["10.0.0.1", "10.0.0.2"]));
    let problem = known.problem("db1").unwrap();
    assert!(problem.contains(&Reason::Loopback.to_string()), "{problem}");
}

#[test]
fn a_name_without_an_address_is_said_to_be_unprotected() {
    let mut known = fresh();
    for lookup in [
        None,
        Some(Lookup::failed(timeout())),
        Some(v4(&[], 0)),
        Some(v4(&["::1"], 9)),
    ] {
        if let Some(lookup) = lookup {
            known.learn(lookup, at(0));
        }
        let problem = known.problem("db1").unwrap();
        let said = "db1 has never been resolved: it is NOT protected yet";
        assert!(problem.starts_with(said), "{problem}");
    }
}

#[test]
fn what_an_earlier_daemon_knew_stays_until_an_answer_says_otherwise() {
    let mut known = Known::remembered(&set(&["10.0.0.1"]), at(0));
    assert_eq!((known.due(), known.problem("db1")), (at(0), None));
    known.learn(Lookup::failed(timeout()), at(0));
    known.expire(at(1_000_000));
    assert_eq!(known.addresses(), set(&["10.0.0.1"]));
    known.learn(v4(&["10.0.0.2"], 60), at(1_000_000));
    known.expire(at(1_000_299));
    assert_eq!(known.addresses(), set(&["10.0.0.1", "10.0.0.2"]));
    known.expire(at(1_000_300));
    assert_eq!(known.addresses(), set(&["10.0.0.2"]));
}
