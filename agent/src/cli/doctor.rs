// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile doctor`: what the gate needs, and what this machine has of it.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use super::args::Doctor;
use super::failure::{Exit, Failure};
use super::output::{print, print_json};
use super::text::{BAD, GOOD, escape, styled};
use crate::bus::AgentClient;
use crate::config::{Settings, Trust};
use crate::doctor::{AS_ROOT, Check, Report, State, System, examine};
use crate::service::StatusView;

/// What works, but not as well as it could.
const SO_SO: Style = AnsiColor::Yellow.on_default();
/// What nobody has looked at.
const UNSEEN: Style = Style::new().dimmed();

/// Runs the command.
pub(super) async fn run(args: Doctor) -> Result<Exit, Failure> {
    let pins = match args.bpffs {
        Some(pins) => pins,
        // Settings that can't be read are `stile policy check`'s affair.
        None => Settings::load_as(&args.config, Trust::Anyone)
            .map_or_else(|_| "/sys/fs/bpf/stile".into(), |settings| settings.bpffs),
    };
    let report = examine(&System::new(&pins, agent().await));
    if args.format.json {
        print_json(&report)?;
    } else {
        print(&text(&report))?;
    }
    Ok(if report.stands() {
        Exit::Ok
    } else {
        Exit::Refused
    })
}

async fn agent() -> Result<StatusView, String> {
    let status = async { AgentClient::connect().await?.status().await };
    status.await.map_err(|error| error.to_string())
}

fn text(report: &Report) -> String {
    let mut text = format!("Linux {}\n", escape(&report.kernel));
    let width = report.checks.iter().map(|check| check.name.len()).max();
    for check in &report.checks {
        text += &line(check, width.unwrap_or(0));
    }
    let summary = match (report.stands(), report.count(State::Degraded)) {
        (false, _) => styled(BAD, "the gate can't stand here"),
        (true, 0) => styled(GOOD, "the gate can stand here"),
        (true, _) => styled(
            SO_SO,
            "the gate can stand here, with less than it could have",
        ),
    };
    text += &summary;
    let for_root = report.checks.iter().filter(|check| check.remedy == AS_ROOT);
    match for_root.count() {
        0 => text,
        unchecked => format!("{text}\n{unchecked} not checked: {AS_ROOT}"),
    }
}

/// A check, and below it what is lost and what to do.
fn line(check: &Check, width: usize) -> String {
    let (style, word) = match check.state {
        State::Ok => (GOOD, "ok"),
        State::Degraded => (SO_SO, "degraded"),
        State::Missing => (BAD, "missing"),
        State::Unknown => (UNSEEN, "unknown"),
    };
    let word = styled(style, &format!("{word:8}"));
    let mut line = format!(
        "  {word}  {:width$}  {}\n",
        check.name,
        escape(&check.detail)
    );
    let indent = " ".repeat(14 + width);
    if !check.lost.is_empty() {
        // Writing to a String can't fail.
        let _ = writeln!(line, "{indent}{}", check.lost);
    }
    // What takes root is said once, at the end.
    if !check.remedy.is_empty() && check.remedy != AS_ROOT {
        let _ = writeln!(line, "{indent}→ {}", check.remedy);
    }
    line
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

    fn check(state: State) -> Check {
        let bad = matches!(state, State::Degraded | State::Missing);
        Check {
            name: "btf",
            state,
            detail: "seen\x1b[2J".to_owned(),
            lost: if bad { "much" } else { "" },
            remedy: match state {
                State::Ok => "",
                State::Unknown => AS_ROOT,
                State::Degraded | State::Missing => "do it",
            },
        }
    }

    fn shown(states: &[State]) -> String {
        let report = Report {
            kernel: "6.1.0".to_owned(),
            checks: states.iter().map(|state| check(*state)).collect(),
        };
        strip_str(&text(&report)).to_string()
    }

    #[test]
    fn each_check_is_a_line_and_a_lack_has_two_more() {
        assert_eq!(
            shown(&[State::Ok, State::Missing]),
            "Linux 6.1.0\n  ok        btf  seen\\u{1b}[2J\n  missing   btf  seen\\u{1b}[2J\n                 \
             much\n                 → do it\nthe gate can't stand here"
        );
    }

    #[test]
    fn the_last_line_says_what_it_comes_to() {
        assert!(shown(&[State::Ok]).ends_with("the gate can stand here"));
        assert!(shown(&[State::Degraded]).ends_with("with less than it could have"));
        assert!(
            shown(&[State::Unknown, State::Unknown])
                .ends_with("2 not checked: run `stile doctor` as root")
        );
    }
}
