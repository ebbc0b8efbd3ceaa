// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Builds the kernel program.
//!
//! Its target has no ready-made `core`, so it takes a compiler with library sources, and an
//! unstable flag of cargo (`-Z build-std`); the agent itself is built with plain stable Rust.

mod compiler;
mod linker;
mod object;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use self::compiler::Compiler;
use crate::host::Consent;
use crate::say;
use crate::workspace::{self, Workspace};

const PACKAGE: &str = "stile-ebpf";
const BINARY: &str = "stile-gate";

/// Builds the kernel program and puts it where the agent's build script looks for it.
/// Returns the path of the object.
///
/// # Errors
/// If a tool is missing and could not be installed, or if the build fails.
pub(crate) fn build(workspace: &Workspace, consent: Consent) -> Result<PathBuf> {
    say::step("building the kernel program");
    let compiler = compiler::find_or_install(workspace, consent)?;
    let linker = linker::find_or_install(workspace)?;
    let target = target();
    let arch = target_arch()?;
    compile(workspace, &compiler, &linker, target, arch)?;

    let built = workspace
        .ebpf_target()
        .join(format!("{target}-unknown-none/release/{BINARY}"));
    let object = workspace.gate_object(target);
    place(&built, &object)?;
    say::done(object.display());
    Ok(object)
}

/// The BPF target of this machine's byte order.
fn target() -> &'static str {
    if cfg!(target_endian = "little") {
        "bpfel"
    } else {
        "bpfeb"
    }
}

/// The architecture of this machine, as aya-ebpf's `bpf_target_arch` calls it.
fn target_arch() -> Result<&'static str> {
    let arch = match std::env::consts::ARCH {
        arch @ ("aarch64" | "arm" | "loongarch64" | "mips" | "mips64" | "powerpc64" | "riscv64"
        | "s390x" | "x86_64") => arch,
        other => anyhow::bail!("aya-ebpf knows no kernel ABI for {other}"),
    };
    if arch != "x86_64" || cfg!(target_endian = "big") {
        say::note(format!(
            "the kernel program was only ever tested on little-endian x86_64; this is {arch} with {}",
            target()
        ));
    }
    Ok(arch)
}

fn compile(
    workspace: &Workspace,
    compiler: &Compiler,
    linker: &Path,
    target: &str,
    arch: &str,
) -> Result<()> {
    let flags = [
        format!("--cfg=bpf_target_arch=\"{arch}\""),
        // The kernel wants BTF, and bpf-linker makes it from the debug information.
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
    ];
    let mut cargo = workspace.cargo();
    cargo
        .args([
            "build",
            "--quiet",
            "--locked",
            "--release",
            "-Zbuild-std=core",
        ])
        .args(["--package", PACKAGE, "--bin", BINARY])
        .args(["--target", &format!("{target}-unknown-none")])
        .arg("--target-dir")
        .arg(workspace.ebpf_target())
        .env("RUSTC", &compiler.rustc)
        // Lets a stable cargo and compiler take `-Z build-std`.
        .env("RUSTC_BOOTSTRAP", "1")
        // Incremental builds leave functions of the gate uninlined.
        .env_remove("CARGO_INCREMENTAL")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env(
            format!("CARGO_TARGET_{}_UNKNOWN_NONE_LINKER", target.to_uppercase()),
            linker,
        )
        .env("LD_LIBRARY_PATH", linker::llvm_folder(workspace, compiler)?);
    for inherited in ["RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"] {
        cargo.env_remove(inherited);
    }
    workspace::run(&mut cargo)
}

/// Copies the object if it differs, so that an unchanged one doesn't rebuild the agent.
fn place(built: &Path, object: &Path) -> Result<()> {
    let bytes =
        std::fs::read(built).with_context(|| format!("could not read {}", built.display()))?;
    object::check(&bytes)
        .with_context(|| format!("{} is not a usable kernel program", built.display()))?;
    if std::fs::read(object).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let folder = object.parent().context("the object has no folder")?;
    std::fs::create_dir_all(folder)
        .with_context(|| format!("could not make {}", folder.display()))?;
    std::fs::write(object, &bytes).with_context(|| format!("could not write {}", object.display()))
}
