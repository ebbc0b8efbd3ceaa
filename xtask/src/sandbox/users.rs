// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The users that exist inside the sandbox only: copies of /etc/passwd and /etc/group with
//! more lines, mounted over the real ones. /etc/shadow stays as it is: nobody logs in.

use std::fmt::Write as _;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use anyhow::{Context, Result};

/// A user of the sandbox, in a group of the same name and number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User {
    /// Its name.
    pub(crate) name: &'static str,
    /// Uid and gid.
    pub(crate) id: u32,
}

/// A database administrator.
pub(crate) const ALICE: User = User {
    name: "alice",
    id: 42001,
};
/// Somebody else.
pub(crate) const BOB: User = User {
    name: "bob",
    id: 42002,
};
/// Who runs PostgreSQL, which refuses root. A login shell, a home, but not in the range of
/// gated uids that a default policy has.
pub(crate) const POSTGRES: User = User {
    name: "postgres",
    id: 942,
};
/// The group of database administrators.
const DBA: (&str, u32) = ("dba", 42010);
/// That which `stile-prompt` runs as.
const PROMPT: (&str, u32) = ("stile-prompt", 42098);

/// All of them.
const USERS: [User; 3] = [ALICE, BOB, POSTGRES];

/// subuid(5): the uids of alice's containers.
const SUBUID: &str = "alice:100000:65536\n";

/// Writes `passwd`, `group` and `subuid` into `etc`, and makes the homes.
pub(super) fn create(etc: &Path, home: &Path) -> Result<()> {
    write(&etc.join("passwd"), &passwd(&read("/etc/passwd")?, home))?;
    write(&etc.join("group"), &group(&read("/etc/group")?))?;
    write(&etc.join("subuid"), SUBUID)?;
    for user in USERS {
        let folder = home.join(user.name);
        std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o700)))
            .and_then(|()| chown(&folder, Some(user.id), Some(user.id)))
            .with_context(|| format!("could not make the home {}", folder.display()))?;
    }
    Ok(())
}

/// passwd(5) without anybody who has a name or number of ours, and with ours. Their password
/// is `*`, which no password matches and which needs no line in shadow(5).
fn passwd(host: &str, home: &Path) -> String {
    let mut text = without(host, |name, id| {
        USERS.iter().any(|user| user.name == name || user.id == id)
    });
    for User { name, id } in USERS {
        // Writing to a string doesn't fail.
        let _ = writeln!(
            text,
            "{name}:*:{id}:{id}:{name} of the stile sandbox:{}/{name}:/bin/sh",
            home.display()
        );
    }
    text
}

/// group(5), likewise.
fn group(host: &str) -> String {
    let mut text = without(host, |name, id| {
        [DBA, PROMPT]
            .iter()
            .any(|group| group.0 == name || group.1 == id)
            || USERS.iter().any(|user| user.name == name || user.id == id)
    });
    for User { name, id } in USERS {
        let _ = writeln!(text, "{name}:x:{id}:");
    }
    let _ = writeln!(text, "{}:x:{}:{}", DBA.0, DBA.1, ALICE.name);
    let _ = writeln!(text, "{}:x:{}:", PROMPT.0, PROMPT.1);
    text
}

/// The lines whose name and number (first and third field of both files) don't clash.
fn without(host: &str, clashes: impl Fn(&str, u32) -> bool) -> String {
    host.lines()
        .filter(|line| {
            let mut fields = line.split(':');
            let name = fields.next().unwrap_or_default();
            let id = fields.nth(1).and_then(|id| id.parse().ok());
            !clashes(name, id.unwrap_or(u32::MAX))
        })
        .flat_map(|line| [line, "\n"])
        .collect()
}

fn read(path: &str) -> Result<String> {
    let bytes = std::fs::read(path).with_context(|| format!("could not read {path}"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text)
        .and_then(|()| std::fs::set_permissions(path, PermissionsExt::from_mode(0o644)))
        .with_context(|| format!("could not write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_of_the_host_with_the_same_name_or_number_gives_way() {
        let host = "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n\
            carol:x:42002:42002::/home/carol:/bin/sh\n";
        let text = passwd(host, Path::new("/h"));
        assert_eq!(
            text,
            "root:x:0:0:root:/root:/bin/sh\n\
             alice:*:42001:42001:alice of the stile sandbox:/h/alice:/bin/sh\n\
             bob:*:42002:42002:bob of the stile sandbox:/h/bob:/bin/sh\n\
             postgres:*:942:942:postgres of the stile sandbox:/h/postgres:/bin/sh\n"
        );
    }

    #[test]
    fn alice_is_in_the_group_dba_and_bob_is_not() {
        let text = group("root:x:0:\ndba:x:7:bob\n");
        assert!(text.contains("\ndba:x:42010:alice\n"));
        assert!(!text.contains("bob\n"));
    }
}
