// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Memory that isn't needed, back to the kernel.
#![expect(
    unsafe_code,
    reason = "nix has no wrapper of malloc_trim, and nobody else can know what madvise may drop"
)]

use std::fs;
use std::io;

use nix::errno::Errno;

/// Forgets the pages of this program's code that were mapped so far: much of it runs at the start
/// only. What is needed again is mapped again from the page cache, a window at a time.
///
/// # Errors
/// If /proc isn't mounted, or the kernel refuses. Then everything stays as it was.
pub fn forget_code() -> io::Result<()> {
    let program = fs::read_link("/proc/self/exe")?;
    let maps = fs::read_to_string("/proc/self/maps")?;
    let own = maps
        .lines()
        .filter(|line| line.ends_with(&*program.to_string_lossy()));
    for (start, length) in own.filter_map(code_of) {
        // SAFETY: the range is a private mapping of a file that can be executed and not written
        // ([`code_of`]), so that nothing in it differs from the file: its pages come back with the
        // same bytes when they are touched. A program that is running can't be written to (ETXTBSY).
        let dropped = unsafe {
            let start = std::ptr::without_provenance_mut(start);
            libc::madvise(start, length, libc::MADV_DONTNEED)
        };
        Errno::result(dropped)?;
    }
    Ok(())
}

/// The start and the length of a mapping of proc_pid_maps(5), if it is of code.
fn code_of(line: &str) -> Option<(usize, usize)> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let start = usize::from_str_radix(start, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    rest.starts_with("r-xp ")
        .then(|| (start, end.saturating_sub(start)))
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

    #[test]
    fn only_what_is_executed_and_never_written_is_code() {
        let maps = [
            "55d0-55e0 r-xp 00001000 fe:00 12 /usr/sbin/stiled",
            "55e0-55f0 r--p 00002000 fe:00 12 /usr/sbin/stiled",
            "55f0-5600 rw-p 00003000 fe:00 12 /usr/sbin/stiled",
            "5600-5610 rwxp 00000000 00:00 0 ",
        ];
        let code: Vec<_> = maps.into_iter().map(code_of).collect();
        let lengths: Vec<_> = code
            .iter()
            .map(|found| found.map(|(_, length)| length))
            .collect();
        assert_eq!(lengths, [Some(16), None, None, None]);
    }

    #[test]
    fn a_program_that_forgot_its_code_runs_on() {
        // Other tests run meanwhile, and bring code back.
        let shrinks = || {
            let before = resident_code();
            forget_code().unwrap();
            resident_code() < before
        };
        assert!((0..10).any(|_| shrinks()), "{} KiB stay", resident_code());
    }

    /// How many KiB of this program's code are resident (proc_pid_smaps(5)).
    fn resident_code() -> u64 {
        let program = fs::read_link("/proc/self/exe").unwrap();
        let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
        let mut lines = smaps.lines();
        lines.find(|line| line.ends_with(program.to_str().unwrap()) && code_of(line).is_some());
        let resident = lines.find_map(|line| line.strip_prefix("Rss:")).unwrap();
        let (kibibytes, _) = resident.trim().split_once(' ').unwrap();
        kibibytes.parse().unwrap()
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
