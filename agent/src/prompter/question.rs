// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is asked, what the person did, and what a place to ask is.

use std::fmt;
use std::future::Future;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::ids::ChallengeId;

/// The longest texts that are shown, in characters. What a process chose is among them, so
/// they are bounded here once more, wherever they come from.
const MAX_LINE: usize = 200;
/// The longest label of a button, a field or a detail.
const MAX_LABEL: usize = 40;
/// The longest value of a detail: eight of them fit into what a pinentry takes.
const MAX_VALUE: usize = 120;
/// More details than a dialog has room for.
const MAX_DETAILS: usize = 12;
/// The widest line of a dialog, in characters. Not all of them wrap what has no spaces, and a
/// window that is wider than the screen has its buttons beside it. What the agent's own details
/// have to say fits (56 columns, and a label).
const WIDTH: usize = 72;
/// What a line that goes on begins with, so that no value looks like another detail.
const INDENT: &str = "    ";

/// What is asked: finished texts in the person's language, without markup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The challenge.
    pub id: ChallengeId,
    /// Title of the window.
    pub title: String,
    /// The question itself, as `psql wants to reach prod-db`.
    pub heading: String,
    /// Labels and values, most important first.
    pub details: Vec<(String, String)>,
    /// What is unusual.
    pub warning: Option<String>,
    /// What was wrong with the code before, as `Wrong code. 2 tries left.`
    pub error: Option<String>,
    /// What the field takes, as `6-digit code`; or what a service of PAM asks.
    pub prompt: String,
    /// Label of the button that sends the code.
    pub approve: String,
    /// Label of the button that refuses.
    pub deny: String,
    /// When the question is over.
    pub deadline: Instant,
}

impl Question {
    /// What all places show: the same question with texts that are neither too long nor able
    /// to end a line or steer a terminal.
    #[must_use]
    pub(super) fn bounded(&self) -> Self {
        Self {
            id: self.id,
            title: line(&self.title, MAX_LABEL),
            heading: line(&self.heading, MAX_LINE),
            details: self
                .details
                .iter()
                .take(MAX_DETAILS)
                .map(|(label, value)| (line(label, MAX_LABEL), line(value, MAX_VALUE)))
                .collect(),
            warning: self.warning.as_ref().map(|text| line(text, MAX_LINE)),
            error: self.error.as_ref().map(|text| line(text, MAX_LINE)),
            prompt: line(&self.prompt, MAX_LINE),
            approve: line(&self.approve, MAX_LABEL),
            deny: line(&self.deny, MAX_LABEL),
            deadline: self.deadline,
        }
    }

    /// The warning, then the details, a line for each. The warning comes first, so that no
    /// long value pushes it out of sight.
    #[must_use]
    pub(super) fn facts(&self) -> String {
        let mut lines = Vec::with_capacity(self.details.len() + 2);
        if let Some(warning) = &self.warning {
            lines.extend([wrapped(warning), String::new()]);
        }
        let details = self.details.iter();
        lines.extend(details.map(|(label, value)| wrapped(&format!("{label}: {value}"))));
        lines.join("\n")
    }

    /// The question itself, in lines that are not too wide.
    #[must_use]
    pub(super) fn headline(&self) -> String {
        wrapped(&self.heading)
    }

    /// The label of the field, if what it takes is said in so few words. A service of PAM may have
    /// more to say.
    #[must_use]
    pub(super) fn label(&self) -> Option<&str> {
        let fits = self.prompt.chars().nth(MAX_LABEL).is_none();
        fits.then_some(self.prompt.as_str())
    }

    /// What the field takes, in lines that are not too wide.
    #[must_use]
    pub(super) fn takes(&self) -> String {
        wrapped(&self.prompt)
    }

    /// How long there is to answer, from now.
    #[must_use]
    pub(super) fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// What the person did.
pub enum Deed {
    /// They typed this, unchanged: the daemon says whether it is a code.
    Code(Zeroizing<String>),
    /// They refused.
    Denied,
    /// Nothing until the deadline, or they answer elsewhere.
    Silent,
    /// The question could not be shown here, and why.
    Unable(String),
}

impl fmt::Debug for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(_) => f.write_str("Code(REDACTED)"),
            Self::Denied => f.write_str("Denied"),
            Self::Silent => f.write_str("Silent"),
            Self::Unable(why) => f.debug_tuple("Unable").field(why).finish(),
        }
    }
}

/// One way to ask.
pub trait Place {
    /// Its name, as the daemon knows it.
    fn name(&self) -> &'static str;

