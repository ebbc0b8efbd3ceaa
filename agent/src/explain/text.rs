// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An explanation in sentences.

use std::fmt;

use super::{Denied, Explanation, Outcome, RuleView};

impl fmt::Display for Explanation {
    /// Several lines, the outcome last; plain text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(endpoint) = &self.endpoint else {
            f.write_str("not protected: no endpoint has this address, port and protocol")?;
            return match self.doubt_of_names() {
                Some(doubt) => write!(f, "\n  {doubt}"),
                None => Ok(()),
            };
        };
        writeln!(f, "endpoint {endpoint}")?;
        for rule in &self.rules {
            writeln!(f, "  {rule}")?;
        }
        if self.rules.is_empty() {
            writeln!(f, "  no rule speaks of it")?;
        }
        for risk in &self.risk {
            let doubt = risk.doubt.as_ref();
            let doubt = doubt.map_or(String::new(), |why| format!(" ({why})"));
            writeln!(f, "  + {} points: {}{doubt}", risk.points, risk.name)?;
        }
        if !self.risk.is_empty() {
            let reached = self.thresholds.iter();
            let reached: String = reached
                .map(|one| format!("; {} is reached: {}", one.points, one.action.word()))
                .collect();
            writeln!(f, "  = {} points of risk{reached}", self.points)?;
        }
        f.write_str(&self.conclusion())?;
        for line in self.remarks() {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

impl fmt::Display for RuleView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.fits {
            Some(true) => "✓",
            Some(false) => "·",
            None => "?",
        };
        write!(f, "{mark} {}", self.title())?;
        match (&self.why, self.fits) {
            (Some(why), _) => write!(f, ": {why}"),
            (None, Some(true)) => write!(f, ": it fits, {}", self.action.word()),
            (None, _) => Ok(()),
        }
    }
}

impl RuleView {
    fn title(&self) -> String {
        match &self.role {
            Some(role) => format!("{:?} for the role {role:?}", self.name),
            None => format!("{:?}", self.name),
        }
    }
}

impl Explanation {
    /// What happens, in one sentence.
    #[must_use]
    pub fn conclusion(&self) -> String {
        let outcome = self.instead.unwrap_or(self.outcome);
        let by = match (&self.rule, self.denied) {
            (Some(rule), Some(Denied::ByRisk)) => {
                format!(" for what is unusual, though the rule {rule:?} fits")
            }
            (Some(rule), Some(Denied::Unsure)) => {
                format!(" because it can't be told whether the rule {rule:?} fits")
            }
            (Some(rule), _) if self.is_stricter_by_risk(outcome) => {
                format!(" for what is unusual, though the rule {rule:?} allows it")
            }
            (Some(rule), _) => format!(" by the rule {rule:?}"),
            (None, Some(Denied::Unsure)) => {
                " because it can't be told whether a rule lets this user through".to_owned()
            }
            (None, Some(_)) => " because no rule lets this user through".to_owned(),
            (None, None) => String::new(),
        };
        let would = if self.instead.is_some() {
            "what would be "
        } else {
            ""
        };
        let verb = match outcome {
            Outcome::Allow => "allowed",
            Outcome::StepUp => "asked for proof",
            Outcome::Deny => "denied",
            Outcome::Observe => "observed",
            Outcome::Unprotected => "not looked at",
        };
        let what = format!("{would}{verb}{by}");
        if self.instead.is_some() {
            let who = match &self.observed_by {
                Some(rule) => format!("the rule {rule:?}"),
                None => "the whole policy".to_owned(),
            };
            format!("observe: it gets through, for {who} only observes; it is recorded as {what}")
        } else {
            format!("{}: {what}", outcome.word())
        }
    }

    /// True if the rule that decides allows it, and risk asks for proof all the same.
    fn is_stricter_by_risk(&self, outcome: Outcome) -> bool {
        let mut rules = self.rules.iter();
        let rule = rules.rfind(|rule| Some(&rule.name) == self.rule.as_ref());
        outcome == Outcome::StepUp && rule.is_some_and(|rule| rule.action == Outcome::Allow)
    }

    /// What nobody has looked up.
    fn doubt_of_names(&self) -> Option<String> {
        let names = self.not_looked_up.join(", ");
        (!names.is_empty())
            .then(|| format!("unless it is an address of {names}: name the host to see that"))
    }

    /// What else is to be known of it.
    fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if let Some(terms) = &self.terms {
            let far = match terms.scope.as_str() {
                "user" => "all connections of the user to this endpoint",
                "unit" => "the connections of the same login session or service",
                "process" => "the connections of the same process",
                _ => "this connection",
            };
            remarks.push(format!("for {}, {far}", terms.ttl));
            if let Some(realm) = &terms.realm {
                remarks.push(format!(
                    "proof: {}; it counts in the realm {realm:?}",
                    terms.proof
                ));
            }
            remarks.push(match &terms.max_hold {
                Some(hold) => format!("the connection waits up to {hold}"),
                None => "the first connection is refused, a later one passes".to_owned(),
            });
        }
        if self.each_connection {
            remarks.push("each connection is decided by itself".to_owned());
        }
        if let Some(until) = &self.until {
            remarks.push(format!("until {until}: then another rule may count"));
        }
        remarks.extend(self.doubt_of_names());
        remarks
    }
}
