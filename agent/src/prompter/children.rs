// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How this program starts others: programs of the system alone, without the rights of its
//! group, with a clean environment, and so that none outlives its use.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::Environment;
use crate::sys::child::confine;

/// Where programs are looked for. Never `PATH`, which anybody sets.
const DIRECTORIES: [&str; 3] = ["/usr/bin", "/usr/local/bin", "/bin"];
/// How long a program may take to end once it was asked to.
const GRACE: Duration = Duration::from_secs(2);

/// A program that only root could have put where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Where it was found: what it is called by.
    path: PathBuf,
    /// The file itself, behind all links.
    file: PathBuf,
}

impl Program {
    /// The first program of this name in the system's directories that passes
    /// [`Self::of_system`].
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        DIRECTORIES
            .iter()
            .find_map(|directory| Self::of_system(&Path::new(directory).join(name)))
    }

    /// The program at this path, if it is a file that can be executed, and if nobody but root
    /// can change it or put another in its place.
    #[must_use]
    pub fn of_system(path: &Path) -> Option<Self> {
        let file = path.canonicalize().ok()?;
        let found = file.metadata().ok()?;
        let sealed = found.is_file()
            && found.mode() & 0o111 != 0
            && path.parent()?.ancestors().all(is_roots)
            && file.ancestors().all(is_roots);
        sealed.then(|| Self {
            path: path.to_owned(),
            file,
        })
    }

    /// Any program, for tests.
    #[cfg(test)]
    pub(super) fn unchecked(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            file: path.to_owned(),
        }
    }

    /// Where it was found.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of the file behind all links, as `pinentry-gtk-2` for `pinentry`.
    #[must_use]
    pub fn real_name(&self) -> &str {
        self.file
            .file_name()
            .and_then(OsStr::to_str)
            .unwrap_or_default()
    }
}

/// True if only root can write there. A sticky bit doesn't help: what isn't there yet can be
/// put there.
fn is_roots(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|found| found.uid() == 0 && found.mode() & 0o022 == 0)
}

/// A program that runs. It is asked to end when this is dropped, and made to two seconds
/// later; if this program ends before, it is made to at once.
#[derive(Debug)]
pub(super) struct Running {
    /// `None` once it was reaped.
    child: Option<Child>,
}

impl Running {
    /// Starts the program with these arguments and this environment, in `/`, with pipes for
    /// what it reads and says. What it says on its standard error goes to `errors`: toolkits
    /// say a lot there, and a pipe that nobody reads would end them.
    ///
    /// The thread that calls this must live as long as the program is wanted
    /// ([`crate::sys::child::confine`]).
    ///
    /// # Errors
    /// What the kernel says.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(super) fn start<A: AsRef<OsStr>>(
        program: &Program,
        arguments: impl IntoIterator<Item = A>,
        environment: &Environment,
        errors: Stdio,
    ) -> io::Result<Self> {
        // The file that was checked, by the name that it was asked for.
        let mut command = Command::new(&program.file);
        command
            .arg0(&program.path)
            .args(arguments)
            .env_clear()
            .envs(environment.iter())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .kill_on_drop(true);
        confine(command.as_std_mut());
        let child = Some(command.spawn()?);
        Ok(Self { child })
    }

    /// The pipes to its standard input and from its standard output.
    pub(super) fn pipes(&mut self) -> Option<(ChildStdin, ChildStdout)> {
        let child = self.child.as_mut()?;
        child.stdin.take().zip(child.stdout.take())
    }

    /// What it says until it ends, at most `most` bytes of each kind; what is beyond is
    /// thrown away. Once only.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) async fn output(&mut self, most: usize) -> io::Result<Output> {
        let Some(child) = self.child.as_mut() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        drop(child.stdin.take());
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let (out, err) = tokio::join!(bounded(out, most), bounded(err, most));
        let status = child.wait().await?;
        self.child = None;
        Ok(Output {
            code: status.code(),
            out: out?,
            err: err?,
        })
    }

    #[cfg(test)]
    pub(super) fn id(&self) -> u32 {
        self.child.as_ref().and_then(Child::id).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        // It wasn't reaped, or there were no id; so the id is still its own.
        if let Some(id) = id {
            let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
        }
        // Where nothing can wait for it, dropping the child kills it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = tokio::time::timeout(GRACE, child.wait()).await;
            });
        }
    }
}

