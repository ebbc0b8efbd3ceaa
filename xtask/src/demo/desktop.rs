// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The demo on a desktop: the dialog, typed into by xdotool on an X server without a screen.
//!
//! What is played is a program of the end-to-end tests (`stile-test-desktop`), because the desktop
//! is theirs; this builds it, and tells what it has seen.

use std::io::{BufRead, BufReader};
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::host::Consent;
use crate::sandbox::{self, Programs, Sandbox};
use crate::test::{TESTS, tell_screenshots};
use crate::workspace::Workspace;
use crate::{say, services};

/// Builds it, with the agent, and looks for what it takes.
pub(super) fn prepare(workspace: &Workspace, consent: Consent) -> Result<Programs> {
    say::step("building the agent and the tests' desktop");
    let bin = workspace.build_programs(&["stile", TESTS], false)?;
    say::step("looking for what the demo needs");
    let postgres = services::postgres(consent)?;
    services::program("dbus-daemon", "dbus-daemon", consent)?;
    services::desktop(consent);
    Ok(Programs { bin, postgres })
}

/// Plays it in a sandbox.
pub(super) fn play(workspace: &Workspace, programs: &Programs) -> Result<ExitCode> {
    say::step("alice connects to the database, and is asked on her desktop");
    let sandbox = Sandbox::new(workspace.target())?;
    let program = programs.bin.join("stile-test-desktop");
    let mut command = sandbox.command(sandbox.path_inside(&program))?;
    programs.tell(&sandbox, &mut command);
    tell_screenshots(workspace.target(), &mut command);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = sandbox.spawn(&mut command)?;
    let output = child.stdout.take().context("the demo has no output")?;
    for line in BufReader::new(output).lines() {
        let line = line.context("could not read what the demo tells")?;
        match line.strip_prefix(' ') {
            Some(more) => say::more(more),
            None => say::done(line),
        }
    }
    let status = child.wait().context("could not wait for the demo")?;
    drop(sandbox);
    sandbox::check_interrupt()?;
    if !status.success() {
        say::failed("the next step was not seen");
        return Ok(ExitCode::FAILURE);
    }
    say::step("every step was seen");
    Ok(ExitCode::SUCCESS)
}
