// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A light look at the built object: is it what the kernel and aya will want?

use anyhow::{Context, Result, bail};

/// `EM_BPF` of elf(5).
const EM_BPF: u16 = 247;
/// `STT_FUNC` of elf(5), and the size of a symbol.
const STT_FUNC: u8 = 2;
const SYMBOL: usize = 24;
/// What compilers call by themselves (compiler-builtins).
const MEMORY: [&str; 5] = ["memcpy", "memmove", "memset", "memcmp", "bcmp"];
/// Sections without which no kernel program of this project works: BTF for the maps, and the
/// licence, since the helpers in use are open to GPL-compatible programs only.
const SECTIONS: [&str; 2] = [".BTF", "license"];

/// Checks magic, class, byte order, machine, functions and sections.
///
/// # Errors
/// Says the first thing that is wrong.
pub(super) fn check(bytes: &[u8]) -> Result<()> {
    if !bytes.starts_with(b"\x7fELF") {
        bail!("it is no ELF file");
    }
    let little = cfg!(target_endian = "little");
    // EI_CLASS 2 is 64 bits; EI_DATA 1 is little-endian, 2 is big-endian.
    if bytes.get(4) != Some(&2) || bytes.get(5) != Some(&if little { 1 } else { 2 }) {
        bail!("it is not a 64-bit file in this machine's byte order");
    }
    let machine = u16_at(bytes, 18)?;
    if machine != EM_BPF {
        bail!("it is for machine {machine}, not for BPF ({EM_BPF})");
    }
    let names = section_names(bytes)?;
    if let Some(function) = outlined(bytes, &names)? {
        bail!(
            "its function {function} was not inlined, and verifiers before Linux 6.8 lose track of \
             what such functions are given on the stack; mark it #[inline(always)], and give it \
             no closure"
        );
    }
    for section in SECTIONS {
        if !names.iter().any(|name| name == section) {
            bail!("it has no section {section}, only {}", names.join(" "));
        }
    }
    Ok(())
}

