// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The file system of the guests. It is made of this machine's own programs and the libraries
//! that they load, copied to where they lie here: the tests were linked against this machine's C
//! library, and would not start on another one's. It takes a second, and no download.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace;

/// Debian packages whose programs the tests can't do without.
const NEEDED: [&str; 10] = [
    "bash",
    "coreutils",
    "dash",
    "dbus-bin",
    "dbus-daemon",
    "grep",
    "kmod",
    "mount",
    "sed",
    "util-linux",
];
/// Those that some test starts, and says that it can't run where they are missing.
const USEFUL: [&str; 20] = [
    "at",
    "bubblewrap",
    "cron",
    "dnsmasq-base",
    "findutils",
    "hostname",
    "iproute2",
    "iputils-ping",
    "libcap2-bin",
    "login",
    "netcat-openbsd",
    "openssh-client",
    "openssh-server",
    "passt",
    "procps",
    "slirp4netns",
    "socat",
    "sudo",
    "uidmap",
    "util-linux-extra",
];
/// Folders that are one with those below /usr.
const MERGED: [&str; 4] = ["bin", "lib", "lib64", "sbin"];
const EMPTY: [&str; 10] = [
    "dev",
    "home",
    "lib/modules",
    "mnt",
    "proc",
    "root",
    "run",
    "sys",
    "tmp",
    "var/tmp",
];
/// Who there is; the sandbox adds the users of the tests.
const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
    daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n\
    messagebus:x:100:102::/nonexistent:/usr/sbin/nologin\n\
    sshd:x:105:65534::/run/sshd:/usr/sbin/nologin\n\
    nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
const GROUP: &str = "root:x:0:\ndaemon:x:1:\ntty:x:5:\nmessagebus:x:102:\nnogroup:x:65534:\n";

/// Lays out a root file system in a folder that isn't there yet.
pub(super) fn lay_out(root: &Path) -> Result<()> {
    let made = |path: &Path| fs::create_dir_all(path);
    for name in MERGED {
        made(&root.join("usr").join(name))?;
        symlink(Path::new("usr").join(name), root.join(name))?;
    }
    for name in EMPTY {
        made(&root.join(name))?;
    }
    let etc = root.join("etc");
    made(&etc)?;
    let files = [
        ("passwd", PASSWD),
        ("group", GROUP),
        ("hosts", "127.0.0.1 localhost\n::1 localhost\n"),
        (
            "nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files\n",
        ),
    ];
    for (name, text) in files {
        fs::write(etc.join(name), text).with_context(|| format!("could not write {name}"))?;
    }
    let programs = programs()?;
    add(root, &programs)
}

/// Adds files, and the libraries that they load, at the places that they have here.
pub(super) fn add(root: &Path, files: &[PathBuf]) -> Result<()> {
    for file in files.iter().chain(&libraries(files)?) {
        copy(root, file)?;
    }
    Ok(())
}

/// Adds a whole folder, at the place that it has here.
pub(super) fn add_folder(root: &Path, folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("no {}", folder.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            add_folder(root, &entry.path())?;
        } else {
            copy(root, &entry.path())?;
        }
    }
    Ok(())
}

/// Every program of the packages.
fn programs() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for package in NEEDED {
        let programs = programs_of(package);
        if programs.is_empty() {
            bail!("the package {package} is not installed here, and the guests need its programs");
        }
        found.extend(programs);
    }
    found.extend(USEFUL.into_iter().flat_map(programs_of));
    Ok(found)
}

fn programs_of(package: &str) -> Vec<PathBuf> {
    let listed = workspace::output(Command::new("dpkg-query").args(["-L", package]));
    listed
        .unwrap_or_default()
        .lines()
        .map(PathBuf::from)
        .filter(|path| path.is_file() && is_program(path))
        .collect()
}

/// True below `bin` and `sbin`, and for the helpers of OpenSSH.
fn is_program(path: &Path) -> bool {
    let parts = || path.components().map(|part| part.as_os_str());
    parts().any(|part| part == "bin" || part == "sbin") || path.starts_with("/usr/lib/openssh")
}

/// The libraries that programs load, directly and indirectly, and the loader itself (ldd(1)).
pub(super) fn libraries(programs: &[PathBuf]) -> Result<BTreeSet<PathBuf>> {
    let mut ldd = Command::new("ldd");
    // It fails if one of them is a script.
    let output = ldd.args(programs).output().context("could not run ldd")?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(library).collect())
}

/// Reads `name => /path (0x…)` or `/path (0x…)`.
fn library(line: &str) -> Option<PathBuf> {
    let (path, _) = line.rsplit_once(" (0x")?;
    let path = path.rsplit(" => ").next()?.trim();
    path.starts_with('/').then(|| PathBuf::from(path))
}

/// Copies a file to the place that it has here; what a link points to takes the link's place.
fn copy(root: &Path, file: &Path) -> Result<()> {
    let shown = || format!("could not copy {}", file.display());
    let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else {
        bail!(shown());
    };
    // Without links, such as /bin; libraries are named by paths with `..` too.
    let folder = folder.canonicalize().with_context(shown)?;
    let folder = root.join(folder.strip_prefix("/").unwrap_or(&folder));
    fs::create_dir_all(&folder).with_context(shown)?;
    fs::copy(file, folder.join(name)).with_context(shown)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ldd_prints_is_read() {
        let line = "\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)";
        let path = "/lib/x86_64-linux-gnu/libc.so.6";
        assert_eq!(library(line), Some(path.into()));
        let loader = "\t/lib64/ld-linux-x86-64.so.2 (0x00007f)";
        assert_eq!(library(loader), Some("/lib64/ld-linux-x86-64.so.2".into()));
        for other in [
            "/bin/ls:",
            "\tlinux-vdso.so.1 (0x00007ffe)",
            "\tnot a dynamic executable",
            "\tlibx.so => not found",
        ] {
            assert_eq!(library(other), None, "{other}");
        }
    }
}