/// What a program said, and how it ended.
#[derive(Debug)]
pub(super) struct Output {
    /// Its exit code; `None` if a signal ended it.
    pub(super) code: Option<i32>,
    /// Its standard output.
    pub(super) out: Vec<u8>,
    /// Its standard error.
    pub(super) err: Vec<u8>,
}

/// The first bytes of a pipe, which is read to its end so that nobody hangs on it.
async fn bounded(
    pipe: Option<impl tokio::io::AsyncRead + Unpin>,
    most: usize,
) -> io::Result<Vec<u8>> {
    let mut said = Vec::new();
    let Some(mut pipe) = pipe else {
        return Ok(said);
    };
    let mut chunk = [0; 4096];
    loop {
        let length = pipe.read(&mut chunk).await?;
        if length == 0 {
            return Ok(said);
        }
        let room = most - said.len();
        said.extend_from_slice(&chunk[..length.min(room)]);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::sys::pidfd::PidFd;

    /// A shell script that is a program.
    pub(in crate::prompter) fn script(directory: &Path, name: &str, lines: &str) -> Program {
        let path = directory.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        Program::unchecked(&path)
    }

    #[test]
    fn only_what_root_alone_can_change_is_a_program() {
        assert_eq!(
            Program::find("sh").unwrap().path(),
            Path::new("/usr/bin/sh")
        );
        assert_eq!(Program::find("no-such-program"), None);
        let dir = tempfile::tempdir().unwrap();
        // /tmp is writable for everybody, whatever lies in it.
        let program = script(dir.path(), "pinentry", "true");
        assert_eq!(Program::of_system(program.path()), None);
        // Nor does a link from there to the system's own help.
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/usr/bin/env", &link).unwrap();
        assert_eq!(Program::of_system(&link), None);
        assert_eq!(Program::of_system(Path::new("/usr/bin")), None);
        assert_eq!(Program::of_system(Path::new("/etc/passwd")), None);
    }

    #[tokio::test]
    async fn a_child_gets_the_snapshot_and_nothing_else() {
        let environment = Environment::new([("LANG", "C"), ("LD_PRELOAD", "x")]);
        let env = Program::find("env").unwrap();
        let mut running = Running::start(&env, [""; 0], &environment, Stdio::piped()).unwrap();
        let output = running.output(4096).await.unwrap();
        assert_eq!(String::from_utf8(output.out).unwrap(), "LANG=C\n");
        assert_eq!(output.code, Some(0));
    }

    #[tokio::test]
    async fn a_program_that_says_too_much_is_read_to_its_end_and_cut() {
        let dir = tempfile::tempdir().unwrap();
        let loud = script(
            dir.path(),
            "loud",
            "head -c 1000000 /dev/zero; head -c 500000 /dev/zero >&2; exit 3",
        );
        let mut running =
            Running::start(&loud, [""; 0], &Environment::default(), Stdio::piped()).unwrap();
        let output = running.output(10).await.unwrap();
        assert_eq!((output.out.len(), output.err.len()), (10, 10));
        assert_eq!(output.code, Some(3));
    }

    #[tokio::test]
    async fn a_dropped_program_is_asked_to_end() {
        let cat = Program::find("cat").unwrap();
        let running =
            Running::start(&cat, [""; 0], &Environment::default(), Stdio::piped()).unwrap();
        let process = PidFd::open(running.id()).unwrap();
        assert!(process.is_alive());
        drop(running);
        process.exited().await.unwrap();
    }

    #[tokio::test]
    async fn one_that_will_not_is_made_to() {
        let dir = tempfile::tempdir().unwrap();
        let stubborn = script(
            dir.path(),
            "stubborn",
            "trap '' TERM; echo ready; while :; do read x || exec tail -f /dev/null; done",
        );
        let mut running =
            Running::start(&stubborn, [""; 0], &Environment::default(), Stdio::piped()).unwrap();
        let process = PidFd::open(running.id()).unwrap();
        let (_stdin, mut stdout) = running.pipes().unwrap();
        let mut ready = [0; 6];
        stdout.read_exact(&mut ready).await.unwrap();
        drop(running);
        process.exited().await.unwrap();
    }

    #[test]
    fn without_a_runtime_it_is_made_to_at_once() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let cat = Program::find("cat").unwrap();
        let running = runtime
            .block_on(async {
                Running::start(&cat, [""; 0], &Environment::default(), Stdio::null())
            })
            .unwrap();
        let process = PidFd::open(running.id()).unwrap();
        drop(running);
        runtime.block_on(process.exited()).unwrap();
    }
}
