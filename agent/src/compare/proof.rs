// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether one proof is easier to give than another.

use crate::policy::{Assurance, Factor, Given, Levels, Proof, ServiceName};

/// Services of PAM that neither proof names, one of each worth.
const OTHERS: [(&str, Assurance); 3] = [
    ("stile-some-low", Assurance::LOW),
    ("stile-some-medium", Assurance::MEDIUM),
    ("stile-some-high", Assurance::HIGH),
];

/// True if something is taken for `one` that isn't for `other`. How much the services that they
/// name are worth is for each host to say; here they are worth a medium. Reasons aren't looked at.
pub(super) fn takes_more(one: &Proof, other: &Proof) -> bool {
    let factors_of = |proof: &Proof| Proof {
        reason: None,
        ..proof.clone()
    };
    let (one, other) = (&factors_of(one), &factors_of(other));
    let service = |factor: Factor| match factor {
        Factor::Pam(service) => Some((service, Assurance::MEDIUM)),
        Factor::Totp | Factor::Recovery => None,
    };
    let named = one.factors().into_iter().chain(other.factors());
    let others = OTHERS.iter().filter_map(|(name, assurance)| {
        let name: ServiceName = name.parse().ok()?;
        Some((name, *assurance))
    });
    let levels = Levels::new(named.filter_map(service).chain(others));
    let pam = levels.services().cloned().map(Factor::Pam);
    let all: Vec<Factor> = [Factor::Totp, Factor::Recovery]
        .into_iter()
        .chain(pam)
        .collect();
    let given: Vec<Given<'_>> = all
        .iter()
        .map(|factor| Given::new(factor, levels.of(factor).unwrap_or_default()))
        .collect();
    let differs = |given: &[Given<'_>]| one.is_met(given, &levels) && !other.is_met(given, &levels);
    // Any two show a difference between two, and all but one shows what a rule insists on.
    let pairs = || {
        given
            .iter()
            .flat_map(|a| given.iter().map(move |b| [*a, *b]))
    };
    let without = |left_out: &Factor| -> Vec<Given<'_>> {
        let others = given.iter().filter(|one| one.factor != left_out);
        others.copied().collect()
    };
    pairs().any(|pair| differs(&pair)) || all.iter().any(|factor| differs(&without(factor)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Asks;

    fn pam(name: &str) -> Factor {
        Factor::Pam(name.parse().unwrap())
    }

    fn proof(asks: Asks) -> Proof {
        Proof {
            asks,
            ..Proof::default()
        }
    }

    #[test]
    fn what_takes_less_is_told_from_what_takes_more() {
        let code = Proof::default();
        let either = Proof::any(vec![Factor::Totp, pam("stile-a")]);
        let both = proof(Asks::All(vec![Factor::Totp, pam("stile-a")]));
        let three = proof(Asks::All(vec![
            Factor::Totp,
            pam("stile-a"),
            pam("stile-b"),
        ]));
        let medium = proof(Asks::Level(Assurance::MEDIUM));
        let high = proof(Asks::Level(Assurance::HIGH));
        let strict = Proof {
            recovery: false,
            ..code.clone()
        };
        for (laxer, stricter) in [
            (&either, &both),
            (&both, &three),
            (&medium, &high),
            (&code, &strict),
            (&code, &medium),
        ] {
            assert!(takes_more(laxer, stricter), "{laxer} and {stricter}");
            assert!(!takes_more(stricter, laxer), "{stricter} and {laxer}");
        }
        for same in [&code, &either, &both, &high] {
            assert!(!takes_more(same, same));
        }
    }
}
