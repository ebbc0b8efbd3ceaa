// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a rule asks for as proof, and whether what was given meets it.

use std::collections::BTreeMap;
use std::fmt;

use super::factor::{Assurance, Factor, ServiceName};

/// What a step-up rule asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Proof {
    /// Which factors.
    pub asks: Asks,
    /// Whether a recovery code stands in for a one-time code.
    pub recovery: bool,
}

/// Which factors are asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Asks {
    /// Any one of these, or one that is worth more than the weakest of them. Never empty.
    Any(Vec<Factor>),
    /// Any that is worth so much.
    Level(Assurance),
    /// Each of these. At least two.
    All(Vec<Factor>),
    /// Both of these, where one is not known to be enough: of a rule and of a risk, or of two rules
    /// of which one can't be judged.
    Both(Box<(Proof, Proof)>),
}

/// How much factors are worth on this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    services: BTreeMap<ServiceName, Assurance>,
}

/// A factor that was given, and how much it was worth then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given<'a> {
    /// The factor.
    pub factor: &'a Factor,
    /// Its worth.
    pub assurance: Assurance,
}

impl Levels {
    /// Those of these services of PAM.
    #[must_use]
    pub fn new(services: impl IntoIterator<Item = (ServiceName, Assurance)>) -> Self {
        let services = services.into_iter().collect();
        Self { services }
    }

    /// How much a factor is worth; `None` if this host has no such factor.
    #[must_use]
    pub fn of(&self, factor: &Factor) -> Option<Assurance> {
        match factor {
            Factor::Totp | Factor::Recovery => Some(Assurance::LOW),
            Factor::Pam(service) => self.services.get(service).copied(),
        }
    }

    /// The services of PAM that this host has.
    pub fn services(&self) -> impl Iterator<Item = &ServiceName> {
        self.services.keys()
    }
}

impl Default for Proof {
    /// A one-time code.
    fn default() -> Self {
        Self::any(vec![Factor::Totp])
    }
}

impl Proof {
    /// Any one of these factors.
    #[must_use]
    pub fn any(factors: Vec<Factor>) -> Self {
        Self {
            asks: Asks::Any(factors),
            recovery: true,
        }
    }

