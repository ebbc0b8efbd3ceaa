// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The Debian archive, read through apt in a tree of our own: its own sources, package lists,
//! cache and (empty) list of installed packages. The machine's apt is asked for its mirrors and
//! proxies, and not changed.
//!
//! Each suite has a tree to itself. What is asked of one can't be answered by another, and only
//! the lists of the suites that are needed are fetched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::{say, workspace};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Where the machine's own sources name no mirror of Debian's.
const MIRROR: &str = "http://deb.debian.org/debian";
const SECURITY_MIRROR: &str = "http://deb.debian.org/debian-security";
/// Package lists older than this are fetched anew.
const FRESH: Duration = Duration::from_secs(12 * 60 * 60);

/// One suite of the archive.
#[derive(Clone, Debug)]
pub(crate) struct Archive {
    suite: String,
    tree: PathBuf,
}

impl Archive {
    /// Opens a suite, with lists that are fresh enough. If they can't be fetched, older ones
    /// have to do.
    pub(crate) fn open(base: &Path, suite: &str) -> Result<Self> {
        let archive = Self {
            suite: suite.to_owned(),
            tree: base.join(suite),
        };
        archive.write_tree()?;
        let stamp = archive.tree.join("refreshed");
        if is_fresh(&stamp) {
            return Ok(archive);
        }
        say::step(format!("package lists of {suite}"));
        match workspace::output(archive.command("apt-get").args(["update", "-qq"])) {
            Ok(_) => fs::write(&stamp, "").context("could not note the time")?,
            Err(error) if stamp.exists() => {
                say::note(format!("{suite}: the lists stay as they were: {error:#}"));
            }
            Err(error) => return Err(error),
        }
        Ok(archive)
    }

    /// The names of all packages that begin so.
    pub(super) fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let mut command = self.command("apt-cache");
        let names = workspace::output(command.args(["pkgnames", prefix]))?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    /// A package's stanzas of the package lists, one for each version.
    pub(crate) fn show(&self, name: &str) -> Vec<Stanza> {
        let mut command = self.command("apt-cache");
        // It fails for a package that isn't there.
        let text = workspace::output(command.args(["show", name])).unwrap_or_default();
        text.split("\n\n").filter_map(Stanza::parse).collect()
    }

    /// Downloads packages into a folder; apt checks them against the signed lists.
    pub(crate) fn download(&self, packages: &[Stanza], to: &Path) -> Result<()> {
        let mut command = self.command("apt-get");
        command.args(["download", "-qq"]).current_dir(to);
        command.args(packages.iter().map(Stanza::shown));
        workspace::output(&mut command).map(drop)
    }

    fn command(&self, tool: &str) -> Command {
        let mut command = Command::new(tool);
        command.env("APT_CONFIG", self.tree.join("apt.conf"));
        command.env("LC_ALL", "C");
        command
    }

    fn write_tree(&self) -> Result<()> {
        for folder in ["etc", "lists/partial", "cache/archives/partial", "state"] {
            fs::create_dir_all(self.tree.join(folder)).context("could not make apt's tree")?;
        }
        let (mirror, security) = mirrors();
        let mirror = if self.suite.ends_with("-security") {
            security
        } else {
            mirror
        };
        let sources = format!("deb [signed-by={KEYRING}] {mirror} {} main\n", self.suite);
        let files = [
            ("state/status", String::new()),
            ("etc/sources.list", sources),
            ("apt.conf", format!("{}{}", self.configuration(), proxies())),
        ];
        for (name, text) in files {
            let path = self.tree.join(name);
            fs::write(&path, text)
                .with_context(|| format!("could not write {}", path.display()))?;
        }
        Ok(())
    }

    /// apt.conf(5). Lists of old suites stay valid for ever: the signature is still checked.
    fn configuration(&self) -> String {
        let tree = self.tree.display();
        format!(
            r#"Dir "{tree}";
Dir::Etc "{tree}/etc";
Dir::Etc::sourcelist "{tree}/etc/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::trusted "/dev/null";
Dir::Etc::trustedparts "/dev/null";
Dir::State "{tree}/state";
Dir::State::status "{tree}/state/status";
Dir::State::Lists "{tree}/lists";
Dir::Cache "{tree}/cache";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
Acquire::Retries "3";
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Sandbox::User "root";
"#
        )
    }
}

fn is_fresh(stamp: &Path) -> bool {
    let age = fs::metadata(stamp)
        .and_then(|data| data.modified())
        .ok()
        .and_then(|time| time.elapsed().ok());
    age.is_some_and(|age| age < FRESH)
}

/// The machine's own mirrors of Debian and of its security updates.
pub(super) fn mirrors() -> (String, String) {
    let mut command = Command::new("apt-get");
    command.args([
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Created-By: Packages",
        "Origin: Debian",
    ]);
    let listed = workspace::output(&mut command).unwrap_or_default();
    let mut uris = listed.lines().map(|uri| uri.trim_end_matches('/'));
    let security = uris.clone().find(|uri| uri.contains("security"));
    let main = uris.find(|uri| !uri.contains("security"));
    (
        main.unwrap_or(MIRROR).to_owned(),
        security.unwrap_or(SECURITY_MIRROR).to_owned(),
    )
}

/// What the machine's apt is told about proxies, in the words of its configuration.
fn proxies() -> String {
    let dump = workspace::output(Command::new("apt-config").args(["dump", "Acquire"]));
    let dump = dump.unwrap_or_default();
    dump.lines()
        .filter(|line| line.starts_with("Acquire::http"))
        .flat_map(|line| [line, "\n"])
        .collect()
}

/// A package in the package lists (deb-control(5)), as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stanza {
    pub(super) name: String,
    pub(super) version: String,
    /// The dependencies on one exact version: name and version.
    pub(super) pinned: Vec<(String, String)>,
}

impl Stanza {
    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        let depends = field("Depends").unwrap_or_default();
        Some(Self {
            name: field("Package")?.to_owned(),
            version: field("Version")?.to_owned(),
            pinned: depends.split([',', '|']).filter_map(pinned).collect(),
        })
    }

    /// As apt names it on a command line.
    pub(super) fn shown(&self) -> String {
        format!("{}={}", self.name, self.version)
    }
}

/// Reads `name (= version)`.
fn pinned(dependency: &str) -> Option<(String, String)> {
    let (name, version) = dependency.trim().split_once(" (= ")?;
    Some((name.to_owned(), version.strip_suffix(')')?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stanza_is_read_with_its_exact_dependencies() {
        let text = "Package: linux-image-7.3.4-cloud-amd64\nVersion: 7.3.4-1\n\
            Depends: linux-binary-7.3.4-cloud-amd64 (= 7.3.4-1), kmod, initramfs-tools (>= 0.120)\n\
            Description: Linux\n";
        let stanza = Stanza::parse(text).unwrap();
        assert_eq!(stanza.shown(), "linux-image-7.3.4-cloud-amd64=7.3.4-1");
        let pinned = ("linux-binary-7.3.4-cloud-amd64", "7.3.4-1");
        assert_eq!(stanza.pinned, [(pinned.0.to_owned(), pinned.1.to_owned())]);
        assert_eq!(Stanza::parse("\n"), None);
    }
}
