// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Finds a compiler that can build the kernel program: one with library sources.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use cargo_metadata::semver::Version;

use super::linker::LLVM;
use crate::host::{self, Consent};
use crate::say;
use crate::workspace::{self, Workspace};

const OVERRIDE: &str = "STILE_EBPF_RUSTC";
const DEBIAN_PACKAGES: [&str; 2] = ["rustc-web", "rust-web-src"];

/// A compiler that can build the kernel program.
#[derive(Debug)]
pub(super) struct Compiler {
    /// Its path.
    pub(super) rustc: PathBuf,
    /// Its libraries lie here.
    pub(super) sysroot: PathBuf,
    release: String,
}

/// A compiler that can't, and why.
#[derive(Debug)]
struct Unfit {
    rustc: PathBuf,
    why: String,
}

/// Finds a compiler, or installs one where that is one command.
pub(super) fn find_or_install(workspace: &Workspace, consent: Consent) -> Result<Compiler> {
    let least = workspace.newest_rust_version(&[super::PACKAGE, "aya-ebpf"]);
    if let Some(rustc) = std::env::var_os(OVERRIDE) {
        return probe(Path::new(&rustc), &least)
            .map_err(|unfit| anyhow::anyhow!("{OVERRIDE}={}: {}", rustc.display(), unfit.why));
    }
    let unfit = match find(&least) {
        Ok(compiler) => return Ok(compiler),
        Err(unfit) => unfit,
    };
    let explanation = explain(&unfit, &least);
    if !host::has_apt() {
        bail!("{explanation}\n{}", rustup_remedy());
    }
    say::note(&explanation);
    host::apt_install(&DEBIAN_PACKAGES, consent)
        .with_context(|| format!("no compiler for the kernel program. {}", rustup_remedy()))?;
    find(&least)
        .map_err(|unfit| anyhow::anyhow!("{}\n{}", explain(&unfit, &least), rustup_remedy()))
}

/// The first fit candidate, or why each one isn't.
fn find(least: &Version) -> Result<Compiler, Vec<Unfit>> {
    let mut unfit = Vec::new();
    for rustc in candidates() {
        match probe(&rustc, least) {
            Ok(compiler) => {
                say::done(format!(
                    "compiler {} {}",
                    compiler.rustc.display(),
                    compiler.release
                ));
                return Ok(compiler);
            }
            Err(reason) => unfit.push(reason),
        }
    }
    Err(unfit)
}

/// Nightly toolchains of rustup first, then every rustc in PATH, then the system's own.
fn candidates() -> Vec<PathBuf> {
    let mut all = rustup_nightlies();
    all.extend(workspace::in_path("rustc"));
    all.push(PathBuf::from("/usr/bin/rustc"));
    let mut seen = std::collections::HashSet::new();
    all.retain(|rustc| {
        rustc.is_file() && seen.insert(rustc.canonicalize().unwrap_or_else(|_| rustc.clone()))
    });
    all
}

fn rustup_nightlies() -> Vec<PathBuf> {
    let list = workspace::output(Command::new("rustup").args(["toolchain", "list"]));
    list.unwrap_or_default()
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|toolchain| toolchain.starts_with("nightly"))
        .filter_map(|toolchain| {
            let mut rustup = Command::new("rustup");
            rustup.args(["which", "--toolchain", toolchain, "rustc"]);
            workspace::output(&mut rustup).ok()
        })
        .map(|path| PathBuf::from(path.trim()))
        .collect()
}

