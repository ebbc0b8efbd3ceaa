// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The floor under every agent that hooks in where stile does: programs that let everything pass
//! at once. What they take, the kernel takes for calling anything there at all.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, bail};
use aya::Ebpf;
use aya::programs::{
    CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, CgroupSockAddr, Program, ProgramInfo,
};

use crate::lane::Lane;

/// `r0 = 1; exit` (Documentation/bpf/standardization/instruction-set.rst).
const PASS: [u8; 16] = [0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];

/// The program's name.
const NAME: &str = "empty";

/// Its name in the tables.
pub(crate) const WHO: &str = "empty hooks";

/// Where stile has programs that a TCP connection meets.
const HOOKS: [&str; 4] = ["connect4", "connect6", "egress", "ingress"];

/// Puts one on each hook of the lane's cgroup.
///
/// # Errors
/// If the kernel refuses them.
pub(crate) fn hook(mut lane: Lane) -> Result<Lane> {
    for hook in HOOKS {
        lane.keeps
            .push(Box::new(Empty::attach(hook, &lane.cgroup)?));
    }
    lane.who = WHO;
    Ok(lane)
}

/// Such a program on a hook. It is taken off when this is dropped.
pub(crate) struct Empty {
    ebpf: Ebpf,
}

impl Empty {
    /// Puts one on `connect4`, `connect6`, `egress` or `ingress` of a cgroup.
    pub(crate) fn attach(hook: &str, cgroup: &Path) -> Result<Self> {
        let file = File::open(cgroup).with_context(|| format!("{}", cgroup.display()))?;
        let direction = match hook {
            "egress" => Some(CgroupSkbAttachType::Egress),
            "ingress" => Some(CgroupSkbAttachType::Ingress),
            _ => None,
        };
        let kind = if direction.is_some() {
            "cgroup_skb"
        } else {
            "cgroup"
        };
        let mut ebpf = Ebpf::load(&object(&format!("{kind}/{hook}")))?;
        let program = ebpf
            .program_mut(NAME)
            .context("the object has no program")?;
        if let Some(direction) = direction {
            let program: &mut CgroupSkb = program.try_into()?;
            program.load()?;
            program.attach(file, direction, CgroupAttachMode::Single)?;
        } else {
            let program: &mut CgroupSockAddr = program.try_into()?;
            program.load()?;
            program.attach(file, CgroupAttachMode::Single)?;
        }
        Ok(Self { ebpf })
    }

    /// What the kernel says of the program.
    pub(crate) fn info(&self) -> Result<ProgramInfo> {
        match self.ebpf.program(NAME) {
            Some(Program::CgroupSkb(program)) => Ok(program.info()?),
            Some(Program::CgroupSockAddr(program)) => Ok(program.info()?),
            _ => bail!("the object has no program"),
        }
    }
}

/// A 64-bit little-endian ELF object with the program in a section of this name: the header, the
/// code, the names, two symbols, and four sections (elf(5)).
fn object(section: &str) -> Vec<u8> {
    let mut names = vec![0];
    let mut name = |text: &str| -> u32 {
        let at = names.len() as u32;
        names.extend(text.as_bytes());
        names.push(0);
        at
    };
    let (section, symbols, strings) = (name(section), name(".symtab"), name(".strtab"));
    let program = name(NAME);
    const HEADER: u64 = 64;
    let code = HEADER;
    let names_at = code + PASS.len() as u64;
    let symbols_at = names_at + names.len() as u64;
    let sections_at = symbols_at + 2 * 24;

    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // Relocatable, for BPF, version 1.
    file.extend([1u16, 247].map(u16::to_le_bytes).concat());
    file.extend(1u32.to_le_bytes());
    file.extend([0, 0, sections_at].map(u64::to_le_bytes).concat());
    file.extend(0u32.to_le_bytes());
    // Sizes of the headers, their number, and which section has the names.
    file.extend(
        [HEADER as u16, 0, 0, 64, 4, 3]
            .map(u16::to_le_bytes)
            .concat(),
    );
    file.extend(PASS);
    file.extend(&names);
    // The first symbol is none; the other one is a global function in section 1.
    file.extend([0; 24]);
    file.extend(program.to_le_bytes());
    file.extend([0x12, 0, 1, 0]);
    file.extend([0, PASS.len() as u64].map(u64::to_le_bytes).concat());
    let mut header =
        |name: u32, kind: u32, flags: u64, at: u64, size: u64, link: u32, each: u64| {
            file.extend([name, kind].map(u32::to_le_bytes).concat());
            file.extend([flags, 0, at, size].map(u64::to_le_bytes).concat());
            file.extend([link, u32::from(link > 0)].map(u32::to_le_bytes).concat());
            file.extend([1, each].map(u64::to_le_bytes).concat());
        };
    header(0, 0, 0, 0, 0, 0, 0);
    // Bits that say: in memory, and to be run.
    header(section, 1, 6, code, PASS.len() as u64, 0, 0);
    header(symbols, 2, 0, symbols_at, 2 * 24, 3, 24);
    header(strings, 3, 0, names_at, names.len() as u64, 0, 0);
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_ends_with_its_last_section_header() {
        let object = object("cgroup/connect4");
        let bytes = object[40..48].try_into().unwrap();
        assert_eq!(u64::from_le_bytes(bytes) + 4 * 64, object.len() as u64);
    }
}
