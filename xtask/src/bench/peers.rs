// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The programs that stile is measured beside. What the machine lacks is unpacked below `target/`
//! and run from there, never installed: packages of servers would start them, now or at the next
//! boot. Without one of them, the bench says what it could not measure.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::host::{self, Consent};
use crate::kernels::Archive;
use crate::say;
use crate::workspace::{self, Workspace};

/// Programs, each with what Debian calls its package.
const PROGRAMS: [(&str, &str); 5] = [
    ("haproxy", "haproxy"),
    ("pgbouncer", "pgbouncer"),
    ("iptables", "iptables"),
    ("nft", "nftables"),
    ("openssl", "openssl"),
];

/// The release of Debian whose OpenSnitch runs on others, too: Debian 13.
const SUITE: &str = "trixie";
/// It, and the libraries that it needs beside libc.
const OPENSNITCH: [&str; 3] = ["opensnitch", "libnetfilter-queue1", "libnfnetlink0"];

/// The folder of those that are not installed: `programs/` has those of this machine's release,
/// `opensnitch/` has OpenSnitch.
///
/// # Errors
/// If the folder can't be made.
pub(super) fn find(workspace: &Workspace, consent: Consent) -> Result<PathBuf> {
    let folder = workspace.target().join("peers");
    fs::create_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
    for (what, found) in [
        ("programs to compare with", programs(&folder, consent)),
        ("OpenSnitch", opensnitch(&folder, consent)),
    ] {
        match found {
            Ok(()) => say::done(what),
            Err(error) => say::note(format!("some can't be compared with: {error:#}")),
        }
    }
    Ok(folder)
}

fn programs(folder: &Path, consent: Consent) -> Result<()> {
    let root = folder.join("programs");
    let is_missing = |program: &str| workspace::which(program).is_none() && !has(&root, program);
    let missing: Vec<&str> = PROGRAMS
        .into_iter()
        .filter_map(|(program, package)| is_missing(program).then_some(package))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let archives = folder.join("archives");
    let fetched = host::apt_fetch(&missing, &archives, consent)
        .and_then(|()| host::unpack(&archives, &root))
        .and_then(|()| name_iptables(&root));
    // They are unpacked now, or won't be.
    let _ = fs::remove_dir_all(&archives);
    fetched
}

fn opensnitch(folder: &Path, consent: Consent) -> Result<()> {
    let root = folder.join("opensnitch");
    if has(&root, "opensnitchd") {
        return Ok(());
    }
    ensure!(
        host::has_apt() && cfg!(target_arch = "x86_64"),
        "OpenSnitch is only fetched on Debian and its like, for amd64"
    );
    consent.ensure(&format!(
        "apt-get download {} # of {SUITE}",
        OPENSNITCH.join(" ")
    ))?;
    let archive = Archive::open(&folder.join("apt"), SUITE)?;
    let packages: Vec<_> = OPENSNITCH
        .iter()
        .filter_map(|name| archive.show(name).into_iter().next())
        .collect();
    let archives = folder.join("archives");
    fs::create_dir_all(&archives)?;
    let fetched = archive
        .download(&packages, &archives)
        .and_then(|()| host::unpack(&archives, &root));
    let _ = fs::remove_dir_all(&archives);
    fetched?;
    ensure!(has(&root, "opensnitchd"), "{SUITE} has no OpenSnitch");
    Ok(())
}

fn has(root: &Path, program: &str) -> bool {
    let mut folders = ["usr/sbin", "usr/bin"].iter();
    folders.any(|folder| root.join(folder).join(program).is_file())
}

/// Gives iptables the names that its package's script would give it.
fn name_iptables(root: &Path) -> Result<()> {
    const PROGRAM: &str = "xtables-nft-multi";
    let folder = root.join("usr/sbin");
    if !folder.join(PROGRAM).exists() {
        return Ok(());
    }
    for name in ["iptables", "ip6tables"] {
        let link = folder.join(name);
        if !link.exists() {
            symlink(PROGRAM, &link).with_context(|| format!("{}", link.display()))?;
        }
    }
    Ok(())
}
