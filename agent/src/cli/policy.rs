// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile policy check`: reads policy as the agent would, and says what is wrong with it.

use std::path::Path;

use serde_json::json;

use super::args::PolicyCheck;
use super::failure::{Exit, Failure};
use super::output::{print, print_json};
use super::text::{GOOD, styled};

/// A policy that can be loaded.
struct Sound {
    warnings: Vec<String>,
}

/// A policy that can't.
struct Broken {
    /// How many errors there are.
    errors: usize,
    /// All of them with their places, for people.
    rendered: String,
    /// The same for programs.
    list: serde_json::Value,
}

/// WIRING: the only place that calls `crate::config` and `crate::policy`.
fn load(_policy: &Path, _config: &Path) -> Result<Result<Sound, Broken>, Failure> {
    // match crate::policy::load(policy) {
    //     Ok(loaded) => Ok(Ok(Sound { warnings: loaded.warnings })),
    //     Err(found) => Ok(Err(Broken {
    //         errors: found.len(), rendered: found.render(color), list: found.json(),
    //     })),
    // }
    Err(Failure::new(Exit::Refused, "this build can't read policy"))
}

/// Runs the command.
pub(super) fn check(args: &PolicyCheck) -> Result<Exit, Failure> {
    let found = load(&args.policy, &args.config)?;
    if args.format.json {
        print_json(&as_json(&found))?;
    }
    match found {
        Ok(_) if args.format.json => Ok(Exit::Ok),
        Ok(sound) => {
            for warning in &sound.warnings {
                print(warning)?;
            }
            print(&styled(GOOD, "the policy is sound"))?;
            Ok(Exit::Ok)
        }
        Err(broken) => {
            let mut text = summary(broken.errors);
            if !args.format.json {
                text = format!("{text}\n\n{}", broken.rendered.trim_end());
            }
            Err(Failure::new(Exit::Broken, text))
        }
    }
}

fn summary(errors: usize) -> String {
    match errors {
        1 => "the policy has 1 error; an agent would keep the one it has".to_owned(),
        _ => format!("the policy has {errors} errors; an agent would keep the one it has"),
    }
}

fn as_json(found: &Result<Sound, Broken>) -> serde_json::Value {
    match found {
        Ok(sound) => json!({ "sound": true, "warnings": sound.warnings, "errors": [] }),
        Err(broken) => json!({ "sound": false, "warnings": [], "errors": broken.list }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_answers_have_the_same_keys() {
        let sound = as_json(&Ok(Sound {
            warnings: vec!["w".into()],
        }));
        let broken = as_json(&Err(Broken {
            errors: 1,
            rendered: "text".into(),
            list: json!([{ "file": "a.toml", "line": 1 }]),
        }));
        assert_eq!(
            sound,
            json!({ "sound": true, "warnings": ["w"], "errors": [] })
        );
        assert_eq!(broken["sound"], false);
        assert_eq!(broken["errors"][0]["line"], 1);
        assert!(broken.get("warnings").is_some());
    }
}
