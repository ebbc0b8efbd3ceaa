// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The man pages and completions, made from the definition of the commands.

use std::io::{self, Write};
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use super::args::Cli;
use super::failure::{Exit, Failure};
use crate::prompter::helper;

/// Prints the completions for this shell.
pub(super) fn completions(shell: Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "stile", &mut script);
    io::stdout()
        .write_all(&script)
        .map_err(|error| Failure::output(&error))?;
    Ok(Exit::Ok)
}

/// Prints the page of `stile`, or writes one for each command, and that of `stile-prompt`, into
/// this directory.
pub(super) fn man(dir: Option<&Path>) -> Result<Exit, Failure> {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let Some(dir) = dir else {
        let page = page(root).map_err(|error| Failure::output(&error))?;
        io::stdout()
            .write_all(&page.text)
            .map_err(|error| Failure::output(&error))?;
        return Ok(Exit::Ok);
    };
    for command in family(root).into_iter().chain([helper::command()]) {
        page(command)
            .and_then(|page| std::fs::write(dir.join(page.file), page.text))
            .map_err(|error| {
                let text = format!("can't write into {}: {error}", dir.display());
                Failure::new(Exit::Refused, text)
            })?;
    }
    Ok(Exit::Ok)
}

/// The command and all below it that people see.
fn family(command: clap::Command) -> Vec<clap::Command> {
    let below: Vec<_> = command
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set())
        .cloned()
        .collect();
    let mut all = vec![command];
    all.extend(below.into_iter().flat_map(family));
    all
}

struct Page {
    file: String,
    text: Vec<u8>,
}

fn page(command: clap::Command) -> io::Result<Page> {
    let after = command.get_after_help().map(ToString::to_string);
    let has_subcommands = command.get_subcommands().any(|sub| !sub.is_hide_set());
    let man = Man::new(command).manual("stile").section("1");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if has_subcommands {
        man.render_subcommands_section(&mut text)?;
    }
    text.extend(sections(after.as_deref().unwrap_or_default()).into_bytes());
    Ok(Page {
        file: man.get_filename(),
        text,
    })
}

/// "Examples:" and "Exit codes:" as sections of their own, with their lines as they are.
fn sections(after_help: &str) -> String {
    let mut roff = String::new();
    for line in after_help.lines() {
        match line.strip_suffix(':') {
            Some(head) if !line.starts_with(' ') => {
                roff.push_str(&format!(".fi\n.SH \"{}\"\n.nf\n", head.to_uppercase()));
            }
            _ => {
                // `\&` keeps a dot or quote at the start from being a request (groff(7)).
                let line = line.replace('\\', "\\e").replace('-', "\\-");
                roff.push_str(&format!("\\&{line}\n"));
            }
        }
    }
    roff.push_str(".fi\n");
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_a_page_with_its_examples() {
        let dir = tempfile::tempdir().unwrap();
        man(Some(dir.path())).unwrap();
        let mut files: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort_unstable();
        assert_eq!(
            files,
            [
                "stile-approve.1",
                "stile-audit-tail.1",
                "stile-audit-verify.1",
                "stile-audit.1",
                "stile-break-glass.1",
                "stile-deny.1",
                "stile-detach.1",
                "stile-doctor.1",
                "stile-elevate.1",
                "stile-elevations.1",
                "stile-enroll.1",
                "stile-factor-add.1",
                "stile-factor-import.1",
                "stile-factor-list.1",
                "stile-factor-recovery.1",
                "stile-factor-remove.1",
                "stile-factor-rename.1",
                "stile-factor-test.1",
                "stile-factor.1",
                "stile-grants.1",
                "stile-ledger-check.1",
                "stile-ledger-export.1",
                "stile-ledger.1",
                "stile-pending.1",
                "stile-policy-check.1",
                "stile-policy-diff.1",
                "stile-policy-explain.1",
                "stile-policy-forecast.1",
                "stile-policy-schema.1",
                "stile-policy-test.1",
                "stile-policy.1",
                "stile-prompt.1",
                "stile-prompters.1",
                "stile-realms.1",
                "stile-reload.1",
                "stile-revoke.1",
                "stile-run.1",
                "stile-secrets-rotate.1",
                "stile-secrets.1",
                "stile-status.1",
                "stile-top.1",
                "stile-unlock.1",
                "stile-wait.1",
                "stile.1",
            ]
        );
        let page = std::fs::read_to_string(dir.path().join("stile-approve.1")).unwrap();
        assert!(
            page.contains(".SH \"EXAMPLES\"\n.nf\n\\&  stile approve"),
            "{page}"
        );
        assert!(page.contains(".SH \"EXIT CODES\""), "{page}");
        let page = std::fs::read_to_string(dir.path().join("stile-prompt.1")).unwrap();
        assert!(page.contains("stile\\-prompt \\- Show stile"), "{page}");
        assert!(page.contains(".SH \"EXIT CODES\""), "{page}");
    }

    #[test]
    fn every_shell_has_completions() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "stile", &mut script);
            let script = String::from_utf8(script).unwrap();
            assert!(script.contains("approve"), "{shell}");
        }
    }
}
