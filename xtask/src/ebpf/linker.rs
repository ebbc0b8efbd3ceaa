// SPDX-License-Identifier: Apache-2.0 OR MIT
//! bpf-linker: installed into `target/tools` in the one version that works.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::compiler::Compiler;
use crate::say;
use crate::workspace::{self, Workspace};

/// Major version of LLVM that the linker reads: it must not be older than the compiler's.
pub(super) const LLVM: u64 = 22;
// Later ones need a newer Rust than the workspace does.
const VERSION: &str = "0.10.4";

/// The linker's path; builds it if it isn't there in the right version (about a minute).
pub(super) fn find_or_install(workspace: &Workspace) -> Result<PathBuf> {
    let linker = workspace.tools().join("bin/bpf-linker");
    if is_right(&linker) {
        return Ok(linker);
    }
    say::step(format!("installing bpf-linker {VERSION} into target/tools"));
    let mut cargo = workspace.cargo();
    cargo
        .args([
            "install",
            "bpf-linker",
            "--version",
            VERSION,
            "--locked",
            "--force",
            "--root",
        ])
        .arg(workspace.tools())
        .arg("--target-dir")
        .arg(workspace.tools().join("build"));
    workspace::run(&mut cargo).context("bpf-linker could not be installed")?;
    Ok(linker)
}

fn is_right(linker: &Path) -> bool {
    workspace::output(Command::new(linker).arg("--version"))
        .is_ok_and(|text| text.trim() == format!("bpf-linker {VERSION}"))
}

/// A folder with one LLVM library in it.
///
/// bpf-linker loads the first `libLLVM*` that it finds in `LD_LIBRARY_PATH` and next to PATH,
/// whatever its version; a folder with the compiler's own and no other leaves it no choice.
pub(super) fn llvm_folder(workspace: &Workspace, compiler: &Compiler) -> Result<PathBuf> {
    let library = llvm_library(&compiler.sysroot).with_context(|| {
        format!(
            "no libLLVM {LLVM} below {}/lib, where {} should have it",
            compiler.sysroot.display(),
            compiler.rustc.display()
        )
    })?;
    let folder = workspace.tools().join("llvm");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("could not make {}", folder.display()))?;
    let link = folder.join("libLLVM.so");
    if std::fs::read_link(&link).is_ok_and(|old| old == library) {
        return Ok(folder);
    }
    // Absent the first time.
    let _ = std::fs::remove_file(&link);
    std::os::unix::fs::symlink(&library, &link)
        .with_context(|| format!("could not link {}", link.display()))?;
    Ok(folder)
}

/// rustup keeps it in `lib`, Debian in `lib/<triplet>`, Fedora in `lib64`.
fn llvm_library(sysroot: &Path) -> Option<PathBuf> {
    let lib = sysroot.join("lib");
    let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
    [lib.clone(), lib.join(triplet), sysroot.join("lib64")]
        .iter()
        .filter_map(|folder| folder.read_dir().ok())
        .flat_map(|entries| entries.filter_map(std::io::Result::ok))
        .find(|entry| {
            let name = entry.file_name();
            is_llvm_library(&name.to_string_lossy()) && is_elf(&entry.path())
        })
        .map(|entry| entry.path())
}

fn is_llvm_library(name: &str) -> bool {
    name.starts_with(&format!("libLLVM-{LLVM}")) || name.starts_with(&format!("libLLVM.so.{LLVM}"))
}

/// False for the linker script that rustup puts beside the library.
fn is_elf(path: &Path) -> bool {
    use std::io::Read;
    let mut magic = [0; 4];
    std::fs::File::open(path)
        .and_then(|mut file| file.read_exact(&mut magic))
        .is_ok_and(|()| magic == *b"\x7fELF")
}

#[cfg(test)]
mod tests {
    use super::is_llvm_library;

    #[test]
    fn only_the_llvm_of_the_linkers_version_is_taken() {
        assert!(is_llvm_library("libLLVM.so.22.1"));
        assert!(is_llvm_library("libLLVM-22-rust-1.95.0-stable.so"));
        assert!(!is_llvm_library("libLLVM-14.so.1"));
        assert!(!is_llvm_library("libLTO.so.22.1"));
    }
}
