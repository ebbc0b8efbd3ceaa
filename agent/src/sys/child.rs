// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Children that have fewer rights than their parent, or none of its company.
#![expect(
    unsafe_code,
    reason = "what a child does between fork and exec is the caller's promise"
)]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getgid, getpid, getppid, setresgid, setsid};

/// Makes the child give up the effective and saved group of its parent, and end with the
/// thread that starts it, however that ends.
///
/// A thread, not a process: that is what `PR_SET_PDEATHSIG` (prctl(2)) means by a parent. So
/// start such children from a thread that lives as long as they are wanted.
pub fn confine(command: &mut Command) {
    let parent = getpid();
    let before_exec = move || -> io::Result<()> {
        let real = getgid();
        setresgid(real, real, real)?;
        // After the group: a change of credentials takes the signal back.
        end_with(parent)
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed, because another
    // thread may have held any lock. The closure makes system calls alone, on integers that it
    // has copied: no allocation, no lock, no panic; an `io::Error` of an errno holds only that.
    unsafe {
        command.pre_exec(before_exec);
    }
}

/// Gives the child a session of its own, and so a process group that all it starts belong to
/// unless they leave it, and no terminal. It ends with the thread that starts it, as with
/// [`confine`].
pub fn isolate(command: &mut Command) {
    let parent = getpid();
    let before_exec = move || -> io::Result<()> {
        setsid()?;
        end_with(parent)
    };
    // SAFETY: as in `confine`: system calls alone, on an integer that the closure has copied.
    unsafe {
        command.pre_exec(before_exec);
    }
}

/// For a child between fork and exec. Makes system calls alone.
fn end_with(parent: Pid) -> io::Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    // The parent may have ended before there was a signal to be had.
    if getppid() != parent {
        return Err(Errno::ESRCH.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;

    use nix::unistd::{Gid, setegid};

    use super::*;
    use crate::sys::pidfd::PidFd;

    const CHILD: &str = "STILE_TEST_CONFINED_CHILD";

    /// The fields of one line of /proc/PID/status, which `confine`d `cat` shows of itself.
    fn status_of_child(line: &str) -> Vec<String> {
        let mut command = Command::new("cat");
        command.arg("/proc/self/status");
        confine(&mut command);
        let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let line = said.lines().find(|l| l.starts_with(line)).unwrap();
        line.split_whitespace().skip(1).map(str::to_owned).collect()
    }

    /// Groups hold for a whole process, so this is tried in one of its own.
    #[test]
    fn a_child_of_a_setgid_program_has_only_the_persons_group() {
        const TEST: &str = concat!(
            "sys::child::tests::",
            "a_child_of_a_setgid_program_has_only_the_persons_group"
        );
        if std::env::var_os(CHILD).is_some() {
            let real = getgid().to_string();
            // What exec does for a setgid program: effective, saved and file system group.
            setresgid(getgid(), Gid::from_raw(4711), Gid::from_raw(4711)).unwrap();
            assert_eq!(status_of_child("Gid:"), vec![real; 4]);
            setegid(getgid()).unwrap();
            return;
        }
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test takes a group and so needs root: run `cargo xtask test`"
        );
        run_again(TEST);
    }

    /// A process starts a child in a thread that then ends.
    #[test]
    fn a_child_ends_with_the_thread_that_started_it() {
        let (pid, child) = std::thread::spawn(|| {
            let mut command = Command::new("cat");
            command.stdin(Stdio::piped());
            confine(&mut command);
            let child = command.spawn().unwrap();
            (child.id(), child)
        })
        .join()
        .unwrap();
        let mut child = child;
        let status = child.wait().unwrap();
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&status),
            Some(Signal::SIGKILL as i32),
            "process {pid}: {status}"
        );
    }

    #[test]
    fn a_child_ends_with_a_parent_that_is_killed() {
        const TEST: &str = "sys::child::tests::a_child_ends_with_a_parent_that_is_killed";
        if std::env::var_os(CHILD).is_some() {
            // One that doesn't end with a pipe: tail(1) looks whether its output is one.
            let mut command = Command::new("tail");
            command.args(["-f", "/dev/null"]).stdout(Stdio::null());
            confine(&mut command);
            let mut child = command.spawn().unwrap();
            println!("child {}", child.id());
            child.wait().unwrap();
            return;
        }
        let mut parent = again(TEST).stdout(Stdio::piped()).spawn().unwrap();
        let line = BufReader::new(parent.stdout.take().unwrap())
            .lines()
            .map(Result::unwrap)
            .find_map(|line| line.rsplit_once("child ").map(|(_, pid)| pid.to_owned()))
            .unwrap();
        let child = PidFd::open(line.parse().unwrap()).unwrap();
        assert!(child.is_alive());
        parent.kill().unwrap();
        parent.wait().unwrap();
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(child.exited())
            .unwrap();
    }

    fn again(test: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "--nocapture", test])
            .env(CHILD, "1");
        command
    }

    fn run_again(test: &str) {
        let output = again(test).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("1 passed"), "{said}");
    }
}
