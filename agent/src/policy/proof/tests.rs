// SPDX-License-Identifier: Apache-2.0 OR MIT
use proptest::prelude::*;

use super::*;

fn pam(name: &str) -> Factor {
    Factor::Pam(name.parse().unwrap())
}

fn levels() -> Levels {
    let level = |name: &str, level| (name.parse().unwrap(), Assurance::new(level).unwrap());
    Levels::new([
        level("stile-low", 1),
        level("stile-mid", 2),
        level("stile-high", 3),
    ])
}

fn factors() -> [Factor; 6] {
    [
        Factor::Totp,
        Factor::Recovery,
        pam("stile-low"),
        pam("stile-mid"),
        pam("stile-high"),
        pam("stile-unknown"),
    ]
}

fn met(proof: &Proof, given: &[Factor]) -> bool {
    let levels = levels();
    let given: Vec<_> = given
        .iter()
        .map(|factor| Given::new(factor, levels.of(factor).unwrap_or_default()))
        .collect();
    proof.is_met(&given, &levels)
}

fn level(level: u8) -> Proof {
    Proof {
        asks: Asks::Level(Assurance::new(level).unwrap()),
        recovery: true,
        reason: None,
    }
}

#[test]
fn any_of_the_named_factors_will_do_and_what_is_worth_more() {
    let code = Proof::default();
    assert!(met(&code, &[Factor::Totp]) && met(&code, &[Factor::Recovery]));
    assert!(met(&code, &[pam("stile-mid")]), "stronger satisfies weaker");
    assert!(!met(&code, &[pam("stile-low")]), "as weak, and not named");
    assert!(!met(&code, &[]));
    let finger = Proof::any(vec![pam("stile-mid")]);
    assert!(met(&finger, &[pam("stile-high")]));
    assert!(!met(&finger, &[Factor::Totp]) && !met(&finger, &[Factor::Recovery]));
    // What this host doesn't have makes nothing stronger.
    let unknown = Proof::any(vec![pam("stile-unknown")]);
    assert!(!met(&unknown, &[pam("stile-high")]));
}

#[test]
fn a_level_takes_what_is_worth_so_much() {
    assert!(met(&level(1), &[Factor::Totp]) && met(&level(1), &[Factor::Recovery]));
    assert!(
        !met(&level(2), &[Factor::Totp, pam("stile-low")]),
        "two weak ones are weak"
    );
    assert!(met(&level(2), &[pam("stile-high")]));
    assert!(!met(&level(3), &[pam("stile-mid")]));
}

#[test]
fn all_takes_each_and_a_stronger_one_stands_for_none() {
    let both = Proof {
        asks: Asks::All(vec![Factor::Totp, pam("stile-mid")]),
        recovery: true,
        reason: None,
    };
    assert!(!met(&both, &[Factor::Totp]) && !met(&both, &[pam("stile-mid")]));
    assert!(!met(&both, &[Factor::Totp, Factor::Recovery]));
    assert!(!met(&both, &[Factor::Totp, pam("stile-high")]));
    assert!(met(&both, &[pam("stile-mid"), Factor::Totp]));
    assert!(met(&both, &[pam("stile-mid"), Factor::Recovery]));
    let levels = levels();
    let totp = Given::new(&Factor::Totp, Assurance::LOW);
    assert_eq!(
        both.missing(&[totp], &factors(), &levels),
        [pam("stile-mid")]
    );
    assert_eq!(both.missing(&[], &factors(), &levels).len(), 3);
}

/// True if a fingerprint alone is enough.
fn asks_little(proof: &Proof) -> bool {
    met(proof, &[pam("stile-mid")])
}

#[test]
fn of_two_demands_both_are_to_be_met() {
    let code = Proof::default();
    let finger = Proof::any(vec![pam("stile-mid")]);
    let both = code.clone().and(finger);
    assert_eq!(code.clone().and(code.clone()), code);
    assert!(!met(&both, &[Factor::Totp]));
    assert!(
        met(&both, &[pam("stile-mid")]),
        "one that is enough for both"
    );
    let weak = Proof::any(vec![pam("stile-low")]);
    let both = code.and(weak);
    assert!(!met(&both, &[Factor::Totp]) && !met(&both, &[pam("stile-low")]));
    assert!(met(&both, &[Factor::Totp, pam("stile-low")]));
    let levels = levels();
    let totp = Given::new(&Factor::Totp, Assurance::LOW);
    let missing = both.missing(&[totp], &factors(), &levels);
    assert_eq!(
        missing,
        [pam("stile-low"), pam("stile-mid"), pam("stile-high")]
    );
}