    /// True if these together are what is asked for.
    #[must_use]
    pub fn is_met(&self, given: &[Given<'_>], levels: &Levels) -> bool {
        let given: Vec<_> = given.iter().map(|one| (*one, ())).collect();
        self.rests_on(&given, levels).is_some()
    }

    /// Upon which of these the answer rests, of which each counts until a time: the one that
    /// satisfies it the longest; where several are asked for, the first of them to end. `None` if
    /// they aren't what is asked for.
    #[must_use]
    pub fn rests_on<T: Copy + Ord>(
        &self,
        given: &[(Given<'_>, T)],
        levels: &Levels,
    ) -> Option<usize> {
        let until = |at: &usize| given[*at].1;
        let longest = |counts: &dyn Fn(Given<'_>) -> bool| {
            let counting = (0..given.len()).filter(|at| counts(given[*at].0));
            counting.max_by_key(until)
        };
        match &self.asks {
            Asks::Any(_) | Asks::Level(_) => longest(&|one| self.is_met_by_one(one, levels)),
            Asks::All(wanted) => {
                let each = wanted
                    .iter()
                    .map(|wanted| longest(&|one| self.stands_for(one.factor, wanted)));
                let each: Vec<usize> = each.collect::<Option<_>>()?;
                each.into_iter().min_by_key(until)
            }
            Asks::Both(both) => {
                let each = [&both.0, &both.1].map(|proof| proof.rests_on(given, levels));
                let [Some(one), Some(other)] = each else {
                    return None;
                };
                [one, other].into_iter().min_by_key(until)
            }
        }
    }

    /// True if somebody could give it on a host where factors are worth this: a service of PAM that
    /// the host doesn't have proves nothing.
    #[must_use]
    pub fn is_provable(&self, levels: &Levels) -> bool {
        let services = levels.services().cloned().map(Factor::Pam);
        let all: Vec<_> = [Factor::Totp, Factor::Recovery]
            .into_iter()
            .chain(services)
            .collect();
        let given: Vec<_> = all
            .iter()
            .filter_map(|factor| {
                let assurance = levels.of(factor)?;
                Some(Given { factor, assurance })
            })
            .collect();
        self.is_met(&given, levels)
    }

    /// True if this helps towards what is asked for.
    #[must_use]
    pub fn counts(&self, one: Given<'_>, levels: &Levels) -> bool {
        match &self.asks {
            Asks::Any(_) | Asks::Level(_) => self.is_met_by_one(one, levels),
            Asks::All(wanted) => wanted
                .iter()
                .any(|wanted| self.stands_for(one.factor, wanted)),
            Asks::Both(both) => both.0.counts(one, levels) || both.1.counts(one, levels),
        }
    }

    /// The same, and another one as well.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if self == other {
            return self;
        }
        Self {
            recovery: self.recovery && other.recovery,
            asks: Asks::Both(Box::new((self, other))),
        }
    }

    /// True if one factor may not be enough.
    #[must_use]
    pub fn is_several(&self) -> bool {
        matches!(self.asks, Asks::All(_) | Asks::Both(_))
    }

    /// Those of the factors at hand that would help, after these were given.
    #[must_use]
    pub fn missing(&self, given: &[Given<'_>], at_hand: &[Factor], levels: &Levels) -> Vec<Factor> {
        if let Asks::Both(both) = &self.asks {
            let lacks = |proof: &&Self| !proof.is_met(given, levels);
            let mut missing = Vec::new();
            for proof in [&both.0, &both.1].into_iter().filter(lacks) {
                for factor in proof.missing(given, at_hand, levels) {
                    if !missing.contains(&factor) {
                        missing.push(factor);
                    }
                }
            }
            return missing;
        }
        let helps = |factor: &&Factor| {
            let Some(assurance) = levels.of(factor) else {
                return false;
            };
            let one = Given { factor, assurance };
            match &self.asks {
                Asks::Any(_) | Asks::Level(_) => self.is_met_by_one(one, levels),
                Asks::All(wanted) => wanted.iter().any(|wanted| {
                    let done = given.iter().any(|one| self.stands_for(one.factor, wanted));
                    !done && self.stands_for(factor, wanted)
                }),
                Asks::Both(_) => false,
            }
        };
        at_hand.iter().filter(helps).cloned().collect()
    }

    /// The factors that are named; none if only a level is.
    #[must_use]
    pub fn factors(&self) -> Vec<Factor> {
        match &self.asks {
            Asks::Any(factors) | Asks::All(factors) => factors.clone(),
            Asks::Level(_) => Vec::new(),
            Asks::Both(both) => {
                let mut factors = both.0.factors();
                factors.extend(both.1.factors());
                factors
            }
        }
    }

    fn is_met_by_one(&self, one: Given<'_>, levels: &Levels) -> bool {
        match &self.asks {
            Asks::Any(wanted) => {
                let named = wanted
                    .iter()
                    .any(|wanted| self.stands_for(one.factor, wanted));
                // A recovery code is worth no more than what it stands in for.
                let weakest = wanted.iter().filter_map(|wanted| levels.of(wanted)).min();
                named || weakest.is_some_and(|weakest| one.assurance > weakest)
            }
            Asks::Level(level) => {
                let taken = self.recovery || *one.factor != Factor::Recovery;
                taken && one.assurance >= *level
            }
            Asks::All(_) | Asks::Both(_) => false,
        }
    }

    fn stands_for(&self, given: &Factor, wanted: &Factor) -> bool {
        let recovers = *given == Factor::Recovery && *wanted == Factor::Totp;
        given == wanted || (recovers && self.recovery)
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |factors: &[Factor], word: &str| {
            let names: Vec<_> = factors.iter().map(ToString::to_string).collect();
            names.join(word)
        };
        match &self.asks {
            Asks::Any(factors) => f.write_str(&joined(factors, " or "))?,
            Asks::Level(level) => write!(f, "any factor of assurance {level}")?,
            Asks::All(factors) => f.write_str(&joined(factors, " and "))?,
            Asks::Both(both) => return write!(f, "{}; and {}", both.0, both.1),
        }
        match self.recovery {
            true => Ok(()),
            false => f.write_str(", no recovery code"),
        }
    }
}

#[cfg(test)]
mod tests {
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
            .map(|factor| Given {
                factor,
                assurance: levels.of(factor).unwrap_or_default(),
            })
            .collect();
        proof.is_met(&given, &levels)
    }

    fn level(level: u8) -> Proof {
        Proof {
            asks: Asks::Level(Assurance::new(level).unwrap()),
            recovery: true,
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
        };
        assert!(!met(&both, &[Factor::Totp]) && !met(&both, &[pam("stile-mid")]));
        assert!(!met(&both, &[Factor::Totp, Factor::Recovery]));
        assert!(!met(&both, &[Factor::Totp, pam("stile-high")]));
        assert!(met(&both, &[pam("stile-mid"), Factor::Totp]));
        assert!(met(&both, &[pam("stile-mid"), Factor::Recovery]));
        let levels = levels();
        let totp = Given {
            factor: &Factor::Totp,
            assurance: Assurance::LOW,
        };
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
        let totp = Given {
            factor: &Factor::Totp,
            assurance: Assurance::LOW,
        };
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
            };
            assert!(!met(&proof, &[Factor::Recovery]));
            assert!(!met(&proof, &[Factor::Recovery, pam("stile-mid")]) || asks_little(&proof));
        }
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
            let proof = Proof { asks, recovery };
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
}
