// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The machine that the tasks run on: which distribution it is, and installing its packages.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{say, workspace};

/// Whether packages may be installed without asking.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Consent {
    given: bool,
}

impl Consent {
    /// Given by `--yes`, or by `CI=true` in the environment.
    pub(crate) fn new(yes: bool) -> Self {
        let ci = std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
        Self { given: yes || ci }
    }

    /// Goes on only if the person (or the flag) agrees to run this command.
    ///
    /// # Errors
    /// If not, or if nobody can be asked.
    pub(crate) fn ensure(self, command: &str) -> Result<()> {
        if !self.to_run(command)? {
            bail!("nobody agreed to `{command}`; give --yes");
        }
        Ok(())
    }

    /// True if the person (or the flag) agrees to run this command.
    fn to_run(self, command: &str) -> Result<bool> {
        if self.given {
            return Ok(true);
        }
        if !std::io::stdin().is_terminal() {
            return Ok(false);
        }
        eprint!("  Run `{command}` now? [Y/n] ");
        std::io::stderr().flush()?;
        let mut answer = String::new();
        if std::io::stdin().lock().read_line(&mut answer)? == 0 {
            return Ok(false);
        }
        Ok(matches!(
            answer.trim().to_ascii_lowercase().as_str(),
            "" | "y" | "yes"
        ))
    }
}

/// True on Debian, Ubuntu and what is made from them.
pub(crate) fn has_apt() -> bool {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    is_debian_like(&release) && workspace::which("apt-get").is_some()
}

/// Judges os-release(5).
fn is_debian_like(release: &str) -> bool {
    release
        .lines()
        .filter_map(|line| line.split_once('='))
        .filter(|(key, _)| matches!(*key, "ID" | "ID_LIKE"))
        .flat_map(|(_, value)| value.trim_matches(['"', '\'']).split_whitespace())
        .any(|id| matches!(id, "debian" | "ubuntu"))
}

/// Installs packages with apt-get, after having asked.
///
/// # Errors
/// If the person says no, if nobody can be asked, or if apt-get fails; each names the command
/// to run by hand.
pub(crate) fn apt_install(packages: &[&str], consent: Consent) -> Result<()> {
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(packages);
    let shown = format!("{}apt-get {}", sudo_prefix(), arguments.join(" "));
    if !consent.to_run(&shown)? {
        bail!("not installed; run `{shown}` yourself, or give --yes");
    }
    if !packages.iter().all(|package| is_known(package)) {
        say::step("apt-get update");
        apt_get(&["update"])?;
    }
    say::step(format!("apt-get {}", arguments.join(" ")));
    apt_get(&arguments)
}

/// Fetches packages, and those that they need and the machine lacks, into a folder. Nothing is
/// installed.
///
/// # Errors
/// As those of [`apt_install`].
pub(crate) fn apt_fetch(packages: &[&str], to: &Path, consent: Consent) -> Result<()> {
    if !has_apt() {
        bail!("{} missing; install it yourself", packages.join(", "));
    }
    std::fs::create_dir_all(to.join("partial"))
        .with_context(|| format!("could not make {}", to.display()))?;
    let cache = format!("Dir::Cache::archives={}", to.display());
    let mut arguments = vec!["-o", &cache, "--download-only"];
    arguments.extend(INSTALL_ONLY);
    arguments.extend(packages);
    consent.ensure(&format!("{}apt-get {}", sudo_prefix(), arguments.join(" ")))?;
    if !packages.iter().all(|package| is_known(package)) {
        say::step("apt-get update");
        apt_get(&["update"])?;
    }
    say::step(format!("apt-get {}", arguments.join(" ")));
    apt_get(&arguments)
}

/// Unpacks packages without installing them: no script of theirs runs.
///
/// # Errors
/// If one of them is none.
pub(crate) fn unpack(archives: &Path, root: &Path) -> Result<()> {
    std::fs::create_dir_all(root)?;
    for entry in std::fs::read_dir(archives)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "deb") {
            workspace::run(Command::new("dpkg-deb").arg("-x").arg(&path).arg(root))?;
        }
    }
    Ok(())
}

/// Installs packages from other sources than the machine's own, given to apt-get as options.
/// Nothing is removed for them.
///
/// # Errors
/// As those of [`apt_install`].
pub(crate) fn apt_install_from(
    options: &[String],
    packages: &[String],
    consent: Consent,
) -> Result<()> {
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let update = [&options[..], &["update"]].concat();
    let mut install = [&options[..], &INSTALL_ONLY].concat();
    install.extend(packages.iter().map(String::as_str));
    let shown = format!("{}apt-get {}", sudo_prefix(), install.join(" "));
    if !consent.to_run(&shown)? {
        bail!("not installed; run `{shown}` yourself, or give --yes");
    }
    for arguments in [update, install] {
        say::step(format!("apt-get {}", arguments.join(" ")));
        apt_get(&arguments)?;
    }
    Ok(())
}

/// Installs and removes nothing.
const INSTALL_ONLY: [&str; 4] = ["install", "-y", "--no-install-recommends", "--no-remove"];

/// True if apt could install this package without removing another.
pub(crate) fn installs_cleanly(package: &str) -> bool {
    Command::new("apt-get")
        .args(["--simulate", "-qq"])
        .args(INSTALL_ONLY)
        .arg(package)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The release of the distribution, as `bookworm`.
pub(crate) fn codename() -> Option<String> {
    let release = std::fs::read_to_string("/etc/os-release").ok()?;
    let name = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    Some(name.trim_matches('"').to_owned())
}

/// True if apt could install this package.
pub(crate) fn is_known(package: &str) -> bool {
    Command::new("apt-cache")
        .args(["show", "--no-all-versions", package])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let mut command = as_root("env")?;
    command
        .args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"])
        .args(arguments);
    workspace::run(&mut command)
}

/// A command that runs as root, through sudo if need be.
pub(crate) fn as_root(program: &str) -> Result<Command> {
    if is_root() {
        return Ok(Command::new(program));
    }
    let sudo = workspace::which("sudo")
        .context("installing packages needs root, and there is no sudo; run this as root once")?;
    let mut command = Command::new(sudo);
    command.arg(program);
    Ok(command)
}

/// True for root.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn sudo_prefix() -> &'static str {
    if is_root() { "" } else { "sudo " }
}

#[cfg(test)]
mod tests {
    use super::is_debian_like;

    #[test]
    fn debian_and_what_is_made_from_it_have_apt() {
        assert!(is_debian_like("NAME=x\nID=debian\n"));
        assert!(is_debian_like("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"));
    }

    #[test]
    fn others_do_not() {
        assert!(!is_debian_like(
            "ID=\"rhel\"\nID_LIKE=\"fedora\"\nNAME=debian\n"
        ));
        assert!(!is_debian_like(""));
    }
}
