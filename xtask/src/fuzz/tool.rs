// SPDX-License-Identifier: Apache-2.0 OR MIT
//! cargo-fuzz: installed into `target/tools`, and what is built with it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::say;
use crate::workspace::{self, Workspace};

const VERSION: &str = "0.13.1";

/// Where everything that fuzzing makes lies.
pub(super) fn folder(workspace: &Workspace) -> PathBuf {
    workspace.root.join("target/fuzz")
}

/// Builds these targets; returns the folder with their binaries.
pub(super) fn build(workspace: &Workspace, targets: &[String], sanitizer: &str) -> Result<PathBuf> {
    let tool = find_or_install(workspace)?;
    say::step(format!("building {} fuzz targets", targets.len()));
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let build = folder(workspace).join("build");
    let mut fuzz = Command::new(&tool);
    fuzz.current_dir(&workspace.root)
        .args([
            "build",
            "--fuzz-dir",
            "fuzz",
            "--sanitizer",
            sanitizer,
            "--target",
            &triple,
        ])
        .arg("--target-dir")
        .arg(&build)
        // The sanitizer and the counters are unstable flags, and work in a stable compiler.
        .env("RUSTC_BOOTSTRAP", "1");
    if let [only] = targets {
        fuzz.arg(only);
    }
    workspace::run(&mut fuzz).context(
        "the fuzz targets could not be built; where the toolchain has no sanitizers, \
         try --sanitizer none",
    )?;
    Ok(build.join(triple).join("release"))
}

fn find_or_install(workspace: &Workspace) -> Result<PathBuf> {
    let tool = workspace.tools().join("bin/cargo-fuzz");
    if is_right(&tool) {
        return Ok(tool);
    }
    say::step(format!("installing cargo-fuzz {VERSION} into target/tools"));
    let mut cargo = workspace.cargo();
    cargo
        .args(["install", "cargo-fuzz", "--version", VERSION])
        // It only starts others: without optimisation it is built in a quarter of the time.
        .args(["--locked", "--force", "--debug", "--root"])
        .arg(workspace.tools())
        .arg("--target-dir")
        .arg(workspace.tools().join("build"));
    workspace::run(&mut cargo).context("cargo-fuzz could not be installed")?;
    Ok(tool)
}

fn is_right(tool: &Path) -> bool {
    workspace::output(Command::new(tool).arg("--version"))
        .is_ok_and(|text| text.trim() == format!("cargo-fuzz {VERSION}"))
}
