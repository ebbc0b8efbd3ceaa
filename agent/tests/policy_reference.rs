// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The reference of the policy language is what the schema says, and its examples are sound. With
//! `STILE_BLESS=1` the generated part is written anew.

#![expect(clippy::unwrap_used, reason = "these are tests")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use stile::policy::{SERVICES, load_texts, schema};

const MARK: &str = "policy_reference writes it. -->\n";

/// The tables, in the order of the reference.
const TABLES: [(&str, &str); 12] = [
    ("Defaults", "[defaults]"),
    ("Endpoint", "[[endpoint]]"),
    ("Role", "[[role]]"),
    ("Rule", "[[rule]]"),
    ("ProgramTable", "a table in `programs`"),
    ("Condition", "`when`"),
    ("AtLeast", "`recent_failures`, `connections`"),
    ("Risk", "[[risk]]"),
    ("Threshold", "[[threshold]]"),
    ("BreakGlass", "[[break_glass]]"),
    ("Reason", "`reason`"),
    ("Scope", "Scopes"),
];

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policy.md")
}

/// What stands below the mark.
fn reference() -> String {
    let schema = schema();
    let mut text = String::new();
    for (name, head) in TABLES {
        let table = &schema["$defs"][name];
        let about = table["description"].as_str().unwrap();
        let head = if head.starts_with('[') {
            format!("`{head}`")
        } else {
            head.to_owned()
        };
        write!(text, "\n### {head}\n\n{about}\n\n").unwrap();
        if name == "Scope" {
            words(&mut text, table);
        } else {
            keys(&mut text, &schema, table);
        }
    }
    text += "\n### Services\n\n| service | ports | what it is |\n| --- | --- | --- |\n";
    for service in SERVICES {
        let spans = service.spans().map(|span| match span.first == span.last {
            true => span.first.to_string(),
            false => format!("{}-{}", span.first, span.last),
        });
        let ports: Vec<_> = spans.collect();
        writeln!(
            text,
            "| `{}` | {} | {} |",
            service.name,
            ports.join(", "),
            service.about
        )
        .unwrap();
    }
    text
}

fn words(text: &mut String, table: &Value) {
    text.push_str("| scope | what one proof opens |\n| --- | --- |\n");
    for word in table["oneOf"].as_array().unwrap() {
        let (name, about) = (&word["const"], &word["description"]);
        let (name, about) = (name.as_str().unwrap(), about.as_str().unwrap());
        writeln!(text, "| `{name}` | {about} |").unwrap();
    }
}

fn keys(text: &mut String, schema: &Value, table: &Value) {
    text.push_str("| key | type | meaning |\n| --- | --- | --- |\n");
    let required: Vec<_> = table["required"].as_array().into_iter().flatten().collect();
    for (key, value) in table["properties"].as_object().unwrap() {
        let about = value["description"].as_str().unwrap().replace('\n', " ");
        let needed = if required.iter().any(|one| *one == key) {
            " **Required.**"
        } else {
            ""
        };
        writeln!(
            text,
            "| `{key}` | {} | {about}{needed} |",
            kind(schema, value)
        )
        .unwrap();
    }
}

/// The type of a value, for people.
fn kind(schema: &Value, value: &Value) -> String {
    if let Some(path) = value["$ref"].as_str() {
        let name = path.rsplit('/').next().unwrap();
        return named(schema, name);
    }
    for union in ["anyOf", "oneOf"] {
        if let Some(options) = value[union].as_array() {
            let some = options.iter().filter(|option| option["type"] != "null");
            let kinds: Vec<_> = some.map(|option| kind(schema, option)).collect();
            return kinds.join(" or ");
        }
    }
    let of = match &value["type"] {
        Value::Array(kinds) => kinds.iter().find(|kind| *kind != "null").unwrap().clone(),
        one => one.clone(),
    };
    match of.as_str().unwrap_or_default() {
        "array" => format!("list of {}", kind(schema, &value["items"])),
        "boolean" => "true or false".to_owned(),
        "integer" => "number".to_owned(),
        "object" => "table".to_owned(),
        _ => "text".to_owned(),
    }
}

fn named(schema: &Value, name: &str) -> String {
    let found = &schema["$defs"][name];
    let words = found["enum"].as_array().cloned().or_else(|| {
        let options = found["oneOf"].as_array()?;
        let words: Vec<_> = options.iter().map(|one| one["const"].clone()).collect();
        words.iter().all(Value::is_string).then_some(words)
    });
    if let Some(words) = words {
        let words: Vec<_> = words
            .iter()
            .map(|word| format!("`{}`", word.as_str().unwrap()))
            .collect();
        return words.join(", ");
    }
    match name {
        "Duration" => "duration".to_owned(),
        "TimeZone" => "time zone".to_owned(),
        "Port" => "port".to_owned(),
        "User" => "user".to_owned(),
        "Factor" => "factor".to_owned(),
        "Program" => "path or table".to_owned(),
        name if name.starts_with("OneOrMany") && found.to_string().contains("Condition") => {
            "table or list of tables".to_owned()
        }
        name if name.starts_with("OneOrMany") => "text or list of text".to_owned(),
        _ => "table".to_owned(),
    }
}

#[test]
fn the_reference_is_what_the_schema_says() {
    let text = fs::read_to_string(page()).unwrap();
    let (by_hand, generated) = text.split_once(MARK).unwrap();
    let wanted = reference();
    if std::env::var_os("STILE_BLESS").is_some() {
        fs::write(page(), format!("{by_hand}{MARK}{wanted}")).unwrap();
        return;
    }
    assert!(
        generated == wanted,
        "docs/policy.md is stale: STILE_BLESS=1 cargo test -p stile --test policy_reference"
    );
}

#[test]
fn the_examples_of_the_reference_are_sound() {
    let text = fs::read_to_string(page()).unwrap();
    let blocks: Vec<_> = text.split("```toml\n").skip(1).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        let example = block.split("```").next().unwrap();
        let loaded = load_texts(&[(PathBuf::from("policy.md"), example.to_owned())]);
        let loaded = loaded.map_err(|mistakes| mistakes.to_string()).unwrap();
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    }
}
