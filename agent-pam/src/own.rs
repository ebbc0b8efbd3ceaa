// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What this process is before any module runs in it.

use std::fs::{File, OpenOptions};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::prctl::set_dumpable;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{close, dup2_stdin, dup2_stdout, getegid, geteuid, getgid, getuid};

/// Processor time that a run may take, in seconds. Modules wait for people and devices; the
/// slowest thing that they compute is one hash of a password.
const CPU_SECONDS: u64 = 30;
/// Address space that it may have, in bytes. Modules map libraries and caches.
const ADDRESS_SPACE: u64 = 2 << 30;
/// Descriptors that it may have. The agent may have very many, and some modules close all that
/// there could be, one by one.
const DESCRIPTORS: u64 = 1024;

/// Forbids core dumps and debuggers, bounds what modules may use up, and closes what was
/// inherited beyond the three standard descriptors.
pub(crate) fn confine() -> Result<(), String> {
    if (getuid(), getgid()) != (geteuid(), getegid()) {
        return Err("it must not be installed setuid or setgid".to_owned());
    }
    set_dumpable(false).map_err(failed("make the process undumpable"))?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(failed("forbid core dumps"))?;
    bound(Resource::RLIMIT_CPU, CPU_SECONDS).map_err(failed("bound RLIMIT_CPU"))?;
    bound(Resource::RLIMIT_AS, ADDRESS_SPACE).map_err(failed("bound RLIMIT_AS"))?;
    bound(Resource::RLIMIT_NOFILE, DESCRIPTORS).map_err(failed("bound RLIMIT_NOFILE"))?;
    close_inherited()
}

/// Lowers both limits; what is lower already stays.
fn bound(resource: Resource, most: u64) -> nix::Result<()> {
    let (soft, hard) = getrlimit(resource)?;
    setrlimit(resource, soft.min(most), hard.min(most))
}

fn close_inherited() -> Result<(), String> {
    let folder = Path::new("/proc/self/fd");
    let listed = |error| format!("can't list {}: {error}", folder.display());
    let mut open = Vec::new();
    for entry in folder.read_dir().map_err(listed)? {
        let name = entry.map_err(listed)?.file_name();
        open.extend(name.to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    // The list was one of them, and is closed by now.
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        match close(descriptor) {
            Ok(()) | Err(Errno::EBADF) => {}
            Err(error) => return Err(format!("can't close descriptor {descriptor}: {error}")),
        }
    }
    Ok(())
}

/// The pipes from and to the agent, taken off the standard descriptors, so that nothing that a
/// module reads or prints gets into the protocol, and nothing that it starts has them.
pub(crate) fn take_pipes() -> Result<(File, File), String> {
    let input = own(std::io::stdin()).map_err(failed("keep the standard input"))?;
    let output = own(std::io::stdout()).map_err(failed("keep the standard output"))?;
    let null = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(|error| format!("can't open /dev/null: {error}"))?;
    dup2_stdin(&null).map_err(failed("detach the standard input"))?;
    dup2_stdout(&null).map_err(failed("detach the standard output"))?;
    Ok((input, output))
}

/// A copy of the descriptor that is closed by exec.
fn own(descriptor: impl std::os::fd::AsFd) -> nix::Result<File> {
    descriptor
        .as_fd()
        .try_clone_to_owned()
        .map(File::from)
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or_default()))
}

fn failed(operation: &'static str) -> impl FnOnce(Errno) -> String {
    move |error| format!("can't {operation}: {error}")
}
