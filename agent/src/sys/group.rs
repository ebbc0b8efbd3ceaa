// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The group of a setgid program.

use nix::unistd::{getegid, getgid, setegid};

/// Does this with the group of whoever started the program. The rights of its own group are
/// set aside, for all threads, and taken up again.
///
/// What is in /proc of the person's other processes can't be read otherwise: the kernel asks
/// for the very same groups (ptrace(2), "Ptrace access mode checking").
///
/// # Errors
/// If the kernel refuses.
pub fn as_the_person<T>(act: impl FnOnce() -> T) -> std::io::Result<T> {
    let own = getegid();
    if own == getgid() {
        return Ok(act());
    }
    setegid(getgid())?;
    let done = act();
    setegid(own)?;
    Ok(done)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use nix::unistd::{Gid, setresgid};

    use super::*;

    const CHILD: &str = "STILE_TEST_SETGID_CHILD";

    /// Groups hold for a whole process, so this is tried in one of its own.
    #[test]
    fn the_own_group_is_set_aside_and_taken_up_again() {
        const TEST: &str = "sys::group::tests::the_own_group_is_set_aside_and_taken_up_again";
        if std::env::var_os(CHILD).is_none() {
            let mut again = Command::new(std::env::current_exe().unwrap());
            again.args(["--exact", "--nocapture", TEST]).env(CHILD, "1");
            let said = again.output().unwrap();
            let said = String::from_utf8_lossy(&said.stdout);
            assert!(said.contains("1 passed"), "needs root: {said}");
            return;
        }
        assert_eq!(as_the_person(getegid).unwrap(), getgid());
        let own = Gid::from_raw(4711);
        setresgid(getgid(), own, own).unwrap();
        assert_eq!(as_the_person(getegid).unwrap(), getgid());
        assert_eq!(getegid(), own);
    }
}
