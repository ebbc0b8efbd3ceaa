// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The question that a challenge is, in words.

use std::time::{Duration, Instant};

use super::Question;
use crate::service::ChallengeView;

/// What became of the code before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// True if there was one, and it was wrong.
    pub wrong: bool,
    /// Tries left before further ones have to wait.
    pub tries_left: u32,
}

/// What a person is shown.
#[must_use]
pub fn question(view: &ChallengeView, attempt: Attempt) -> Question {
    let program = view.program.rsplit('/').next().unwrap_or(&view.program);
    let mut details = vec![
        ("Destination".to_owned(), view.destination.clone()),
        (
            "Program".to_owned(),
            format!("{} (pid {})", view.program, view.pid),
        ),
        ("Started by".to_owned(), origin(view)),
        ("Rule".to_owned(), view.rule.clone()),
        ("A code gives".to_owned(), gives(view)),
    ];
    if !view.reasons.is_empty() {
        details.push(("Asked because".to_owned(), view.reasons.join("; ")));
    }
    if view.waiting > 1 {
        details.push(("Connections".to_owned(), view.waiting.to_string()));
    }
    details.push(("Request".to_owned(), view.id.to_string()));
    Question {
        id: view.id,
        title: "stile".to_owned(),
        heading: format!("{program} wants to reach {}", view.endpoint),
        details,
        warning: view.warnings.first().cloned(),
        error: attempt.wrong.then(|| match attempt.tries_left {
            0 => "Wrong code.".to_owned(),
            1 => "Wrong code. 1 try is left.".to_owned(),
            left => format!("Wrong code. {left} tries are left."),
        }),
        prompt: "One-time code".to_owned(),
        approve: "Approve".to_owned(),
        deny: "Deny".to_owned(),
        deadline: Instant::now() + Duration::from_secs(view.seconds_left),
    }
}

fn origin(view: &ChallengeView) -> String {
    match view.from.as_str() {
        "" => view.origin(),
        from => format!("{}, from ssh {from}", view.origin()),
    }
}

fn gives(view: &ChallengeView) -> String {
    let minutes = view.ttl_seconds.div_ceil(60);
    let what = match view.scope.as_str() {
        "socket" => "this connection".to_owned(),
        "process" => format!("this process to {}", view.endpoint),
        "unit" => format!("this session to {}", view.endpoint),
        _ => {
            let mut names = vec![view.endpoint.clone()];
            names.extend(view.also.iter().cloned());
            names.join(", ")
        }
    };
    format!("{what} for {minutes} min")
}
