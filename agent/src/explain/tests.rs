// SPDX-License-Identifier: Apache-2.0 OR MIT
use std::fs;
use std::net::IpAddr;

use proptest::prelude::*;

use super::case::Case;
use super::*;
use crate::clock::BootTime;
use crate::decide::{Decision, Holder, Known, Question, decide};
use crate::ids::EndpointId;
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
    let policy = policy(POLICY);
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
         · \"never\": it doesn't speak of this user\n  \
         · \"reports\": it speaks of /usr/bin/report\n  \
         · \"look first\": it doesn't speak of this user\n  \
         ✓ \"by day\" for the role \"senior\": it fits, step-up\n  \
         + 40 points: from afar\n  \
         = 40 points of risk\n\
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
    assert!(
        found
            .conclusion()
            .starts_with("observe: it gets through, and is recorded as what would be denied"),
        "{}",
        found.conclusion()
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

fn some_given() -> impl Strategy<Value = Given> {
    let flag = || prop::option::of(prop::bool::ANY);
    let program = prop::option::of(prop::sample::select(vec!["/usr/bin/report", "/bin/sh"]));
    (0..24_u8, flag(), program).prop_map(|(hour, remote, program)| Given {
        remote,
        program: program.map(Into::into),
        ..given(&format!("2026-01-05T{hour:02}:30:00Z"))
    })
}

proptest! {
    /// What is explained is what is decided.
    #[test]
    fn an_explanation_says_what_the_decision_is(
        given in some_given(),
        groups in prop::sample::subsequence(vec!["lead", "dba", "banned", "trial"], 0..4),
    ) {
        let found = explained(&groups, &given);
        let policy = policy(POLICY);
        let groups: Vec<_> = groups.iter().map(|group| (*group).to_owned()).collect();
        let names = GivenNames::elsewhere("dana", None, &groups);
        let question = Question { subject: names.uid(), endpoint: EndpointId::from_name("db") };
        let known = Known { facts: &given, holder: &Holder::default() };
        let decided = decide(&policy, &names, question, known, [], BootTime(1));
        let of = |decision: &Decision| match decision {
            Decision::Allow(_) => Outcome::Allow,
            Decision::Challenge(_) | Decision::Elevated(_) => Outcome::StepUp,
            Decision::Deny(_) => Outcome::Deny,
            Decision::Observe(_) => Outcome::Observe,
        };
        prop_assert_eq!(found.outcome, of(&decided.decision));
        if let Decision::Observe(permit) = &decided.decision {
            prop_assert_eq!(found.instead, Some(of(permit.instead())));
        }
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
