// SPDX-License-Identifier: Apache-2.0 OR MIT
use super::*;
use crate::policy::testing::policy;

const OLD: &str = r#"
[[endpoint]]
name = "db"
hosts = ["10.0.0.1", "10.0.0.2"]
ports = [5432]

[[endpoint]]
name = "gone"
hosts = ["10.0.1.1"]
ports = [22]

[[rule]]
name = "dba"
endpoints = ["db"]
users = ["%dba", "alice"]
action = "step-up"
ttl = "15m"

[[rule]]
name = "interns"
endpoints = ["*"]
users = ["%interns"]
action = "deny"

[[rule]]
name = "ops"
endpoints = ["*"]
users = ["*"]
action = "step-up"
ttl = "1h"

[[risk]]
name = "new program"
points = 30
when = { program_first_seen = true }

[[threshold]]
points = 30
action = "deny"
"#;

const NEW: &str = r#"
[defaults]
max_hold = "30s"

[[endpoint]]
name = "db"
hosts = ["10.0.0.1"]
ports = [5432]

[[rule]]
name = "interns"
endpoints = ["*"]
users = ["%interns"]
programs = ["/usr/bin/psql"]
action = "deny"

[[rule]]
name = "dba"
endpoints = ["db"]
users = ["%dba", "alice"]
action = "allow"
ttl = "8h"

[[rule]]
name = "others"
endpoints = ["*"]
users = ["*"]
action = "deny"

[[risk]]
name = "new program"
points = 20
when = { program_first_seen = true }

[[threshold]]
points = 30
action = "deny"
"#;

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn a_reviewer_reads_first_what_gets_laxer() {
    let shown = plain(&text(&compare(&policy(OLD), &policy(NEW))));
    assert_eq!(shown, GOLDEN, "{shown}");
    for line in shown.lines() {
        assert!(line.chars().count() <= COLUMNS, "{line}");
    }
}

const GOLDEN: &str = r#"For whom
  LAXER     db: alice, %dba
            step-up 15m (dba) → allow 8h (dba)
  LAXER     gone: %interns
            deny (interns) → not protected
  LAXER     gone: everybody else
            step-up 1h (ops) → not protected
  stricter  db: everybody else
            step-up 1h (ops) → deny (others)

Endpoints
  - gone  LAXER
  ~ db  LAXER
      hosts: 10.0.0.1, 10.0.0.2 → 10.0.0.1

Rules
  > dba, moved from place 1 to 2
      action: step-up → allow
      ttl: 15m → 8h
      proof: totp → none
      realm: dba → none
      max_hold: 1m → 30s
  ~ interns
      programs: none → /usr/bin/psql
  - ops
  + others

Risk
  ~ risk "new program"  LAXER
      points: 30 → 20

what is marked LAXER lets more through: 7 in all"#;

#[test]
fn the_same_policy_changes_nothing() {
    let found = compare(&policy(OLD), &policy(OLD));
    assert!(found.is_empty());
    assert_eq!(plain(&text(&found)), "nothing changes");
}

#[test]
fn json_has_a_mark_for_what_gets_laxer() {
    let found = serde_json::to_value(compare(&policy(OLD), &policy(NEW))).unwrap();
    assert_eq!(
        found["outcomes"][0],
        serde_json::json!({
            "way": "laxer",
            "laxer": true,
            "endpoint": "db",
            "users": "alice",
            "before": "step-up 15m (dba)",
            "after": "allow 8h (dba)",
            "by_conditions": false,
        })
    );
    assert_eq!(found["endpoints"][0]["change"], "removed");
    assert_eq!(found["mode"], serde_json::Value::Null);
}
