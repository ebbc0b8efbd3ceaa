// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Memory that isn't needed, back to the kernel.
#![expect(
    unsafe_code,
    reason = "nix has no wrapper of malloc_trim, and nobody else can know what madvise may drop"
)]

use std::fs;
use std::io;

use nix::errno::Errno;

/// Forgets the pages that were mapped so far of files that this program only reads: its code and
/// constants, and those of its libraries. Much of that is for the start only. What is needed again
/// is mapped again from the page cache, a window at a time.
///
/// # Errors
/// If /proc isn't mounted, or the kernel doesn't tell or refuses. Then the rest stays as it was.
pub fn forget_files() -> io::Result<()> {
    let smaps = fs::read_to_string("/proc/self/smaps")?;
    for (start, length) in clean(&smaps) {
        // SAFETY: the range is a private mapping of a file that can't be written to and has no
        // page of its own ([`clean`]), so that all of it shows what is in the file: its pages come
        // back with the same bytes when they are touched.
        let dropped = unsafe {
            let start = std::ptr::without_provenance_mut(start);
            libc::madvise(start, length, libc::MADV_DONTNEED)
        };
        Errno::result(dropped)?;
    }
    Ok(())
}

/// The start and the length of each mapping of proc_pid_smaps(5) that shows nothing but a file.
/// One with relocations doesn't, though it can't be written to once they are done: its pages are
/// copies, and the file has no such bytes.
fn clean(smaps: &str) -> impl Iterator<Item = (usize, usize)> {
    let mut mapping = None;
    let mut copies = None;
    smaps.lines().filter_map(move |line| {
        if let Some(next) = head(line) {
            (mapping, copies) = (next, None);
        }
        if let Some(kibibytes) = field(line, "Anonymous:") {
            copies = Some(kibibytes);
        }
        // It comes after the other; what is swapped out is a copy, too.
        let swapped = field(line, "Swap:")?;
        (copies == Some(0) && swapped == 0)
            .then(|| mapping.take())
            .flatten()
    })
}

/// None if the line doesn't begin a mapping; else where it is and how long, if it is a private one
/// of a file that can't be written to.
fn head(line: &str) -> Option<Option<(usize, usize)>> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let start = usize::from_str_radix(start, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    let is_read_only = matches!(words.next()?, "r--p" | "r-xp");
    // After offset, device and inode; `[vdso]` is no file.
    let is_file = words.nth(3).is_some_and(|path| path.starts_with('/'));
    Some((is_read_only && is_file).then(|| (start, end.saturating_sub(start))))
}

/// The KiB that a line tells of a mapping.
fn field(line: &str, name: &str) -> Option<u64> {
    let value = line.strip_prefix(name)?.trim_start();
    value.strip_suffix(" kB")?.parse().ok()
}

/// Gives the kernel back what the allocator keeps of freed memory (malloc_trim(3)). It takes about
/// a millisecond for each 10 MiB; the next to need memory pays for its pages again, so this is for
/// after a start and after a flood, when nobody waits. Elsewhere than with glibc it does nothing.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes no pointer and may be called at any time from any thread
    // (MT-Safe); it releases only pages that no living allocation has a byte in.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mapping of proc_pid_smaps(5), with the lines that matter.
    fn mapping(head: &str, copies: u64, swapped: u64) -> String {
        format!(
            "{head}\nSize: 16 kB\nRss:  8 kB\nAnonymous:  {copies} kB\nSwap:  {swapped} kB\n\
             SwapPss:  0 kB\nVmFlags: rd ex mr mw me\n"
        )
    }

    #[test]
    fn only_what_shows_nothing_but_a_file_is_forgotten() {
        let smaps = [
            mapping("55c0-55d0 r--p 00000000 fe:00 12 /usr/sbin/stiled", 0, 0),
            mapping("55d0-55f0 r-xp 00001000 fe:00 12 /usr/sbin/stiled", 0, 0),
            mapping("5600-5610 r--p 00002000 fe:00 12 /usr/sbin/stiled", 4, 0),
            mapping("5610-5620 r--p 00003000 fe:00 12 /usr/sbin/stiled", 0, 4),
            mapping("5620-5630 rw-p 00004000 fe:00 12 /usr/sbin/stiled", 0, 0),
            mapping("5630-5640 r--s 00000000 fe:00 13 /a/shared one", 0, 0),
            mapping("5640-5650 r-xp 00000000 00:00 0 [vdso]", 0, 0),
            mapping("5650-5660 r--p 00000000 00:00 0 ", 0, 0),
            mapping("5660-5670 ---p 00000000 fe:00 14 /lib/libc.so.6", 0, 0),
        ];
        let found: Vec<_> = clean(&smaps.concat()).collect();
        assert_eq!(found, [(0x55c0, 16), (0x55d0, 32)]);
    }

    #[test]
    fn a_mapping_of_which_the_kernel_does_not_tell_all_stays() {
        let head = "55d0-55e0 r-xp 00001000 fe:00 12 /usr/sbin/stiled\n";
        for told in ["", "Anonymous: 0 kB\n", "Swap: 0 kB\n"] {
            assert_eq!(clean(&format!("{head}{told}")).count(), 0, "{told}");
        }
    }

    #[test]
    fn a_program_that_forgot_its_files_runs_on() {
        // Other tests run meanwhile, and bring code back.
        let shrinks = || {
            let before = resident_code();
            forget_files().unwrap();
            resident_code() < before
        };
        assert!((0..10).any(|_| shrinks()), "{} KiB stay", resident_code());
    }

    /// How many KiB of this program's code are resident (proc_pid_smaps(5)).
    fn resident_code() -> u64 {
        let program = fs::read_link("/proc/self/exe").unwrap();
        let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
        let mut lines = smaps.lines();
        lines.find(|line| line.ends_with(program.to_str().unwrap()) && line.contains(" r-xp "));
        lines.find_map(|line| field(line, "Rss:")).unwrap()
    }

    /// Resident memory of this process in bytes (proc_pid_statm(5)).
    fn resident() -> usize {
        let statm = fs::read_to_string("/proc/self/statm").unwrap();
        let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
        pages * 4096
    }

    /// What other tests allocate meanwhile is far less.
    #[cfg(target_env = "gnu")]
    #[test]
    fn what_was_freed_below_something_that_lives_is_given_back() {
        const PIECE: usize = 4096;
        let mut pieces: Vec<Box<[u8; PIECE]>> = (0..16_384).map(|_| Box::new([7; PIECE])).collect();
        let last = pieces.pop();
        drop(pieces);
        let before = resident();
        give_back();
        assert!(resident() + 32 * 1024 * 1024 < before);
        assert!(last.is_some());
    }
}
