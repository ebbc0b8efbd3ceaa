// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Takes the ELF kernel out of a bzImage (Documentation/arch/x86/boot.rst). Booting that
//! spares the emulated machine its decompressor, the longest part of its boot.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::workspace;

/// Offsets in the header.
const SETUP_SECTORS: usize = 0x1f1;
const MAGIC: usize = 0x202;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
const SECTOR: usize = 512;
/// The kernel's build appends the uncompressed size, which isn't part of the stream.
const SIZE: usize = 4;

/// How payloads begin, and the program that reads them.
const FORMATS: [(&[u8], &[&str]); 3] = [
    (b"\x02\x21\x4c\x18", &["lz4", "-dcq"]),
    (b"\x28\xb5\x2f\xfd", &["zstd", "-dcq"]),
    (b"\xfd7zXZ\0", &["xz", "-dc"]),
];

/// Writes the ELF kernel of the bzImage `from` to `to`.
pub(super) fn extract(from: &Path, to: &Path) -> Result<()> {
    let image = fs::read(from).with_context(|| format!("could not read {}", from.display()))?;
    let payload = payload(&image)
        .with_context(|| format!("{} is no kernel that can be taken apart", from.display()))?;
    let Some((_, [program, arguments @ ..])) =
        FORMATS.iter().find(|(magic, _)| payload.starts_with(magic))
    else {
        bail!("{} is compressed in an unknown way", from.display());
    };
    let packed = to.with_extension("packed");
    fs::write(&packed, payload).context("could not write the kernel's payload")?;
    let output = File::create(to).with_context(|| format!("could not make {}", to.display()))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(File::open(&packed)?)
        .stdout(Stdio::from(output));
    workspace::run(&mut command)?;
    fs::remove_file(&packed)?;
    Ok(())
}

/// The compressed kernel in a bzImage.
fn payload(image: &[u8]) -> Option<&[u8]> {
    let number = |at: usize| {
        let bytes = image.get(at..)?.first_chunk()?;
        usize::try_from(u32::from_le_bytes(*bytes)).ok()
    };
    if image.get(MAGIC..)?.first_chunk() != Some(b"HdrS") {
        return None;
    }
    // 0 stands for 4, for the sake of very old loaders.
    let sectors = match *image.get(SETUP_SECTORS)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let start = (sectors + 1) * SECTOR + number(PAYLOAD_OFFSET)?;
    let length = number(PAYLOAD_LENGTH)?.checked_sub(SIZE)?;
    image.get(start..)?.get(..length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(magic: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 3 * SECTOR];
        image[SETUP_SECTORS] = 1;
        image[MAGIC..MAGIC + 4].copy_from_slice(magic);
        image[PAYLOAD_OFFSET] = 16;
        image[PAYLOAD_LENGTH] = 12;
        image[2 * SECTOR + 16..][..12].copy_from_slice(b"compresssize");
        image
    }

    #[test]
    fn the_payload_is_found_without_the_size_behind_it() {
        assert_eq!(payload(&image(b"HdrS")), Some(&b"compress"[..]));
    }

    #[test]
    fn anything_else_is_no_kernel() {
        assert_eq!(payload(&image(b"ELF.")), None);
        assert_eq!(payload(b""), None);
        assert_eq!(payload(&image(b"HdrS")[..2 * SECTOR]), None);
    }
}
