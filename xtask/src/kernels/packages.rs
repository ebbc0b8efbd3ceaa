// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Finds a kernel among the archive's packages, and takes it out of them.
//!
//! From 6.19 on Debian splits a kernel: `linux-image-*` is empty then, and depends on
//! `linux-binary-*`, `linux-modules-*` and `linux-base-*` of its own version.

use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::apt::{Archive, Stanza};
use super::catalog::Series;
use super::{disk, modules, vmlinux};
use crate::{say, workspace};

/// Kernels for virtual machines: they boot fastest, and have all that stile needs.
const FLAVOUR: &str = "-cloud-amd64";

/// A kernel that can be booted.
#[derive(Clone, Debug)]
pub(super) struct Kernel {
    pub(super) series: Series,
    pub(super) facts: Facts,
    folder: PathBuf,
}

/// What is remembered of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Facts {
    /// `uname -r`.
    pub(super) release: String,
    /// Of the package.
    pub(super) version: String,
    /// The packages it was taken from.
    packages: Vec<String>,
}

impl Kernel {
    /// The kernel as an ELF file, which boots without its decompressor.
    pub(super) fn image(&self) -> PathBuf {
        self.folder.join("vmlinux")
    }

    /// A disk with all modules.
    pub(super) fn modules(&self) -> PathBuf {
        self.folder.join("modules.ext4")
    }

    /// The modules that are needed before there is a disk, in the order of their names.
    pub(super) fn boot_modules(&self) -> PathBuf {
        self.folder.join("boot-modules")
    }
}

/// What came of looking for a kernel.
pub(super) enum Found {
    /// It is ready.
    Kernel(Kernel),
    /// The archive has none.
    NotAvailable(String),
}

/// Gets a kernel ready: found in the archive, downloaded, taken apart. What an earlier run has
/// got ready stays, if the archive has nothing newer.
pub(super) fn prepare(base: &Path, series: Series) -> Result<Found> {
    let Some((archive, packages)) = find(base, &series)? else {
        let suites = series.suites.join(" or ");
        return Ok(Found::NotAvailable(format!(
            "no package of it can be had from {suites}"
        )));
    };
    let folder = base.join("kernels").join(series.name);
    let names: Vec<String> = packages.iter().map(Stanza::shown).collect();
    if let Some(facts) = remembered(&folder)
        && facts.packages == names
    {
        say::done(format!("{}: {} is here", series.name, facts.release));
        return Ok(Found::Kernel(Kernel {
            series,
            facts,
            folder,
        }));
    }
    say::step(format!("{}: downloading {}", series.name, names.join(", ")));
    let unpacked = unpack(&archive, &packages, &folder)?;
    let Some(parts) = Parts::find(&unpacked)? else {
        return Ok(Found::NotAvailable(format!(
            "{} has only a part of it",
            series.suites.join(" or ")
        )));
    };
    let version = packages.first().map(|package| package.version.clone());
    let facts = Facts {
        release: parts.release.clone(),
        version: version.unwrap_or_default(),
        packages: names,
    };
    let kernel = Kernel {
        series,
        facts,
        folder,
    };
    parts.convert(&kernel)?;
    fs::remove_dir_all(&unpacked).context("could not remove what was unpacked")?;
    // Last: what is noted down is whole.
    fs::write(
        facts_file(&kernel.folder),
        serde_json::to_string(&kernel.facts)?,
    )?;
    say::done(format!("{}: {}", series.name, kernel.facts.release));
    Ok(Found::Kernel(kernel))
}

fn facts_file(folder: &Path) -> PathBuf {
    folder.join("kernel.json")
}

fn remembered(folder: &Path) -> Option<Facts> {
    serde_json::from_str(&fs::read_to_string(facts_file(folder)).ok()?).ok()
}

/// The newest kernel of a series in any of its suites that can be read: its packages, the image
/// first.
fn find(base: &Path, series: &Series) -> Result<Option<(Archive, Vec<Stanza>)>> {
    let mut best: Option<(Archive, Stanza)> = None;
    for suite in series.suites {
        let archive = match Archive::open(&base.join("apt"), suite) {
            Ok(archive) => archive,
            Err(error) => {
                say::note(format!("{suite} can't be read: {error:#}"));
                continue;
            }
        };
        let images = archive.names("linux-image-")?.into_iter();
        for name in images.filter(|name| is_image(name)) {
            for image in archive.show(&name) {
                let newer = |than: &Stanza| {
                    compare(&image.version, &than.version).is_ok_and(|order| order.is_gt())
                };
                if image.version.starts_with(series.version)
                    && best.as_ref().is_none_or(|(_, than)| newer(than))
                {
                    best = Some((archive.clone(), image));
                }
            }
        }
    }
    Ok(best.map(|(archive, image)| {
        let packages = with_parts(&archive, image);
        (archive, packages)
    }))
}

