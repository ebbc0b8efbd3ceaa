// SPDX-License-Identifier: Apache-2.0 OR MIT
use std::fs;
use std::net::IpAddr;

use proptest::prelude::*;

use super::case::Case;
use super::*;
use crate::clock::BootTime;
use crate::decide::{Decision, DenialReason, Holder, Known, Offer, Question, decide};
use crate::ids::EndpointId;
use crate::policy::SessionType;
use crate::policy::testing::policy;

const POLICY: &str = r#"
[defaults]
tz = "UTC"
[[endpoint]]
name = "db"
hosts = ["10.0.0.1", "db1.example.com"]
ports = [5432]
[[role]]
name = "senior"
users = ["%lead"]
ttl = "8h"
[[rule]]
name = "never"
endpoints = ["db"]
users = ["%banned"]
action = "deny"
[[rule]]
name = "reports"
endpoints = ["db"]
users = ["*"]
programs = ["/usr/bin/report"]
action = "allow"
ttl = "1h"
[[rule]]
name = "look first"
endpoints = ["db"]
users = ["%trial"]
action = "observe"
[[rule]]
name = "by day"
endpoints = ["db"]
users = ["@senior", "%dba"]
when = [{ hours = "08:00-19:00" }, { remote = false }]
action = "step-up"
realm = "prod"
[[risk]]
name = "from afar"
points = 40
when = { remote = true }
[[threshold]]
points = 40
ttl = "5m"
"#;

fn given(at: &str) -> Given {
    Given::at(at.parse().unwrap())
}

fn explained(groups: &[&str], given: &Given) -> Explanation {
    explained_by(POLICY, groups, given)
}

fn explained_by(text: &str, groups: &[&str], given: &Given) -> Explanation {
    let policy = policy(text);
    let groups: Vec<_> = groups.iter().map(|group| (*group).to_owned()).collect();
    let names = GivenNames::elsewhere("dana", None, &groups);
    let endpoint = policy.endpoint_at(IpAddr::from([10, 0, 0, 1]), 5432, 6);
    Explanation::new(&policy, &names, given, names.uid(), endpoint)
}

#[test]
fn an_explanation_reads_as_sentences() {
    let given = Given {
        program: Some("/usr/bin/psql".into()),
        remote: Some(true),
        ..given("2026-01-05T12:00:00Z")
    };
    let text = explained(&["lead"], &given).to_string();
    assert_eq!(
        text,
        "endpoint db\n  \
         · \"never\": it speaks of %banned\n  \
         · \"reports\": it speaks of /usr/bin/report\n  \
         · \"look first\": it speaks of %trial\n  \
         ✓ \"by day\" for the role \"senior\": it fits, step-up\n  \
         + 40 points: from afar\n  \
         = 40 points of risk; 40 is reached: step-up\n\
         step-up: asked for proof by the rule \"by day\"\n  \
         for 5m, all connections of the user to this endpoint\n  \
         proof: totp; it counts in the realm \"prod\"\n  \
         the connection waits up to 1m\n  \
         each connection is decided by itself\n  \
         until 2026-01-05T19:00:00Z: then another rule may count"
    );
}

#[test]
fn what_is_not_said_is_asked_for() {
    let found = explained(&["dba"], &given("2026-01-05T03:00:00Z"));
    assert_eq!(found.outcome, Outcome::Deny);
    let text = found.to_string();
    for hint in [
        "say --program",
        "say --remote or --local",
        "it can't be told whether",
    ] {
        assert!(text.contains(hint), "{text}");
    }
}

#[test]
fn an_observing_rule_tells_both() {
    let given = Given {
        program: Some("/usr/bin/psql".into()),
        ..given("2026-01-05T12:00:00Z")
    };
    let found = explained(&["trial"], &given);
    assert_eq!(found.outcome, Outcome::Observe);
    assert_eq!(found.instead, Some(Outcome::Deny));
    assert_eq!(found.observed_by.as_deref(), Some("look first"));
    assert_eq!(
        found.conclusion(),
        "observe: it gets through, for the rule \"look first\" only observes; it is recorded as \
         what would be denied because no rule lets this user through"
    );
}