/// A function that the hooks call, and that isn't one of the compiler's own for memory, which
/// compute with nothing that they find there.
fn outlined(bytes: &[u8], sections: &[String]) -> Result<Option<String>> {
    let place = |wanted: &str| sections.iter().position(|name| name == wanted);
    let (Some(text), Some(symbols), Some(names)) =
        (place(".text"), place(".symtab"), place(".strtab"))
    else {
        return Ok(None);
    };
    let table = usize_at(bytes, 40)?;
    let size = usize::from(u16_at(bytes, 58)?);
    let header = |index: usize| table.saturating_add(index.saturating_mul(size));
    let start = usize_at(bytes, header(symbols) + 24)?;
    let length = usize_at(bytes, header(symbols) + 32)?;
    let names = usize_at(bytes, header(names) + 24)?;
    for offset in (0..length).step_by(SYMBOL) {
        let symbol = start.saturating_add(offset);
        let [name_at @ .., _, _, _, _] = array_at::<8>(bytes, symbol)?;
        let [info, _, low, high] = array_at(bytes, symbol.saturating_add(4))?;
        let section = usize::from(u16::from_ne_bytes([low, high]));
        if info & 0xf != STT_FUNC || section != text {
            continue;
        }
        let name_at = usize::try_from(u32::from_ne_bytes(name_at))?;
        let name = text_at(bytes, names.saturating_add(name_at))?;
        if !MEMORY.contains(&name.as_str()) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// The names of all sections. The file is in the machine's byte order, 64 bits.
fn section_names(bytes: &[u8]) -> Result<Vec<String>> {
    let table = usize_at(bytes, 40)?;
    let entry_size = usize::from(u16_at(bytes, 58)?);
    let count = usize::from(u16_at(bytes, 60)?);
    let strings_index = usize::from(u16_at(bytes, 62)?);
    let header = |index: usize| {
        table
            .checked_add(index.saturating_mul(entry_size))
            .context("the section table lies beyond the file")
    };
    let strings = usize_at(bytes, header(strings_index)? + 24)?;
    (0..count)
        .map(|index| {
            let offset = u32::from_ne_bytes(array_at(bytes, header(index)?)?);
            text_at(bytes, strings.saturating_add(usize::try_from(offset)?))
        })
        .collect()
}

fn text_at(bytes: &[u8], at: usize) -> Result<String> {
    let rest = bytes.get(at..).context("a name lies beyond the file")?;
    let text = rest.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(text).into_owned())
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16> {
    Ok(u16::from_ne_bytes(array_at(bytes, at)?))
}

fn usize_at(bytes: &[u8], at: usize) -> Result<usize> {
    Ok(usize::try_from(u64::from_ne_bytes(array_at(bytes, at)?))?)
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .context("the file is cut off")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with a null section, the given sections, and their names.
    fn object(machine: u16, sections: &[&str]) -> Vec<u8> {
        let mut names = vec![0];
        let mut offsets = vec![0_u32];
        for section in sections {
            offsets.push(u32::try_from(names.len()).unwrap());
            names.extend(section.bytes());
            names.push(0);
        }
        let names_at = 64 + 64 * offsets.len();
        let mut file = vec![0; 64];
        file[..4].copy_from_slice(b"\x7fELF");
        file[4] = 2;
        file[5] = if cfg!(target_endian = "little") { 1 } else { 2 };
        file[18..20].copy_from_slice(&machine.to_ne_bytes());
        file[40..48].copy_from_slice(&64_u64.to_ne_bytes());
        file[58..60].copy_from_slice(&64_u16.to_ne_bytes());
        file[60..62].copy_from_slice(&u16::try_from(offsets.len()).unwrap().to_ne_bytes());
        for offset in offsets {
            let mut header = [0; 64];
            header[..4].copy_from_slice(&offset.to_ne_bytes());
            // Only that of section 0, which e_shstrndx names here, is looked at.
            header[24..32].copy_from_slice(&(names_at as u64).to_ne_bytes());
            file.extend(header);
        }
        file.extend(names);
        file
    }

    #[test]
    fn a_bpf_object_with_btf_and_a_licence_is_fine() {
        check(&object(EM_BPF, &[".BTF", "license", "maps"])).unwrap();
    }

    #[test]
    fn a_program_of_the_host_is_refused() {
        assert!(check(&object(62, &[".BTF", "license"])).is_err());
    }

    /// An object with one function in `.text`.
    fn object_with(function: &str) -> Vec<u8> {
        let sections = [".text", ".symtab", ".strtab", ".BTF", "license"];
        let mut file = object(EM_BPF, &sections);
        let mut point = |section: usize, at: usize, length: usize| {
            let header = 64 + 64 * section;
            file[header + 24..][..8].copy_from_slice(&(at as u64).to_ne_bytes());
            file[header + 32..][..8].copy_from_slice(&(length as u64).to_ne_bytes());
        };
        let end = 64 + 64 * 6 + 1 + sections.map(|name| name.len() + 1).iter().sum::<usize>();
        point(2, end, SYMBOL);
        point(3, end + SYMBOL, function.len() + 1);
        let mut symbol = [0; SYMBOL];
        symbol[4] = STT_FUNC;
        symbol[6..8].copy_from_slice(&1_u16.to_ne_bytes());
        file.extend(symbol);
        file.extend(function.bytes());
        file.push(0);
        file
    }

    #[test]
    fn a_function_that_was_not_inlined_is_refused() {
        check(&object_with("memset")).unwrap();
        let error = check(&object_with("ask")).unwrap_err();
        assert!(error.to_string().contains("function ask was not inlined"));
    }

    #[test]
    fn an_object_without_btf_is_refused() {
        let error = check(&object(EM_BPF, &["license"])).unwrap_err();
        assert!(error.to_string().contains(".BTF"));
    }

    #[test]
    fn no_cut_makes_it_panic() {
        let file = object(EM_BPF, &[".BTF", "license"]);
        for length in 0..file.len() {
            assert!(check(&file[..length]).is_err() || length > file.len() - 2);
        }
    }
}
