// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where cgroup v2 and bpffs are mounted.

use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::sys::statfs::{BPF_FS_MAGIC, CGROUP2_SUPER_MAGIC, FsType, statfs};

use super::file::read_bounded;

/// A host with thousands of containers has some ten thousand mounts, of 200 bytes each.
const MAX_MOUNTINFO: usize = 8 << 20;

/// The cgroup v2 hierarchy, whole: all of the machine's processes are below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup2 {
    root: PathBuf,
}

/// Why a cgroup can't be had.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// /proc can't be read.
    #[error("can't read {}: {source}", path.display())]
    Read {
        /// What was read.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// There is no cgroup v2.
    #[error(
        "no cgroup v2 hierarchy is mounted; mount -t cgroup2 none /sys/fs/cgroup/unified \
         (or boot with systemd.unified_cgroup_hierarchy=1)"
    )]
    NotMounted,
    /// What is mounted is only a part of the hierarchy.
    #[error(
        "the cgroup v2 hierarchy at {} is not the machine's whole one; \
         run the agent on the host, outside any cgroup namespace",
        .0.display()
    )]
    Partial(PathBuf),
    /// A path leads out of the hierarchy.
    #[error("{} is not a path within the cgroup v2 hierarchy", .0.display())]
    Outside(PathBuf),
    /// The cgroup is gone, or the path is no cgroup.
    #[error("no cgroup {}", .0.display())]
    NoSuchCgroup(PathBuf),
}

/// Why bpffs can't be used.
#[derive(Debug, thiserror::Error)]
pub enum BpffsError {
    /// The path isn't there.
    #[error("can't look at {}: {source}", path.display())]
    Read {
        /// What was looked at.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Something else is mounted there.
    #[error("no bpffs is mounted at {path}; mount -t bpf bpf {path}", path = path.display())]
    NotMounted {
        /// The path.
        path: PathBuf,
    },
}

impl Cgroup2 {
    /// Finds the hierarchy; on hybrid hosts it lies at `/sys/fs/cgroup/unified`.
    ///
    /// # Errors
    /// If there is none, or only a part of one can be seen from here.
    pub fn find() -> Result<Self, CgroupError> {
        let path = Path::new("/proc/self/mountinfo");
        let content = read_bounded(path, MAX_MOUNTINFO).map_err(|source| CgroupError::Read {
            path: path.to_owned(),
            source,
        })?;
        let mut partial = None;
        for mount in cgroup2_mounts(&content) {
            // Another mount may lie on top of it.
            if !is_filesystem(&mount.point, CGROUP2_SUPER_MAGIC).unwrap_or(false) {
                continue;
            }
            // Every cgroup but the machine's root has this file (cgroups(7)), also the one
            // that a cgroup namespace shows as its root.
            if mount.whole && !mount.point.join("cgroup.events").exists() {
                return Ok(Self { root: mount.point });
            }
            partial.get_or_insert(mount.point);
        }
        Err(partial.map_or(CgroupError::NotMounted, CgroupError::Partial))
    }

    /// Where the root cgroup is mounted.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of a cgroup, whose path is given as /proc/PID/cgroup does: absolute,
    /// from the root of the hierarchy.
    ///
    /// # Errors
    /// If the path leads out of the hierarchy.
    pub fn directory_of(&self, cgroup: &Path) -> Result<PathBuf, CgroupError> {
        Ok(self.root.join(names(cgroup)?.collect::<PathBuf>()))
    }

    /// The kernel's id of a cgroup, as `bpf_get_current_cgroup_id` tells it.
    ///
    /// It is the inode number of the directory wherever that has 64 bits: on every 64-bit
    /// kernel since 5.5 (kernfs: `kernfs_ino`). `name_to_handle_at(2)` would tell the same.
    ///
    /// # Errors
    /// If there is no such cgroup.
    pub fn id_of(&self, cgroup: &Path) -> Result<u64, CgroupError> {
        let directory = self.directory_of(cgroup)?;
        let facts = std::fs::symlink_metadata(&directory)
            .map_err(|_| CgroupError::NoSuchCgroup(cgroup.to_owned()))?;
        if !facts.is_dir() {
            return Err(CgroupError::NoSuchCgroup(cgroup.to_owned()));
        }
        Ok(facts.ino())
    }

