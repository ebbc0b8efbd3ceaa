// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The programs of this machine that the task runs; what is missing is installed.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::apt;
use crate::host::{self, Consent};
use crate::{say, services, workspace};

/// The emulator, and Debian's package of it.
pub(super) const QEMU: &str = "qemu-system-x86_64";
const QEMU_PACKAGE: &str = "qemu-system-x86";
/// What comes with it, and must be of the same version.
const QEMU_PARTS: [&str; 4] = [
    QEMU_PACKAGE,
    "qemu-system-common",
    "qemu-system-data",
    "seabios",
];
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Programs, and the packages that have them.
const PROGRAMS: [(&str, &str); 8] = [
    ("dbus-daemon", "dbus-daemon"),
    ("depmod", "kmod"),
    ("ldd", "libc-bin"),
    ("lz4", "lz4"),
    ("mke2fs", "e2fsprogs"),
    ("setpriv", "util-linux"),
    ("xz", "xz-utils"),
    ("zstd", "zstd"),
];

/// Makes sure that all are there.
pub(super) fn ensure(base: &Path, consent: Consent) -> Result<()> {
    if !host::has_apt() {
        bail!("the kernels come from Debian's archive, and there is no apt-get to fetch them");
    }
    if std::env::consts::ARCH != "x86_64" {
        bail!("the guests run this machine's programs on kernels for x86_64");
    }
    for (program, package) in PROGRAMS {
        services::program(program, package, consent)?;
    }
    if !Path::new(KEYRING).exists() {
        host::apt_install(&["debian-archive-keyring"], consent)?;
    }
    if let Some(path) = workspace::which(QEMU) {
        say::done(format!("{QEMU} in {}", path.display()));
        return Ok(());
    }
    if host::installs_cleanly(QEMU_PACKAGE) {
        return host::apt_install(&[QEMU_PACKAGE], consent);
    }
    from_backports(base, consent)
}

/// Where other programs of QEMU came from backports, its emulator must come from there too. Apt
/// is shown the release that runs here, and its backports: nothing else could be touched.
fn from_backports(base: &Path, consent: Consent) -> Result<()> {
    let release = host::codename().context("/etc/os-release names no release")?;
    say::note(format!(
        "{QEMU_PACKAGE} of {release} does not go with what is installed; taking that of \
         {release}-backports"
    ));
    let folder = base.join("apt").join("host");
    fs::create_dir_all(folder.join("lists/partial")).context("could not make apt's folder")?;
    let (mirror, security) = apt::mirrors();
    let mut sources = String::new();
    for suite in ["", "-updates", "-backports"] {
        sources += &format!("deb [signed-by={KEYRING}] {mirror} {release}{suite} main\n");
    }
    sources += &format!("deb [signed-by={KEYRING}] {security} {release}-security main\n");
    let list = folder.join("sources.list");
    fs::write(&list, sources).context("could not write apt's sources")?;
    let options = [
        format!("-oDir::Etc::sourcelist={}", list.display()),
        "-oDir::Etc::sourceparts=/dev/null".to_owned(),
        format!("-oDir::State::Lists={}", folder.join("lists").display()),
    ];
    let packages = QEMU_PARTS.map(|package| format!("{package}/{release}-backports"));
    host::apt_install_from(&options, &packages, consent)
}
