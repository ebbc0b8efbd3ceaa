// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the agent words itself, in the person's language.
//!
//! The agent speaks English: what it says stands in its log and in JSON, too. Its sentences are
//! found again by their English messages; one that nobody knows, as of a newer agent, stays as
//! it is.

use super::Texts;
use super::Value::Text;

/// The messages, each with its variables in the order in which English has them. Where several
/// fit, the first counts: those that begin with a variable come last.
const KNOWN: &[(&str, &[&str])] = &[
    ("spoken-process-gone", &[]),
    ("spoken-process-unseen", &[]),
    ("spoken-memory", &[]),
    ("spoken-namespace", &[]),
    ("spoken-elsewhere", &[]),
    ("spoken-manager", &[]),
    ("spoken-no-unit", &[]),
    ("spoken-no-origin", &[]),
    ("spoken-no-session", &["cgroup"]),
    ("spoken-session-ended", &["id"]),
    ("spoken-session-nowhere", &["id"]),
    ("spoken-exited", &["pid"]),
    ("spoken-habits", &["hours", "days"]),
    ("spoken-history-short", &[]),
    ("spoken-deleted", &["path"]),
    ("spoken-replaced", &["path"]),
    ("spoken-owner", &["path", "uid"]),
    ("spoken-writable", &["path", "mode"]),
    ("spoken-fuse", &["path"]),
    ("spoken-nosuid", &["path"]),
];

/// What the agent and its bus refuse, in the same way.
const REFUSED: &[(&str, &[&str])] = &[
    ("refused-no-challenge", &[]),
    ("refused-no-grant", &[]),
    ("refused-no-realm", &[]),
    ("refused-not-beforehand", &[]),
    ("refused-not-enrolled", &[]),
    ("refused-enrolled", &["uid"]),
    ("refused-needs-code", &[]),
    ("refused-wrong-wait", &[]),
    ("refused-wrong-one", &[]),
    ("refused-wrong", &["number"]),
    ("refused-throttled", &["seconds"]),
    ("refused-no-conversation", &[]),
    ("refused-no-recovery", &[]),
    ("refused-locked", &[]),
    ("refused-no-enrollment", &[]),
    ("refused-not-permitted", &[]),
    ("refused-busy", &[]),
    ("refused-storage", &["why"]),
    ("refused-kernel", &["why"]),
    ("refused-no-emergency", &[]),
    ("refused-emergencies", &["number", "seconds"]),
    ("refused-reason", &["what"]),
    ("refused-no-agent", &[]),
    ("refused-no-answer", &["why"]),
    ("refused-stopping", &[]),
    ("refused-not-taken", &["factor", "proof"]),
    ("refused-no-factor", &["factor"]),
];

/// Stands for a variable where a message is taken apart; no text of the agent's has it.
const GAP: &str = "\0";

/// The agent's sentence in this language. What is known of a rule, as `dba: session 3 has ended…`,
/// keeps the rule's name.
pub(super) fn spoken(texts: &Texts, sentence: &str) -> String {
    let starts = sentence.match_indices(": ").map(|(at, gap)| at + gap.len());
    let found = std::iter::once(0).chain(starts).find_map(|at| {
        let (rule, rest) = sentence.split_at(at);
        Some(format!("{rule}{}", known(texts, KNOWN, rest)?))
    });
    found.unwrap_or_else(|| sentence.to_owned())
}

/// A refusal in this language.
pub(crate) fn refused(texts: &Texts, sentence: &str) -> String {
    known(texts, REFUSED, sentence).unwrap_or_else(|| sentence.to_owned())
}

fn known(texts: &Texts, messages: &[(&str, &[&str])], sentence: &str) -> Option<String> {
    let english = Texts::english();
    messages.iter().find_map(|(id, names)| {
        let gaps: Vec<_> = names.iter().map(|name| (*name, Text(GAP))).collect();
        let values = values_in(sentence, &english.fill(id, &gaps))?;
        let values: Vec<_> = values.iter().map(|value| Text(value)).collect();
        let variables: Vec<_> = names.iter().copied().zip(values).collect();
        Some(texts.fill(id, &variables))
    })
}