    /// How deep a cgroup lies: 0 for the root, 1 for `/user.slice`.
    ///
    /// # Errors
    /// If the path leads out of the hierarchy.
    pub fn level_of(&self, cgroup: &Path) -> Result<u32, CgroupError> {
        let depth = names(cgroup)?.count();
        u32::try_from(depth).map_err(|_| CgroupError::Outside(cgroup.to_owned()))
    }
}

/// Checks that bpffs is mounted at `path`, or above it on the same mount.
///
/// # Errors
/// If something else is, with the command that mends it.
pub fn bpffs_mounted_at(path: &Path) -> Result<(), BpffsError> {
    match is_filesystem(path, BPF_FS_MAGIC) {
        Ok(true) => Ok(()),
        Ok(false) => Err(BpffsError::NotMounted {
            path: path.to_owned(),
        }),
        Err(source) => Err(BpffsError::Read {
            path: path.to_owned(),
            source: source.into(),
        }),
    }
}

fn is_filesystem(path: &Path, kind: FsType) -> Result<bool, Errno> {
    Ok(statfs(path)?.filesystem_type() == kind)
}

/// The names that an absolute cgroup path consists of.
fn names(cgroup: &Path) -> Result<impl Iterator<Item = &std::ffi::OsStr>, CgroupError> {
    let mut components = cgroup.components();
    let outside = || CgroupError::Outside(cgroup.to_owned());
    if components.next() != Some(Component::RootDir) {
        return Err(outside());
    }
    if components
        .clone()
        .any(|part| !matches!(part, Component::Normal(_)))
    {
        return Err(outside());
    }
    Ok(components.map(Component::as_os_str))
}

/// A line of mountinfo.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    point: PathBuf,
    /// True if the mount shows the file system from its root.
    whole: bool,
}

/// The cgroup2 mounts of a mountinfo file (proc_pid_mountinfo(5)).
pub(crate) fn cgroup2_mounts(content: &[u8]) -> impl Iterator<Item = Mount> {
    content.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let root = fields.nth(3)?;
        let point = fields.next()?;
        // Optional fields end with a single hyphen; the type follows.
        fields.find(|field| *field == b"-")?;
        (fields.next()? == b"cgroup2").then(|| Mount {
            point: PathBuf::from(std::ffi::OsString::from_vec(unescape(point))),
            whole: root == b"/",
        })
    })
}

/// Undoes the kernel's `\ooo` for blank, tab, newline and backslash.
fn unescape(mut text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    while let [first, rest @ ..] = text {
        text = rest;
        match *text {
            [
                a @ b'0'..=b'3',
                b @ b'0'..=b'7',
                c @ b'0'..=b'7',
                ref rest @ ..,
            ] if *first == b'\\' => {
                plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                text = rest;
            }
            _ => plain.push(*first),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_whole_hierarchy_and_its_root_is_at_level_0() {
        let cgroup2 = Cgroup2::find().unwrap();
        assert_eq!(cgroup2.level_of(Path::new("/")).unwrap(), 0);
        let root = std::fs::metadata(cgroup2.root()).unwrap().ino();
        assert_eq!(cgroup2.id_of(Path::new("/")).unwrap(), root);
    }

    #[test]
    fn a_cgroup_is_found_by_the_path_that_proc_tells() {
        let cgroup2 = Cgroup2::find().unwrap();
        let name = format!("stile-test-{}", std::process::id());
        let directory = cgroup2.root().join(&name);
        std::fs::create_dir(&directory).unwrap();
        let path = Path::new("/").join(&name);
        let id = cgroup2.id_of(&path);
        let level = cgroup2.level_of(&path);
        let expected = std::fs::metadata(&directory).unwrap().ino();
        std::fs::remove_dir(&directory).unwrap();
        assert_eq!(id.unwrap(), expected);
        assert_eq!(level.unwrap(), 1);
        assert!(matches!(
            cgroup2.id_of(&path),
            Err(CgroupError::NoSuchCgroup(_))
        ));
    }

    #[test]
    fn no_path_leads_out_of_the_hierarchy() {
        let cgroup2 = Cgroup2 {
            root: PathBuf::from("/sys/fs/cgroup"),
        };
        for path in ["/../..", "/a/../../b", "user.slice", ""] {
            let path = Path::new(path);
            assert!(matches!(cgroup2.id_of(path), Err(CgroupError::Outside(_))));
            assert!(matches!(
                cgroup2.level_of(path),
                Err(CgroupError::Outside(_))
            ));
        }
    }

    #[test]
    fn mounts_are_told_apart_by_type_and_unescaped() {
        let content = b"24 1 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
            25 24 0:23 / /sys/fs/cgroup/unified rw shared:9 master:1 - cgroup2 cgroup2 rw\n\
            26 24 0:24 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
            27 24 0:23 /docker/x /a\\040b\\134c rw - cgroup2 cgroup2 rw\n\
            28 24 0:25 / /cgroup2 rw - ext4 cgroup2 rw\nshort";
        let mounts: Vec<_> = cgroup2_mounts(content).collect();
        let expected = [("/sys/fs/cgroup/unified", true), ("/a b\\c", false)];
        assert_eq!(
            mounts,
            expected.map(|(point, whole)| Mount {
                point: PathBuf::from(point),
                whole
            })
        );
    }

    #[test]
    fn a_place_without_bpffs_is_told_how_to_get_it() {
        let error = bpffs_mounted_at(Path::new("/proc")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no bpffs is mounted at /proc; mount -t bpf bpf /proc"
        );
        assert!(matches!(
            bpffs_mounted_at(Path::new("/nonexistent")),
            Err(BpffsError::Read { .. })
        ));
    }
}
