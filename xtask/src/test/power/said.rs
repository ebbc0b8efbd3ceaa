// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What `stile-test-ledger` says.

/// A step of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Step {
    pub(super) user: u32,
    pub(super) step: u64,
}

/// Wrong answers of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Wrong {
    pub(super) user: u32,
    pub(super) count: u64,
}

/// A line of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said<'a> {
    /// It begins, by a clock that shows so many seconds since 1970.
    Clock(u64),
    /// A step was accepted that had been acknowledged before.
    Again(Step),
    /// Wrong answers were forgotten.
    Lost(Wrong),
    /// So many were tried again.
    Checked(usize),
    /// A fresh one was used up for good.
    Acknowledged(Step),
    /// So many wrong answers were counted for good.
    Counted(Wrong),
    /// It can't go on.
    Failed(&'a str),
}

/// Reads a line; `None` for any other, and for one that the kill has cut short.
pub(super) fn parse(line: &str) -> Option<Said<'_>> {
    let (word, rest) = line.strip_suffix('.')?.split_once(' ')?;
    match word {
        "clock" => Some(Said::Clock(rest.parse().ok()?)),
        "again" => Some(Said::Again(step(rest)?)),
        "checked" => Some(Said::Checked(rest.parse().ok()?)),
        "ack" => Some(Said::Acknowledged(step(rest)?)),
        "lost" => Some(Said::Lost(wrong(rest)?)),
        "count" => Some(Said::Counted(wrong(rest)?)),
        "failed" => Some(Said::Failed(rest)),
        _ => None,
    }
}

fn wrong(text: &str) -> Option<Wrong> {
    let Step { user, step: count } = step(text)?;
    Some(Wrong { user, count })
}

fn step(text: &str) -> Option<Step> {
    let (user, step) = text.split_once(' ')?;
    Some(Step {
        user: user.parse().ok()?,
        step: step.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_understood() {
        let step = Step { user: 7, step: 42 };
        assert_eq!(parse("clock 3."), Some(Said::Clock(3)));
        assert_eq!(parse("again 7 42."), Some(Said::Again(step)));
        assert_eq!(parse("checked 9."), Some(Said::Checked(9)));
        assert_eq!(parse("ack 7 42."), Some(Said::Acknowledged(step)));
        let wrong = Wrong { user: 7, count: 3 };
        assert_eq!(parse("lost 7 3."), Some(Said::Lost(wrong)));
        assert_eq!(parse("count 7 3."), Some(Said::Counted(wrong)));
        assert_eq!(parse("failed no disk."), Some(Said::Failed("no disk")));
    }

    #[test]
    fn half_a_line_acknowledges_nothing() {
        for line in [
            "ack 7 4",
            "ack 7 ",
            "ack.",
            "",
            "ack 7 x.",
            "acknowledged 7 42.",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
