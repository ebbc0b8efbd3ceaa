// SPDX-License-Identifier: Apache-2.0 OR MIT
use super::*;
use crate::forecast::{Asking, Prompts, Refused};

fn prompts(day: u8, user: &str, prompts: u64) -> Prompts {
    Prompts {
        day: format!("2026-01-{day:02}"),
        user: user.to_owned(),
        prompts,
    }
}

fn told() -> Forecast {
    Forecast {
        first_day: Some("2026-01-05".to_owned()),
        last_day: Some("2026-01-07".to_owned()),
        attempts: 1234,
        passed: 1200,
        unprotected: 3,
        observed: 0,
        unsure: 12,
        prompts: vec![
            prompts(5, "alice", 4),
            prompts(5, "bob", 1),
            prompts(7, "alice", 9),
        ],
        refused: vec![Refused {
            user: "mallory".to_owned(),
            endpoint: "prod-db".to_owned(),
            attempts: 17,
            why: "denied (rule \"contractors never reach production databases\")".to_owned(),
        }],
        asking: vec![Asking {
            rule: "dba".to_owned(),
            prompts: 14,
            users: 2,
        }],
        missing: vec!["login sessions".to_owned()],
    }
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn a_forecast_fits_into_eighty_columns() {
    let shown = plain(&text(&told(), Some(80)));
    assert_eq!(shown, GOLDEN, "{shown}");
    for line in shown.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

const GOLDEN: &str = r#"1234 attempts from 2026-01-05 to 2026-01-07 (days of UTC):
  14 prompts
  17 refused
  1200 passed without a prompt
  3 not protected by this policy

Prompts by user
USER   PROMPTS  DAYS  A DAY  MOST  ON
alice  13       2     6.5    9     2026-01-07
bob    1        1     1.0    1     2026-01-05

Rules that ask most
RULE  PROMPTS  USERS
dba   14       2

Refusals
USER     ENDPOINT  TIMES  WHY
mallory  prod-db   17     denied (rule "contractors never reach production data…

What the policy asks and the log doesn't tell, in 12 attempts. Where nothing
else is said, the stricter outcome counts:
  login sessions
Groups are those of this host today, and each program is taken for an intact
one. The log knows only of what was protected when it was written."#;

#[test]
fn a_long_table_says_what_it_leaves_out() {
    let mut found = told();
    found.asking = (0..25)
        .map(|number| Asking {
            rule: format!("r{number}"),
            prompts: 1,
            users: 1,
        })
        .collect();
    let shown = plain(&text(&found, None));
    assert!(shown.contains("r19") && !shown.contains("r20"), "{shown}");
    assert!(shown.contains("(5 more: --json has all)"), "{shown}");
}

#[test]
fn a_log_without_attempts_says_so() {
    assert_eq!(text(&Forecast::default(), None), "the log has no attempt");
}

#[test]
fn names_of_a_log_can_not_move_the_cursor() {
    let mut found = told();
    found.refused[0].user = "\u{1b}[2J".to_owned();
    assert!(!plain(&text(&found, None)).contains('\u{1b}'));
}