    /// Shows the question and waits for the person, until the deadline. Dropping the future
    /// takes the dialog away at once.
    fn ask(&self, question: &Question) -> impl Future<Output = Deed> + Send;
}

/// What was typed, unless the field was left empty or holds what no keyboard makes: then it
/// isn't worth one of the person's tries.
pub(super) fn typed(bytes: Zeroizing<Vec<u8>>) -> Option<Zeroizing<String>> {
    let text = std::str::from_utf8(&bytes).ok()?;
    (!text.trim().is_empty()).then(|| Zeroizing::new(text.to_owned()))
}

/// One line of at most `most` characters: what could end it or steer a terminal becomes a
/// space, and `…` says that something was cut.
pub(super) fn line(text: &str, most: usize) -> String {
    let mut shown: String = text
        .chars()
        .take(most)
        .map(|c| if ends_or_steers(c) { ' ' } else { c })
        .collect();
    if text.chars().nth(most).is_some() {
        shown.pop();
        shown.push('…');
    }
    shown
}

/// The line in pieces of at most [`WIDTH`] characters, broken at spaces if there are any near.
fn wrapped(line: &str) -> String {
    let mut lines = Vec::new();
    let mut rest = line;
    let mut room = WIDTH;
    while let Some((too_far, _)) = rest.char_indices().nth(room) {
        let at = rest[..too_far].rfind(' ').filter(|at| *at > too_far / 2);
        let (first, more) = rest.split_at(at.unwrap_or(too_far));
        lines.push(first);
        rest = more.trim_start();
        room = WIDTH - INDENT.len();
    }
    lines.push(rest);
    lines.join(&format!("\n{INDENT}"))
}

fn ends_or_steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A question that is open for this long.
    pub(in crate::prompter) fn question(patience: Duration) -> Question {
        Question {
            id: ChallengeId(12),
            title: "stile".into(),
            heading: "psql wants to reach prod-db".into(),
            details: vec![
                ("Program".into(), "/usr/bin/psql (pid 4711)".into()),
                ("From".into(), "bash on pts/3".into()),
            ],
            warning: Some("Others can change this program.".into()),
            error: None,
            prompt: "6-digit code".into(),
            approve: "Approve".into(),
            deny: "Deny".into(),
            deadline: Instant::now() + patience,
        }
    }

    #[test]
    fn texts_are_one_line_each_and_not_too_long() {
        let mut asked = question(Duration::from_secs(9));
        asked.heading = "a\nb\x1b[2J\u{202e}c".into();
        asked.details = vec![("x".repeat(100), "y".repeat(1000)); 100];
        let shown = asked.bounded();
        assert_eq!(shown.heading, "a b [2J c");
        assert_eq!(shown.details.len(), MAX_DETAILS);
        let (label, value) = &shown.details[0];
        assert_eq!(label.chars().count(), MAX_LABEL);
        assert!(label.ends_with('…'));
        assert_eq!(value.chars().count(), MAX_VALUE);
        assert_eq!(line("ä", 1), "ä");
        assert_eq!(line("äö", 1), "…");
    }

    #[test]
    fn a_long_line_is_broken_and_what_follows_looks_like_no_other_detail() {
        assert_eq!(wrapped(&"x".repeat(WIDTH)), "x".repeat(WIDTH));
        let value = format!("Program: {} To: 127.0.0.1:5432", "x".repeat(57));
        let lines = wrapped(&value);
        let lines: Vec<_> = lines.lines().collect();
        assert_eq!(lines[1], "    127.0.0.1:5432");
        let long = wrapped(&"ä".repeat(200));
        assert!(long.lines().all(|line| line.chars().count() <= WIDTH));
        assert_eq!(long.matches('ä').count(), 200);
    }

    #[test]
    fn the_warning_stands_before_what_a_process_chose() {
        assert_eq!(
            question(Duration::ZERO).facts(),
            "Others can change this program.\n\n\
             Program: /usr/bin/psql (pid 4711)\nFrom: bash on pts/3"
        );
    }

    #[test]
    fn an_empty_field_is_no_code_and_any_other_is_passed_unchanged() {
        let typed = |text: &[u8]| typed(Zeroizing::new(text.to_vec()));
        assert_eq!(typed(b""), None);
        assert_eq!(typed(b" \t"), None);
        assert_eq!(typed(b"12\xff"), None);
        assert_eq!(typed(b" 492-817 ").unwrap().as_str(), " 492-817 ");
    }

    #[test]
    fn a_code_is_never_printed() {
        let deed = Deed::Code(Zeroizing::new("492817".into()));
        assert!(!format!("{deed:?}").contains("492817"));
    }
}