/// Looks at one compiler: version, LLVM, library sources.
fn probe(rustc: &Path, least: &Version) -> Result<Compiler, Unfit> {
    let unfit = |why: String| Unfit {
        rustc: rustc.to_owned(),
        why,
    };
    let verbose = ask(rustc, &["--version", "--verbose"]).map_err(unfit)?;
    let facts = Facts::parse(&verbose)
        .ok_or_else(|| unfit("its `--version --verbose` can't be read".to_owned()))?;
    facts.judge(least).map_err(unfit)?;

    let sysroot = PathBuf::from(ask(rustc, &["--print", "sysroot"]).map_err(unfit)?.trim());
    if !sysroot.join("lib/rustlib/src/rust/library/core").is_dir() {
        return Err(unfit(format!("{} has no library sources", facts.release)));
    }
    Ok(Compiler {
        rustc: rustc.to_owned(),
        sysroot,
        release: facts.release,
    })
}

fn ask(rustc: &Path, arguments: &[&str]) -> Result<String, String> {
    // rustup's stand-in would be told by this which toolchain to be; without it, it is the
    // one that the person has chosen. The library path would be that of this xtask.
    workspace::output(
        Command::new(rustc)
            .args(arguments)
            .env_remove("LD_LIBRARY_PATH"),
    )
    .map_err(|error| format!("{error:#}"))
}

/// What `rustc --version --verbose` says.
#[derive(Debug, PartialEq, Eq)]
struct Facts {
    release: String,
    version: Version,
    llvm: u64,
}

impl Facts {
    fn parse(verbose: &str) -> Option<Self> {
        let field = |name: &str| {
            verbose
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        let release = field("release")?.trim().to_owned();
        let mut version = Version::parse(&release).ok()?;
        // For us 1.97.0-nightly has what 1.97.0 has.
        version.pre = cargo_metadata::semver::Prerelease::EMPTY;
        let llvm = field("LLVM version")?.split('.').next()?.parse().ok()?;
        Some(Self {
            release,
            version,
            llvm,
        })
    }

    fn judge(&self, least: &Version) -> Result<(), String> {
        if self.version < *least {
            return Err(format!("{} is too old", self.release));
        }
        if self.llvm != LLVM {
            return Err(format!(
                "{} comes with LLVM {}, and the linker reads {LLVM} only",
                self.release, self.llvm
            ));
        }
        Ok(())
    }
}

fn explain(unfit: &[Unfit], least: &Version) -> String {
    let mut text = format!(
        "the kernel program needs Rust {least} or newer with its library sources (rust-src):"
    );
    if unfit.is_empty() {
        text.push_str("\n      no rustc was found");
    }
    for Unfit { rustc, why } in unfit {
        // Writing to a string doesn't fail.
        let _ = write!(text, "\n      {}: {why}", rustc.display());
    }
    text
}

fn rustup_remedy() -> String {
    let mut text = "Run `rustup component add rust-src`".to_owned();
    if workspace::which("rustup").is_none() {
        text.push_str(" (rustup comes from https://rustup.rs)");
    }
    text.push_str(
        ", or `rustup toolchain install nightly --profile minimal --component rust-src`, \
         or name a compiler with ",
    );
    text.push_str(OVERRIDE);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)\n\
        binary: rustc\nhost: x86_64-unknown-linux-gnu\nrelease: 1.96.0\nLLVM version: 22.1.8\n";

    fn facts(release: &str, llvm: &str) -> Facts {
        let text = format!("release: {release}\nLLVM version: {llvm}\n");
        Facts::parse(&text).expect("both fields are there")
    }

    #[test]
    fn release_and_llvm_are_read_from_the_verbose_version() {
        let facts = Facts::parse(DEBIAN).expect("a real one");
        assert_eq!(facts.version, Version::new(1, 96, 0));
        assert_eq!(facts.llvm, 22);
    }

    #[test]
    fn a_nightly_counts_as_its_release() {
        let least = Version::new(1, 95, 0);
        assert_eq!(facts("1.95.0-nightly", "22.1.0").judge(&least), Ok(()));
    }

    #[test]
    fn an_old_compiler_and_another_llvm_are_unfit() {
        let least = Version::new(1, 95, 0);
        assert!(facts("1.94.1", "22.1.0").judge(&least).is_err());
        assert!(facts("1.99.0", "23.1.0").judge(&least).is_err());
    }
}
