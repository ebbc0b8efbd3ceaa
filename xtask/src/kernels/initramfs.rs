// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The first file system of a guest: xtask as its init, the libraries it takes, and the modules
//! without which there is no disk. A cpio archive of the kind "newc"
//! (Documentation/driver-api/early-userspace/buffer-format.rst), uncompressed, because the
//! guest would take longer to unpack it.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use super::guest::BOOT_MODULES;
use super::programs::libraries;

/// What the kernel starts.
const INIT: &str = "init";
const FOLDER: u32 = 0o040_755;
const FILE: u32 = 0o100_000;
/// Ends an archive.
const TRAILER: &str = "TRAILER!!!";

/// Writes the archive. `modules` is a folder of files that load in the order of their names;
/// `programs` are more programs and their names there.
pub(super) fn make(
    xtask: &Path,
    modules: &Path,
    programs: &[(&str, &Path)],
    to: &Path,
) -> Result<()> {
    let file = File::create(to).with_context(|| format!("could not make {}", to.display()))?;
    let mut archive = Archive {
        output: BufWriter::new(file),
        written: 0,
        folders: Vec::new(),
    };
    for folder in ["dev", "proc", "sys", "newroot"] {
        archive.folder(folder)?;
    }
    let mut files = Vec::new();
    for (name, path) in [(INIT, xtask)].iter().chain(programs) {
        archive.copy(name, path)?;
        files.push(path.to_path_buf());
    }
    for library in libraries(&files)? {
        archive.copy(&library.to_string_lossy(), &library)?;
    }
    for entry in fs::read_dir(modules).context("no modules for booting")? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        archive.copy(&format!("{BOOT_MODULES}/{name}"), &path)?;
    }
    archive.entry(TRAILER, 0, &[])?;
    archive
        .output
        .flush()
        .context("could not write the archive")
}

struct Archive<W> {
    output: W,
    written: u64,
    folders: Vec<String>,
}

impl<W: Write> Archive<W> {
    fn folder(&mut self, name: &str) -> Result<()> {
        if !self.folders.iter().any(|known| known == name) {
            self.folders.push(name.to_owned());
            self.entry(name, FOLDER, &[])?;
        }
        Ok(())
    }

    fn copy(&mut self, name: &str, from: &Path) -> Result<()> {
        let name = name.trim_start_matches('/');
        for (end, _) in name.match_indices('/') {
            self.folder(&name[..end])?;
        }
        let bytes = fs::read(from).with_context(|| format!("could not read {}", from.display()))?;
        let mode = fs::metadata(from)?.permissions().mode() & 0o777;
        self.entry(name, FILE | mode, &bytes)
    }

    /// Fields of eight hexadecimal digits, then the name and the data, each padded to four.
    fn entry(&mut self, name: &str, mode: u32, data: &[u8]) -> Result<()> {
        let (inode, links) = (self.written, 1);
        let (length, name_length) = (data.len(), name.len() + 1);
        let head = format!(
            "070701{inode:08X}{mode:08X}{0:08X}{0:08X}{links:08X}{0:08X}{length:08X}\
             {0:08X}{0:08X}{0:08X}{0:08X}{name_length:08X}{0:08X}{name}\0",
            0
        );
        self.padded(head.as_bytes())?;
        self.padded(data)
    }

    fn padded(&mut self, bytes: &[u8]) -> Result<()> {
        let padding = bytes.len().next_multiple_of(4) - bytes.len();
        self.output
            .write_all(bytes)
            .and_then(|()| self.output.write_all(&[0; 3][..padding]))
            .context("could not write the archive")?;
        self.written += (bytes.len() + padding) as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_has_110_bytes_and_all_is_padded() {
        let mut archive = Archive {
            output: Vec::new(),
            written: 0,
            folders: Vec::new(),
        };
        archive.entry("ab", FILE | 0o644, b"hello").unwrap();
        let written = archive.output;
        assert_eq!(written.len(), 116 + 8);
        assert!(written.starts_with(b"07070100000000000081A4"));
        assert_eq!(&written[54..62], b"00000005");
        assert_eq!(&written[94..102], b"00000003");
        assert_eq!(&written[110..], b"ab\0\0\0\0hello\0\0\0");
    }
}