/// What stands in the gaps of a pattern, if the sentence fits it.
fn values_in<'s>(sentence: &'s str, pattern: &str) -> Option<Vec<&'s str>> {
    let mut pieces = pattern.split(GAP);
    let mut rest = sentence.strip_prefix(pieces.next()?)?;
    let mut values = Vec::new();
    let mut pieces = pieces.peekable();
    while let Some(piece) = pieces.next() {
        // A path may have words of the sentence in it: the last ones are the agent's.
        let at = match pieces.peek() {
            None => rest.strip_suffix(piece)?.len(),
            Some(_) => rest.rfind(piece)?,
        };
        values.push(&rest[..at]);
        rest = &rest[at + piece.len()..];
    }
    rest.is_empty().then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::{ClientError, Refused};
    use crate::classify::{Doubt, NoLogin};
    use crate::ids::Uid;
    use crate::texts::tests::german;

    fn is_german(sentence: &str, wanted: &str) {
        assert_eq!(spoken(&german(), sentence), wanted);
        assert_eq!(spoken(&Texts::english(), sentence), sentence);
    }

    #[test]
    fn what_the_agent_says_of_programs_is_known_word_for_word() {
        let path = || "/opt/a b/psql".to_owned();
        let doubts = [
            Doubt::Memory,
            Doubt::UserNamespace,
            Doubt::Elsewhere,
            Doubt::Deleted(path()),
            Doubt::Replaced(path()),
            Doubt::Owner {
                path: path(),
                uid: 1000,
            },
            Doubt::Writable {
                path: path(),
                mode: 0o775,
            },
            Doubt::Fuse(path()),
            Doubt::Nosuid(path()),
        ];
        for doubt in doubts {
            let english = doubt.to_string();
            let german = spoken(&german(), &english);
            assert_ne!(german, english);
            assert_eq!(german.contains(&path()), english.contains(&path()));
            assert_eq!(spoken(&Texts::english(), &english), english);
        }
        is_german(
            "/opt/psql can be written by others than root (mode 0775)",
            "/opt/psql können auch andere als root ändern (Rechte 0775)",
        );
    }

    #[test]
    fn what_it_says_of_sessions_is_known_word_for_word() {
        for login in [
            NoLogin::Manager,
            NoLogin::Elsewhere("/system.slice/cron.service".into()),
            NoLogin::Ended("3".into()),
            NoLogin::Nowhere("3".into()),
        ] {
            let english = login.to_string();
            assert_ne!(spoken(&german(), &english), english);
            assert_eq!(spoken(&Texts::english(), &english), english);
        }
    }

    #[test]
    fn a_rule_keeps_its_name_and_what_is_not_known_its_words() {
        is_german(
            "dba: prod: it runs from memory, not from a file",
            "dba: prod: es läuft aus dem Speicher, nicht aus einer Datei",
        );
        is_german("a new address (+30)", "a new address (+30)");
        is_german("", "");
    }

    #[test]
    fn what_the_agent_refuses_is_known_word_for_word() {
        use crate::service::Refusal;
        let refusals = [
            Refusal::NoSuchChallenge,
            Refusal::NoSuchGrant,
            Refusal::NoSuchRealm,
            Refusal::NotBeforehand,
            Refusal::NotEnrolled,
            Refusal::AlreadyEnrolled(Uid(1000)),
            Refusal::NeedsCode,
            Refusal::WrongCode { tries_left: 0 },
            Refusal::WrongCode { tries_left: 1 },
            Refusal::WrongCode { tries_left: 2 },
            Refusal::Throttled { retry_seconds: 30 },
            Refusal::NoSuchFactor("pam:x".into()),
            Refusal::NotTaken {
                factor: "totp".into(),
                proof: "any factor of assurance 2".into(),
            },
            Refusal::NoSuchConversation,
            Refusal::NoRecoveryCodes,
            Refusal::Locked,
            Refusal::NoEnrollment,
            Refusal::NotPermitted,
            Refusal::Busy,
            Refusal::Storage("no space left".into()),
            Refusal::Kernel("no".into()),
            Refusal::NoEmergency,
            Refusal::TooManyEmergencies {
                per_day: 1,
                retry_seconds: 60,
            },
        ];
        for refusal in refusals {
            let english = refusal.to_string();
            assert_ne!(refused(&german(), &english), english);
            assert_eq!(refused(&Texts::english(), &english), english);
        }
        for client in [
            ClientError::NoAgent,
            ClientError::NoAnswer("late".into()),
            ClientError::Refused(Refused::Stopping(crate::bus::STOPPING.into())),
        ] {
            let english = client.to_string();
            assert_ne!(refused(&german(), &english), english);
        }
        let told = refused(&german(), &Refusal::AlreadyEnrolled(Uid(1000)).to_string());
        assert!(told.starts_with("UID 1000 ist schon") && told.ends_with("--user 1000`"));
        assert_eq!(refused(&german(), "the moon is full"), "the moon is full");
    }

    #[test]
    fn a_path_cannot_pass_for_another_sentence() {
        is_german(
            "/x belongs to uid 0, not to root/y belongs to uid 1000, not to root",
            "/x belongs to uid 0, not to root/y gehört UID 1000, nicht root",
        );
    }
}
