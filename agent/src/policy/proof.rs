// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a rule asks for as proof, and whether what was given meets it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::factor::{Assurance, Factor, ServiceName};
use super::reason::ReasonAsked;

/// What a step-up rule asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Proof {
    /// Which factors.
    pub asks: Asks,
    /// Whether a recovery code stands in for a one-time code.
    pub recovery: bool,
    /// The reason that has to come with it, if any. Of [`Asks::Both`] each part has its own.
    pub reason: Option<Arc<ReasonAsked>>,
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
    /// The reason that came with it.
    pub reason: Option<&'a str>,
}

impl<'a> Given<'a> {
    /// A factor without a reason.
    #[must_use]
    pub fn new(factor: &'a Factor, assurance: Assurance) -> Self {
        let reason = None;
        Self {
            factor,
            assurance,
            reason,
        }
    }
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
            reason: None,
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
        self.rests(given, levels, true)
    }

    /// The same; without `reasons` for the factors alone.
    fn rests<T: Copy + Ord>(
        &self,
        given: &[(Given<'_>, T)],
        levels: &Levels,
        reasons: bool,
    ) -> Option<usize> {
        let until = |at: &usize| given[*at].1;
        let longest = |counts: &dyn Fn(Given<'_>) -> bool| {
            let counting = (0..given.len()).filter(|at| counts(given[*at].0));
            counting.max_by_key(until)
        };
        let says_why = |one: Given<'_>| !reasons || self.is_explained_by(one);
        match &self.asks {
            Asks::Any(_) | Asks::Level(_) => {
                longest(&|one| self.is_met_by_one(one, levels) && says_why(one))
            }
            Asks::All(wanted) => {
                let each = wanted
                    .iter()
                    .map(|wanted| longest(&|one| self.stands_for(one.factor, wanted)));
                // The reason may have come with any of them.
                let why = longest(&|one| self.counts(one, levels) && says_why(one));
                let each: Vec<usize> = each.chain([why]).collect::<Option<_>>()?;
                each.into_iter().min_by_key(until)
            }
            Asks::Both(both) => {
                let each = [&both.0, &both.1].map(|proof| proof.rests(given, levels, reasons));
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
            .filter_map(|factor| Some((Given::new(factor, levels.of(factor)?), ())))
            .collect();
        self.rests(&given, levels, false).is_some()
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
            reason: None,
        }
    }

    /// The reason that is to be asked for now, after these were given: one that is still missing.
    #[must_use]
    pub fn reason_wanted(&self, given: &[Given<'_>], levels: &Levels) -> Option<&Arc<ReasonAsked>> {
        if let Asks::Both(both) = &self.asks {
            let mut each = [&both.0, &both.1].into_iter();
            return each.find_map(|proof| proof.reason_wanted(given, levels));
        }
        let asked = self.reason.as_ref()?;
        let says_why = |one: &Given<'_>| match asked.required {
            true => self.is_explained_by(*one),
            false => one.reason.is_some(),
        };
        let mut counting = given.iter().filter(|one| self.counts(**one, levels));
        (!counting.any(says_why)).then_some(asked)
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
        let timeless: Vec<_> = given.iter().map(|one| (*one, ())).collect();
        // All that is missing is the reason: it comes with any of them.
        let unexplained = self.rests(&timeless, levels, false).is_some();
        let helps = |factor: &&Factor| {
            let Some(assurance) = levels.of(factor) else {
                return false;
            };
            let one = Given::new(factor, assurance);
            match &self.asks {
                Asks::Any(_) | Asks::Level(_) => self.is_met_by_one(one, levels),
                Asks::All(wanted) => wanted.iter().any(|wanted| {
                    let done = given.iter().any(|one| self.stands_for(one.factor, wanted));
                    let done = done && !unexplained;
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

    /// True if the reason that came with this is what is asked for.
    fn is_explained_by(&self, one: Given<'_>) -> bool {
        match &self.reason {
            Some(asked) if asked.required => {
                one.reason.is_some_and(|text| asked.check(text).is_ok())
            }
            _ => true,
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
        if !self.recovery {
            f.write_str(", no recovery code")?;
        }
        match &self.reason {
            Some(reason) => write!(f, ", with a reason ({reason})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
