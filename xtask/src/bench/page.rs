// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The page of a run in docs/, and a picture of its head.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::say;
use crate::workspace::{self, Workspace};

/// What Chromium is called: by Debian, by Ubuntu, by Google.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// How wide and high the picture is.
const SIZE: &str = "1280,1000";

/// Writes `docs/bench.html`, and where there is a Chromium `docs/bench.png`.
///
/// # Errors
/// If one of them can't be written. Without a Chromium the old picture stays, and that is said.
pub(super) fn write(workspace: &Workspace, bench: &Path, report: &Path) -> Result<()> {
    let docs = workspace.root.join("docs");
    let page = docs.join("bench.html");
    let mut show = Command::new(bench);
    workspace::run(show.arg("show").arg("--html").arg(&page).arg(report))?;
    say::done(format!("the page is {}", page.display()));
    let Some(browser) = BROWSERS.into_iter().find_map(workspace::which) else {
        say::note("docs/bench.png isn't taken anew: there is no Chromium");
        return Ok(());
    };
    let picture = docs.join("bench.png");
    take(&browser, &page, &picture)?;
    say::done(format!("its picture is {}", picture.display()));
    Ok(())
}

fn take(browser: &Path, page: &Path, picture: &Path) -> Result<()> {
    // Chromium succeeds without a picture, too.
    let made = tempfile::tempdir().context("no folder for a browser's profile")?;
    let new = made.path().join("bench.png");
    let mut command = Command::new(browser);
    command
        // It is run by root, on a page that was just written here.
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
        ])
        .arg(format!(
            "--user-data-dir={}",
            made.path().join("profile").display()
        ))
        .arg(format!("--window-size={SIZE}"))
        .arg(format!("--screenshot={}", new.display()))
        .arg(format!("file://{}", page.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    workspace::run(&mut command)?;
    if !new.is_file() {
        bail!("`{}` took no picture", workspace::shown(&command));
    }
    std::fs::copy(&new, picture).with_context(|| format!("{}", picture.display()))?;
    Ok(())
}
