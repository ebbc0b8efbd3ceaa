// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::process::{Child, Command, Stdio};

use nix::sys::memfd::{MFdFlags, memfd_create};
use proptest::prelude::*;
use tempfile::TempDir;

use super::super::tests::a_process;
use super::mounts::{Mount, mount_of};
use super::*;

/// A file system whose top is a temporary directory, and a /proc of this test's process.
struct World {
    dir: TempDir,
    programs: Programs,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let programs = Programs {
            top: dir.path().to_owned(),
            ..Programs::new(ProcFs::at(dir.path().join("proc")))
        };
        let world = Self { dir, programs };
        let own = format!("proc/{}", std::process::id());
        fs::create_dir_all(world.path(&format!("{own}/ns"))).unwrap();
        fs::create_dir_all(world.path("proc/self/ns")).unwrap();
        fs::create_dir_all(world.path("usr/bin")).unwrap();
        fs::set_permissions(world.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(world.path("usr/bin/psql"), "psql").unwrap();
        world.set_mode("usr/bin/psql", 0o755);
        world.link(&format!("{own}/ns/user"), "user:[1]");
        world.link("proc/self/ns/user", "user:[1]");
        world.runs("usr/bin/psql");
        world
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn set_mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn link(&self, path: &str, target: impl AsRef<Path>) {
        let _ = fs::remove_file(self.path(path));
        symlink(target, self.path(path)).unwrap();
    }

    /// The process runs this file.
    fn runs(&self, path: &str) {
        let exe = format!("proc/{}/exe", std::process::id());
        self.link(&exe, self.path(path));
    }

    fn examine(&self) -> Examined {
        self.programs.examine(&a_process()).unwrap()
    }

    /// What is doubtful, with the top of the world cut off.
    fn doubt(&self) -> String {
        let doubt = self.examine().doubt.map(|doubt| doubt.to_string());
        let top = self.dir.path().to_str().unwrap();
        doubt.unwrap_or_default().replace(top, "")
    }

    fn digest(&self) -> Result<String, NoDigest> {
        let program = self.examine();
        let digest = self.programs.digest(&a_process(), &program)?;
        Ok(hex::encode(digest))
    }
}

#[test]
fn a_file_that_only_root_can_change_is_in_no_doubt() {
    let world = World::new();
    let examined = world.examine();
    assert_eq!(examined.doubt, None);
    assert_eq!(examined.path, world.path("usr/bin/psql"));
}

#[test]
fn a_file_that_others_can_change_is_in_doubt() {
    let world = World::new();
    for mode in [0o775, 0o757, 0o1777] {
        world.set_mode("usr/bin/psql", mode);
        assert_eq!(
            world.doubt(),
            format!("/usr/bin/psql can be written by others than root (mode {mode:04o})")
        );
    }
    world.set_mode("usr/bin/psql", 0o755);
    chown(world.path("usr/bin/psql"), Some(1000), None).unwrap();
    assert_eq!(
        world.doubt(),
        "/usr/bin/psql belongs to uid 1000, not to root"
    );
}

#[test]
fn a_file_in_a_directory_that_others_can_change_is_in_doubt() {
    let world = World::new();
    world.set_mode("usr", 0o775);
    assert_eq!(
        world.doubt(),
        "/usr can be written by others than root (mode 0775)"
    );
    world.set_mode("usr", 0o755);
    chown(world.path("usr/bin"), Some(1000), None).unwrap();
    assert_eq!(world.doubt(), "/usr/bin belongs to uid 1000, not to root");
}

#[test]
fn a_user_namespace_makes_every_program_doubtful() {
    let world = World::new();
    let link = format!("proc/{}/ns/user", std::process::id());
    let said = "it runs in a user namespace, where it can pass for any program";
    world.link(&link, "user:[2]");
    assert_eq!(world.doubt(), said);
    fs::remove_file(world.path(&link)).unwrap();
    assert_eq!(world.doubt(), said);
    // A kernel without user namespaces.
    fs::remove_file(world.path("proc/self/ns/user")).unwrap();
    assert_eq!(world.doubt(), "");
}

#[test]
fn a_file_of_another_name_for_the_same_path_is_elsewhere() {
    let world = World::new();
    // What reads as a link here is a path of another view there.
    world.link("usr/bin/linked", "psql");
    world.runs("usr/bin/linked");
    assert_eq!(
        world.doubt(),
        "it runs in another view of the file system, as in a container"
    );
}

#[test]
fn mounts_of_users_and_what_processes_serve_are_in_doubt() {
    let path = Path::new("/m/psql");
    let doubt = |kind: &str, nosuid| {
        let kind = kind.as_bytes().to_vec();
        let doubt = doubt::of_mount_type(&Mount { kind, nosuid }, path);
        doubt.map(|doubt| doubt.to_string()).unwrap_or_default()
    };
    assert_eq!(doubt("ext4", false), "");
    assert_eq!(
        doubt("ext4", true),
        "/m/psql is on a file system that is mounted nosuid, as those of users are"
    );
    for kind in ["fuse", "fuseblk", "fuse.sshfs"] {
        assert_eq!(
            doubt(kind, false),
            "/m/psql is on a FUSE file system: who serves it says what is in it"
        );
    }
}

#[test]
fn mounts_are_found_by_their_id() {
    let content = b"24 1 0:22 / / rw,relatime - ext4 /dev/sda1 rw\n\
        240 24 0:23 / /a\\040b rw,nosuid,nodev shared:9 master:1 - fuse.sshfs x rw\nshort\n241";
    let mount = mount_of(content, 240).unwrap();
    assert!(mount.nosuid && mount.is_fuse());
    let mount = mount_of(content, 24).unwrap();
    assert!(!mount.nosuid && !mount.is_fuse());
    for none in [1, 2, 241] {
        assert_eq!(mount_of(content, none), None);
    }
}

/// A copy of `cat` that runs until its input is closed.
struct Running {
    child: Child,
    dir: TempDir,
}

impl Running {
    fn new(command: impl FnOnce(&Path) -> Command) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cat");
        fs::copy("/bin/cat", &path).unwrap();
        let mut child = command(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // An echo means that the program runs.
        child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
        let echo = child.stdout.as_mut().unwrap();
        echo.read_exact(&mut [0]).unwrap();
        Self { child, dir }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("cat")
    }

