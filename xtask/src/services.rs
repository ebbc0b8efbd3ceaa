// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The programs of others that tests and demo talk to: PostgreSQL, a D-Bus daemon, tmux, and
//! what connects for others.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::host::{self, Consent};
use crate::say;
use crate::workspace;

const CLUSTER_CONFIG: &str = "/etc/postgresql-common/createcluster.conf";

/// The folder with PostgreSQL's `initdb`, `postgres` and `psql`; installs it where it lacks.
///
/// # Errors
/// If it is missing and can't be installed.
pub(crate) fn postgres(consent: Consent) -> Result<PathBuf> {
    if let Some(bin) = find_postgres() {
        say::done(format!("PostgreSQL in {}", bin.display()));
        return Ok(bin);
    }
    if !host::has_apt() {
        bail!("PostgreSQL is missing; install its server and client (no cluster is needed)");
    }
    say::note("PostgreSQL is missing; only its programs are used, no cluster is made");
    // Brings the configuration that the server's package reads while it is installed.
    host::apt_install(&["postgresql-common"], consent)?;
    without_main_cluster(|| host::apt_install(&["postgresql"], consent))?;
    find_postgres().context("PostgreSQL was installed, but its initdb is not to be found")
}

/// Installs without creating and starting the cluster `main`, and puts the setting back.
fn without_main_cluster(install: impl FnOnce() -> Result<()>) -> Result<()> {
    let config = Path::new(CLUSTER_CONFIG);
    let Ok(before) = std::fs::read_to_string(config) else {
        return install();
    };
    write_as_root(config, &format!("{before}\ncreate_main_cluster = false\n"))?;
    let installed = install();
    write_as_root(config, &before).and(installed)
}

fn write_as_root(path: &Path, text: &str) -> Result<()> {
    let mut file = tempfile::NamedTempFile::new()?;
    std::io::Write::write_all(&mut file, text.as_bytes())?;
    let mut install = host::as_root("install")?;
    install.args(["-m", "0644"]).arg(file.path()).arg(path);
    workspace::run(&mut install)
}

/// Debian's folders first, newest version first; then wherever PATH has it.
fn find_postgres() -> Option<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort_by(|a, b| b.cmp(a));
    let in_path = workspace::which("postgres").and_then(|file| Some(file.parent()?.to_owned()));
    versions
        .into_iter()
        .map(|(_, bin)| bin)
        .chain(in_path)
        .find(|bin| {
            ["initdb", "postgres", "psql"]
                .iter()
                .all(|program| bin.join(program).is_file())
        })
}

/// Makes sure that this program is in PATH; `package` is what Debian calls it.
///
/// # Errors
/// If it is missing and can't be installed.
pub(crate) fn program(name: &str, package: &str, consent: Consent) -> Result<PathBuf> {
    if let Some(path) = workspace::which(name) {
        say::done(format!("{name} in {}", path.display()));
        return Ok(path);
    }
    if !host::has_apt() {
        bail!("{name} is missing; install it with your package manager");
    }
    host::apt_install(&[package], consent)?;
    workspace::which(name).with_context(|| format!("{package} was installed, but has no {name}"))
}

/// Programs that connect for others, and what sets up networks for them: each with what Debian
/// calls its package. sshd lies in root's part of PATH.
const RELAYS: [(&str, &str); 6] = [
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("socat", "socat"),
    ("pasta", "passt"),
    ("slirp4netns", "slirp4netns"),
    ("/usr/sbin/sshd", "openssh-server"),
];

/// Offers to install dnsmasq, of whose packages this one starts nothing. Without it, the tests of
/// host names say that they can't run.
pub(crate) fn name_server(consent: Consent) {
    if let Err(error) = program("dnsmasq", "dnsmasq-base", consent) {
        say::note(format!("some tests can't run: {error:#}"));
    }
}

/// What `stile-pam` is built and tested with: libpam's headers and link, and pam_wrapper, which
/// tells libpam another folder of services. Both start nothing.
const PAM: [(&str, &str); 2] = [
    ("/usr/include/security/pam_modules.h", "libpam0g-dev"),
    (
        "/usr/lib/x86_64-linux-gnu/libpam_wrapper.so",
        "libpam-wrapper",
    ),
];

/// Offers to install what `stile-pam` takes. Without pam_wrapper its tests say that they can't
/// run; without libpam's own package it can't be built.
pub(crate) fn pam(consent: Consent) {
    install_missing(&PAM, "libpam and pam_wrapper", consent);
}

/// systemd-resolved: the machine's, or one that is unpacked into this folder. Its package isn't
/// installed for a test, because that makes the whole machine ask it.
pub(crate) fn resolved(folder: &Path, consent: Consent) -> Option<PathBuf> {
    const PROGRAM: &str = "lib/systemd/systemd-resolved";
    let find = || {
        let roots = [Path::new("/"), &folder.join("usr"), folder];
        let programs = roots.map(|root| root.join(PROGRAM));
        programs.into_iter().find(|program| program.is_file())
    };
    if find().is_none() {
        let archives = folder.join("archives");
        let fetched = host::apt_fetch(&["systemd-resolved"], &archives, consent)
            .and_then(|()| host::unpack(&archives, folder));
        let _ = std::fs::remove_dir_all(&archives);
        if let Err(error) = fetched {
            say::note(format!("a test with systemd-resolved can't run: {error:#}"));
        }
    }
    find()
}

/// What people are asked on, and how they come there, with the packages that have it. All of
/// these but the SSH server are there without starting anything.
const DESKTOP: [(&str, &str); 16] = [
    ("Xvfb", "xvfb"),
    ("openbox", "openbox"),
    ("xdotool", "xdotool"),
    ("import", "imagemagick"),
    ("xsetroot", "x11-xserver-utils"),
    ("pinentry-qt", "pinentry-qt"),
    ("pinentry-gtk-2", "pinentry-gtk2"),
    ("/usr/libexec/gcr-prompter", "gcr"),
    ("dunst", "dunst"),
    ("tmux", "tmux"),
    ("systemd-nspawn", "systemd-container"),
    ("pkaction", "polkitd"),
    ("sudo", "sudo"),
    ("/usr/sbin/sshd", "openssh-server"),
    (
        "/lib/x86_64-linux-gnu/security/pam_systemd.so",
        "libpam-systemd",
    ),
    (
        "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
        "fonts-dejavu-core",
    ),
];

/// Offers to install what people are asked on. Without one of them, its tests say that they
/// can't run.
pub(crate) fn desktop(consent: Consent) {
    install_missing(&DESKTOP, "what people are asked on", consent);
}

/// Offers to install what the tests of relays use. Without one of them, its tests say that they
/// can't run.
pub(crate) fn relays(consent: Consent) {
    install_missing(&RELAYS, "programs that relay connections", consent);
}

fn install_missing(wanted: &[(&str, &'static str)], what: &str, consent: Consent) {
    let is_missing = |file: &str| {
        let is_there = Path::new(file).is_absolute() && Path::new(file).exists();
        !is_there && workspace::which(file).is_none()
    };
    let missing: Vec<&str> = wanted
        .iter()
        .filter_map(|(program, package)| is_missing(program).then_some(*package))
        .collect();
    if missing.is_empty() {
        return say::done(what);
    }
    if !host::has_apt() {
        return say::note(format!(
            "some tests can't run without {}",
            missing.join(", ")
        ));
    }
    if missing.contains(&"openssh-server") {
        say::note("Debian's openssh-server starts an SSH server; the tests use one of their own");
    }
    if let Err(error) = host::apt_install(&missing, consent) {
        say::note(format!("some tests can't run: {error:#}"));
    }
}