#[test]
fn what_only_risk_makes_of_it_is_not_put_down_to_the_rule() {
    let afar = Given {
        program: Some("/usr/bin/report".into()),
        remote: Some(true),
        ..given("2026-01-05T12:00:00Z")
    };
    let found = explained(&[], &afar);
    assert_eq!(
        found.conclusion(),
        "step-up: asked for proof for what is unusual, though the rule \"reports\" allows it"
    );
    let strict = format!("{POLICY}[[threshold]]\npoints = 40\naction = \"deny\"\n");
    let found = explained_by(&strict, &["dba"], &afar);
    assert_eq!(found.denied, Some(Denied::ByRisk));
    assert_eq!(
        found.conclusion(),
        "deny: denied for what is unusual, though the rule \"reports\" fits"
    );
    assert_eq!(found.thresholds.len(), 2);
}

#[test]
fn an_address_that_a_name_may_have_is_not_called_unprotected_without_a_doubt() {
    let text = "[[case]]\nname = \"c\"\nuser = \"dana\"\nto = \"10.0.0.9:5432\"\nexpect = \"unprotected\"\n";
    let tried = cases(text).unwrap()[0].tried(&policy(POLICY));
    assert_eq!(
        tried.explanation.to_string(),
        "not protected: no endpoint has this address, port and protocol\n  \
         unless it is an address of db1.example.com: name the host to see that"
    );
}

fn cases(text: &str) -> Result<Vec<Case>, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    Case::read(file.path()).map_err(|mistakes| mistakes.to_string())
}

#[test]
fn a_case_that_fails_says_what_came_instead_and_why() {
    let case = "[[case]]\nname = \"c\"\nuser = \"dana\"\ngroups = [\"dba\"]\nto = \"db1.example.com:5432\"\n\
                at = \"2026-01-05T12:00\"\nprogram = \"/usr/bin/psql\"\nremote = true\n\
                expect = \"allow\"\nrule = \"by day\"\nttl = \"15m\"\npoints = 0\n";
    let tried = cases(case).unwrap()[0].tried(&policy(POLICY));
    assert_eq!(
        tried.failures,
        [
            "outcome: expected \"allow\", found \"step-up\"",
            "ttl: expected \"15m\", found \"5m\"",
            "points: expected \"0\", found \"40\"",
        ]
    );
    assert!(
        tried.complaint().contains("it fits, step-up"),
        "{}",
        tried.complaint()
    );
}

#[test]
fn bad_cases_are_refused_with_their_places() {
    let head = "[[case]]\nname = \"c\"\nuser = \"dana\"\n";
    for (rest, mistake) in [
        ("to = \"db\"\nexpect = \"allow\"", "is no destination"),
        ("to = \"db:5432\"", "needs the key `expect`"),
        ("to = \"db:5432\"\nexpect = \"maybe\"", "unknown word"),
        (
            "to = \"db:5432\"\nexpect = \"deny\"\nat = \"noon\"",
            "is no time",
        ),
        (
            "to = \"db:5432\"\nexpect = \"deny\"\nremot = true",
            "did you mean `remote`?",
        ),
        (
            "to = \"db:5432\"\nexpect = \"deny\"\nfailures = -1",
            "is no number",
        ),
    ] {
        let found = cases(&format!("{head}{rest}\n")).unwrap_err();
        assert!(found.contains(mistake), "{found}");
    }
    assert!(cases("").unwrap_err().contains("needs the key `case`"));
}

/// More of everything than [`POLICY`] has, so that each kind of fact counts for something.
const RICH: &str = r#"
[[rule]]
name = "desk"
endpoints = ["db"]
users = ["*", "!%banned"]
when = { session = ["x11"], seat = ["seat0"] }
action = "step-up"
scope = "socket"
[[rule]]
name = "units"
endpoints = ["db"]
users = ["%dba"]
when = [{ unit = ["session-*.scope"], tty = true }, { remote_address = ["192.0.2.0/24"] }]
action = "allow"
ttl = "2h"
[[risk]]
name = "new program"
points = 30
when = { program_first_seen = true }
[[risk]]
name = "new address"
points = 30
when = { address_first_seen = true }
[[risk]]
name = "failures"
points = 60
when = { recent_failures = { at_least = 3, within = "10m" } }
[[threshold]]
points = 100
action = "deny"
"#;

