// SPDX-License-Identifier: Apache-2.0 OR MIT
use std::collections::BTreeSet;

use super::*;
use crate::policy::testing::{ENDPOINT, mistakes};

/// The keys that the schema gives a table.
fn keys(table: &str) -> BTreeSet<String> {
    let schema = schema();
    let properties = match table {
        "File" => &schema["properties"],
        table => &schema["$defs"][table]["properties"],
    };
    properties.as_object().unwrap().keys().cloned().collect()
}

/// The keys that the reader knows of a table: it names them where it is asked for one that is far
/// from all of them.
fn read(policy: &str) -> BTreeSet<String> {
    let found = mistakes(&[policy]);
    let all = found.iter().find_map(|mistake| {
        let (_, keys) = mistake.split_once("unknown key `qqqqqqqqqqqqqqqqqqqqqqqq`; ")?;
        let (_, keys) = keys.split_once(" takes ")?;
        Some(keys.split(", ").map(str::to_owned).collect())
    });
    all.unwrap_or_else(|| panic!("{found:#?}"))
}

#[test]
fn reader_and_schema_have_the_same_keys() {
    const ODD: &str = "qqqqqqqqqqqqqqqqqqqqqqqq = 1\n";
    let rule = |inner: &str| {
        format!(
            "{ENDPOINT}[[rule]]\nname = \"r\"\nendpoints = [\"*\"]\nusers = [\"*\"]\naction = \"step-up\"\n{inner}"
        )
    };
    for (table, policy) in [
        ("File", format!("{ODD}{ENDPOINT}")),
        ("Defaults", format!("{ENDPOINT}[defaults]\n{ODD}")),
        ("Endpoint", format!("{ENDPOINT}{ODD}")),
        ("Role", format!("{ENDPOINT}[[role]]\n{ODD}")),
        ("Rule", rule(ODD)),
        ("Risk", format!("{ENDPOINT}[[risk]]\n{ODD}")),
        ("Threshold", format!("{ENDPOINT}[[threshold]]\n{ODD}")),
        ("Condition", rule(&format!("[rule.when]\n{ODD}"))),
        ("AtLeast", rule(&format!("[rule.when.connections]\n{ODD}"))),
        (
            "ProgramTable",
            rule("programs = [{ path = \"/bin/sh\", qqqqqqqqqqqqqqqqqqqqqqqq = 1 }]"),
        ),
    ] {
        assert_eq!(read(&policy), keys(table), "{table}");
    }
}

#[test]
fn reader_and_schema_have_the_same_words() {
    let schema = schema();
    for (table, key, words) in [
        ("Scope", "scope", vec!["socket", "process", "unit", "user"]),
        (
            "Action",
            "action",
            vec!["allow", "step-up", "deny", "observe"],
        ),
        ("First", "first", vec!["hold", "reject"]),
        ("OnExpiry", "on_expiry", vec!["close", "keep"]),
    ] {
        let text = schema["$defs"][table].to_string();
        for word in &words {
            assert!(text.contains(&format!("\"{word}\"")), "{text}");
        }
        let action = if key == "action" {
            ""
        } else {
            "action = \"step-up\"\n"
        };
        let policy = format!(
            "{ENDPOINT}[[rule]]\nname = \"r\"\nendpoints = [\"*\"]\nusers = [\"*\"]\n{action}{key} = \"qqqq\"\n"
        );
        let said = mistakes(&[&policy]).join("\n");
        let quoted: Vec<_> = words.iter().map(|word| format!("{word:?}")).collect();
        assert!(said.contains(&quoted.join(", ")), "{said}");
    }
    let services = &schema["$defs"]["Endpoint"]["properties"]["service"]["enum"];
    assert_eq!(services.as_array().unwrap().len(), SERVICES.len());
    let kinds = schema["$defs"]["SessionType"].to_string();
    for (word, _) in crate::policy::SessionType::ALL {
        assert!(kinds.contains(&format!("\"{word}\"")), "{kinds}");
    }
}

#[test]
fn what_is_not_in_the_schema_is_not_allowed() {
    let schema = schema();
    assert_eq!(schema["additionalProperties"], false);
    for (name, table) in schema["$defs"].as_object().unwrap() {
        if table["type"] == "object" {
            assert_eq!(table["additionalProperties"], false, "{name}");
        }
    }
}
