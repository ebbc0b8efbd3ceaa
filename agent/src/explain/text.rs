// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An explanation in sentences.

use std::fmt;

use super::{Explanation, Outcome, RuleView};

impl fmt::Display for Explanation {
    /// Several lines, the outcome last; plain text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(endpoint) = &self.endpoint else {
            return f.write_str("not protected: no endpoint has this address, port and protocol");
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
            writeln!(f, "  = {} points of risk", self.points)?;
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
        let by = match (&self.rule, outcome) {
            (Some(rule), _) => format!(" by the rule {rule:?}"),
            (None, Outcome::Deny) if self.rules.iter().any(|rule| rule.fits.is_none()) => {
                " because it can't be told whether a rule lets this user through".to_owned()
            }
            (None, Outcome::Deny) => " because no rule lets this user through".to_owned(),
            (None, _) => String::new(),
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
            format!("observe: it gets through, and is recorded as {what}")
        } else {
            format!("{}: {what}", outcome.word())
        }
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
                let factors = terms.factors.join(" or ");
                remarks.push(format!(
                    "proof: {factors}; it counts in the realm {realm:?}"
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
        remarks
    }
}