fn some_given() -> impl Strategy<Value = Given> {
    let flag = || prop::option::of(prop::bool::ANY);
    let pick = |all: [&'static str; 2]| {
        let picked = prop::sample::select(all.to_vec()).prop_map(str::to_owned);
        prop::option::of(picked)
    };
    let kinds = [SessionType::X11, SessionType::Tty].to_vec();
    let from = prop::sample::select(vec![[192, 0, 2, 1], [10, 0, 0, 1]]).prop_map(IpAddr::from);
    let session = (
        flag(),
        prop::option::of(from),
        prop::option::of(prop::sample::select(kinds)),
        pick(["seat0", ""]),
    );
    let past = (flag(), flag(), prop::option::of(0..6_u32));
    let process = (
        pick(["/usr/bin/report", "/bin/sh"]),
        flag(),
        pick(["session-1.scope", "cron.service"]),
    );
    (0..24_u8, session, process, past).prop_map(|(hour, session, process, past)| Given {
        remote: session.0,
        from: session.1,
        session: session.2,
        seat: session.3,
        program: process.0.map(Into::into),
        tty: process.1,
        unit: process.2,
        new_program: past.0,
        new_address: past.1,
        failures: past.2,
        ..given(&format!("2026-01-05T{hour:02}:30:00Z"))
    })
}

/// What a decision comes to: the outcome, its rule, and what is given or why nothing is.
type Summary = (
    Outcome,
    Option<String>,
    Option<(String, String)>,
    Option<Denied>,
);

