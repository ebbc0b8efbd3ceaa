// SPDX-License-Identifier: Apache-2.0 OR MIT
//! People who come over ssh, to a host or to a machine.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::host::Host;
use crate::login::Login;
use crate::machine::Machine;
use crate::process::Running;
use crate::sandbox::{self, User};
use crate::sockets::wait_for_listener;

/// The port of each sshd, on the address of its host's server.
const PORT: u16 = 7022;
/// A /run of its own, where sshd wants a folder; what users need of the real one stays in view.
const START: &str = r#"mount --rbind /run /mnt && mount -t tmpfs -o mode=0755 tmpfs /run &&
    mkdir -m 755 /run/sshd && for path in "$1" "$2"; do case "$path" in
    /run/*) mkdir -p "$path" && mount --bind "/mnt/${path#/run/}" "$path" || exit ;;
    esac; done && exec /usr/sbin/sshd -D -e -f "$0""#;

/// A real sshd, where users may log in with a key.
#[derive(Debug)]
pub struct Sshd {
    folder: TempDir,
    at: SocketAddr,
    _process: Option<Running>,
}

impl Sshd {
    /// One of this machine's, with its PAM. It ends with the machine. `None` if OpenSSH isn't
    /// installed.
    #[track_caller]
    #[must_use]
    pub fn in_machine(host: &Host, machine: &Machine) -> Option<Self> {
        let etc = machine.root().join("etc/stile-sshd");
        let sshd = Self::configure(host, &etc, "/etc/stile-sshd", "yes")?;
        let start = ["systemd-run", "--property=RuntimeDirectory=sshd", "--"];
        let program = ["/usr/sbin/sshd", "-D", "-e", "-f", "/etc/stile-sshd/config"];
        machine.run(&[&start[..], &program].concat()).succeeded();
        wait_for_listener(sshd.at);
        Some(sshd)
    }

    /// One on the host itself, all of whose logins are this one, for without PAM it makes none.
    /// `None` if OpenSSH isn't installed.
    #[track_caller]
    #[must_use]
    pub fn on_host(host: &Host, login: &Login) -> Option<Self> {
        let etc = host.dir().join("sshd");
        let mut sshd = Self::configure(host, &etc, etc.to_str().unwrap(), "no")?;
        let mut command = host.run_as_root_in(&login.cgroup(), Path::new("unshare"));
        command
            .args(["--mount", "/bin/sh", "-c", START])
            .arg(etc.join("config"))
            .args([host.dir(), &sandbox::bin("")]);
        sshd._process = Some(Running::start(&mut command));
        wait_for_listener(sshd.at);
        Some(sshd)
    }

    /// Writes what it reads to a folder that it will find at `seen`.
    fn configure(host: &Host, etc: &Path, seen: &str, pam: &str) -> Option<Self> {
        if crate::missing(&["sshd", "ssh", "ssh-keygen"]).is_some() {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let at = SocketAddr::new(host.server().address().ip(), PORT);
        fs::create_dir(etc).unwrap();
        for key in [etc.join("host_key"), folder.path().join("key")] {
            let mut command = Command::new("ssh-keygen");
            command.args(["-q", "-t", "ed25519", "-N", "", "-f"]);
            assert!(command.arg(key).status().unwrap().success());
        }
        fs::copy(folder.path().join("key.pub"), etc.join("keys")).unwrap();
        let config = format!(
            "ListenAddress {at}\nHostKey {seen}/host_key\nAuthorizedKeysFile {seen}/keys\n\
             StrictModes no\nUsePAM {pam}\nPidFile none\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\n"
        );
        fs::write(etc.join("config"), config).unwrap();
        // sshd reads it as the user.
        open(etc, 0o755);
        open(&etc.join("keys"), 0o644);
        Some(Self {
            folder,
            at,
            _process: None,
        })
    }

    /// A user's client, which comes from this address and asks for a terminal. What it runs on
    /// is another computer to the host.
    #[must_use]
    pub fn client(&self, user: User, from: IpAddr) -> Vec<String> {
        let key = self.folder.path().join("key");
        let mut line: Vec<_> = ["/usr/bin/ssh", "-F", "none", "-tt"]
            .map(str::to_owned)
            .into();
        for option in [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "BatchMode=yes",
            "LogLevel=ERROR",
        ] {
            line.extend(["-o".to_owned(), option.to_owned()]);
        }
        line.extend(["-i".to_owned(), key.to_str().unwrap().to_owned()]);
        line.extend(["-b".to_owned(), from.to_string()]);
        line.extend(["-p".to_owned(), self.at.port().to_string()]);
        line.push(format!("{}@{}", user.name, self.at.ip()));
        line
    }
}

fn open(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}
