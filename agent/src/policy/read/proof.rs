// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a rule asks for as proof: `factors`, `assurance` or `all`, and `recovery`.

use super::each;
use super::rule::FACTORS_WANTED;
use super::when::optional;
use crate::config::{Findings, Table, Value};
use crate::policy::{Asks, Assurance, Factor, Proof, ReasonAsked, ReasonPattern};

/// The keys that say it.
pub(super) const PROOF_KEYS: [&str; 4] = ["factors", "assurance", "all", "recovery"];

/// Longest name of a reason, in characters.
const MAX_PROMPT: usize = 32;

/// Factors that are planned.
const LATER_FACTORS: [&str; 2] = ["push", "fido2"];

/// True if anything is said about it.
pub(super) fn says_proof(table: &mut Table<'_>) -> bool {
    // Each is asked for, so that none counts as unknown.
    let said = PROOF_KEYS.map(|key| table.take(key).is_some());
    said.contains(&true)
}

/// Reads what is asked for; what isn't said is as in `usual`.
pub(super) fn proof_of(
    table: &mut Table<'_>,
    usual: &Proof,
    findings: &mut Findings,
) -> Option<Proof> {
    let written: Vec<(&str, Value<'_>)> = ["factors", "assurance", "all"]
        .into_iter()
        .filter_map(|key| Some((key, table.take(key)?)))
        .collect();
    let recovery = match table.take("recovery") {
        Some(value) => value.boolean(findings),
        None => Some(usual.recovery),
    };
    let asks = match written.as_slice() {
        [] => Some(usual.asks.clone()),
        [("factors", value)] => factors(value, findings).map(Asks::Any),
        [("assurance", value)] => value
            .integer_in(1..=3_u8, "level of assurance", findings)
            .and_then(Assurance::new)
            .map(Asks::Level),
        [(_, value)] => all(value, findings).map(Asks::All),
        [(first, _), others @ ..] => {
            for (key, value) in others {
                findings
                    .error(
                        &value.spot(),
                        format!("`{key}` and `{first}` say different things"),
                    )
                    .help(
                        "`factors` asks for any one of them, `all` for each, `assurance` for \
                         anything that is worth so much",
                    );
            }
            None
        }
    };
    let (asks, recovery) = (asks?, recovery?);
    let named = matches!(&asks, Asks::Any(factors) | Asks::All(factors)
        if factors.contains(&Factor::Recovery));
    if named && !recovery {
        let value = &written.first()?.1;
        let text = "a recovery code is asked for, and `recovery` says that none counts";
        findings.error(&value.spot(), text);
        return None;
    }
    let reason = None;
    Some(Proof {
        asks,
        recovery,
        reason,
    })
}

/// The reason that is asked for; of at least so many characters.
pub(super) fn reason_of(
    value: &Value<'_>,
    least: usize,
    findings: &mut Findings,
) -> Option<ReasonAsked> {
    let mut table = value.table("a reason", findings)?;
    let required = match table.take("required") {
        Some(value) => {
            let required = value.boolean(findings);
            if required == Some(false) && least > 0 {
                findings.error(&value.spot(), "here the reason can't be left out");
            }
            required
        }
        None => Some(true),
    };
    let pattern = optional(table.take("pattern"), |value| {
        let text = value.text("a regular expression", findings)?;
        match ReasonPattern::new(text) {
            Ok(pattern) => Some(pattern),
            Err(why) => {
                let message = format!("{text:?} is no pattern: {why}");
                findings.error(&value.spot(), message);
                None
            }
        }
    });
    let prompt = optional(table.take("prompt"), |value| {
        let text = value.text("what the reason is called", findings)?;
        let length = text.chars().count();
        let is_sound = (1..=MAX_PROMPT).contains(&length)
            && text.trim() == text
            && !text.chars().any(char::is_control);
        if !is_sound {
            let message = format!("this must have 1 to {MAX_PROMPT} printable characters");
            findings.error(&value.spot(), message);
        }
        is_sound.then(|| text.to_owned())
    });
    table.finish(&[("regex", "pattern"), ("name", "prompt")], findings);
    Some(ReasonAsked {
        required: required?,
        least,
        pattern: pattern?,
        prompt: prompt?,
    })
}

fn factors(value: &Value<'_>, findings: &mut Findings) -> Option<Vec<Factor>> {
    let items = value.list("a list of factors", FACTORS_WANTED, findings)?;
    each(items, |item| factor(&item, findings))
}

/// Factors that are asked for together.
fn all(value: &Value<'_>, findings: &mut Findings) -> Option<Vec<Factor>> {
    let factors = factors(value, findings)?;
    let twice = factors
        .iter()
        .enumerate()
        .find(|(at, factor)| factors[..*at].contains(factor));
    if let Some((_, factor)) = twice {
        findings.error(&value.spot(), format!("{factor} is there twice"));
        return None;
    }
    if factors.contains(&Factor::Recovery) {
        let text = "a recovery code stands in for \"totp\"; it is no factor beside others";
        findings.error(&value.spot(), text);
        return None;
    }
    if factors.len() < 2 {
        findings
            .error(&value.spot(), "one factor alone is not several")
            .help("write `factors`, or name another one");
        return None;
    }
    Some(factors)
}

fn factor(value: &Value<'_>, findings: &mut Findings) -> Option<Factor> {
    let text = value.text("the name of a factor", findings)?;
    let factor = text.parse().ok();
    if factor.is_some() {
        return factor;
    }
    if LATER_FACTORS.contains(&text) {
        findings
            .error(
                &value.spot(),
                format!("the factor {text:?} is not supported yet"),
            )
            .help("write \"totp\", or \"pam:\" and the name of a service of PAM");
        return None;
    }
    let help = match crate::config::closest(text, ["totp", "recovery"]) {
        Some(name) => format!("did you mean {name:?}?"),
        None => "there are \"totp\", \"recovery\" and \"pam:SERVICE\", where SERVICE is \
                 \"stile\" or begins with \"stile-\""
            .to_owned(),
    };
    findings
        .error(&value.spot(), format!("{text:?} is no factor"))
        .help(help);
    None
}
