// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Takes in the kernel program, so that the daemon carries it inside: it is copied to
//! `$OUT_DIR/gate.o`. `cargo xtask build-ebpf` makes it.

use std::path::{Path, PathBuf};

const OVERRIDE: &str = "STILE_GATE_OBJECT";

fn main() {
    if let Err(error) = embed() {
        println!("cargo::error={error}");
    }
}

fn embed() -> Result<(), String> {
    let object = object()?;
    println!("cargo::rerun-if-env-changed={OVERRIDE}");
    println!("cargo::rerun-if-changed={}", object.display());
    let out = Path::new(&variable("OUT_DIR")?).join("gate.o");
    std::fs::copy(&object, out).map(drop).map_err(|error| {
        format!(
            "the kernel program {} can't be read ({error}); make it with `cargo xtask build-ebpf`",
            object.display()
        )
    })
}

/// `$STILE_GATE_OBJECT`, or where xtask puts the object of the target's byte order.
fn object() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os(OVERRIDE) {
        return Ok(PathBuf::from(path));
    }
    let target = match variable("CARGO_CFG_TARGET_ENDIAN")?.as_str() {
        "big" => "bpfeb",
        _ => "bpfel",
    };
    let package = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let workspace = package.parent().ok_or("the package lies in no workspace")?;
    Ok(workspace.join(format!("target/gate/stile-gate-{target}.o")))
}

fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|error| format!("cargo has not set {name}: {error}"))
}
