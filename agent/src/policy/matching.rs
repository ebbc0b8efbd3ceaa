// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which rule matches: the one piece of code that both the decision and the kernel's tables
//! come from.

use super::names::{Answers, NameError, Names, remembered};
use super::{Action, Policy, Rule, UserSelector};
use crate::ids::{EndpointId, Gid, Uid};

/// Matches rules against users, asking the name services once for each name. It goes stale:
/// make one for each decision, or for each compilation.
pub(crate) struct Matcher<'a> {
    names: &'a dyn Names,
    uids: Answers<String, Option<Uid>>,
    gids: Answers<String, Option<Gid>>,
    groups: Answers<Uid, Vec<Gid>>,
}

/// The first rule that matches, and what could not be told on the way to it.
#[derive(Debug)]
pub(crate) struct Match<'p> {
    /// The rule; none if no rule matches. A deny rule that can't be judged counts as a match.
    pub(crate) rule: Option<&'p Rule>,
    /// Rules up to and with `rule` that can't be judged, and why.
    pub(crate) unsure: Vec<(&'p Rule, NameError)>,
}

impl<'a> Matcher<'a> {
    pub(crate) fn new(names: &'a dyn Names) -> Self {
        Self {
            names,
            uids: Answers::default(),
            gids: Answers::default(),
            groups: Answers::default(),
        }
    }

    /// The first rule in file order that matches. One that can't be judged because the name
    /// services fail doesn't match if it lets through, and does if it denies (S4).
    pub(crate) fn first_match<'p>(
        &self,
        policy: &'p Policy,
        endpoint: EndpointId,
        subject: Uid,
    ) -> Match<'p> {
        let mut unsure = Vec::new();
        for rule in policy.rules_of(endpoint) {
            let matches = self.matches(rule, subject).unwrap_or_else(|error| {
                unsure.push((rule, error));
                rule.action == Action::Deny
            });
            if matches {
                let rule = Some(rule);
                return Match { rule, unsure };
            }
        }
        Match { rule: None, unsure }
    }

    /// The uid of a user.
    pub(crate) fn uid_of(&self, user: &str) -> Result<Option<Uid>, NameError> {
        remembered(&self.uids, user.to_owned(), || self.names.uid_of(user))
    }

    /// True if the rule speaks of the user. One selector that fits is enough, whatever
    /// became of the others.
    fn matches(&self, rule: &Rule, subject: Uid) -> Result<bool, NameError> {
        let mut failure = None;
        for selector in &rule.users {
            match self.selects(selector, subject) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(false), Err)
    }

    fn selects(&self, selector: &UserSelector, subject: Uid) -> Result<bool, NameError> {
        match selector {
            UserSelector::Everyone => Ok(true),
            UserSelector::Uid(uid) => Ok(*uid == subject),
            UserSelector::User(name) => Ok(self.uid_of(name)? == Some(subject)),
            UserSelector::Group(name) => {
                let gid = remembered(&self.gids, name.clone(), || self.names.gid_of(name))?;
                let Some(gid) = gid else { return Ok(false) };
                let groups = || self.names.groups_of(subject);
                Ok(remembered(&self.groups, subject, groups)?.contains(&gid))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testing::{FakeNames, policy};

    const RULES: &str = r#"
[[endpoint]]
name = "db"
hosts = ["10.0.0.1"]
ports = [5432]
[[rule]]
name = "never"
endpoints = ["db"]
users = ["%banned"]
action = "deny"
[[rule]]
name = "dba"
endpoints = ["db"]
users = ["%dba", "alice", 4000]
action = "step-up"
[[rule]]
name = "rest"
endpoints = ["*"]
users = ["*"]
action = "deny"
"#;

    fn matched(names: &FakeNames, uid: u32) -> (String, Vec<String>) {
        let policy = policy(RULES);
        let matcher = Matcher::new(names);
        let found = matcher.first_match(&policy, EndpointId::from_name("db"), Uid(uid));
        let unsure = found.unsure.iter().map(|(rule, _)| rule.name.to_string());
        let name = found
            .rule
            .map_or(String::new(), |rule| rule.name.to_string());
        (name, unsure.collect())
    }

    #[test]
    fn users_match_by_name_number_and_group() {
        let names = FakeNames::default()
            .user("alice", 1001, &[])
            .user("bob", 1002, &[("dba", 50)])
            .user("carol", 1003, &[])
            .user("dave", 1004, &[("dba", 50), ("banned", 51)]);
        for (uid, rule) in [
            (1001, "dba"),
            (1002, "dba"),
            (1003, "rest"),
            (1004, "never"),
        ] {
            assert_eq!(matched(&names, uid), (rule.to_owned(), vec![]), "{uid}");
        }
        assert_eq!(matched(&names, 4000).0, "dba", "a number needs no name");
    }

    #[test]
    fn a_deny_rule_that_cannot_be_judged_denies() {
        let names = FakeNames::default()
            .user("alice", 1001, &[])
            .failing("banned");
        let both = ("never".to_owned(), vec!["never".to_owned()]);
        assert_eq!(matched(&names, 1001), both);
    }

    #[test]
    fn a_step_up_rule_that_cannot_be_judged_does_not_match() {
        let names = FakeNames::default()
            .user("alice", 1001, &[])
            .user("bob", 1002, &[])
            .failing("dba");
        let passed_over = ("rest".to_owned(), vec!["dba".to_owned()]);
        assert_eq!(matched(&names, 1002), passed_over);
        let named = ("dba".to_owned(), vec![]);
        assert_eq!(matched(&names, 1001), named, "another selector fits");
    }
}