fn decided(decision: &Decision) -> Summary {
    let given = |outcome, offer: &Offer| {
        let terms = offer.terms;
        let terms = (format_duration(terms.ttl), terms.scope.to_string());
        (outcome, Some(offer.rule.to_string()), Some(terms), None)
    };
    match decision {
        Decision::Allow(permit) => given(Outcome::Allow, permit.offer()),
        Decision::Challenge(order) => given(Outcome::StepUp, order.offer()),
        Decision::Elevated(permit) => given(Outcome::StepUp, permit.offer()),
        Decision::Observe(permit) => decided(permit.instead()),
        Decision::Deny(denial) => {
            let (rule, why) = match denial.reason() {
                DenialReason::ByRule => (denial.rule(), Denied::ByRule),
                DenialReason::ByRisk => (denial.rule(), Denied::ByRisk),
                DenialReason::Unsure => (denial.rule(), Denied::Unsure),
                _ => (None, Denied::NoRule),
            };
            (
                Outcome::Deny,
                rule.map(ToString::to_string),
                None,
                Some(why),
            )
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// What is explained is what is decided.
    #[test]
    fn an_explanation_says_what_the_decision_is(
        given in some_given(),
        groups in prop::sample::subsequence(vec!["lead", "dba", "banned", "trial"], 0..4),
    ) {
        let text = format!("{POLICY}{RICH}");
        let found = explained_by(&text, &groups, &given);
        let policy = policy(&text);
        let groups: Vec<_> = groups.iter().map(|group| (*group).to_owned()).collect();
        let names = GivenNames::elsewhere("dana", None, &groups);
        let question = Question { subject: names.uid(), endpoint: EndpointId::from_name("db") };
        let known = Known { facts: &given, holder: &Holder::default() };
        let made = decide(&policy, &names, question, known, [], BootTime(1));
        let (outcome, rule, terms, denied) = decided(&made.decision);
        match &made.decision {
            Decision::Observe(permit) => {
                prop_assert_eq!(found.outcome, Outcome::Observe);
                prop_assert_eq!(found.instead, Some(outcome));
                let by = permit.rule().map(ToString::to_string);
                prop_assert_eq!(&found.observed_by, &by);
            }
            _ => prop_assert_eq!((found.outcome, found.instead), (outcome, None)),
        }
        prop_assert_eq!(found.denied, denied);
        // Where no rule decides, the decision names the first that can't be judged.
        if found.rule.is_some() || denied != Some(Denied::Unsure) {
            prop_assert_eq!(&found.rule, &rule);
        }
        let given = found.terms.as_ref();
        let given = given.map(|terms| (terms.ttl.clone(), terms.scope.clone()));
        prop_assert_eq!(given, terms);
        let points: u32 = made.risk.iter().map(|(_, points)| points).sum();
        prop_assert_eq!(found.points, points);
    }
}

/// What is wrong with a case of a policy, by what it says.
fn failures(policy_text: &str, case: &str) -> Vec<String> {
    let head = "[[case]]\nname = \"c\"\nto = \"10.0.0.1:5432\"\n";
    let read = cases(&format!("{head}{case}")).unwrap();
    read[0].tried(&policy(policy_text)).failures
}

fn rule(lines: &str) -> String {
    let endpoint = crate::policy::testing::ENDPOINT;
    format!("{endpoint}[[rule]]\nname = \"r\"\nendpoints = [\"db\"]\n{lines}")
}

#[test]
fn a_case_passes_or_fails_whatever_the_time_is_when_it_is_tried() {
    let policy = rule(
        "users = [\"*\"]\nwhen = { hours = \"08:00-19:00\", tz = \"UTC\" }\naction = \"deny\"\n",
    );
    let case = "user = \"dana\"\nexpect = \"deny\"\n";
    let lacks = "the answer depends on the time: add `at`";
    assert_eq!(failures(&policy, case), [lacks]);
    let with_time = format!("{case}at = \"2026-01-05T12:00\"\n");
    assert!(failures(&policy, &with_time).is_empty());
}

#[test]
fn a_case_says_of_its_user_what_the_rules_ask() {
    let by_number = rule("users = [\"1000-1999\"]\naction = \"deny\"\n");
    let found = failures(&by_number, "user = \"dana\"\nexpect = \"deny\"\n");
    assert_eq!(found, ["the rule \"r\" speaks of uids: add `uid`"]);
    for user in ["user = \"dana\"\nuid = 1000\n", "user = 1000\n"] {
        let case = format!("{user}expect = \"deny\"\nrule = \"r\"\n");
        assert!(failures(&by_number, &case).is_empty(), "{user}");
    }
    let by_name = rule("users = [\"*\", \"!dana\"]\naction = \"deny\"\n");
    let found = failures(&by_name, "user = 1000\nexpect = \"deny\"\n");
    assert!(found[0].contains("speaks of users by name"), "{found:?}");
}

#[test]
fn a_case_that_could_never_pass_is_refused() {
    let head = "[[case]]\nname = \"c\"\nuser = \"dana\"\nto = \"db:5432\"\n";
    for (rest, mistake) in [
        ("expect = \"deny\"\nttl = \"1h\"", "nothing is given"),
        (
            "expect = \"allow\"\nrealm = \"prod\"",
            "no proof is asked for",
        ),
        (
            "expect = \"allow\"\ninstead = \"deny\"",
            "nothing is only observed",
        ),
        ("expect = \"unprotected\"\nrule = \"r\"", "no rule speaks"),
        ("expect = \"step-up\"\nscope = \"usr\"", "\"user\"?"),
        ("expect = \"step-up\"\nttl = \"1 hour\"", "is no duration"),
        (
            "expect = \"deny\"\nremote = false\nfrom = \"192.0.2.1\"",
            "came from nowhere",
        ),
    ] {
        let found = cases(&format!("{head}{rest}\n")).unwrap_err();
        assert!(found.contains(mistake), "{found}");
    }
    let twice = format!("{head}expect = \"deny\"\n{head}expect = \"deny\"\n");
    assert!(cases(&twice).unwrap_err().contains("two cases are called"));
}

#[test]
fn a_duration_is_expected_however_it_is_written() {
    let policy = rule("users = [\"*\"]\naction = \"allow\"\nttl = \"1h\"\n");
    let case = "user = \"dana\"\nexpect = \"allow\"\nttl = \"60m\"\n";
    assert!(failures(&policy, case).is_empty());
}