/// The image of one kernel, no metapackage, debugging symbols or unsigned variant.
fn is_image(name: &str) -> bool {
    name.strip_prefix("linux-image-")
        .and_then(|rest| rest.strip_suffix(FLAVOUR))
        .is_some_and(|version| version.starts_with(|first: char| first.is_ascii_digit()))
}

/// A package, and all that are a part of the same kernel. Of old kernels in backports a part
/// may be gone that isn't needed; whether it was, is seen afterwards.
fn with_parts(archive: &Archive, image: Stanza) -> Vec<Stanza> {
    let mut packages = vec![image];
    let mut next = 0;
    while let Some(package) = packages.get(next).cloned() {
        for (name, version) in package.pinned {
            let is_part = name.starts_with("linux-") && name.ends_with(FLAVOUR);
            if !is_part || packages.iter().any(|known| known.name == name) {
                continue;
            }
            let found = archive.show(&name).into_iter();
            packages.extend(found.filter(|part| part.version == version).take(1));
        }
        next += 1;
    }
    packages
}

/// Which of two versions is newer, by dpkg's rules.
fn compare(left: &str, right: &str) -> Result<Ordering> {
    let is_greater = |left: &str, right: &str| {
        let mut dpkg = Command::new("dpkg");
        dpkg.args(["--compare-versions", left, "gt", right]);
        workspace::status(&mut dpkg).map(|status| status.success())
    };
    if is_greater(left, right)? {
        return Ok(Ordering::Greater);
    }
    let less = is_greater(right, left)?;
    Ok(if less {
        Ordering::Less
    } else {
        Ordering::Equal
    })
}

/// Downloads and unpacks them into a folder of the kernel's.
fn unpack(archive: &Archive, packages: &[Stanza], folder: &Path) -> Result<PathBuf> {
    // What is there is of an older version, or half done.
    if folder.exists() {
        fs::remove_dir_all(folder).context("could not remove an older kernel")?;
    }
    let (debs, root) = (folder.join("debs"), folder.join("unpacked"));
    fs::create_dir_all(&debs).context("could not make a folder for packages")?;
    archive.download(packages, &debs)?;
    for deb in fs::read_dir(&debs).context("no packages")? {
        let deb = deb?.path();
        workspace::run(Command::new("dpkg-deb").arg("-x").arg(deb).arg(&root))?;
    }
    fs::remove_dir_all(&debs).context("could not remove the packages")?;
    Ok(root)
}

/// What was unpacked.
struct Parts {
    release: String,
    compressed: PathBuf,
    /// The folder that has `lib/modules` in it.
    base: PathBuf,
}

impl Parts {
    fn find(root: &Path) -> Result<Option<Self>> {
        for base in [root.to_owned(), root.join("usr")] {
            let modules = base.join("lib/modules");
            let Some(release) = first_name(&modules) else {
                continue;
            };
            let places = [
                root.join(format!("boot/vmlinuz-{release}")),
                modules.join(&release).join("vmlinuz"),
            ];
            let found = places.into_iter().find(|path| path.is_file());
            return Ok(found.map(|compressed| Self {
                release,
                compressed,
                base,
            }));
        }
        Ok(None)
    }

    fn convert(&self, kernel: &Kernel) -> Result<()> {
        vmlinux::extract(&self.compressed, &kernel.image())?;
        modules::index(&self.base, &self.release)?;
        modules::take_for_boot(&self.base, &self.release, &kernel.boot_modules())?;
        disk::make(&self.base.join("lib/modules"), &kernel.modules(), 16)
    }
}

fn first_name(folder: &Path) -> Option<String> {
    let entry = fs::read_dir(folder).ok()?.next()?.ok()?;
    entry.file_name().into_string().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_images_of_the_flavour_are_kernels() {
        assert!(is_image("linux-image-6.1.0-56-cloud-amd64"));
        for other in [
            "linux-image-cloud-amd64",
            "linux-image-6.1.0-56-amd64",
            "linux-image-6.1.0-56-cloud-amd64-dbg",
            "linux-image-6.1.0-56-cloud-amd64-unsigned",
        ] {
            assert!(!is_image(other), "{other}");
        }
    }
}