    fn process(&self) -> Process {
        let pid = self.child.id();
        Process {
            pid,
            pidfd: crate::sys::pidfd::PidFd::open(pid).unwrap().into(),
            ..a_process()
        }
    }

    fn examine(&self) -> Examined {
        let programs = Programs {
            top: self.dir.path().to_owned(),
            ..Programs::new(ProcFs::new())
        };
        programs.examine(&self.process()).unwrap()
    }

    fn doubt(&self) -> String {
        let doubt = self.examine().doubt.map(|doubt| doubt.to_string());
        let path = self.path();
        doubt
            .unwrap_or_default()
            .replace(path.to_str().unwrap(), "CAT")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[test]
fn a_real_program_is_doubted_once_it_is_replaced_or_deleted() {
    let running = Running::new(|path| Command::new(path));
    assert_eq!(running.doubt(), "");
    assert_eq!(running.examine().path, running.path());
    let new = running.dir.path().join("new");
    fs::copy("/bin/true", &new).unwrap();
    fs::rename(&new, running.path()).unwrap();
    assert_eq!(running.doubt(), "CAT was replaced since it was started");
    fs::remove_file(running.path()).unwrap();
    assert_eq!(running.doubt(), "CAT was deleted since it was started");
    assert_eq!(running.examine().path, running.path());
}

#[test]
fn a_real_program_in_a_user_namespace_is_doubted() {
    let running = Running::new(|path| {
        let mut command = Command::new("unshare");
        command.arg("-U").arg(path);
        command
    });
    assert_eq!(
        running.doubt(),
        "it runs in a user namespace, where it can pass for any program"
    );
}

#[test]
fn a_real_program_on_another_mount_is_doubted() {
    let on = |options: &str| {
        let mount = format!(
            "mount -t tmpfs -o {options} none \"$D\" && cp /bin/cat \"$D/cat\" && exec \"$D/cat\""
        );
        let running = Running::new(|path| {
            let mut command = Command::new("unshare");
            command.args(["-m", "sh", "-c", &mount]);
            command.env("D", path.parent().unwrap());
            command
        });
        running.doubt()
    };
    assert_eq!(
        on("mode=0755"),
        "it runs in another view of the file system, as in a container"
    );
    assert_eq!(
        on("mode=0755,nosuid"),
        "CAT is on a file system that is mounted nosuid, as those of users are"
    );
}

#[test]
fn a_real_program_in_memory_is_doubted() {
    let memory = memfd_create("psql", MFdFlags::empty()).unwrap();
    let mut file = File::from(memory.try_clone().unwrap());
    file.write_all(&fs::read("/bin/cat").unwrap()).unwrap();
    drop(file);
    let reopened = File::open(format!("/proc/self/fd/{}", memory.as_raw_fd())).unwrap();
    drop(memory);
    let path = format!("/proc/{}/fd/{}", std::process::id(), reopened.as_raw_fd());
    let running = Running::new(|_| Command::new(path));
    assert_eq!(running.doubt(), "it runs from memory, not from a file");
}

#[test]
fn a_process_that_has_exited_runs_nothing() {
    let running = Running::new(|path| Command::new(path));
    let process = running.process();
    drop(running);
    let programs = Programs::new(ProcFs::new());
    let said = programs.examine(&process).unwrap_err().to_string();
    assert_eq!(said, format!("process {} has exited", process.pid));
}

#[test]
fn the_digest_is_that_of_the_file_and_read_once() {
    let world = World::new();
    let digest = world.digest().unwrap();
    assert_eq!(digest.len(), 64);
    let output = Command::new("sha256sum")
        .arg(world.path("usr/bin/psql"))
        .output()
        .unwrap();
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .starts_with(&digest)
    );
    assert_eq!(world.digest().unwrap(), digest);
    assert_eq!(world.programs.digests.lock().unwrap().len(), 1);
}

#[test]
fn another_content_has_another_digest_also_when_its_size_and_time_are_the_same() {
    let world = World::new();
    let path = world.path("usr/bin/psql");
    let before = world.digest().unwrap();
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    (&file).write_all(b"evil").unwrap();
    file.set_modified(time).unwrap();
    assert_ne!(world.digest().unwrap(), before);
}

#[test]
fn what_is_in_doubt_or_has_changed_has_no_digest() {
    let world = World::new();
    let seen = world.examine();
    fs::write(world.path("usr/bin/psql"), "another").unwrap();
    let refused = world.programs.digest(&a_process(), &seen);
    assert!(matches!(refused, Err(NoDigest::Changed)));
    world.set_mode("usr/bin/psql", 0o777);
    assert!(matches!(world.digest(), Err(NoDigest::Doubtful(_))));
}

#[test]
fn a_file_that_is_too_long_is_not_hashed() {
    let world = World::new();
    let path = world.path("usr/bin/psql");
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(MAX_HASHED + 1).unwrap();
    assert!(matches!(world.digest(), Err(NoDigest::TooLong(_))));
}

#[test]
fn no_more_digests_are_remembered_than_there_is_room_for() {
    let world = World::new();
    for number in 0..300 {
        let path = format!("usr/bin/psql-{number}");
        fs::write(world.path(&path), path.as_bytes()).unwrap();
        world.set_mode(&path, 0o755);
        world.runs(&path);
        world.digest().unwrap();
    }
    assert_eq!(world.programs.digests.lock().unwrap().len(), 256);
}

proptest! {
    #[test]
    fn any_list_of_mounts_is_read_without_harm(
        lines in prop::collection::vec("[0-9]{0,2}( [a-z0-9:/,-]{0,6}){0,9}", 0..6),
        id in 0_u64..100,
    ) {
        if let Some(mount) = mount_of(lines.join("\n").as_bytes(), id) {
            prop_assert!(!mount.kind.contains(&b' '));
        }
    }
}
