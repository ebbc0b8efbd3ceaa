// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile policy check`: reads policy as the agent would, and says what is wrong with it.

use std::path::Path;

use serde_json::{Value, json};

use crate::classify::doubt_of_program_at;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{print, print_json};
use crate::cli::policy_args::PolicyCheck;
use crate::cli::text::{GOOD, count, styled};
use crate::config::{Diagnostic, Diagnostics, Settings, Trust};
use crate::policy::{self, Host, SystemNames};

/// Settings and policy that an agent can load.
struct Sound {
    /// How many warnings there are.
    doubts: usize,
    /// What they hardly can mean, for people.
    warnings: String,
    /// The same for programs.
    list: Value,
}

/// Settings or policy that no agent loads.
struct Broken {
    /// How many findings there are.
    findings: usize,
    /// All of them with their places, for people.
    rendered: String,
    /// The same for programs.
    list: Value,
}

/// Reads both as the agent would, except that anybody may own them, and tells the mistakes of
/// both at once.
fn load(policy: &Path, config: &Path, host: &Host<'_>, color: bool) -> Result<Sound, Broken> {
    let settings = Settings::load_as(config, Trust::Anyone).map(drop);
    let loaded = policy::load_on(policy, Trust::Anyone, host);
    match (settings, loaded) {
        (Ok(()), Ok(loaded)) => {
            let warnings: Vec<_> = loaded
                .warnings
                .iter()
                .map(|one| one.render(color))
                .collect();
            let views: Vec<_> = loaded.warnings.iter().map(Diagnostic::view).collect();
            Ok(Sound {
                doubts: warnings.len(),
                warnings: warnings.join("\n\n"),
                list: json!(views),
            })
        }
        (settings, loaded) => {
            let found: Vec<_> = [settings.err(), loaded.err()]
                .into_iter()
                .flatten()
                .collect();
            let rendered: Vec<_> = found.iter().map(|one| one.render(color)).collect();
            let views: Vec<_> = found.iter().flat_map(Diagnostics::views).collect();
            Err(Broken {
                findings: found.iter().map(Diagnostics::len).sum(),
                rendered: rendered.join("\n"),
                list: json!(views),
            })
        }
    }
}

/// Runs the command.
pub(in crate::cli) fn check(args: &PolicyCheck) -> Result<Exit, Failure> {
    let judge = |path: &Path| doubt_of_program_at(path).map(|doubt| doubt.to_string());
    let host = Host {
        accounts: (!args.no_accounts).then_some(&SystemNames),
        programs: (!args.no_programs).then_some(&judge),
    };
    let found = load(&args.policy, &args.config, &host, true);
    if args.format.json {
        print_json(&as_json(&found))?;
    }
    match found {
        Ok(sound) => {
            if !sound.warnings.is_empty() && !args.format.json {
                print(&sound.warnings)?;
            }
            if args.strict && sound.doubts > 0 {
                let text = count_of(sound.doubts, "warning");
                return Err(Failure::new(Exit::Broken, text));
            }
            if !args.format.json {
                print(&styled(GOOD, "the policy is sound"))?;
            }
            Ok(Exit::Ok)
        }
        Err(broken) => {
            if !args.format.json {
                // Printed through anstream, which drops the colours where they don't belong.
                print(&broken.rendered)?;
            }
            Err(Failure::new(Exit::Broken, summary(broken.findings)))
        }
    }
}

fn summary(findings: usize) -> String {
    format!(
        "{}; an agent would keep the policy that it has",
        count_of(findings, "finding")
    )
}

fn count_of(number: usize, what: &str) -> String {
    count(u32::try_from(number).unwrap_or(u32::MAX), what)
}

fn as_json(found: &Result<Sound, Broken>) -> Value {
    match found {
        Ok(sound) => json!({ "sound": true, "findings": sound.list }),
        Err(broken) => json!({ "sound": false, "findings": broken.list }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_answers_have_the_same_keys() {
        let list = || json!([{ "file": "a.toml", "line": 1 }]);
        let sound = as_json(&Ok(Sound {
            doubts: 1,
            warnings: "text".into(),
            list: list(),
        }));
        let broken = as_json(&Err(Broken {
            findings: 1,
            rendered: "text".into(),
            list: list(),
        }));
        assert_eq!(sound, json!({ "sound": true, "findings": list() }));
        assert_eq!(broken, json!({ "sound": false, "findings": list() }));
    }
}