#[test]
fn where_a_rule_says_so_a_recovery_code_is_none() {
    for asks in [
        Asks::Any(vec![Factor::Totp]),
        Asks::Level(Assurance::LOW),
        Asks::All(vec![Factor::Totp, pam("stile-mid")]),
    ] {
        let proof = Proof {
            asks,
            recovery: false,
            reason: None,
        };
        assert!(!met(&proof, &[Factor::Recovery]));
        assert!(!met(&proof, &[Factor::Recovery, pam("stile-mid")]) || asks_little(&proof));
    }
}

/// A ticket's number has to come with it.
fn with_ticket(proof: Proof) -> Proof {
    let pattern = crate::policy::ReasonPattern::new("[A-Z]+-[0-9]+").unwrap();
    Proof {
        reason: Some(Arc::new(ReasonAsked {
            required: true,
            pattern: Some(pattern),
            ..ReasonAsked::FREE
        })),
        ..proof
    }
}

fn because<'a>(factor: &'a Factor, reason: &'a str) -> Given<'a> {
    Given {
        reason: Some(reason),
        ..Given::new(factor, levels().of(factor).unwrap())
    }
}

#[test]
fn a_proof_without_the_reason_that_is_asked_for_is_none() {
    let code = with_ticket(Proof::default());
    let met = |given: &[Given<'_>]| code.is_met(given, &levels());
    assert!(!met(&[Given::new(&Factor::Totp, Assurance::LOW)]));
    assert!(!met(&[because(&Factor::Totp, "because")]));
    assert!(met(&[because(&Factor::Totp, "OPS-12")]));
    assert!(
        code.is_provable(&levels()),
        "the reason is not the host's to have"
    );
    // The reason of one proof is no reason for another one.
    let low = pam("stile-low");
    assert!(!met(&[
        because(&low, "OPS-12"),
        because(&Factor::Totp, "because")
    ]));
}

#[test]
fn of_several_factors_one_brings_the_reason() {
    let finger = pam("stile-mid");
    let both = with_ticket(Proof {
        asks: Asks::All(vec![Factor::Totp, finger.clone()]),
        ..Proof::default()
    });
    let (silent, explained) = (
        Given::new(&finger, Assurance::MEDIUM),
        because(&Factor::Totp, "OPS-12"),
    );
    assert!(both.is_met(&[explained, silent], &levels()));
    let mute = Given::new(&Factor::Totp, Assurance::LOW);
    assert!(!both.is_met(&[mute, silent], &levels()));
    // Then any of them brings it.
    let missing = both.missing(&[mute, silent], &factors(), &levels());
    assert_eq!(missing, [Factor::Totp, Factor::Recovery, finger.clone()]);
    assert!(both.reason_wanted(&[mute, silent], &levels()).is_some());
    assert!(both.reason_wanted(&[explained], &levels()).is_none());
}

#[test]
fn of_two_demands_each_has_its_own_reason() {
    let free = Proof::default();
    let both = with_ticket(free.clone()).and(free);
    let mute = Given::new(&Factor::Totp, Assurance::LOW);
    assert!(!both.is_met(&[mute], &levels()));
    assert!(both.reason_wanted(&[mute], &levels()).is_some());
    assert!(both.is_met(&[because(&Factor::Totp, "OPS-1")], &levels()));
}

proptest! {
    /// A plain second reading, by worth alone: nothing weaker than all that is named passes.
    #[test]
    fn nothing_weaker_than_what_is_asked_for_is_proof(
        wanted in proptest::sample::subsequence(factors().to_vec(), 1..4),
        given in proptest::sample::subsequence(factors().to_vec(), 0..4),
        which in 0..3, number in 1..4_u8, recovery: bool,
    ) {
        let asks = match which {
            0 => Asks::Any(wanted.clone()),
            1 => Asks::Level(Assurance::new(number).unwrap()),
            _ => Asks::All(wanted.clone()),
        };
        let proof = Proof { asks, recovery, ..Proof::default() };
        let worth = |factor: &Factor| levels().of(factor).map_or(1, Assurance::level);
        let best = given.iter().map(worth).max().unwrap_or(0);
        if met(&proof, &given) {
            prop_assert!(!given.is_empty());
            match which {
                0 => {
                    let weakest = wanted.iter().map(worth).min().unwrap_or(0);
                    prop_assert!(best >= weakest);
                    let other = |f: &Factor| !wanted.contains(f) && *f != Factor::Recovery;
                    if given.iter().all(other) {
                        prop_assert!(best > weakest);
                    }
                }
                1 => prop_assert!(best >= number),
                _ => prop_assert!(wanted.iter().all(|f| given.contains(f)
                    || (recovery && *f == Factor::Totp && given.contains(&Factor::Recovery)))),
            }
        }
        // Giving more never takes a proof away.
        if met(&proof, &given) {
            prop_assert!(met(&proof, &factors()));
        }
    }
}
